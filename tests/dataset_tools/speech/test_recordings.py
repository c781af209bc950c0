from __future__ import annotations

import hashlib
import os
import shutil
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.audio_decoding import decode
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.ledger import Ledger, LedgerRow
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, SpeakerFacts, UtteranceRow, read_rows, write_rows
from dataset_tools.speech.consents import CONSENT, Consents, read_speakers
from dataset_tools.speech.dataset_speech import import_dataset
from dataset_tools.speech.loudness_normalization import Finish
from dataset_tools.speech.recording_files import voice_slug
from dataset_tools.speech.recording_quality import Limits
from dataset_tools.speech.recording_rows import RecordingRow, merge_recordings, read_recordings
from dataset_tools.speech.recordings import ImportSummary, import_recordings
from dataset_tools.withdrawal.recorded_voice import find_voice

CARROT = "cut_carrot_knife"
Ffmpeg = Callable[..., None]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def clips(make_clip: Callable[..., ClipRow]) -> list[ClipRow]:
    return [make_clip(CARROT, 7, 1, 100 * n + 1) for n in range(3)] + [make_clip("squeeze_lemon", 8, 2, 1)]


@pytest.fixture
def take(ffmpeg: Ffmpeg) -> Callable[..., Path]:
    """Makes a recording: tones that come and go, of a pitch of its own."""

    def make(path: Path, pitch_hz: int = 200, *options: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        expression = f"aevalsrc='0.3*sin(2*PI*{pitch_hz}*t)*gt(sin(2*PI*2*t),-0.5)':s=44100:d=1.5"
        ffmpeg("-f", "lavfi", "-i", expression, *options, path)
        return path

    return make


def load(workspace: Workspace, source: Path, classes: ClassFile, clips: list[ClipRow], **options) -> ImportSummary:
    with Ledger(workspace.ledger) as ledger:
        return import_recordings(workspace, source, classes, clips, ledger=ledger, **options)


def test_a_folder_of_classes_clips_and_voices(
    workspace: Workspace, tmp_path: Path, classes: ClassFile, clips: list[ClipRow], take: Callable[..., Path]
) -> None:
    source = tmp_path / "takes"
    first = take(source / CARROT / "Anna_01.wav", 200)
    first.with_suffix(".txt").write_text("She cuts\nthe carrot. ", encoding="utf-8")
    take(source / CARROT / "ben_02.mp3", 250)
    take(source / f"{clips[3].id}.m4a", 300)
    take(source / "Carl M" / f"{clips[0].id}.webm", 350, "-c:a", "libopus")
    summary = load(workspace, source, classes, clips, licence="CC0", jobs=2)
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
    workspace: Workspace, tmp_path: Path, classes: ClassFile, clips: list[ClipRow], take: Callable[..., Path]
) -> None:
    source = tmp_path / "anna"
    path = take(source / f"{clips[0].id}.wav", 200)
    load(workspace, source, classes, clips)
    everything = {file: file.read_bytes() for file in workspace.recordings.iterdir()}
    again = load(workspace, source, classes, clips)
    assert (again.added, again.known) == ((), 1)
    assert {file: file.read_bytes() for file in workspace.recordings.iterdir()} == everything

    take(path, 300)
    retake = load(workspace, source, classes, clips)
    assert [row.take for row in retake.added] == [2]
    assert len(read_recordings(workspace)) == 2
    originals = [file for file in everything if file.suffix == ".wav"]
    assert all(file.read_bytes() == everything[file] for file in originals)


