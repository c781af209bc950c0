"""Import of recordings: what is taken, refused, resumed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dataset_tools.core.audio_decoding import decode
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.ledger import Ledger
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, read_rows, write_rows
from dataset_tools.speech.recordings.recording_import import ImportSummary
from dataset_tools.speech.recordings.recording_rows import RecordingRow, merge_recordings, read_recordings

CARROT = "cut_carrot_knife"
Ffmpeg = Callable[..., None]
Load = Callable[..., ImportSummary]


def test_a_folder_of_classes_clips_and_voices(
    workspace: Workspace,
    tmp_path: Path,
    clips: list[ClipRow],
    take: Callable[..., Path],
    load: Load,
) -> None:
    source = tmp_path / "takes"
    first = take(source / CARROT / "Anna_01.wav", 200)
    first.with_suffix(".txt").write_text("She cuts\nthe carrot. ", encoding="utf-8")
    take(source / CARROT / "ben_02.mp3", 250)
    take(source / f"{clips[3].id}.m4a", 300)
    take(source / "Carl M" / f"{clips[0].id}.webm", 350, "-c:a", "libopus")
    summary = load(source, licence="CC0", jobs=2)
    assert (summary.known, summary.refused, summary.mismatches) == (0, {}, ())
    rows = {row.name: row for row in summary.added}
    assert {name: (row.utterance.class_id, row.utterance.clip, row.utterance.voice) for name, row in rows.items()} == {
        "Anna_01.wav": (CARROT, None, "anna"),
        "ben_02.mp3": (CARROT, None, "ben"),
        f"{clips[3].id}.m4a": ("squeeze_lemon", clips[3].id, "takes"),
        f"{clips[0].id}.webm": (CARROT, clips[0].id, "carl-m"),
    }
    assert rows["Anna_01.wav"].utterance.text == "She cuts the carrot."
    for row in summary.added:
        assert (row.licence, row.take, row.utterance.source, row.utterance.text_source) == (
            "CC0",
            1,
            "recorded",
            "recording",
        )
        original = workspace.root / row.original
        assert original.name.startswith(row.original_sha256)
        assert sha256_of(original) == row.original_sha256
        assert original.suffix == Path(row.name).suffix
        sound = decode(workspace.root / row.utterance.path)
        assert (sound.sample_rate_hz, sound.samples.shape[1]) == (16000, 1)
        assert sound.duration_s == row.utterance.duration_s == pytest.approx(1.5 + 0.2, abs=0.25)
        assert sha256_of(workspace.root / row.utterance.path) == row.utterance.sha256
        spectrum = np.abs(np.fft.rfft(sound.samples[:, 0]))
        pitch_hz = np.argmax(spectrum) * 16000 / len(sound.samples)
        expected = {"Anna": 200, "ben_": 250, "s08-": 300, "s07-": 350}[row.name[:4]]
        assert pitch_hz == pytest.approx(expected, abs=3)
    assert [row.id for row in read_recordings(workspace)] == sorted(row.id for row in summary.added)


def test_importing_again_adds_nothing_and_a_retake_is_a_new_file(
    workspace: Workspace,
    tmp_path: Path,
    clips: list[ClipRow],
    take: Callable[..., Path],
    load: Load,
) -> None:
    source = tmp_path / "anna"
    path = take(source / f"{clips[0].id}.wav", 200)
    load(source)
    everything = {file: file.read_bytes() for file in workspace.recordings.iterdir()}
    again = load(source)
    assert (again.added, again.known) == ((), 1)
    assert {file: file.read_bytes() for file in workspace.recordings.iterdir()} == everything

    take(path, 300)
    retake = load(source)
    assert [row.take for row in retake.added] == [2]
    assert len(read_recordings(workspace)) == 2
    originals = [file for file in everything if file.suffix == ".wav"]
    assert all(file.read_bytes() == everything[file] for file in originals)


def test_an_import_that_was_stopped_goes_on(
    workspace: Workspace,
    tmp_path: Path,
    clips: list[ClipRow],
    take: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    load: Load,
) -> None:
    source = tmp_path / "anna"
    for number, clip in enumerate(clips[:3]):
        take(source / f"{clip.id}.wav", 200 + 50 * number)

    def stopped(stage: str, done: int, total: int, note: str = "") -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(source, progress=stopped)
    assert read_recordings(workspace) == []
    begun: list[tuple[int, int]] = []
    found = load(source, progress=lambda stage, done, total: begun.append((done, total)))
    assert (len(found.added), found.known) == (3, 0)
    assert begun[0] == (2, 3)
    whole = Workspace(tmp_path / "whole")
    load(source, into=whole)
    assert read_recordings(workspace) == read_recordings(whole)


def test_the_newest_take_counts_also_after_a_row_was_removed(
    workspace: Workspace,
    tmp_path: Path,
    clips: list[ClipRow],
    take: Callable[..., Path],
    load: Load,
) -> None:
    path = tmp_path / "anna" / f"{clips[0].id}.wav"
    for pitch_hz in (200, 250, 300):
        take(path, pitch_hz)
        load(path.parent)
    listing = workspace.recordings / "recordings.jsonl"
    rows = [row for row in read_rows(listing, RecordingRow) if row.take != 1]
    write_rows(listing, rows)
    take(path, 350)
    (newest,) = load(path.parent).added
    assert newest.take == 4
    assert [row.id for row in merge_recordings([], read_recordings(workspace))] == [newest.id]


def test_a_file_whose_name_is_not_utf_8_is_named_and_the_others_are_imported(
    tmp_path: Path,
    clips: list[ClipRow],
    take: Callable[..., Path],
    load: Load,
) -> None:
    source = tmp_path / "anna"
    take(source / f"{clips[0].id}.wav", 200)
    folder = source / "cut_carrot_knife"
    take(folder / "x.wav", 300).rename(folder / os.fsdecode(b"J\xfcrgen_1.wav"))
    found = load(source)
    assert [row.utterance.clip for row in found.added] == [clips[0].id]
    assert found.mismatches == (r"cut_carrot_knife/J\xfcrgen_1.wav: the file name is not UTF-8; rename the file",)


def test_a_folder_whose_own_name_is_not_utf_8(
    workspace: Workspace,
    tmp_path: Path,
    clips: list[ClipRow],
    take: Callable[..., Path],
    load: Load,
) -> None:
    source = tmp_path / "takes"
    take(source / f"{clips[0].id}.wav", 200)
    (source / f"{clips[1].id}.wav").write_bytes(b"no sound")
    source = source.rename(tmp_path / os.fsdecode(b"J\xfcrgen"))
    found = load(source)
    assert [row.utterance.clip for row in found.added] == [clips[0].id]
    assert [name.endswith(rf"J\xfcrgen/{clips[1].id}.wav") for name in found.refused] == [True]
    with Ledger(workspace.ledger) as ledger:
        assert len(ledger.status("failed", "recording/")) == 1
    take(tmp_path / "sound.wav", 300).rename(source / f"{clips[1].id}.wav")  # mended
    shutil.copy(source / f"{clips[1].id}.wav", source / f"{clips[2].id}.wav")
    mended = load(source)
    assert len(mended.added) == 1
    assert [text.count(r"J\xfcrgen/") for text in mended.notes] == [2]
    with Ledger(workspace.ledger) as ledger:
        assert ledger.status("failed", "recording/") == []


@pytest.mark.parametrize(
    ("name", "content"),
    [("", ""), ("notes.docx", "x"), ("list.csv", "path,class\n"), ("list.csv", "path,class\nx.wav,y")],
)
def test_nothing_to_import_is_no_success(
    workspace: Workspace, tmp_path: Path, name: str, content: str, load: Load
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    if name:
        (source / name).write_text(content)
    with pytest.raises(InputError, match="no recordings to import") as caught:
        load(source / name if name.endswith("csv") else source)
    assert ("x.wav" if "x.wav" in content else name.replace("list.csv", "")) in caught.value.found
    assert not workspace.recordings.exists()


def test_a_recording_that_cannot_be_used_is_refused_with_its_reason(
    workspace: Workspace,
    tmp_path: Path,
    take: Callable[..., Path],
    ffmpeg: Ffmpeg,
    load: Load,
) -> None:
    source = tmp_path / "takes"
    take(source / CARROT / "anna_01.wav")
    ffmpeg("-f", "lavfi", "-i", "anullsrc=d=2", source / CARROT / "anna_02.flac")
    (source / CARROT / "anna_03.mp3").write_bytes(b"no sound")
    summary = load(source, jobs=2)
    assert [row.name for row in summary.added] == ["anna_01.wav"]
    assert {Path(name).name: error.found.split(":")[0] for name, error in summary.refused.items()} == {
        "anna_02.flac": "The audio cannot be used",
        "anna_03.mp3": "The file cannot be decoded",
    }
    with Ledger(workspace.ledger) as ledger:
        assert len(ledger.status("failed", "recording/")) == 2
    assert len(list(workspace.recordings.iterdir())) == 2  # the one original, and the list

    take(source / CARROT / "anna_02.wav", 300).rename(source / CARROT / "anna_02.flac")  # one of them is mended
    assert len(load(source).added) == 1
    with Ledger(workspace.ledger) as ledger:
        (left,) = ledger.status("failed", "recording/")
        assert left.reason is not None
        assert left.reason["where"].endswith("anna_03.mp3")


@pytest.mark.parametrize(("codec", "suffix"), [("pcm_f32le", "wav"), ("pcm_f64be", "aiff"), ("wavpack", "mka")])
def test_floating_point_beyond_full_scale_is_scaled_and_not_clipped(
    workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg, load: Load, codec: str, suffix: str
) -> None:
    tone = "aevalsrc='{}*sin(2*PI*200*t)*gt(sin(2*PI*2*t),-0.5)':s=16000:d=1.5"
    levels = {"loud": 10, "plain": 0.3}
    for name, level in levels.items():
        path = tmp_path / "in" / CARROT / f"{name}_1.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        ffmpeg("-f", "lavfi", "-i", tone.format(level), "-c:a", codec, path)
    summary = load(tmp_path / "in")
    assert summary.refused == {}
    stored = {Path(row.name).stem: decode(workspace.root / row.utterance.path).samples for row in summary.added}
    assert np.abs(stored["loud_1"]).max() < 0.9
    assert np.abs(stored["loud_1"] - stored["plain_1"]).max() < 2**-14
    quality = next(row.utterance.quality for row in summary.added if row.name.startswith("loud"))
    assert (quality["clipped_share"], quality["peak_dbfs"]) == (0, pytest.approx(20, abs=0.01))


def test_a_second_file_with_the_content_of_one_that_fails_fails_too(
    workspace: Workspace, tmp_path: Path, take: Callable[..., Path], load: Load
) -> None:
    source = tmp_path / "takes"
    take(source / CARROT / "anna_01.wav", 200)
    for name in ("ben_01.wav", "zoe_01.wav"):
        (source / CARROT / name).write_bytes(b"")
    for _ in range(2):
        summary = load(source)
        found = {Path(name).name: error.found for name, error in summary.refused.items()}
        assert list(found) == ["ben_01.wav", "zoe_01.wav"]
        assert found["ben_01.wav"].startswith("The file cannot be decoded")
        assert found["zoe_01.wav"] == f"It is the same file as {source / CARROT / 'ben_01.wav'}, which failed"
        assert (summary.notes, summary.voices) == ((), {"anna": 1})
    assert [row.name for row in read_recordings(workspace)] == ["anna_01.wav"]


def test_a_file_that_cannot_be_read_is_refused_and_the_others_are_imported(
    tmp_path: Path,
    clips: list[ClipRow],
    take: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    load: Load,
) -> None:
    source = tmp_path / "anna"
    paths = [take(source / f"{clip.id}.wav", 200 + 50 * number) for number, clip in enumerate(clips[:3])]
    opened = Path.open

    def refuse(path: Path, *arguments, **options):  # root may read everything
        if path == paths[1]:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    summary = load(source)
    assert [row.utterance.clip for row in summary.added] == [clips[0].id, clips[2].id]
    assert {path: error.found for path, error in summary.refused.items()} == {
        str(paths[1]): "The file cannot be read: Permission denied"
    }
    monkeypatch.undo()
    assert [row.utterance.clip for row in load(source).added] == [clips[1].id]


def test_no_such_source_is_refused(tmp_path: Path, load: Load) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        load(tmp_path / "nowhere", known_clips=[])


@pytest.mark.real_data
def test_real_recordings(
    workspace: Workspace,
    tmp_path: Path,
    clips: list[ClipRow],
    real_speech: Path,
    ffmpeg: Ffmpeg,
    load: Load,
) -> None:
    source = tmp_path / "takes"
    (source / CARROT).mkdir(parents=True)
    cards = sorted((real_speech / "cards").glob("*.wav"))
    for number, card in enumerate(cards):
        target = source / CARROT / f"speaker_{number}{('.wav', '.mp3', '.flac', '.ogg', '.m4a')[number]}"
        ffmpeg("-i", card, "-ar", "44100", "-ac", "2", target)
    shutil.copy(real_speech / "people" / "whole.flac", source / f"{clips[3].id}.flac")
    summary = load(source, jobs=2)
    assert (len(summary.added), summary.refused, summary.mismatches) == (6, {}, ())
    for row in summary.added:
        assert row.utterance.quality["warnings"] == []
        original = decode(workspace.root / row.original)
        assert 0.5 < row.utterance.duration_s <= original.duration_s + 0.25
