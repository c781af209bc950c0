"""One source is read, and cut: it changes meanwhile, the disk is full, the encoder fails."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from dataset_tools.clips.cut_tasks import CutTask, Span
from dataset_tools.clips.cutting import cut_task
from dataset_tools.clips.encoding import ENCODER_OPTIONS
from dataset_tools.core.errors import StoppedError
from dataset_tools.core.workspace import Workspace
from dataset_tools.video.source_videos import read_sources


@pytest.fixture
def task(footage: dict[str, Path], workspace: Workspace) -> CutTask:
    """Four clips to cut from one source."""
    path = Path(shutil.copy(footage["s08-d21"], workspace.root.parent))
    sources, _ = read_sources({"s08": path}, workspace.cache / "sources", jobs=1)
    starts = (1, 40, 80, 120)
    spans = tuple(Span(f"c{start}", start, start + 19, workspace.clips / f"c{start}.mp4", "key") for start in starts)
    return CutTask(sources["s08"], spans, 64)


def test_a_source_that_changes_while_it_is_cut_gives_no_clip(task: CutTask, workspace: Workspace) -> None:
    os.utime(task.source.path)
    results = cut_task(task)
    assert len(results) == 4
    assert all("changed" in str(result) for result in results.values())
    assert not list(workspace.clips.iterdir())


def test_a_full_disk_stops(task: CutTask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    full = tmp_path / "full.mp4"
    full.symlink_to("/dev/full")
    monkeypatch.setattr("dataset_tools.clips.encoding.written_whole", lambda path: contextlib.nullcontext(full))
    with pytest.raises(StoppedError, match="The disk is full") as caught:
        cut_task(task)
    assert caught.value.exit_code == 3


def test_an_encoder_that_fails_gives_its_reason(task: CutTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENCODER_OPTIONS, "preset", "sideways")
    results = cut_task(task)
    assert len(results) == 4
    assert all("The encoder failed" in str(result) and "sideways" in str(result) for result in results.values())
    assert not list(task.spans[0].path.parent.iterdir())


def test_a_kill_leaves_nothing_where_no_command_removes_it(
    task: CutTask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Workers are killed if the command is interrupted; the next command clears clips/, but not the system's folder."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    left = []

    def killed(*_: object, **__: object) -> None:
        left.append(list(temporary.iterdir()))
        raise RuntimeError

    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr("dataset_tools.clips.cutting.encode", killed)
    cut_task(task)
    assert left == [[], [], [], []]


def test_a_source_is_read_once_and_damage_to_the_memory_does_no_harm(footage: dict[str, Path], tmp_path: Path) -> None:
    first, failures = read_sources(footage, tmp_path / "memory", jobs=2)
    assert failures == {}
    assert {name: source.sha256 for name, source in first.items()} == {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in footage.items()
    }
    notes = {path: path.stat().st_mtime_ns for path in (tmp_path / "memory").iterdir()}
    assert len(notes) == 4
    assert read_sources(footage, tmp_path / "memory", jobs=1) == (first, {})
    assert {path: path.stat().st_mtime_ns for path in notes} == notes
    for path in notes:
        path.write_bytes(path.read_bytes()[:-30])
    assert read_sources(footage, tmp_path / "memory", jobs=1) == (first, {})
