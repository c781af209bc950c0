from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from dataset_tools.build.unnamed_files import KINDS, remove_unnamed, unnamed_files
from dataset_tools.cli.main import app
from dataset_tools.core.errors import InputError, ManifestError, StoppedError
from dataset_tools.core.ledger import Ledger, LedgerRow, read_ledger
from dataset_tools.core.workspace import Workspace
from dataset_tools.core.workspace_lock import workspace_lock
from dataset_tools.manifests import ClipRow, write_rows

OLD = "s09-d09_000001-000050"
NEW_SHA, OLD_SHA = "a" * 64, "b" * 64
STANDIN = ("STANDIN.json", "videos/s1.avi", "annos/a.mat", "experimentalSetup/Test.txt", "tacos/test.json")
GONE = {
    "clips": [f"clips/{OLD}.mp4", f"clips/{OLD}_w2of3.mp4"],
    "speech": [f"speech/{OLD}_en-gb.wav"],
    "shown": [f"clips/in-context/{OLD}.mp4", "clips/with-margin/s01-d01_000001-000050.mp4"],
    "standin": [f"cache/standin/{name}" for name in STANDIN],
    "features": [f"cache/features/x/bb/{OLD_SHA}.npy", f"cache/finetune/samples-x/{OLD_SHA}.rgb.npy"],
    "partial": ["runs/one/.partial-ab/state.safetensors", "cache/features/x/aa/.partial-cd.npy"],
}
KEPT = (
    "clips/s01-d01_000001-000050.mp4",
    "clips/s02-d02_000001-000050.mp4",  # of the test manifest only, which an earlier build dealt
    "clips/s03-d03_000001-000050.mp4",  # of a build that was killed: the ledger names it
    "clips/in-context/s01-d01_000001-000050.mp4",
    "clips/mine.mp4",
    "clips/notes.txt",
    "speech/holiday.wav",
    "speech/s04-d04_000001-000050_en-us.wav",  # earlier speech, while a synthesis is not complete
    f"speech/{OLD}_kim.wav",  # made from a recording
    f"recordings/{OLD}_kim.wav",
    "recordings/tombstones.jsonl",
    "annotations/reviews.jsonl",
    "annotations/classes.yaml",
    f"annotations/clips/{OLD}.mp4",
    "runs/one/checkpoint.safetensors",
    f"runs/one/{OLD}.mp4",
    "manifests/build.json",
    f"cache/features/x/aa/{NEW_SHA}.npy",
    "cache/features/x/notes.npy",
    "cache/label-studio/data/label_studio.sqlite3",
    "cache/standin/mine.avi",
    f"own/{OLD}.mp4",
)


@pytest.fixture
def place(tmp_path: Path, make_clip: Callable[..., ClipRow]) -> Workspace:
    """A workspace with files of every kind, some in use, others not, each of as many bytes as its path has letters."""
    workspace = Workspace(tmp_path / "w")
    for name in (*KEPT, *(name for names in GONE.values() for name in names)):
        path = workspace.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * len(name))
    (workspace.recordings / "tombstones.jsonl").write_text('{"voice": "kim"}\n')
    earlier = {"path": "speech/s04-d04_000001-000050_en-us.wav"}
    (workspace.cache / "earlier-speech.jsonl").write_text(json.dumps(earlier) + "\n")
    row = {"utterance": {"path": f"speech/{OLD}_kim.wav"}}
    (workspace.recordings / "recordings.jsonl").write_text(json.dumps(row) + "\n")
    clip = msgspec.structs.replace(make_clip("cut_carrot_knife", 1, 1, 1), sha256=NEW_SHA)
    write_rows(workspace.manifests / "clips.jsonl", [clip])
    (workspace.manifests / "test.jsonl").write_text('{"clip": {"path": "clips/s02-d02_000001-000050.mp4"}}\n')
    footage = {"kind": "mpii", "path": "/elsewhere"}
    (workspace.root / "workspace.json").write_text(json.dumps({"schema": "fmn.inputs/1", "footage": footage}))
    with Ledger(workspace.ledger) as ledger:
        for name, path in (("clip/new", KEPT[2]), (f"in-context/{OLD}", GONE["shown"][0])):
            ledger.record(LedgerRow(id=name, status="ok", stage="cut", path=path))
    return workspace


def contents(root: Path, names: tuple[str, ...]) -> dict[str, str]:
    return {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in names}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_alone_and_what_is_in_use_or_unknown_stays(place: Workspace, kind: str) -> None:
    others = tuple(name for other in GONE if other not in (kind, "partial") for name in GONE[other])
    before = contents(place.root, (*KEPT, *others))
    removed = remove_unnamed(place, [kind])
    assert {file.kind for file in removed} == {kind}
    assert len(removed) == len(GONE[kind])
    assert not any((place.root / name).exists() for name in GONE[kind])
    assert contents(place.root, (*KEPT, *others)) == before