def test_an_import_that_was_stopped_goes_on(
    workspace: Workspace,
    tmp_path: Path,
    classes: ClassFile,
    clips: list[ClipRow],
    take: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = tmp_path / "anna"
    for number, clip in enumerate(clips[:3]):
        take(source / f"{clip.id}.wav", 200 + 50 * number)

    def stopped(stage: str, done: int, total: int, note: str = "") -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(workspace, source, classes, clips, progress=stopped)
    assert read_recordings(workspace) == []
    begun: list[tuple[int, int]] = []
    found = load(workspace, source, classes, clips, progress=lambda stage, done, total: begun.append((done, total)))
    assert (len(found.added), found.known) == (3, 0)
    assert begun[0] == (2, 3)
    whole = Workspace(tmp_path / "whole")
    load(whole, source, classes, clips)
    assert read_recordings(workspace) == read_recordings(whole)


def test_the_newest_take_counts_also_after_a_row_was_removed(
    workspace: Workspace, tmp_path: Path, classes: ClassFile, clips: list[ClipRow], take: Callable[..., Path]
) -> None:
    path = tmp_path / "anna" / f"{clips[0].id}.wav"
    for pitch_hz in (200, 250, 300):
        take(path, pitch_hz)
        load(workspace, path.parent, classes, clips)
    listing = workspace.recordings / "recordings.jsonl"
    rows = [row for row in read_rows(listing, RecordingRow) if row.take != 1]
    write_rows(listing, rows)
    take(path, 350)
    (newest,) = load(workspace, path.parent, classes, clips).added
    assert newest.take == 4
    assert [row.id for row in merge_recordings([], read_recordings(workspace))] == [newest.id]


def test_a_file_whose_name_is_not_utf_8_is_named_and_the_others_are_imported(
    workspace: Workspace, tmp_path: Path, classes: ClassFile, clips: list[ClipRow], take: Callable[..., Path]
) -> None:
    source = tmp_path / "anna"
    take(source / f"{clips[0].id}.wav", 200)
    folder = source / "cut_carrot_knife"
    take(folder / "x.wav", 300).rename(folder / os.fsdecode(b"J\xfcrgen_1.wav"))
    found = load(workspace, source, classes, clips)
    assert [row.utterance.clip for row in found.added] == [clips[0].id]
    assert found.mismatches == (r"cut_carrot_knife/J\xfcrgen_1.wav: its name is not UTF-8; rename it",)


def test_a_folder_whose_own_name_is_not_utf_8(
    workspace: Workspace, tmp_path: Path, classes: ClassFile, clips: list[ClipRow], take: Callable[..., Path]
) -> None:
    source = tmp_path / "takes"
    take(source / f"{clips[0].id}.wav", 200)
    (source / f"{clips[1].id}.wav").write_bytes(b"no sound")
    source = source.rename(tmp_path / os.fsdecode(b"J\xfcrgen"))
    found = load(workspace, source, classes, clips)
    assert [row.utterance.clip for row in found.added] == [clips[0].id]
    assert [name.endswith(rf"J\xfcrgen/{clips[1].id}.wav") for name in found.refused] == [True]
    with Ledger(workspace.ledger) as ledger:
        assert len(ledger.status("failed", "recording/")) == 1
    take(tmp_path / "sound.wav", 300).rename(source / f"{clips[1].id}.wav")  # mended
    shutil.copy(source / f"{clips[1].id}.wav", source / f"{clips[2].id}.wav")
    mended = load(workspace, source, classes, clips)
    assert len(mended.added) == 1
    assert [text.count(r"J\xfcrgen/") for text in mended.mismatches] == [2]
    with Ledger(workspace.ledger) as ledger:
        assert ledger.status("failed", "recording/") == []


def test_importing_again_corrects_licence_and_language_that_are_given(
    workspace: Workspace, tmp_path: Path, classes: ClassFile, clips: list[ClipRow], take: Callable[..., Path]
) -> None:
    source = tmp_path / "anna"
    take(source / f"{clips[0].id}.wav", 200)
    (first,) = load(workspace, source, classes, clips).added
    assert (first.licence, first.utterance.language) == ("", "en")
    again = load(workspace, source, classes, clips, licence="CC-BY-4.0", language="zh")
    assert (again.added, again.known, again.corrected) == ((), 1, 1)
    (row,) = read_recordings(workspace)
    assert (row.licence, row.utterance.language) == ("CC-BY-4.0", "zh")
    plain = load(workspace, source, classes, clips)  # what is not given stays
    assert (plain.known, plain.corrected) == (1, 0)
    assert read_recordings(workspace) == [row]


def listed(path: Path, clip: ClipRow, text: str, licence: str) -> Path:
    """A CSV that names one recording of a clip by Anna."""
    path.write_text(f"path,clip,voice,text,licence\na.wav,{clip.id},Anna,{text},{licence}\n")
    return path


def test_a_list_corrects_what_it_states_and_the_rest_stays(
    workspace: Workspace, tmp_path: Path, classes: ClassFile, clips: list[ClipRow], take: Callable[..., Path]
) -> None:
    listing = tmp_path / "list.csv"
    take(tmp_path / "a.wav", 200)
    (first,) = load(workspace, listed(listing, clips[0], "I cut.", "CC0-1.0"), classes, clips).added
    wav = workspace.root / first.utterance.path
    encoded = wav.stat().st_mtime_ns
    steps = [
        ("", "CC-BY-4.0", "I cut.", "CC-BY-4.0"),
        ("I slice.", "", "I slice.", "CC-BY-4.0"),
        ("", "", "I slice.", "CC-BY-4.0"),
    ]
    for text, licence, then_text, then_licence in steps:
        again = load(workspace, listed(listing, clips[0], text, licence), classes, clips)
        assert (again.added, again.known, again.corrected) == ((), 1, int(bool(text or licence)))
        (row,) = read_recordings(workspace)
        assert (row.utterance.text, row.licence) == (then_text, then_licence)
    other = tmp_path / "anna" / f"{clips[0].id}.wav"
    other.parent.mkdir()
    shutil.copy(tmp_path / "a.wav", other)
    assert load(workspace, other.parent, classes, clips).known == 1
    assert read_recordings(workspace) == [row]
    assert row.name == "a.wav"
    assert wav.stat().st_mtime_ns == encoded

    wav.unlink()
    again = load(workspace, other.parent, classes, clips)
    assert (again.added, again.known, again.corrected) == ((), 1, 0)
    assert read_recordings(workspace) == [row]
    assert sha256_of(wav) == row.utterance.sha256


@pytest.mark.parametrize(("stated", "option"), [("CC0-1.0", ""), ("", "CC0-1.0")])
def test_a_recording_of_an_earlier_version_is_not_encoded_again(
    workspace: Workspace,
    tmp_path: Path,
    classes: ClassFile,
    clips: list[ClipRow],
    take: Callable[..., Path],
    stated: str,
    option: str,
) -> None:
    take(tmp_path / "a.wav", 200)
    listing = listed(tmp_path / "list.csv", clips[0], "I cut.", stated)
    (first,) = load(workspace, listing, classes, clips, licence=option).added
    inputs = [first.original_sha256, "I cut.", stated, asdict(Limits()), asdict(Finish())]  # as version 0.1 had it
    key = hashlib.sha256(msgspec.json.encode(inputs, order="sorted")).hexdigest()
    with Ledger(workspace.ledger) as ledger:
        ledger.record(msgspec.structs.replace(ledger.rows[f"recording/{first.id}"], key=key))
    wav = workspace.root / first.utterance.path
    encoded = wav.stat().st_mtime_ns
    for text, licence in (("I slice.", "CC-BY-4.0"), ("", "")):
        again = load(workspace, listed(listing, clips[0], text, licence), classes, clips)
        assert (again.known, again.corrected) == (1, int(bool(text)))
    (row,) = read_recordings(workspace)
    assert (row.utterance.text, row.licence) == ("I slice.", "CC-BY-4.0")
    assert wav.stat().st_mtime_ns == encoded


def test_a_missing_original_is_copied_again(
    workspace: Workspace, tmp_path: Path, classes: ClassFile, clips: list[ClipRow], take: Callable[..., Path]
) -> None:
    path = take(tmp_path / "anna" / f"{clips[0].id}.wav", 200)
    (row,) = load(workspace, path.parent, classes, clips).added
    path = path.rename(path.with_suffix(".oga"))  # ffmpeg looks at the content
    for gone in ((row.original,), (row.original, row.utterance.path)):
        for file in gone:
            (workspace.root / file).unlink()
        assert load(workspace, path.parent, classes, clips).known == 1
        assert sha256_of(workspace.root / row.original) == row.original_sha256
        assert read_recordings(workspace) == [row]
        assert len(list(workspace.recordings.iterdir())) == 2


def test_a_file_that_is_known_is_no_second_recording_whatever_it_is_called(
    workspace: Workspace, tmp_path: Path, classes: ClassFile, clips: list[ClipRow], take: Callable[..., Path]
) -> None:
    path = take(tmp_path / "rec" / f"{clips[0].id}.wav", 200)
    (first,) = load(workspace, path.parent, classes, clips).added
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
        summary = load(workspace, folder, classes, clips)
        assert (summary.added, summary.known) == ((), 1)
        (said,) = summary.mismatches
        assert f"known already, as {first.id}" in said
        assert "recordings/recordings.jsonl" in said
    assert {file: file.read_bytes() for file in workspace.recordings.iterdir()} == listing
    assert [file.name for file in workspace.speech.iterdir()] == [f"{first.id}.wav"]


def test_one_file_under_two_names_of_one_folder_is_one_recording(
    workspace: Workspace, tmp_path: Path, classes: ClassFile, clips: list[ClipRow], take: Callable[..., Path]
) -> None:
    path = take(tmp_path / "rec" / f"{clips[0].id}.wav", 200)
    shutil.copy(path, path.with_name(f"{clips[1].id}.wav"))
    summary = load(workspace, path.parent, classes, clips)
    assert [row.utterance.clip for row in summary.added] == [clips[0].id]
    assert f"imported as {summary.added[0].id}" in "".join(summary.mismatches)


@pytest.mark.parametrize(
    ("name", "content"),
    [("", ""), ("notes.docx", "x"), ("list.csv", "path,class\n"), ("list.csv", "path,class\nx.wav,y")],
)
def test_nothing_to_import_is_no_success(
    workspace: Workspace, tmp_path: Path, classes: ClassFile, clips: list[ClipRow], name: str, content: str
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    if name:
        (source / name).write_text(content)
    with pytest.raises(InputError, match="no recordings to import") as caught:
        load(workspace, source / name if name.endswith("csv") else source, classes, clips)
    assert ("x.wav" if "x.wav" in content else name.replace("list.csv", "")) in caught.value.found
    assert not workspace.recordings.exists()


def test_every_mismatch_is_named_and_the_rest_is_imported(
    workspace: Workspace, tmp_path: Path, classes: ClassFile, clips: list[ClipRow], take: Callable[..., Path]
) -> None:
    source = tmp_path / "takes"
    take(source / CARROT / "anna_01.wav", 200)
    take(source / "cut_carot_knife" / "anna_02.wav", 210)
    take(source / "s07-d01_000001-000051.wav", 220)
    shutil.copy(source / CARROT / "anna_01.wav", source / CARROT / "anna_01 copy.wav")
    (source / CARROT / "notes.docx").write_text("x")
    (source / CARROT / "anna_09.txt").write_text("a sentence alone")
    summary = load(workspace, source, classes, clips)
    assert [row.name for row in summary.added] == ["anna_01 copy.wav"]
    text = "\n".join(summary.mismatches)
    assert "anna_01.wav: the same recording as" in text
    assert "cut_carot_knife/anna_02.wav: neither is its folder a class, nor its name a clip" in text
    assert f"(is {CARROT} meant?)" in text
    assert "s07-d01_000001-000051.wav: neither" in text
    assert f"(is {clips[0].id} meant?)" in text
    assert "notes.docx: not a sound file" in text
    assert "anna_09.txt: a sentence without a recording" in text


def test_a_recording_that_cannot_be_used_is_refused_with_its_reason(
    workspace: Workspace,
    tmp_path: Path,
    classes: ClassFile,
    clips: list[ClipRow],
    take: Callable[..., Path],
    ffmpeg: Ffmpeg,
) -> None:
    source = tmp_path / "takes"
    take(source / CARROT / "anna_01.wav")
    ffmpeg("-f", "lavfi", "-i", "anullsrc=d=2", source / CARROT / "anna_02.flac")
    (source / CARROT / "anna_03.mp3").write_bytes(b"no sound")
    summary = load(workspace, source, classes, clips, jobs=2)
    assert [row.name for row in summary.added] == ["anna_01.wav"]
    assert {Path(name).name: error.found.split(":")[0] for name, error in summary.refused.items()} == {
        "anna_02.flac": "The sound cannot be used",
        "anna_03.mp3": "The file cannot be decoded",
    }
    with Ledger(workspace.ledger) as ledger:
        assert len(ledger.status("failed", "recording/")) == 2
    assert len(list(workspace.recordings.iterdir())) == 2  # the one original, and the list

    take(source / CARROT / "anna_02.wav", 300).rename(source / CARROT / "anna_02.flac")  # one of them is mended
    assert len(load(workspace, source, classes, clips).added) == 1
    with Ledger(workspace.ledger) as ledger:
        (left,) = ledger.status("failed", "recording/")
        assert left.reason is not None
        assert left.reason["where"].endswith("anna_03.mp3")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"x" * 70_000, "70,000 bytes"),
        ("I cut the carrot.".encode("utf-16"), "not text in UTF-8"),
        ("I cut the carrot.".encode("utf-16-le"), "not text in UTF-8"),
        ("Schäle.".encode("latin-1"), "not text in UTF-8"),
    ],
    ids=["long", "UTF-16", "UTF-16 without a mark", "Latin-1"],
)
def test_a_sentence_that_cannot_be_read_stops_its_own_file_only(
    workspace: Workspace,
    tmp_path: Path,
    classes: ClassFile,
    clips: list[ClipRow],
    take: Callable[..., Path],
    content: bytes,
    said: str,
) -> None:
    source = tmp_path / "takes"
    take(source / CARROT / "anna_01.wav", 200).with_suffix(".txt").write_bytes(content)
    take(source / CARROT / "anna_02.wav", 250).with_suffix(".txt").write_text("I cut.", "utf-8-sig")
    summary = load(workspace, source, classes, clips)
    assert [(row.name, row.utterance.text) for row in summary.added] == [("anna_02.wav", "I cut.")]
    (mismatch,) = summary.mismatches
    assert mismatch.startswith(f"{CARROT}/anna_01.wav: ")
    assert "anna_01.txt" in mismatch
    assert said in mismatch


