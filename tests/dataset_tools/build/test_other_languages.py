"""A data set in a language without grammar: the sentences of the annotations are spoken or recorded in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from dataset_tools.decisions.journal import ReviewRow, append_reviews
from dataset_tools.manifests import ClipRow, read_rows
from dataset_tools.speech.booth import server
from dataset_tools.speech.booth.sessions import Booth

SENTENCES = ("Er schneidet die Möhre.", "Die Möhre wird geschält.", "Ben schält.", "")
NAMES = ("p1-a_000001-000021", "p1-a_000031-000051", "p2-b_000001-000021", "p2-b_000031-000051")


@pytest.fixture
def german(footage: Path) -> Path:
    """The list with a German sentence for each interval but the last."""
    first, *rows = footage.read_text().splitlines()
    texts = ("sentence", *SENTENCES)
    footage.write_text("".join(f"{row},{text}\n" for row, text in zip((first, *rows), texts, strict=True)))
    return footage


def spoken(tmp_path: Path) -> dict[str, tuple[Any, ...]]:
    """Language, text and its source of the utterances, by clip."""
    lines = (tmp_path / "w" / "manifests" / "utterances.jsonl").read_text().splitlines()
    return {row["clip"]: (row["language"], row["text"], row["text_source"]) for row in map(json.loads, lines)}


def test_a_build_in_german_speaks_the_sentences_of_the_list_and_names_the_clip_without_one(
    run: Callable[..., Result], german: Path, tmp_path: Path
) -> None:
    small = ("--annotations", german, "--short-side", 32)
    said = run("build", *small, "--language", "de", code=1).output
    assert "failed 1 ×: The clip has no sentence in the language 'de' (p2-b_000031-000051)" in said
    assert f"then run fmn-data retry --workspace {tmp_path / 'w'}" in said.replace("\n", "")
    assert spoken(tmp_path) == {
        name: ("de", text, "annotations") for name, text in zip(NAMES[:3], SENTENCES[:3], strict=True)
    }
    made = (tmp_path / "w" / "manifests" / "utterances.jsonl").read_bytes()
    before = {path: path.read_bytes() for path in (tmp_path / "w").rglob("*") if path.is_file()}
    would = json.loads(run("retry", "--dry-run", "--json").stdout)
    assert list(would["failures"]) == [f"utterance/{NAMES[3]}"]
    assert "and build again" in would["failures"][f"utterance/{NAMES[3]}"]["next"]
    assert "1 failed sample would be retried" in run("retry", "--dry-run").output
    assert {path: path.read_bytes() for path in (tmp_path / "w").rglob("*") if path.is_file()} == before
    run("retry", code=1)  # in the same language
    assert (tmp_path / "w" / "manifests" / "utterances.jsonl").read_bytes() == made
    german.write_text(german.read_text().rstrip() + "Möhre!\n")
    run("build", "--annotations", german)
    assert spoken(tmp_path)[NAMES[3]] == ("de", "Möhre!", "annotations")


def test_a_retry_speaks_the_sentences_of_videos_that_were_mended_and_those_added_since(
    run: Callable[..., Result], tmp_path: Path, write_video: Callable[..., Path]
) -> None:
    """The number of frames of a whole video, and so the span of its sentence, is not known while it is damaged."""
    folder = tmp_path / "own" / "cut_carrot_knife"
    intact = write_video(folder / "p1_a.mp4", range(1, 41))
    damaged, plain = folder / "p2_b.mp4", folder / "p3_c.mp4"
    shutil.copyfile(intact, plain)
    damaged.write_bytes(b"")
    for video, text in ((intact, "Er schneidet."), (damaged, "Sie schneidet.")):
        video.with_suffix(".txt").write_text(text)
    run("build", "--clips", folder.parent, "--short-side", 32, "--language", "de", code=1)
    assert {text for _, text, _ in spoken(tmp_path).values()} == {"Er schneidet."}
    write_video(damaged, range(41, 81))
    plain.with_suffix(".txt").write_text("Es schneidet.")
    run("retry")
    assert sorted(text for _, text, _ in spoken(tmp_path).values()) == [
        "Er schneidet.",
        "Es schneidet.",
        "Sie schneidet.",
    ]
    retried = {path: path.read_bytes() for path in (tmp_path / "w" / "manifests").iterdir()}
    others = tmp_path / "others.json"
    others.write_text('{"p1_a.mp4": {"timestamps": [[1, 40]], "sentences": ["He slices."]}}')
    for command in ("retry", "retry --dry-run"):  # it would ignore them
        refused = " ".join(run(*command.split(), "--sentences", others, code=2).output.split())
        assert "did not use this sentence file" in refused
        assert "fmn-data build --sentences" in refused
    run("build")
    assert {path: path.read_bytes() for path in (tmp_path / "w" / "manifests").iterdir()} == retried


def test_windows_have_no_sentence(
    run: Callable[..., Result], german: Path, tmp_path: Path, write_video: Callable[..., Path]
) -> None:
    write_video(german.with_name("p3_c.mp4"), range(1, 181))
    first, *rows = german.read_text().splitlines()
    whole = "p3_c.mp4,1,180,cut,carrot,knife,Er schneidet lange."
    german.write_text("\n".join([first, whole, *rows[2:3]]) + "\n")
    windows = ("--shortfall", "windows", "--per-class", 3, "--short-side", 32, "--language", "de")
    run("build", "--annotations", german, *windows, code=1)
    assert set(spoken(tmp_path)) == {NAMES[2]}
    assert "describe whole intervals, not windows" in (tmp_path / "w" / "ledger.jsonl").read_text()
    german.write_text(f"{first}\n{whole}\n")
    said = " ".join(run("build", "--annotations", german, *windows[:3], 2, code=2).output.split())
    assert "--shortfall accept: sentences of the annotations describe whole intervals, not windows" in said
    run("build", "--annotations", german, "--shortfall", "accept")
    assert [text for _, text, _ in spoken(tmp_path).values()] == ["Er schneidet lange."]


def test_a_recorded_clip_needs_no_sentence(run: Callable[..., Result], german: Path, tmp_path: Path) -> None:
    small = ("--annotations", german, "--short-side", 32, "--language", "de")
    run("build", *small, code=1)
    (voice,) = (tmp_path / "w" / "speech").glob(f"{NAMES[0]}_*.wav")
    (tmp_path / "vera").mkdir()
    shutil.copyfile(voice, tmp_path / "vera" / f"{NAMES[3]}.wav")
    run("speech", "import", tmp_path / "vera")
    assert set(spoken(tmp_path)) == set(NAMES)  # the recording of the last clip replaces that of no other
    before = (tmp_path / "w" / "manifests" / "utterances.jsonl").read_bytes()
    run("build", *small)
    assert (tmp_path / "w" / "manifests" / "utterances.jsonl").read_bytes() == before
    assert '"failed"' not in (tmp_path / "w" / "ledger.jsonl").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--language", "German"), "'German' is not a language"),
        (("--language", "xh"), "The engine espeak has no voice for the language 'xh'"),
        (("--language", "ja"), "No clip has a sentence in the language 'ja'"),
        (("--language", "de", "--no-sentences"), "No clip has a sentence in the language 'de'"),
    ],
)
def test_a_language_that_cannot_be_spoken_is_refused_before_anything_is_cut(
    run: Callable[..., Result], german: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    said = run("build", "--annotations", german, "--short-side", 32, *options, code=2).output
    assert message in " ".join(said.split())
    assert not {"clips", "speech", "manifests"} & {path.name for path in (tmp_path / "w").glob("*")}


def test_speech_in_a_language_without_sentences_leaves_the_earlier_speech(
    run: Callable[..., Result], german: Path, tmp_path: Path
) -> None:
    run("build", "--annotations", german, "--short-side", 32)
    before = spoken(tmp_path)
    said = run("speech", "synthesize", "--language", "de", "--no-sentences", code=2).output
    assert "No clip has a sentence in the language 'de'" in said
    assert spoken(tmp_path) == before
    german.write_text(german.read_text().replace("Ben schält.", "Бен чистит."))
    said = " ".join(run("build", "--annotations", german).output.split())
    told = "1 interval has sentences, but none in 'en' (such as 'Бен чистит.'): state their language with --language"
    assert told in said
    assert spoken(tmp_path)[NAMES[2]][2] == "grammar"
    said = " ".join(run("build", "--annotations", german, "--language", "ru", code=1).output.split())
    assert f"2 intervals have sentences, but none in 'ru' (such as {SENTENCES[0]!r})" in said
    assert {text for _, text, _ in spoken(tmp_path).values()} == {"Бен чистит."}


def test_the_booth_shows_the_sentences_of_the_list_also_without_speech(
    run: Callable[..., Result], german: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Booth] = []
    monkeypatch.setattr(server, "serve_booth", lambda booth, *_, **__: opened.append(booth))
    run("build", "--annotations", german, "--short-side", 32, "--language", "de", "--no-speech")
    run("speech", "record")
    shown = {name: (line.sentence, line.language) for name, line in opened[0].lines.items()}
    assert shown == {name: (text, "de") for name, text in zip(NAMES[:3], SENTENCES[:3], strict=True)}
    shutil.rmtree(tmp_path / "w" / "cache" / "sentences")
    said = " ".join(run("speech", "record", "--language", "en").output.split())
    assert "clips without a sentence get a generated one" in said
    assert {line.language for line in opened[1].lines.values()} == {"en"}
    said = run("speech", "record", code=2).output
    assert "No clip has a sentence in the language 'de'" in said


def test_the_booth_tells_of_sentences_that_it_does_not_show_and_does_not_call_cyrillic_ones_english(
    run: Callable[..., Result], german: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Booth] = []
    monkeypatch.setattr(server, "serve_booth", lambda booth, *_, **__: opened.append(booth))
    german.write_text(german.read_text().replace("Ben schält.", "Бен чистит."))
    run("build", "--annotations", german, "--short-side", 32, "--no-speech")
    told = "1 interval has sentences, but none in 'en' (such as 'Бен чистит.'): state their language with --language"
    assert told in " ".join(run("speech", "record").output.split())
    assert told not in " ".join(run("speech", "record", "--language", "ru").output.split())
    run("build", "--language", "ru", code=1)
    for name in ("manifests/utterances.jsonl", "ledger.jsonl"):  # as versions before 0.2.0 wrote it
        path = tmp_path / "w" / name
        path.write_text(path.read_text().replace('"language":"ru"', '"language":"en"'))
    for language, called in (("en", "und"), ("ru", "ru")):
        run("speech", "record", "--language", language)
        shown = {line.sentence: line.language for line in opened[-1].lines.values()}
        assert shown["Бен чистит."] == called


def test_sentences_of_annotators_in_another_script_are_told(
    run: Callable[..., Result], footage: Path, tmp_path: Path, make_review: Callable[..., ReviewRow]
) -> None:
    run("build", "--annotations", footage, "--short-side", 32, "--no-speech")
    clips = {row.id: row for row in read_rows(tmp_path / "w" / "manifests" / "clips.jsonl", ClipRow)}
    written = make_review(
        id=NAMES[2],
        content_sha256=clips[NAMES[2]].sha256,
        minute=1,
        sentence="Бен чистит.",
        shown={"first_frame": 1, "frames": 21},
    )
    append_reviews(tmp_path / "w" / "annotations" / "reviews.jsonl", [written])
    told = "1 sentence that an annotator wrote is not in 'en' (such as 'Бен чистит.'), and not used: see --language"
    assert told in " ".join(run("build", "--speech").output.split())
    assert {source for _, _, source in spoken(tmp_path).values()} == {"grammar"}
    assert told in " ".join(run("speech", "synthesize").output.split())
    assert told not in " ".join(run("speech", "synthesize", "--language", "ru", code=1).output.split())
    assert spoken(tmp_path) == {NAMES[2]: ("ru", "Бен чистит.", "review")}
    said = " ".join(run("build", code=1).output.split())  # in this language, too
    assert f"failed 3 ×, the first: The clip has no sentence in the language 'ru' ({NAMES[0]})" in said
