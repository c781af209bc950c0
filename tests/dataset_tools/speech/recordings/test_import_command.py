"""The import command: what it prints, and its exit code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dataset_tools.cli import speech
from dataset_tools.cli.main import app
from dataset_tools.core.files import sha256_of
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, write_rows

CARROT = "cut_carrot_knife"
Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(workspace: Workspace, clips: list[ClipRow], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Imports by the command line into a workspace with clips; gives the exit code and the output."""
    write_rows(workspace.manifests / "clips.jsonl", sorted(clips, key=lambda clip: clip.id))
    monkeypatch.setattr(speech, "_check_imported", lambda *_: None)  # speech recognition is tested elsewhere

    def run(source: Path, *options: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["speech", "import", str(source), "-w", str(workspace.root), *options])
        return result.exit_code, result.stdout if "--json" in options else result.output

    return run


def test_rows_that_are_not_imported_are_counted_and_end_with_code_1(
    tmp_path: Path, take: Callable[..., Path], command: Command
) -> None:
    take(tmp_path / "a.wav", 200)
    take(tmp_path / "b.wav", 250)
    listing = tmp_path / "list.csv"
    listing.write_text(f"path,class,voice\na.wav,{CARROT},Ann\nb.wav,cut_carot_knife,Ann\ngone.wav,{CARROT},Ann\n")
    code, said = command(listing)
    assert code == 1
    assert "1 recording is new, 0 were known; 2 files or rows not imported" in said
    assert "2 failed: the reasons are above" in said
    code, said = command(listing, "--json")
    assert code == 1
    assert (json.loads(said)["ok"], len(json.loads(said)["mismatches"])) == (False, 2)
    listing.write_text(f"path,class,voice\na.wav,{CARROT},Ann\n")
    assert command(listing)[0] == 0


def test_files_that_are_not_imported_end_with_code_1(
    tmp_path: Path, take: Callable[..., Path], command: Command
) -> None:
    take(tmp_path / "in" / CARROT / "ann_1.wav", 200)
    take(tmp_path / "in" / "cut_carot_knife" / "ann_2.wav", 250)
    code, said = command(tmp_path / "in")
    assert code == 1
    assert "1 file or row not imported" in said


def test_a_faulty_row_of_a_known_file_is_a_failure(tmp_path: Path, take: Callable[..., Path], command: Command) -> None:
    take(tmp_path / "a.wav", 200)
    listing = tmp_path / "list.csv"
    listing.write_text(f"path,class,voice,text\na.wav,{CARROT},Ann,I cut slowly\n")
    assert command(listing)[0] == 0
    take(tmp_path / "b.wav", 250)
    listing.write_text(f"path,class,voice,text\na.wav,{CARROT},Ann,I cut, slowly\nb.wav,{CARROT},Ann,\n")
    code, said = command(listing)
    assert code == 1
    assert "more fields than columns" in said
    assert "1 file or row not imported" in said


def test_files_that_are_there_already_are_no_failure(
    tmp_path: Path, take: Callable[..., Path], command: Command
) -> None:
    path = take(tmp_path / "in" / CARROT / "ann_1.wav", 200)
    assert command(tmp_path / "in")[0] == 0
    assert command(tmp_path / "in")[0] == 0
    shutil.copy(path, path.with_name("ben_2.wav"))
    code, said = command(tmp_path / "in")
    assert code == 0
    assert "already imported as" in said
    assert "not imported" not in said


def test_one_recording_in_two_places_is_told_with_what_differs(
    tmp_path: Path, take: Callable[..., Path], command: Command
) -> None:
    path = take(tmp_path / "in" / CARROT / "ann_1.wav", 200)
    shutil.copy(path, path.with_name("ann_2.wav"))
    code, said = command(tmp_path / "in")
    assert code == 0
    assert "the same recording as" in said
    assert "but here of" not in said
    take(path, 300)
    shutil.copy(path, path.with_name("ben_2.wav"))
    path.with_name("ann_2.wav").unlink()
    code, said = command(tmp_path / "in")
    assert code == 0
    assert "but here of voice ben: if that is right" in said