def test_a_file_that_cannot_be_read_is_refused_and_the_others_are_imported(
    workspace: Workspace,
    tmp_path: Path,
    classes: ClassFile,
    clips: list[ClipRow],
    take: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = tmp_path / "anna"
    paths = [take(source / f"{clip.id}.wav", 200 + 50 * number) for number, clip in enumerate(clips[:3])]
    opened = Path.open

    def refuse(path: Path, *arguments, **options):  # root may read everything
        if path == paths[1]:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    summary = load(workspace, source, classes, clips)
    assert [row.utterance.clip for row in summary.added] == [clips[0].id, clips[2].id]
    assert {path: error.found for path, error in summary.refused.items()} == {
        str(paths[1]): "The file cannot be read: Permission denied"
    }
    monkeypatch.undo()
    assert [row.utterance.clip for row in load(workspace, source, classes, clips).added] == [clips[1].id]


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Jürgen Müller", "jurgen-muller"),
        ("Ann O'Neil", "ann-o-neil"),
        ("Unknown", "unknown"),
        ("李雷", "speaker-3a47328a"),  # printf 李雷 | sha256sum
        ("Дмитрий", "speaker-2c040ac4"),
        (unicodedata.normalize("NFD", "Дмитрий"), "speaker-2c040ac4"),  # a folder on macOS
        (" ", ""),
    ],
)
def test_a_speakers_name_in_manifests(name: str, slug: str) -> None:
    assert voice_slug(name) == slug


