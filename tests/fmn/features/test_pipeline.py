from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dataset_tools.core.errors import SampleError, ToolkitError
from fmn.features.media import Media
from fmn.features.pipeline import clip_features
from fmn.features.windows import ClipWindows

COUNTS = (1, 3, 2, 5, 1, 4, 1, 1, 2)  # windows of each clip


def media(number: int) -> Media:
    return Media(f"{number:064}", Path(f"{number}.mp4"), str(number))


def read(item: Media) -> ClipWindows:
    """Windows that say whose they are: every pixel of window w of clip n is 10 n + w."""
    values = 10 * int(item.name) + np.arange(COUNTS[int(item.name)])
    rgb = np.broadcast_to(values[:, None, None, None, None], (len(values), 8, 2, 2, 3)).astype(np.uint8)
    return ClipWindows(rgb, None)


class Summing:
    """Describes a window by its mean pixel, and remembers how full its batches were."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.sizes: list[int] = []

    def window_features(self, windows: ClipWindows) -> NDArray[np.float32]:
        self.sizes.append(len(windows.rgb))
        return windows.rgb.mean(axis=(1, 2, 3, 4), dtype=np.float32)[:, None]


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("batch", [1, 4])
def test_each_clip_gets_the_mean_of_its_own_windows(batch: int, jobs: int, shared: bool) -> None:
    network = Summing(batch)
    found = dict(clip_features([media(n) for n in range(len(COUNTS))], read, network, jobs=jobs, shared=shared))
    for number, count in enumerate(COUNTS):
        assert found[media(number)] == pytest.approx([10 * number + (count - 1) / 2])
    assert sum(network.sizes) == sum(COUNTS)


def test_batches_are_full_but_for_the_last() -> None:
    network = Summing(4)
    list(clip_features([media(n) for n in range(len(COUNTS))], read, network, jobs=1, shared=True))
    assert sorted(network.sizes, reverse=True) == [4] * (sum(COUNTS) // 4) + [sum(COUNTS) % 4] * (sum(COUNTS) % 4 > 0)


def test_what_cannot_be_read_comes_with_its_reason() -> None:
    bad = SampleError("no frame")

    def some(item: Media) -> ClipWindows | ToolkitError:
        return bad if item.name in "05" else read(item)

    found = dict(clip_features([media(n) for n in range(6)], some, Summing(2), jobs=2, shared=True))
    assert [item.name for item, feature in found.items() if feature is bad] == ["0", "5"]
    assert len(found) == 6
    assert list(clip_features([], some, Summing(2), jobs=2, shared=True)) == []
    assert list(clip_features([media(0)], some, Summing(2), jobs=2, shared=False)) == [(media(0), bad)]


@pytest.mark.parametrize("shared", [True, False])
def test_reading_goes_on_while_the_network_runs(shared: bool) -> None:
    both = threading.Barrier(2, timeout=20)

    def meeting(item: Media) -> ClipWindows:
        if item.name == "2":  # two clips fill the first batch; the third is read while the network has it
            both.wait()
        return read(item)

    class Meeting(Summing):
        def window_features(self, windows: ClipWindows) -> NDArray[np.float32]:
            if not self.sizes:
                both.wait()
            return super().window_features(windows)

    jobs = 2 if shared else 1
    assert len(list(clip_features([media(n) for n in (0, 4, 2)], meeting, Meeting(2), jobs=jobs, shared=shared))) == 3


def test_few_clips_are_ahead_of_who_takes_them() -> None:
    started: list[str] = []

    def noted(item: Media) -> ClipWindows:
        started.append(item.name)
        return ClipWindows(np.zeros((1, 8, 2, 2, 3), np.uint8), None)

    results = clip_features([media(n) for n in range(100)], noted, Summing(4), jobs=2, shared=True)
    next(results)
    assert len(started) <= 16
    results.close()  # type: ignore[attr-defined]
    assert len(started) < 30


@pytest.mark.parametrize("where", ["read", "network"])
def test_an_error_that_is_no_samples_own_ends_it(where: str) -> None:
    def broken(item: Media) -> ClipWindows:
        raise RuntimeError("the device is lost")

    class Broken(Summing):
        def window_features(self, windows: ClipWindows) -> NDArray[np.float32]:
            raise RuntimeError("the device is lost")

    reading, network = (broken, Summing(2)) if where == "read" else (read, Broken(2))
    with pytest.raises(RuntimeError, match="lost"):
        list(clip_features([media(n) for n in range(9)], reading, network, jobs=2, shared=True))
