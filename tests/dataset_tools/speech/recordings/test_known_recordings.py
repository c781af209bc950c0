"""Importing what is known already: it is corrected and completed, never doubled."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import msgspec
import pytest

from dataset_tools.core.files import sha256_of
from dataset_tools.core.ledger import Ledger
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow
from dataset_tools.speech.audio.loudness_normalization import Finish
from dataset_tools.speech.audio.recording_quality import Limits
from dataset_tools.speech.recordings.recording_import import ImportSummary
from dataset_tools.speech.recordings.recording_rows import read_recordings

CARROT = "cut_carrot_knife"
Load = Callable[..., ImportSummary]


def test_importing_again_corrects_licence_and_language_that_are_given(
    workspace: Workspace,
    tmp_path: Path,
    clips: list[ClipRow],
    take: Callable[..., Path],
    load: Load,
) -> None:
    source = tmp_path / "anna"
    take(source / f"{clips[0].id}.wav", 200)
    (first,) = load(source).added
    assert (first.licence, first.utterance.language) == ("", "en")
    again = load(source, licence="CC-BY-4.0", language="zh")
    assert (again.added, again.known, again.corrected) == ((), 1, 1)
    (row,) = read_recordings(workspace)
    assert (row.licence, row.utterance.language) == ("CC-BY-4.0", "zh")
    plain = load(source)  # what is not given stays
    assert (plain.known, plain.corrected) == (1, 0)
    assert read_recordings(workspace) == [row]


def listed(path: Path, clip: ClipRow, text: str, licence: str) -> Path:
    """A CSV that names one recording of a clip by Anna."""
    path.write_text(f"path,clip,voice,text,licence\na.wav,{clip.id},Anna,{text},{licence}\n")
    return path


def test_a_list_corrects_what_it_states_and_the_rest_stays(
    workspace: Workspace,
    tmp_path: Path,
    clips: list[ClipRow],
    take: Callable[..., Path],
    load: Load,
) -> None:
    listing = tmp_path / "list.csv"
    take(tmp_path / "a.wav", 200)
    (first,) = load(listed(listing, clips[0], "I cut.", "CC0-1.0")).added
    wav = workspace.root / first.utterance.path
    encoded = wav.stat().st_mtime_ns
    steps = [
        ("", "CC-BY-4.0", "I cut.", "CC-BY-4.0"),
        ("I slice.", "", "I slice.", "CC-BY-4.0"),
        ("", "", "I slice.", "CC-BY-4.0"),
    ]
    for text, licence, then_text, then_licence in steps:
        again = load(listed(listing, clips[0], text, licence))
        assert (again.added, again.known, again.corrected) == ((), 1, int(bool(text or licence)))
        (row,) = read_recordings(workspace)
        assert (row.utterance.text, row.licence) == (then_text, then_licence)
    other = tmp_path / "anna" / f"{clips[0].id}.wav"
    other.parent.mkdir()
    shutil.copy(tmp_path / "a.wav", other)
    assert load(other.parent).known == 1
    assert read_recordings(workspace) == [row]
    assert row.name == "a.wav"
    assert wav.stat().st_mtime_ns == encoded

    wav.unlink()
    again = load(other.parent)
    assert (again.added, again.known, again.corrected) == ((), 1, 0)
    assert read_recordings(workspace) == [row]
    assert sha256_of(wav) == row.utterance.sha256


@pytest.mark.parametrize(("stated", "option"), [("CC0-1.0", ""), ("", "CC0-1.0")])
def test_a_recording_of_an_earlier_version_is_not_encoded_again(
    workspace: Workspace,
    tmp_path: Path,
    clips: list[ClipRow],
    take: Callable[..., Path],
    stated: str,
    option: str,
    load: Load,
) -> None:
    take(tmp_path / "a.wav", 200)
    listing = listed(tmp_path / "list.csv", clips[0], "I cut.", stated)
    (first,) = load(listing, licence=option).added
    inputs = [first.original_sha256, "I cut.", stated, asdict(Limits()), asdict(Finish())]  # as version 0.1 had it
    key = hashlib.sha256(msgspec.json.encode(inputs, order="sorted")).hexdigest()
    with Ledger(workspace.ledger) as ledger:
        ledger.record(msgspec.structs.replace(ledger.rows[f"recording/{first.id}"], key=key))
    wav = workspace.root / first.utterance.path
    encoded = wav.stat().st_mtime_ns
    for text, licence in (("I slice.", "CC-BY-4.0"), ("", "")):
        again = load(listed(listing, clips[0], text, licence))
        assert (again.known, again.corrected) == (1, int(bool(text)))
    (row,) = read_recordings(workspace)
    assert (row.utterance.text, row.licence) == ("I slice.", "CC-BY-4.0")
    assert wav.stat().st_mtime_ns == encoded


def test_a_missing_original_is_copied_again(
    workspace: Workspace,
    tmp_path: Path,
    clips: list[ClipRow],
    take: Callable[..., Path],
    load: Load,
) -> None:
    path = take(tmp_path / "anna" / f"{clips[0].id}.wav", 200)
    (row,) = load(path.parent).added
    path = path.rename(path.with_suffix(".oga"))  # ffmpeg looks at the content
    for gone in ((row.original,), (row.original, row.utterance.path)):
        for file in gone:
            (workspace.root / file).unlink()
        assert load(path.parent).known == 1
        assert sha256_of(workspace.root / row.original) == row.original_sha256
        assert read_recordings(workspace) == [row]
        assert len(list(workspace.recordings.iterdir())) == 2


def test_a_file_that_is_known_is_no_second_recording_whatever_it_is_called(
    workspace: Workspace,
    tmp_path: Path,
    clips: list[ClipRow],
    take: Callable[..., Path],
    load: Load,
) -> None:
    path = take(tmp_path / "rec" / f"{clips[0].id}.wav", 200)
    (first,) = load(path.parent).added
    again = [
        shutil.copytree(path.parent, tmp_path / "rec2"),  # another folder: another voice
        tmp_path / "of-a-class",
        tmp_path / "of-another-clip",
    ]
    for copy in (again[1] / CARROT / "ben_01.wav", again[2] / f"{clips[1].id}.wav"):
        copy.parent.mkdir(parents=True)
        shutil.copy(path, copy)
    listing = {file: file.read_bytes() for file in workspace.recordings.iterdir()}
    for folder in again:
        summary = load(folder)
        assert (summary.added, summary.known) == ((), 1)
        (said,) = summary.notes
        assert f"already imported as {first.id}" in said
        assert "recordings/recordings.jsonl" in said
    assert {file: file.read_bytes() for file in workspace.recordings.iterdir()} == listing
    assert [file.name for file in workspace.speech.iterdir()] == [f"{first.id}.wav"]


@pytest.mark.parametrize("as_list", [False, True])
def test_a_known_file_whose_clip_is_gone_is_no_failure(
    tmp_path: Path, clips: list[ClipRow], take: Callable[..., Path], load: Load, as_list: bool
) -> None:
    source = tmp_path / "anna"
    for number, clip in enumerate(clips[:2]):
        take(source / f"{clip.id}.wav", 200 + 50 * number)
    if as_list:
        source = source / "list.csv"
        source.write_text("path,clip\n" + "".join(f"{clip.id}.wav,{clip.id}\n" for clip in clips[:2]))
    _, second = load(source).added
    for name in (clips[1].id, "other"):
        path = tmp_path / "anna" / f"{name}.wav"
        if name == "other":  # not known
            take(path, 400)
            if as_list:
                with source.open("a") as file:
                    file.write("other.wav,other\n")
        again = load(source, known_clips=[clips[0]])
        assert (again.added, again.known) == ((), 2)
        (note,) = (note for note in again.notes if "not read" not in note)
        assert note.endswith(f"already imported as {second.id}")
        assert len(again.mismatches) == (name == "other")


def test_one_file_under_two_names_of_one_folder_is_one_recording(
    tmp_path: Path,
    clips: list[ClipRow],
    take: Callable[..., Path],
    load: Load,
) -> None:
    path = take(tmp_path / "rec" / f"{clips[0].id}.wav", 200)
    shutil.copy(path, path.with_name(f"{clips[1].id}.wav"))
    summary = load(path.parent)
    assert [row.utterance.clip for row in summary.added] == [clips[0].id]
    assert f"imported as {summary.added[0].id}" in "".join(summary.notes)