def test_names_without_latin_letters_are_voices_of_their_own(
    workspace: Workspace, tmp_path: Path, classes: ClassFile, clips: list[ClipRow], take: Callable[..., Path]
) -> None:
    names = ("李雷", "王芳", "Дмитрий")
    for number, name in enumerate(names):
        take(tmp_path / "takes" / name / f"{clips[0].id}.wav", 200 + 50 * number)
    take(tmp_path / "takes" / CARROT / "_01.wav", 400)  # nobody is named
    added = load(workspace, tmp_path / "takes", classes, clips).added
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


def test_a_list(
    workspace: Workspace, tmp_path: Path, classes: ClassFile, clips: list[ClipRow], take: Callable[..., Path]
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
    summary = load(workspace, listing, classes, clips, licence="CC0")
    rows = {row.name: row for row in summary.added}
    assert rows["a.wav"].utterance.clip == clips[3].id
    assert rows["a.wav"].utterance.class_id == "squeeze_lemon"
    assert (rows["a.wav"].licence, rows["b.ogg"].licence) == ("CC BY 4.0", "CC0")
    assert (rows["b.ogg"].utterance.text, rows["b.ogg"].utterance.voice) == ("Cut it, please.", "ben")
    assert [text.split(": ")[0] for text in summary.mismatches] == [f"list.csv, line {n}" for n in (4, 5, 6, 7)]
    assert f"is a clip of squeeze_lemon, not of {CARROT}" in summary.mismatches[0]
    assert "there is no file 'gone.wav'" in summary.mismatches[1]
    assert "(is squeeze_lemon meant?)" in summary.mismatches[2]


def test_what_a_list_says_of_its_speakers(
    workspace: Workspace, tmp_path: Path, classes: ClassFile, clips: list[ClipRow], take: Callable[..., Path]
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
    summary = load(workspace, listing, classes, clips)
    assert summary.speakers == {"anna": SpeakerFacts("Scottish", "30-44")}
    assert len(summary.added) == 3
    assert "line 5: the age band is 'young'" in summary.mismatches[0]
    assert summary.mismatches[1:] == ("speaker anna: accent is 'Scottish' and 'Irish'; the first counts",)


def test_utterances_of_a_recorded_voice_have_what_its_speaker_says(
    workspace: Workspace, classes: ClassFile, clips: list[ClipRow], tmp_path: Path, take: Callable[..., Path]
) -> None:
    take(tmp_path / "in" / "a.wav", 200)
    take(tmp_path / "in" / "b.wav", 260)
    (tmp_path / "in" / "list.csv").write_text(
        f"path,class,voice,accent\na.wav,{clips[0].class_id},Ann,Scottish\nb.wav,{clips[0].class_id},Ben,\n"
    )
    write_rows(workspace.manifests / "clips.jsonl", sorted(clips, key=lambda clip: clip.id))
    import_dataset(workspace, tmp_path / "in" / "list.csv", classes)
    rows = {row.voice: row for row in read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow)}
    assert rows["ann"].speaker == SpeakerFacts("Scottish")
    assert rows["ben"].speaker is msgspec.UNSET


def test_nothing_is_noted_of_a_speaker_without_a_recording(
    workspace: Workspace,
    tmp_path: Path,
    classes: ClassFile,
    clips: list[ClipRow],
    take: Callable[..., Path],
    ffmpeg: Ffmpeg,
) -> None:
    take(tmp_path / "in" / "a.wav", 200)
    ffmpeg("-f", "lavfi", "-i", "anullsrc=d=2", tmp_path / "in" / "silence.wav")
    shutil.copy(tmp_path / "in" / "a.wav", tmp_path / "in" / "same.wav")
    (tmp_path / "in" / "list.csv").write_text(
        f"path,class,voice,accent\na.wav,{CARROT},Ann,Irish\nsilence.wav,{CARROT},Zoe,Scottish\n"
        f"same.wav,{CARROT},Eve,Welsh\n"
    )
    write_rows(workspace.manifests / "clips.jsonl", sorted(clips, key=lambda clip: clip.id))
    import_dataset(workspace, tmp_path / "in" / "list.csv", classes)
    assert read_speakers(workspace) == {"ann": SpeakerFacts("Irish")}


@pytest.mark.parametrize("is_stopped", [True, False])
def test_nothing_stays_of_a_recording_under_the_voice_that_it_had_by_mistake(
    workspace: Workspace,
    tmp_path: Path,
    classes: ClassFile,
    clips: list[ClipRow],
    take: Callable[..., Path],
    is_stopped: bool,
) -> None:
    write_rows(workspace.manifests / "clips.jsonl", sorted(clips, key=lambda clip: clip.id))
    for number, clip in enumerate(clips[:2]):
        take(tmp_path / "anna" / f"{clip.id}.wav", 200 + 50 * number)
    take(tmp_path / "eve" / f"{clips[2].id}.wav", 400)
    import_dataset(workspace, tmp_path / "eve", classes)

    def stopped(stage: str, done: int, total: int, note: str = "") -> None:
        if is_stopped and done == 1:
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        import_dataset(workspace, tmp_path / "anna", classes, progress=stopped)
    listing = workspace.recordings / "recordings.jsonl"
    others = [row for row in read_rows(listing, RecordingRow) if row.utterance.voice == "anna"]
    assert len(others) == (0 if is_stopped else 2)
    write_rows(listing, [row for row in read_rows(listing, RecordingRow) if row.utterance.voice == "eve"])
    with Ledger(workspace.ledger) as ledger:  # a copy, as speech synthesize --augment makes one
        (named, *_) = [name.partition("/")[2] for name in ledger.rows if "_anna_" in name]
        ledger.record(LedgerRow(id=f"copy/{named}_aug1", status="failed", stage="augment"))
    shutil.copy(workspace.speech / f"{named}.wav", workspace.speech / f"{named}_aug1.wav")

    import_dataset(workspace, (tmp_path / "anna").rename(tmp_path / "ben"), classes)
    voices = [path.stem.split("_")[-2] for path in workspace.speech.glob("*.wav")]
    assert sorted(voices) == ["ben", "ben", "eve"]
    with Ledger(workspace.ledger) as ledger:
        assert sorted(name.split("_")[-2] for name in ledger.rows) == ["ben", "ben", "eve"]


def test_an_import_with_fewer_classes_keeps_the_recordings_of_the_others(
    workspace: Workspace, tmp_path: Path, classes: ClassFile, clips: list[ClipRow], take: Callable[..., Path]
) -> None:
    write_rows(workspace.manifests / "clips.jsonl", sorted(clips, key=lambda clip: clip.id))
    take(tmp_path / "monday" / "squeeze_lemon" / "ann_1.wav", 200)
    take(tmp_path / "tuesday" / CARROT / "ben_1.wav", 250)
    import_dataset(workspace, tmp_path / "monday", classes)
    few = replace(classes, classes=tuple(one for one in classes.classes if one.id == CARROT))
    import_dataset(workspace, tmp_path / "tuesday", few)
    rows = list(read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow))
    assert {(row.class_id, row.voice) for row in rows} == {("squeeze_lemon", "ann"), (CARROT, "ben")}


