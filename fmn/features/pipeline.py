"""Extraction pipeline: decoding, optical flow and network run concurrently.

A task reads one clip (decoding, resizing, flow) or computes the features of one batch of windows. Batches are filled
across clips, so that only the last one can be incomplete, and tasks are small, so that threads finish at about the same
time. On the CPU all tasks share one thread pool: the slower stage gets more cores. Another device has two threads of
its own, so that one prepares its batch while the other's is computed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.errors import ToolkitError
from fmn.features.config import Pooling
from fmn.features.media import Media
from fmn.features.pooling import pooled
from fmn.features.windows import ClipWindows

Feature = NDArray[np.float32]
ClipFeature = tuple[Media, Feature | ToolkitError]

DEVICE_THREADS = 2


class Network(Protocol):
    """A network that computes features of windows.

    Attributes:
        batch: windows per batch.
    """

    batch: int

    def window_features(self, windows: ClipWindows) -> Feature:
        """At most ``batch`` windows, possibly of several clips -> [windows, dim], each independent of the others."""


@dataclass(eq=False)
class _Clip:
    """A clip whose windows have been read, and their features computed so far, by window number."""

    media: Media
    windows: ClipWindows
    pooling: Pooling
    rows: dict[int, Feature] = field(default_factory=dict)

    def feature(self) -> Feature:
        return pooled(np.stack([self.rows[number] for number in range(len(self.windows.rgb))]), self.pooling)


_Window = tuple[_Clip, int]


def clip_features(
    items: Sequence[Media],
    read: Callable[[Media], ClipWindows | ToolkitError],
    network: Network,
    *,
    jobs: int,
    shared: bool,
    pooling: Pooling = "mean",
) -> Iterator[ClipFeature]:
    """Yields clips with their features or errors, in order of completion.

    Args:
        items: the clips.
        read: returns the windows of a clip; called in threads.
        network: computes the features of windows; called in threads.
        jobs: threads that read, at least one.
        shared: whether the network runs in the same threads.
        pooling: how the windows of a clip are pooled.

    Raises:
        Exception: any error of ``read`` or ``network``.
    """
    rest = iter(items)
    waiting: deque[_Window] = deque()  # for the network
    reading: dict[Future[ClipWindows | ToolkitError], Media] = {}
    computing: dict[Future[Feature], list[_Window]] = {}
    max_tasks = 2 * max(1, jobs) + DEVICE_THREADS  # queued tasks: keeps all threads busy, bounds memory
    with ExitStack() as pools:
        readers = pools.enter_context(_ThreadPool(jobs))
        networks = readers if shared else pools.enter_context(_ThreadPool(DEVICE_THREADS))
        more = True
        while more or reading or waiting or computing:
            while more and len(reading) + len(computing) < max_tasks:
                media = next(rest, None)
                more = media is not None
                if media is not None:
                    reading[readers.submit(read, media)] = media
            while len(waiting) >= network.batch or (waiting and not more and not reading):
                chosen = [waiting.popleft() for _ in range(min(network.batch, len(waiting)))]
                computing[networks.submit(network.window_features, _stacked(chosen))] = chosen
            pending: list[Future[Any]] = [*reading, *computing]
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                if future in reading:
                    media, windows = reading.pop(future), future.result()
                    if isinstance(windows, ToolkitError):
                        yield media, windows
                        continue
                    clip = _Clip(media, windows, pooling)
                    waiting.extend((clip, number) for number in range(len(windows.rgb)))
                else:
                    for (clip, number), row in zip(computing.pop(future), future.result(), strict=True):
                        clip.rows[number] = row
                        if len(clip.rows) == len(clip.windows.rgb):
                            yield clip.media, clip.feature()


class _ThreadPool(ThreadPoolExecutor):
    """Thread pool that cancels pending tasks when its ``with`` block is left."""

    def __init__(self, threads: int) -> None:
        super().__init__(max(1, threads))

    def __exit__(self, *raised: object) -> None:
        self.shutdown(wait=True, cancel_futures=True)


def _stacked(windows: Sequence[_Window]) -> ClipWindows:
    """Stacks windows of several clips."""
    flows = [clip.windows.flow[number] for clip, number in windows if clip.windows.flow is not None]
    return ClipWindows(
        np.stack([clip.windows.rgb[number] for clip, number in windows]), np.stack(flows) if flows else None
    )