def test_all_kinds_with_the_right_numbers_and_nothing_is_left(place: Workspace) -> None:
    before = contents(place.root, KEPT)
    found = unnamed_files(place)
    assert sum(file.size_bytes for file in found) == sum(len(name) for names in GONE.values() for name in names)
    assert {file.path for file in remove_unnamed(place)} == {file.path for file in found}
    assert contents(place.root, KEPT) == before
    assert unnamed_files(place) == []
    assert list(read_ledger(place.ledger)) == ["clip/new"]


def test_the_command_lists_and_removes_nothing_until_it_is_told_to(place: Workspace) -> None:
    files = sorted(path for path in place.root.rglob("*"))
    for options, code in (["--dry-run"], 0), ([], 2), (["--json"], 2), (["--kind", "runs", "--yes"], 2):
        assert CliRunner().invoke(app, ["clean", "-w", str(place.root), *options]).exit_code == code
        assert sorted(path for path in place.root.rglob("*")) == files
    told = CliRunner().invoke(app, ["clean", "-w", str(place.root), "--yes", "--json", "--kind", "clips"])
    size_bytes = sum(len(name) for name in GONE["clips"])
    assert json.loads(told.stdout)["kinds"] == {"clips": {"files": 2, "bytes": size_bytes}}
    assert not (place.root / GONE["clips"][0]).exists()
    assert (place.root / GONE["speech"][0]).exists()


def test_links_are_not_followed_but_what_is_named_behind_them_is_in_use(place: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / f"{OLD}_en-gb.wav").write_bytes(b"x")
    (place.clips / "s90-d01_000001-000050.mp4").symlink_to(outside / f"{OLD}_en-gb.wav")
    for path in place.speech.iterdir():
        path.unlink()
    place.speech.rmdir()
    place.speech.symlink_to(outside)
    place.manifests.rename(tmp_path / "manifests")
    place.manifests.symlink_to(tmp_path / "manifests")
    before = contents(place.root, KEPT[:6])
    assert "speech" not in {file.kind for file in remove_unnamed(place)}
    assert (outside / f"{OLD}_en-gb.wav").exists()
    assert (place.clips / "s90-d01_000001-000050.mp4").is_symlink()
    assert contents(place.root, KEPT[:6]) == before


def test_a_kill_between_removals_is_gone_on_with(place: Workspace) -> None:
    script = f"""
import os, signal
from pathlib import Path
from dataset_tools.build.unnamed_files import remove_unnamed
from dataset_tools.core.workspace import Workspace
remove_unnamed(Workspace(Path({str(place.root)!r})),
               progress=lambda stage, done, *_: done == 3 and os.kill(os.getpid(), signal.SIGKILL))
"""
    before = contents(place.root, KEPT)
    found = unnamed_files(place)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    left = unnamed_files(place)
    assert len(left) == len(found) - 3
    assert len(remove_unnamed(place)) == len(left)
    assert contents(place.root, KEPT) == before


def test_the_standin_stays_where_it_is_the_footage_or_nothing_says_so(place: Workspace) -> None:
    record = place.root / "workspace.json"
    footage = {"kind": "standin", "path": "cache/standin"}
    record.write_text(json.dumps({"schema": "fmn.inputs/1", "footage": footage}))
    assert unnamed_files(place, ["standin"]) == []
    record.unlink()
    assert unnamed_files(place, ["standin"]) == []


def test_what_rows_after_a_byte_order_mark_name_is_in_use(place: Workspace) -> None:
    mine = place.root / "mine.jsonl"
    mine.write_text("\ufeff" + json.dumps({"path": GONE["clips"][0]}) + "\n\n", "utf-8")
    clips = place.manifests / "clips.jsonl"
    clips.write_text("\ufeff" + clips.read_text("utf-8"), "utf-8")
    assert [file.path for file in remove_unnamed(place, ["clips"])] == [place.root / GONE["clips"][1]]
    assert contents(place.root, KEPT)


def test_where_it_is_not_known_what_is_in_use_nothing_is_removed(place: Workspace) -> None:
    (place.manifests / "test.jsonl").write_text("{torn\n")
    with pytest.raises(ManifestError, match="cannot be read"):
        remove_unnamed(place)
    (place.manifests / "clips.jsonl").unlink()
    with pytest.raises(InputError, match="no data set"):
        remove_unnamed(place)
    assert all((place.root / name).exists() for names in GONE.values() for name in names)


def test_another_command_in_the_workspace_is_not_disturbed(place: Workspace) -> None:
    with workspace_lock(place.root), pytest.raises(StoppedError, match="Another command"):
        remove_unnamed(place)
    assert (place.root / GONE["clips"][0]).exists()