@pytest.mark.parametrize("header", ["path,klass", "class,clip", "path,voice", ""])
def test_a_list_with_other_columns_is_refused(
    workspace: Workspace, tmp_path: Path, classes: ClassFile, header: str
) -> None:
    listing = tmp_path / "list.csv"
    listing.write_text(header + "\n")
    with pytest.raises(InputError, match="The CSV has the columns"):
        load(workspace, listing, classes, [])


def test_no_such_source_is_refused(workspace: Workspace, tmp_path: Path, classes: ClassFile) -> None:
    with pytest.raises(InputError, match="no recordings to import"):
        load(workspace, tmp_path / "nowhere", classes, [])


def recording(utterance: UtteranceRow, take: int = 1) -> RecordingRow:
    return RecordingRow(
        id=utterance.id, original="x", original_sha256="x", name="x", licence="", take=take, utterance=utterance
    )


def test_recordings_take_the_place_of_synthesized_ones_one_for_one(
    make_clip: Callable[..., ClipRow], make_utterance: Callable[..., UtteranceRow]
) -> None:

    ids = [make_clip(CARROT, 7, 1, 100 * n + 1).id for n in range(4)]
    synthesized = [make_utterance(CARROT, clip, "en-us") for clip in ids] + [make_utterance("wash_apple", "x", "en-us")]
    of_clip = make_utterance(CARROT, ids[2], "anna")
    of_class = [make_utterance(CARROT, None, "ben", number) for number in range(5)]

    def sources(*recorded: UtteranceRow) -> tuple[list[UtteranceRow], list[UtteranceRow]]:
        rows = merge_recordings(synthesized, [recording(one) for one in recorded])
        assert [row.id for row in rows] == sorted(row.id for row in rows)
        assert synthesized[4] in rows  # another class, untouched
        carrots = [row for row in rows if row.class_id == CARROT]
        recorded_ids = {one.id for one in recorded}
        return [row for row in carrots if row.id in recorded_ids], [
            row for row in carrots if row.id not in recorded_ids
        ]

    assert sources() == ([], synthesized[:4])
    assert sources(of_clip) == ([of_clip], [synthesized[0], synthesized[1], synthesized[3]])
    recorded, rest = sources(of_clip, of_class[0])
    assert len(recorded) == 2
    assert len(rest) == 2
    assert synthesized[2] not in rest
    recorded, rest = sources(of_clip, *of_class)
    assert len(recorded) == 6  # more than there were: none is left out
    assert rest == []


