"""A class file that is drafted from an annotation file: its triplets, counted by hand; and what it is good for."""

from __future__ import annotations

import json
import shlex
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dataset_tools.classes.matching import classify
from dataset_tools.classes.reader import load_classes
from dataset_tools.classes.writer import write_classes
from dataset_tools.cli.main import app
from dataset_tools.core.errors import InputError
from dataset_tools.corpora.annotations.class_draft import draft_classes
from dataset_tools.corpora.annotations.formats import ListOptions, read_intervals
from dataset_tools.corpora.annotations.own_footage import open_own_footage
from dataset_tools.speech.sentences.generation import check_words, every_sentence

ROWS = """video,start_frame,end_frame,action,subject,object,person,sentence
a.mp4,1,20,Cutting,Carrots,knife,p1,He cuts it.
a.mp4,21,40,cut,carrot,knife,p1,
b.mp4,1,20,cuts,carrots,,p2,
b.mp4,21,40,take out,red pepper,fridge,,
b.mp4,41,60,took out,red-peppers,fridge,p2,
b.mp4,61,80,takes out,red peppers,fridge,p3,
c.mp4,1,20,挥,手,,,
c.mp4,21,40,举,手,,,
"""


@pytest.fixture
def listing(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text(ROWS, "utf-8")
    return path


def test_triplets_are_counted_over_all_spellings_of_their_words(listing):
    draft = draft_classes(read_intervals(listing), listing)
    counts = [(row.class_id, row.intervals, row.videos, row.persons, row.with_sentence) for row in draft.counts]
    assert counts == [
        ("take-out_red-peppers_fridge", 3, 1, None, 0),  # of one of the three, the person is not named
        ("cut_carrots_knife", 2, 1, 1, 1),
        ("action-1_thing-1", 1, 1, None, 0),
        ("action-2_thing-1", 1, 1, None, 0),
        ("cut_carrots", 1, 1, 1, 0),
    ]
    assert any(sentence.startswith("cut: ") for sentence in draft.clusters)


def test_persons_that_the_file_does_not_name_are_unknown_and_not_0(listing, tmp_path):
    command = ["classes", "-w", str(tmp_path), "--from", str(listing)]
    lines = CliRunner().invoke(app, command).output.splitlines()
    rows = [[cell.strip() for cell in line.split("\u2502")] for line in lines]
    persons = {row[1]: row[4] for row in rows if len(row) == 7}
    assert (persons["cut_carrots"], persons["action-1_thing-1"]) == ("1", "unknown")
    found = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)["classes"]
    assert {row["class_id"]: row["persons"] for row in found} == {
        **{"take-out_red-peppers_fridge": None, "cut_carrots_knife": 1, "cut_carrots": 1},
        **{"action-1_thing-1": None, "action-2_thing-1": None},
    }


def test_the_most_frequent_are_taken_and_the_others_counted(listing):
    draft = draft_classes(read_intervals(listing), listing, count=2)
    assert [one.id for one in draft.classes.classes] == ["take-out_red-peppers_fridge", "cut_carrots_knife"]
    assert draft.left_out == 3
    assert set(draft.classes.actions) == {"take-out", "cut"}
    assert set(draft.classes.things) == {"red-peppers", "fridge", "carrots", "knife"}


def test_every_row_belongs_to_its_class_once_the_draft_is_written(listing, tmp_path):
    draft = draft_classes(read_intervals(listing), listing)
    path = tmp_path / "classes.yaml"
    write_classes(path, draft.classes)
    classes = load_classes(path, count=None)
    assert classes.classes == draft.classes.classes
    corpus = open_own_footage(listing, classes, cache=tmp_path / "cache" / "sources")
    assert [classify(interval, classes).class_id for interval in corpus.annotations.intervals] == [
        *("cut_carrots_knife", "cut_carrots_knife", "cut_carrots"),
        *("take-out_red-peppers_fridge",) * 3,
        *("action-1_thing-1", "action-2_thing-1"),
    ]
    assert not [note for note in corpus.notes if "class file lacks" in note]
    assert (classes.actions["action-1"].zh, classes.things["thing-1"].zh) == ("挥", "手")
    assert classes.actions["cut"].gerund == "cutting"


def test_one_word_in_two_forms_of_unicode_is_one_word(tmp_path):
    for form, label in (("NFC", "öffnen_fenster"), ("NFD", "öffnen_tür")):
        (tmp_path / unicodedata.normalize(form, label)).mkdir()
        (tmp_path / unicodedata.normalize(form, label) / "one.mp4").write_bytes(b"")
    draft = draft_classes(read_intervals(tmp_path), tmp_path)
    assert [word.name for word in draft.classes.actions.values()] == ["öffnen"]


