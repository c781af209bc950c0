"""Worker threads, and error messages for device failures."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from dataset_tools.core.errors import StoppedError

Task = TypeVar("Task")
Result = TypeVar("Result")


def overlapped(work: Callable[[Task], Result], tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, Result]]:
    """Runs tasks in threads and yields them with their results in order; only a few are queued ahead of the consumer.

    Args:
        work: called in the threads.
        tasks: arguments of the calls.
        jobs: threads, at least one.
    """
    waiting: deque[tuple[Task, Future[Result]]] = deque()
    rest = iter(tasks)
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        try:
            for task in rest:
                waiting.append((task, pool.submit(work, task)))
                if len(waiting) > 2 * max(1, jobs):
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def device_errors(device: str, stage: str = "video features") -> Iterator[None]:
    """Turns errors of a device into a StoppedError with a suggested fix."""
    try:
        yield
    except (RuntimeError, AssertionError) as error:  # out of memory, a lost device; a torch built without the device
        raise StoppedError(
            f"The device {device} failed: {(str(error).strip() or type(error).__name__).splitlines()[0]}",
            where=stage,
            next_step="run the same command again (finished features are kept); if it fails again, use --device cpu",
        ) from error