def test_of_several_takes_the_last_counts(make_utterance: Callable[..., UtteranceRow]) -> None:
    import msgspec

    first = msgspec.structs.replace(make_utterance(CARROT, "c", "anna"), id="c_anna_b", source="recorded")
    second = msgspec.structs.replace(first, id="c_anna_a")
    rows = merge_recordings([make_utterance(CARROT, "c", "en-us")], [recording(first, 1), recording(second, 2)])
    assert [row.id for row in rows] == ["c_anna_a"]


@pytest.mark.real_data
def test_real_recordings(
    workspace: Workspace, tmp_path: Path, classes: ClassFile, clips: list[ClipRow], real_speech: Path, ffmpeg: Ffmpeg
) -> None:
    source = tmp_path / "takes"
    (source / CARROT).mkdir(parents=True)
    cards = sorted((real_speech / "cards").glob("*.wav"))
    for number, card in enumerate(cards):
        target = source / CARROT / f"speaker_{number}{('.wav', '.mp3', '.flac', '.ogg', '.m4a')[number]}"
        ffmpeg("-i", card, "-ar", "44100", "-ac", "2", target)
    shutil.copy(real_speech / "people" / "whole.flac", source / f"{clips[3].id}.flac")
    summary = load(workspace, source, classes, clips, jobs=2)
    assert (len(summary.added), summary.refused, summary.mismatches) == (6, {}, ())
    for row in summary.added:
        assert row.utterance.quality["warnings"] == []
        original = decode(workspace.root / row.original)
        assert 0.5 < row.utterance.duration_s <= original.duration_s + 0.25
