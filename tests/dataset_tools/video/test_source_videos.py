"""Source videos are read once: under each of their names, and those that kill their reader until they change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dataset_tools.core.execution import Outcome, worker_died
from dataset_tools.video import source_videos
from dataset_tools.video.source_videos import read_sources


def test_a_video_that_kills_its_reader(
    write_video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.avi", 10)
    videos, memory, read = {"a": path}, tmp_path / "memory", []

    def dying(_: object, tasks: dict[Any, str], *, jobs: int) -> Iterator[Outcome[Any, None]]:
        for task in tasks:
            read.append(task.path)
            yield Outcome(task, None, worker_died("was killed by signal 9 (SIGKILL)"))

    monkeypatch.setattr(source_videos, "run_each", dying)
    for retry_died, attempts in ((False, 1), (False, 1), (True, 2), (False, 2)):
        sources, failures = read_sources(videos, memory, jobs=1, retry_died=retry_died)
        assert not sources
        assert "signal 9" in failures["a"].found
        assert len(read) == attempts
    monkeypatch.undo()
    path.write_bytes(path.read_bytes() + b"\0")  # another file
    sources, failures = read_sources(videos, memory, jobs=1)
    assert list(sources) == ["a"]
    assert not failures


def test_a_video_under_two_names_is_read_for_both(write_video: Callable[..., Path], tmp_path: Path) -> None:
    path, damaged = write_video(tmp_path / "a.avi", 10), tmp_path / "b.avi"
    damaged.write_bytes(b"no video")
    (tmp_path / "c.avi").symlink_to("a.avi")
    (tmp_path / "d.avi").symlink_to("b.avi")
    videos = {name: tmp_path / f"{name}.avi" for name in "abcd"}
    for _ in ("read", "remembered"):
        sources, failures = read_sources(videos, tmp_path / "memory", jobs=1)
        assert {name: source.path for name, source in sources.items()} == {"a": str(path), "c": str(path)}
        assert failures.keys() == {"b", "d"}