def test_voices_are_shown_with_their_numbers(tmp_path: Path, take: Callable[..., Path], command: Command) -> None:
    for number, name in enumerate(("ben_1", "anna_1", "anna_2")):
        take(tmp_path / "in" / CARROT / f"{name}.wav", 200 + 50 * number)
    for _ in range(2):  # new and known ones
        code, said = command(tmp_path / "in")
        assert code == 0
        assert "  voices: anna 2, ben 1\n" in said
        assert "states no voice" not in said
    assert json.loads(command(tmp_path / "in", "--json")[1])["voices"] == {"anna": 2, "ben": 1}


def test_whole_file_names_as_voices_are_reported(
    tmp_path: Path, take: Callable[..., Path], clips: list[ClipRow], command: Command
) -> None:
    names = ("Neue Aufnahme.wav", "Neue Aufnahme 1.wav", "Neue Aufnahme 2.wav", "Neue Aufnahme 3.wav")
    for number, name in enumerate(names):
        take(tmp_path / "in" / CARROT / name, 200 + 40 * number)
    take(tmp_path / "in" / "anna" / f"{clips[0].id}.wav", 500)  # the folder is the voice
    code, said = command(tmp_path / "in")
    assert code == 0
    assert "4 files state no voice, so their whole name is the voice" in said
    assert "Neue Aufnahme 1.wav (neue-aufnahme-1)" in said
    assert "and 1 more" in said
    assert "<voice>_….wav" in said
    assert "  voices: anna 1, neue-aufnahme 1, neue-aufnahme-1 1, " in said
    assert "  next: fmn-data pairs --workspace " in said


def test_many_voices_are_shortened(tmp_path: Path, take: Callable[..., Path], command: Command) -> None:
    for number in range(12):
        take(tmp_path / "in" / CARROT / f"v{number:02d}_1.wav", 200 + 20 * number)
    assert "v09 1, and 2 more\n" in command(tmp_path / "in")[1]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_dry_run_says_what_the_import_does_and_writes_nothing(
    tmp_path: Path, workspace: Workspace, take: Callable[..., Path], command: Command
) -> None:
    take(tmp_path / "in" / CARROT / "ann_1.wav", 200, "-filter:a", "volume=-40dB")
    (tmp_path / "in" / CARROT / "ann_2.wav").write_bytes(b"no audio")
    take(tmp_path / "in" / "cut_carot_knife" / "ann_3.wav", 250)
    before = contents(tmp_path)
    code, said = command(tmp_path / "in", "--dry-run", "--json")
    planned = json.loads(said)
    assert (code, planned["dry_run"], contents(tmp_path)) == (1, True, before)
    code, said = command(tmp_path / "in", "--dry-run")
    assert "1 recording would be new, 0 were known; 2 files or rows not imported" in said
    assert "1 new recording has warnings of the audio quality (quiet 1): once imported, fmn-data report" in said
    assert "1 new recording states no sentence" in said
    assert ".txt of the same name" in said, "as the formats of folders say"
    assert "nothing was written: to import, run the same command without --dry-run" in said
    assert contents(tmp_path) == before
    code, said = command(tmp_path / "in", "--json")
    done = json.loads(said)
    assert (code, done["dry_run"]) == (1, False)
    same = ("added", "known", "corrected", "mismatches", "notes", "voices", "assumed_languages", "failures")
    assert {name: planned[name] for name in same} == {name: done[name] for name in same}
    assert planned["added"] == 1
    before = contents(tmp_path)
    (workspace.recordings / f"{sha256_of(tmp_path / 'in' / CARROT / 'ann_1.wav')}.wav").unlink()  # copied again
    code, said = command(tmp_path / "in", "--dry-run", "--licence", "CC0-1.0")
    assert "0 recordings would be new, 1 was known, 1 of them with a new sentence, license" in said
    assert contents(tmp_path).items() <= before.items()
