"""Which file is of which clip, class and voice, with which sentence."""

from __future__ import annotations

import errno
import os
import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, SpeakerFacts
from dataset_tools.speech.recordings.consents import CONSENT, Consents
from dataset_tools.speech.recordings.recording_files import find_recordings
from dataset_tools.speech.recordings.recording_import import ImportSummary
from dataset_tools.speech.recordings.recording_rows import merge_recordings, read_recordings
from dataset_tools.speech.recordings.voice_names import voice_slug
from dataset_tools.withdrawal.recorded_voice import find_voice

CARROT = "cut_carrot_knife"
Load = Callable[..., ImportSummary]


def test_every_mismatch_is_named_and_the_rest_is_imported(
    tmp_path: Path,
    clips: list[ClipRow],
    take: Callable[..., Path],
    load: Load,
) -> None:
    source = tmp_path / "takes"
    take(source / CARROT / "anna_01.wav", 200)
    take(source / "cut_carot_knife" / "anna_02.wav", 210)
    take(source / "s07-d01_000001-000051.wav", 220)
    shutil.copy(source / CARROT / "anna_01.wav", source / CARROT / "anna_01 copy.wav")
    (source / CARROT / "notes.docx").write_text("x")
    (source / CARROT / "anna_09.txt").write_text("a sentence alone")
    summary = load(source)
    assert [row.name for row in summary.added] == ["anna_01 copy.wav"]
    assert "anna_01.wav: the same recording as" in "".join(summary.notes)
    text = "\n".join(summary.mismatches)
    assert "cut_carot_knife/anna_02.wav: neither the folder is a class nor the name a clip" in text
    assert f"(did you mean {CARROT}?)" in text
    assert "s07-d01_000001-000051.wav: neither" in text
    assert f"(did you mean {clips[0].id}?)" in text
    assert "notes.docx: the suffix is not that of an audio file" in text
    assert "anna_09.txt: a sentence without a recording" in text