def test_keys_have_the_letters_without_their_marks(tmp_path):
    path = tmp_path / "rows.csv"
    words = ("öffnen,Tür", "gießen,Öl", "gießen,Äl", "切,苹果")
    path.write_text("video,action,subject\n" + "".join(f"{n}.mp4,{row}\n" for n, row in enumerate(words)), "utf-8")
    draft = draft_classes(read_intervals(path), path)
    assert [one.id for one in draft.classes.classes] == ["action-1_thing-1", "giessen_al", "giessen_ol", "offnen_tur"]
    write_classes(tmp_path / "classes.yaml", draft.classes)
    classes = load_classes(tmp_path / "classes.yaml", count=None)
    corpus = open_own_footage(path, classes, cache=tmp_path / "cache" / "sources")
    found = [classify(interval, classes).class_id for interval in corpus.annotations.intervals]
    assert found == ["offnen_tur", "giessen_ol", "giessen_al", "action-1_thing-1"]


def test_a_key_of_an_earlier_draft_is_still_matched(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("video,action,subject\na.mp4,Öffnen,Tür\n", "utf-8")
    (tmp_path / "classes.yaml").write_text(
        "schema: fmn.classes/1\nactions: {ffnen: {name: öffnen}}\nthings: {t-r: {name: tür}}\n"
        "classes: [{action: ffnen, subject: t-r}]\n",
        "utf-8",
    )
    classes = load_classes(tmp_path / "classes.yaml", count=None)
    corpus = open_own_footage(path, classes, cache=tmp_path / "cache" / "sources")
    assert [classify(interval, classes).class_id for interval in corpus.annotations.intervals] == ["ffnen_t-r"]


@pytest.mark.parametrize(
    ("labels", "ids"),
    [
        (("links zeigen", "rechts zeigen", "winken"), {"links_zeigen", "rechts_zeigen", "show_winken"}),
        (("turns left", "turn left", "washes gyros"), {"turn_left", "wash_gyros"}),
    ],
)
def test_only_in_english_is_a_word_an_inflected_form_of_another(tmp_path, labels, ids):
    path = tmp_path / "rows.csv"
    path.write_text("video,label\n" + "".join(f"a.mp4,{label}\n" for label in labels), "utf-8")
    draft = draft_classes(read_intervals(path), path)
    assert {one.id for one in draft.classes.classes} == ids
    assert draft.is_english == ("turn_left" in ids)


def test_words_that_are_not_english_are_joined_over_underscores_and_spaces(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("video,action,subject\na.mp4,auf_machen,Dose\na.mp4,auf machen,Dose\na.mp4,rühren,Soße\n", "utf-8")
    draft = draft_classes(read_intervals(path), path)
    assert {one.id for one in draft.classes.classes} == {"auf-machen_dose", "ruhren_sosse"}
    assert draft.classes.actions["auf-machen"].name == "auf machen"


def test_an_adverb_has_no_article(tmp_path):
    path = tmp_path / "rows.csv"
    labels = ("turn left", "walk backwards", "turn light", "open tin")
    path.write_text("video,label\n" + "".join(f"a.mp4,{label}\n" for label in labels), "utf-8")
    write_classes(tmp_path / "classes.yaml", draft_classes(read_intervals(path), path).classes)
    classes = load_classes(tmp_path / "classes.yaml", count=None)
    said = {one.subject: every_sentence(one, classes) for one in classes.classes}
    assert "She turns left." in said["left"]
    assert "She walks backwards." in said["backwards"]
    assert not any(f"the {name}" in text for name in ("left", "backwards") for text in said[name])
    assert "She turns the light." in said["light"]  # a dictionary has it as an adverb, too
    assert "She opens the tin." in said["tin"]  # only as an adverb and a verb


def test_words_in_other_scripts_get_a_warning_and_no_endings(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("video,label\na.mp4,切 苹果\nb.mp4,öffnen Tür\n", "utf-8")
    done = CliRunner().invoke(app, ["classes", "-w", str(tmp_path), "--from", str(path), "--json"])
    (note,) = (note for note in json.loads(done.stdout)["notes"] if "Latin" in note)
    assert "'切', '苹果'; give English names" in note
    draft = draft_classes(read_intervals(path), path)
    word = draft.classes.actions["action-1"]
    assert {word.third_person, word.past, word.participle, word.gerund} == {"切"}
    assert draft.classes.things["thing-1"].plural == "苹果"


def test_the_command_writes_the_file_and_never_replaces_one(listing, tmp_path):
    out = tmp_path / "classes.yaml"
    command = ["classes", "-w", str(tmp_path), "--from", str(listing), "-o", str(out)]
    done = CliRunner().invoke(app, [*command, "--classes", "2"])
    assert done.exit_code == 0
    assert "take-out_red-peppers_fridge" in done.output
    assert len(load_classes(str(out), count=None).classes) == 2
    assert CliRunner().invoke(app, command).exit_code == 2


def test_the_preposition_of_a_label_stays_with_its_object(tmp_path):
    for label in ("pour milk into the glass", "take out plate", "stir soup with a spoon"):
        (tmp_path / "clips" / label).mkdir(parents=True)
        (tmp_path / "clips" / label / "one.mp4").write_bytes(b"")
    draft = draft_classes(read_intervals(tmp_path / "clips"), tmp_path / "clips")
    said = {one.id: (one.object, one.preposition) for one in draft.classes.classes}
    assert said == {
        "pour_milk_glass": ("glass", "into"),
        "stir_soup_spoon": ("spoon", "with"),
        "take-out_plate": (None, None),
    }
    write_classes(tmp_path / "classes.yaml", draft.classes)
    assert load_classes(tmp_path / "classes.yaml", count=None).classes == draft.classes.classes
    assert "I poured the milk into the glass." in every_sentence(draft.classes.classes[0], draft.classes)
    # What was guessed is told with the draft; afterwards, only of labels that are none of the classes.
    ended = CliRunner().invoke(app, ["classes", "-w", str(tmp_path), "--from", str(tmp_path / "clips")])
    assert "guessed from the words of 3 labels" in " ".join(ended.output.split())
    some = replace(draft.classes, classes=tuple(one for one in draft.classes.classes if one.object))
    told = "words of 1 label, such as 'take out plate': 'take out', 'plate', ''."
    for classes, ends in ((draft.classes, []), (some, [told])):
        corpus = open_own_footage(tmp_path / "clips", classes, cache=tmp_path / "cache" / "sources")
        said = [note for note in corpus.notes if "guessed" in note]
        assert [note[-len(told) :] for note in said] == ends


def test_persons_are_told_by_the_names_of_videos(tmp_path):
    for name in ("p1_1.mp4", "p1_2.mp4", "p2_1.mp4"):
        (tmp_path / "wave").mkdir(exist_ok=True)
        (tmp_path / "wave" / name).write_bytes(b"")
    listed = read_intervals(tmp_path, ListOptions(person=r"^(p\d+)_"))
    assert [row.person for row in listed.rows] == ["p1", "p1", "p2"]
    (tmp_path / "wave" / "other.mp4").write_bytes(b"")
    with pytest.raises(InputError, match=r"finds no person in 1 name: .*other\.mp4"):
        read_intervals(tmp_path, ListOptions(person=r"^(p\d+)_"))
    for wrong in ("(", "p"):
        with pytest.raises(InputError, match="--person"):
            read_intervals(tmp_path, ListOptions(person=wrong))


@pytest.mark.parametrize(
    ("options", "found", "where"),
    [
        (["--annotations", "LIST", "-o", "OUT"], "--out names a class file, but none is drafted or proposed", "OUT"),
        (["--from", "LIST", "--clips", "."], "--from does not use --clips", "--clips ."),
        (["--from", "LIST", "--propose", "3"], "--from does not use --propose", "--propose 3"),
        (["--annotations", "LIST", "--propose", "3", "--classes", "2"], "--propose does not use --classes", "2"),
    ],
)
def test_options_without_effect_are_refused(
    options: list[str], found: str, where: str, listing: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.yaml"
    places = {"LIST": str(listing), "OUT": str(out)}
    command = ["classes", "-w", str(tmp_path), "--json", *(places.get(option, option) for option in options)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    error = json.loads(done.stdout)["error"]
    assert error["found"] == found
    assert places.get(where, where) in error["where"]
    assert not out.exists()


@pytest.mark.parametrize("command", [["build"], ["classes", "--propose", "3"]])
def test_footage_of_other_words_is_answered_with_the_command_that_drafts_its_classes(
    command: list[str], tmp_path: Path
) -> None:
    listing = tmp_path / "my rows.csv"
    listing.write_text("video,start_frame,end_frame,label\na.mp4,1,20,wave\n", "utf-8")
    done = CliRunner().invoke(app, [*command, "-w", str(tmp_path), "--annotations", str(listing), "--json"])
    assert done.exit_code == 2
    draft = json.loads(done.stdout)["error"]["next"].partition("fmn-data ")[2].partition(";")[0].split(" -o ")[0]
    out = tmp_path / "annotations" / "classes.yaml"
    assert CliRunner().invoke(app, [*shlex.split(draft), "-o", str(out)]).exit_code == 0
    assert [one.id for one in load_classes(out, count=None).classes] == ["show_wave"]


def test_labels_of_one_chinese_word_need_no_word_of_the_user(tmp_path):
    for label in ("拍照", "挥 手"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "one.mp4").write_bytes(b"")
    check_words(draft_classes(read_intervals(tmp_path), tmp_path).classes, "zh")  # raises if a word has none in Chinese
