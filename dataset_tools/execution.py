"""One function over many samples, in several processes, so that one bad sample never stops the others."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from types import FrameType
from typing import Generic, TypeVar

from dataset_tools.errors import SampleError, StoppedError, ToolkitError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome(Generic[Item, Result]):
    """What became of one item: its result, or the error that it failed with."""

    item: Item
    result: Result | None
    error: ToolkitError | None


def run_each(
    function: Callable[[Item], Result], items: Sequence[Item], *, jobs: int
) -> Iterator[Outcome[Item, Result]]:
    """Calls ``function`` on every item in ``jobs`` processes and yields the outcomes as they come.

    Even one job runs in a process of its own, so that a crash of a decoder fails one sample and nothing else. When a
    process dies, what was running is tried again, each item alone; the one that kills its process again has failed.

    Args:
        function: what to call, importable by name.
        items: its arguments, picklable.
        jobs: processes at once; never changes a result.

    Raises:
        StoppedError: an item ran into something that stops everything (a full disk); the others are not started.
        KeyboardInterrupt: after the processes were ended.
    """
    waiting = deque(items)
    suspects: deque[Item] = deque()
    while waiting or suspects:
        if suspects:
            item = suspects.popleft()
            for outcome in _run_pool(function, deque([item]), 1):
                yield outcome if outcome is not None else Outcome(item, None, _killed(item))
            continue
        running: list[Item] = []
        for outcome in _run_pool(function, waiting, jobs, died=running):
            if outcome is not None:
                yield outcome
        suspects.extend(running)


def _run_pool(
    function: Callable[[Item], Result], queue: deque[Item], jobs: int, died: list[Item] | None = None
) -> Iterator[Outcome[Item, Result] | None]:
    """Empties ``queue`` through one pool. When the pool breaks: None, and what was running goes to ``died``."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker)
    running: dict[Future[Result], Item] = {}
    broken = False
    try:
        while (queue and not broken) or running:
            while queue and not broken and len(running) < 2 * jobs:
                item = queue.popleft()
                try:
                    running[pool.submit(function, item)] = item
                except BrokenProcessPool:
                    queue.appendleft(item)
                    broken = True
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                item = running.pop(future)
                try:
                    yield Outcome(item, future.result(), None)
                except BrokenProcessPool:
                    broken = True
                    if died is None:
                        yield None
                    else:
                        died.append(item)
                except StoppedError:
                    raise
                except ToolkitError as error:
                    yield Outcome(item, None, error)
                except Exception as error:  # whatever a library throws, it is this sample's failure
                    yield Outcome(item, None, SampleError(f"{type(error).__name__}: {error}"))
    except BaseException:
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """A worker leaves an interrupt to its parent, cleans up when told to end, and does not outlive its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end(signum: int, frame: FrameType | None) -> None:
    sys.exit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _killed(item: object) -> SampleError:
    return SampleError(
        "The process that worked on it died, twice",
        where=str(item),
        expected="a result or an error",
        next_step="the file is probably damaged, or there is too little memory: see the system's log",
    )