def test_linked_folders_are_searched_and_what_is_no_file_is_named(
    tmp_path: Path, clips: list[ClipRow], take: Callable[..., Path], load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Speakers' folders may lie on another disk; a folder that cannot be read must not be passed over in silence."""
    source, elsewhere = tmp_path / "takes", tmp_path / "disk" / "session 7"
    take(source / CARROT / "anna_01.wav", 200)
    take(elsewhere / f"{clips[0].id}.wav", 210)
    (source / "bob").symlink_to(elsewhere, target_is_directory=True)
    (elsewhere / "back").symlink_to(source, target_is_directory=True)  # a circle
    (source / CARROT / "carl_01.wav").symlink_to(tmp_path / "gone.wav")
    os.mkfifo(source / CARROT / "dora_01.wav")
    (source / "locked").mkdir()
    scan = os.scandir

    def refuse(path: Any) -> object:
        if str(path).endswith("/locked"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    summary = load(source)
    assert sorted((row.utterance.voice, row.utterance.clip) for row in summary.added) == [
        ("anna", None),
        ("bob", clips[0].id),
    ]
    assert sorted(summary.mismatches) == [
        f"{CARROT}/carl_01.wav: a link without a target",
        f"{CARROT}/dora_01.wav: not a regular file",
        "locked: the folder cannot be read: Permission denied",
    ]


@pytest.mark.parametrize("turn", [1, -1])
def test_a_folder_that_a_link_leads_to_has_its_own_name(
    turn: int,
    tmp_path: Path,
    clips: list[ClipRow],
    take: Callable[..., Path],
    load: Load,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In whatever order the disk lists the two."""
    take(tmp_path / "takes" / "bob" / f"{clips[0].id}.wav", 200)
    (tmp_path / "takes" / "anna").symlink_to("bob", target_is_directory=True)
    walk = os.walk

    def walk_in_turn(*arguments: Any, **options: Any) -> Any:
        for parent, folders, names in walk(*arguments, **options):
            folders[:] = sorted(folders)[::turn]
            yield parent, folders, names

    monkeypatch.setattr(os, "walk", walk_in_turn)
    assert [row.utterance.voice for row in load(tmp_path / "takes").added] == ["bob"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"x" * 70_000, "70,000 bytes"),
        ("I cut the carrot.".encode("utf-16-le"), "not text in UTF-8"),
        ("Schäle.".encode("latin-1"), "not text in UTF-8"),
    ],
    ids=["long", "UTF-16 without a mark", "Latin-1"],
)
def test_a_sentence_that_cannot_be_read_stops_its_own_file_only(
    tmp_path: Path,
    take: Callable[..., Path],
    content: bytes,
    said: str,
    load: Load,
) -> None:
    source = tmp_path / "takes"
    take(source / CARROT / "anna_01.wav", 200).with_suffix(".txt").write_bytes(content)
    take(source / CARROT / "anna_02.wav", 250).with_suffix(".txt").write_text("I cut.", "utf-16")
    summary = load(source)
    assert [(row.name, row.utterance.text) for row in summary.added] == [("anna_02.wav", "I cut.")]
    (mismatch,) = summary.mismatches
    assert mismatch.startswith(f"{CARROT}/anna_01.wav: ")
    assert "anna_01.txt" in mismatch
    assert said in mismatch


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Jürgen Müller", "jurgen-muller"),
        ("Ann O'Neil", "ann-o-neil"),
        ("Unknown", "unknown"),
        ("李雷", "speaker-3a47328a"),  # printf 李雷 | sha256sum
        ("Дмитрий", "speaker-9cbb0aed"),
        (unicodedata.normalize("NFD", "Дмитрий"), "speaker-9cbb0aed"),  # a folder on macOS
        ("李雷 2", "2-12855b02"),
        ("王芳 2", "2-ac47b103"),
        ("Wang 芳", "wang-a1674b35"),  # printf "wang 芳" | sha256sum
        ("WANG 芳", "wang-a1674b35"),
        ("Jørgen", "j-rgen-f98d8c77"),
        ("Strauß", "strauss"),
        ("OʼBrien", "o-brien"),  # U+02BC
        ("Kaʻole", "ka-ole"),
        ("Anna™", "annatm"),
        ("Anna " * 30, "-".join(["anna"] * 16)),
        ("2", "2"),
        (" ", ""),
    ],
)
def test_a_speakers_name_in_manifests(name: str, slug: str) -> None:
    assert voice_slug(name) == slug


def test_names_without_latin_letters_are_voices_of_their_own(
    workspace: Workspace,
    tmp_path: Path,
    clips: list[ClipRow],
    take: Callable[..., Path],
    load: Load,
) -> None:
    names = ("李雷", "王芳", "Дмитрий")
    for number, name in enumerate(names):
        take(tmp_path / "takes" / name / f"{clips[0].id}.wav", 200 + 50 * number)
    take(tmp_path / "takes" / CARROT / "_01.wav", 400)  # nobody is named
    added = load(tmp_path / "takes").added
    assert {row.take for row in added} == {1}
    used = {row.voice for row in merge_recordings([], read_recordings(workspace))}
    booth = Consents(workspace, CONSENT)
    assert used == {"unknown"} | {booth.admit(name, agreed=True) for name in names}
    assert len(used) == 4
    assert {find_voice(workspace, name).name for name in names} | {"unknown"} == used
    assert find_voice(workspace, "unknown").ids == {row.id for row in added if row.name == "_01.wav"}
    for name in ("刘备", ""):
        with pytest.raises(InputError, match="No recordings of the voice"):
            find_voice(workspace, name)


def test_a_clip_is_found_by_a_decomposed_name_and_blank_rows_are_skipped(
    tmp_path: Path, clips: list[ClipRow], take: Callable[..., Path], load: Load
) -> None:
    clip = msgspec.structs.replace(clips[0], id="Küche-1_000001-000050")
    decomposed = unicodedata.normalize("NFD", clip.id)
    take(tmp_path / "takes" / f"{decomposed}.wav", 200)
    take(tmp_path / "in" / "a.wav", 300)
    (tmp_path / "in" / "list.csv").write_text(f"path,clip\na.wav,{decomposed}\n,\n , \n,,\n", "utf-8")
    for source in (tmp_path / "takes", tmp_path / "in" / "list.csv"):
        summary = load(source, known_clips=[clip])
        assert [row.utterance.clip for row in summary.added] == [clip.id]
        assert not summary.mismatches


def test_a_list(
    tmp_path: Path,
    clips: list[ClipRow],
    take: Callable[..., Path],
    load: Load,
) -> None:
    take(tmp_path / "in" / "a.wav", 200)
    take(tmp_path / "in" / "b.ogg", 250, "-c:a", "libvorbis")
    listing = tmp_path / "in" / "list.csv"
    listing.write_text(
        "path,class,clip,voice,text,licence\n"
        f"a.wav,,{clips[3].id},Anna,Squeeze the lemon.,CC BY 4.0\n"
        f'b.ogg,{CARROT},,Ben,"Cut it, please.",\n'
        f"a.wav,{CARROT},{clips[3].id},Anna,x,\n"
        "gone.wav,squeeze_lemon,,Anna,x,\n"
        "a.wav,squeeze_lemons,,Anna,x,\n"
        "a.wav,,s99-d99_000001-000050,Anna,x,\n",
        encoding="utf-8",
    )
    summary = load(listing, licence="CC0")
    rows = {row.name: row for row in summary.added}
    assert rows["a.wav"].utterance.clip == clips[3].id
    assert rows["a.wav"].utterance.class_id == "squeeze_lemon"
    assert (rows["a.wav"].licence, rows["b.ogg"].licence) == ("CC BY 4.0", "CC0")
    assert (rows["b.ogg"].utterance.text, rows["b.ogg"].utterance.voice) == ("Cut it, please.", "ben")
    assert [text.split(": ")[0] for text in summary.mismatches] == [f"list.csv, line {n}" for n in (4, 5, 6, 7)]
    assert f"is a clip of squeeze_lemon, not of {CARROT}" in summary.mismatches[0]
    assert "there is no file 'gone.wav'" in summary.mismatches[1]
    assert "(did you mean squeeze_lemon?)" in summary.mismatches[2]


def test_what_a_list_says_of_its_speakers(
    tmp_path: Path,
    take: Callable[..., Path],
    load: Load,
) -> None:
    for number, name in enumerate(("a", "b", "c", "d")):
        take(tmp_path / "in" / f"{name}.wav", 200 + 30 * number)
    listing = tmp_path / "in" / "list.csv"
    listing.write_text(
        "path,class,voice,accent,age_band\n"
        f"a.wav,{CARROT},Anna,Scottish,\n"
        f"b.wav,{CARROT},Anna,Irish,30-44\n"
        f"c.wav,{CARROT},Ben,,\n"
        f"d.wav,{CARROT},Dan,,young\n"
    )
    summary = load(listing)
    assert summary.speakers == {"anna": SpeakerFacts("Scottish", "30-44")}
    assert len(summary.added) == 3
    (mismatch,) = summary.mismatches
    assert "line 5: the age band is 'young'" in mismatch
    assert summary.notes == ("speaker anna: accent is 'Scottish' and 'Irish'; the first is used",)


@pytest.mark.parametrize("file_form", ["NFC", "NFD"])
@pytest.mark.parametrize("id_form", ["NFC", "NFD"])
@pytest.mark.parametrize("kind", ["clip", "class", "list"])
def test_names_are_compared_however_their_letters_are_composed(
    tmp_path: Path,
    take: Callable[..., Path],
    classes: ClassFile,
    clips: list[ClipRow],
    file_form: str,
    id_form: str,
    kind: str,
) -> None:
    def of_file(text: str) -> str:
        return unicodedata.normalize(file_form, text)

    clip_id, class_id = (unicodedata.normalize(id_form, text) for text in ("Tür-öffnen_000001-000050", "öffnen_tür"))
    door = replace(classes.classes[0], id=class_id)
    clip = msgspec.structs.replace(clips[0], id=clip_id, class_id=class_id)
    source = tmp_path / "in"
    if kind == "clip":
        take(source / of_file("Jürgen") / of_file(f"{clip_id}.wav")).with_suffix(".txt").write_text(
            "Er öffnet.", "utf-8"
        )
    elif kind == "class":
        take(source / of_file(class_id) / of_file("Jürgen_1.wav")).with_suffix(".txt").write_text("Er öffnet.", "utf-8")
    else:
        take(source / unicodedata.normalize(id_form, "Jürgen_1.wav"))
        source = source / "list.csv"
        source.write_text(
            "path,class,clip,text\n" + of_file(f"Jürgen_1.wav,{class_id},{clip_id},Er öffnet.\n"), "utf-8"
        )
    found = find_recordings(source, replace(classes, classes=(door,)), [clip])
    (recording,) = found.recordings
    assert (recording.class_id, recording.voice) == (class_id, "jurgen")
    assert recording.clip_id == (None if kind == "class" else clip_id)
    assert unicodedata.normalize("NFC", recording.text) == "Er öffnet."
    assert found.mismatches == []


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".w64", "pcm_s16le"),
        (".caf", "alac"),
        (".3gp", "aac"),
        (".au", "pcm_mulaw"),
        (".mov", "aac"),
        (".wv", "wavpack"),
        (".WAV", "pcm_s24le"),
        (".tta", "tta"),
        (".ac3", "ac3"),
        (".mka", "libvorbis"),
        (".aifc", "pcm_s16be"),
        (".voc", "pcm_u8"),
    ],
)
def test_a_folder_may_have_any_format_that_a_list_may_have(
    tmp_path: Path, take: Callable[..., Path], load: Load, suffix: str, codec: str
) -> None:
    path = take(tmp_path / "in" / CARROT / f"anna_1{suffix}", 200, "-c:a", codec)
    path.with_suffix(".TXT").write_text("She cuts.")
    summary = load(tmp_path / "in")
    assert (summary.mismatches, summary.refused) == ((), {})
    assert [(row.utterance.voice, row.utterance.text) for row in summary.added] == [("anna", "She cuts.")]


def test_files_of_macos_and_windows_and_lists_are_no_recordings(
    tmp_path: Path, take: Callable[..., Path], load: Load
) -> None:
    take(tmp_path / "in" / CARROT / "anna_1.wav")
    for name in (".DS_Store", "._anna_1.wav", "Thumbs.db", "desktop.ini", "list.csv"):
        (tmp_path / "in" / CARROT / name).write_bytes(b"x")
    summary = load(tmp_path / "in")
    assert (len(summary.added), summary.mismatches, summary.refused) == (1, (), {})
    (note,) = summary.notes
    assert note.startswith(f"{CARROT}/list.csv: not read")
