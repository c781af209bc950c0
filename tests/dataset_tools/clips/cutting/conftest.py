"""Four videos whose frames carry their number, in different containers, and sixteen intervals in them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.corpus import Corpus
from dataset_tools.manifests import ClipRow, read_rows

VIDEOS: dict[str, dict[str, Any]] = {
    "s07-d20.avi": {"frames": 300, "g": 250},
    "s08-d21.avi": {"frames": 170, "codec": "libx264", "g": 50, "bf": 3},
    "s10-d22.mkv": {"frames": 170, "codec": "libx264", "times_ms": lambda place: appears_ms(place)},
    "s11-d23.mov": {"frames": 170, "codec": "libx264", "g": 40, "rotate": 90, "size": (166, 122)},
}


def appears_ms(place: int) -> int:
    """When the frame in that place, from 0, of the video of variable rate appears: half a second's pause every 40."""
    return place * 34 + (place // 40) * 500


@pytest.fixture(name="appears_ms")
def _appears_ms() -> Callable[[int], int]:
    return appears_ms


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory, write_video: Callable[..., Path]) -> dict[str, Path]:
    """Numbered videos, by name without suffix."""
    folder = tmp_path_factory.mktemp("cut_from")
    return {name.split(".")[0]: write_video(folder / name, **options) for name, options in VIDEOS.items()}


@pytest.fixture
def corpus(
    footage: dict[str, Path], make_interval: Callable, make_corpus: Callable[..., Corpus], tmp_path: Path
) -> Corpus:
    """Sixteen intervals of two classes in four videos, of the test's own to damage."""
    intervals = []
    videos = {}
    for name, path in footage.items():
        (tmp_path / "videos").mkdir(exist_ok=True)
        videos[f"{name}-cam-002"] = Path(shutil.copy(path, tmp_path / "videos" / path.name))
        for start, end in ((3, 20), (100, 131)):
            intervals.append(make_interval(name, start, end))
            intervals.append(make_interval(name, start + 32, end + 32, "stir", "onion spatula"))
    return make_corpus(intervals, videos)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def rows_of() -> Callable[[Workspace], list[ClipRow]]:
    return lambda place: list(read_rows(place.manifests / "clips.jsonl", ClipRow))
