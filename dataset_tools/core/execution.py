"""Runs one function over many items in worker processes; a failing item does not stop the others.

Work always runs in a worker, even with ``jobs=1``: a decoder that crashes on a damaged file ends its worker, not the
command, and one process or many use the same code path.
"""

from __future__ import annotations

import errno
import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Generic, TypeVar

from dataset_tools.core.errors import SampleError, StoppedError, ToolkitError, WorkerDiedError
from dataset_tools.core.worker_pool import WorkerPool, broke, end_fork_server

T = TypeVar("T")
R = TypeVar("R")

_elsewhere: ContextVar[Callable[..., Any] | None] = ContextVar("elsewhere", default=None)


@dataclass(frozen=True)
class Outcome(Generic[T, R]):
    """Outcome of one item: its result, or the error that prevented it.

    Attributes:
        item: the item.
        result: what the function returned; None if it failed.
        error: why it failed, with the original exception as its cause; None if it did not.
    """

    item: T
    result: R | None
    error: ToolkitError | None


@contextmanager
def running_elsewhere(run: Callable[..., Any]) -> Iterator[None]:
    """Makes `run_each` delegate to ``run(function, items, key, parts)``, with the same contract, in this context."""
    token = _elsewhere.set(run)
    try:
        yield
    finally:
        _elsewhere.reset(token)


def undivided(item: T) -> Sequence[T]:
    """Default of ``parts``: the item as its only part."""
    return (item,)


def run_each(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    jobs: int,
    key: Callable[[T], str] = str,
    parts: Callable[[T], Sequence[T]] = undivided,
) -> Generator[Outcome[T, R], None, None]:
    """Calls ``function`` on every item and yields the outcomes as they finish, in no particular order.

    Any exception becomes the `SampleError` of its item. A worker that dies (killed, out of memory, crashed) breaks the
    pool with all items in flight: each of them is retried once, alone, with no other worker running; an item that kills
    its worker again fails with a `WorkerDiedError`. Items are taken lazily. Leaving the loop early, or an interrupt,
    ends the workers and their children at once; wrap the call in `contextlib.closing` if the loop itself may raise.

    Args:
        function: a module-level function, which workers can import; it must be idempotent.
        items: its arguments, pickled for the workers.
        jobs: number of worker processes.
        key: names an item in messages.
        parts: splits an item before it is retried alone, so that only the part that kills its worker fails; such an
            item has one outcome per part.

    Raises:
        StoppedError: the function raised it (a full disk), so that continuing is useless; outcomes that were ready are
            yielded first. Or workers cannot start, as in a script without ``if __name__ == "__main__":``.
    """
    if jobs < 1:
        raise ValueError(f"jobs ({jobs}) must be 1 or more")
    elsewhere = _elsewhere.get()
    if elsewhere is not None:
        yield from elsewhere(function, items, key, parts)
        return
    remaining = iter(items)
    first = list(islice(remaining, 1))
    if not first:
        return  # without a fork server, which would take a quarter of a command that has nothing to do
    remaining = chain(first, remaining)
    pending: dict[Future[R], T] = {}
    workers = WorkerPool(jobs, function)
    try:
        while True:
            # Two items per worker: one running, one queued, so that no worker idles and little is lost.
            for item in islice(remaining, 2 * jobs - len(pending)):
                future = workers.submit(function, item)
                pending[future] = item
                if future.done() and broke(future):
                    break  # a broken pool would start a fork server, in which signals are not blocked
            if not pending:
                break
            done = workers.first_done(pending)
            suspects = [pending.pop(future) for future in list(pending) if future in done and broke(future)]
            yield from _outcomes([(pending.pop(future), future) for future in list(pending) if future in done], key)
            if suspects:
                # All items in flight failed, and the culprit is unknown: retrying each of them alone finds it.
                workers.kill()
                for item in (part for suspect in suspects for part in parts(suspect)):
                    yield from _outcomes([(item, _tried_alone(function, item))], key)
                workers = WorkerPool(jobs, function)
        workers.finish()
    except KeyboardInterrupt:
        end_fork_server()
        raise
    finally:
        workers.kill()


def _tried_alone(function: Callable[[T], R], item: T) -> Future[R]:
    """Calls the function in a separate process; if that process dies, the future holds a `WorkerDiedError`.

    Raises:
        StoppedError: the process died before it took the item, which is not the fault of the item.
    """
    others = set(multiprocessing.active_children())
    workers = WorkerPool(1, function)
    try:
        future = workers.submit(function, item)
        own = set(multiprocessing.active_children()) - others
        workers.first_done([future])
        begun = workers.have_begun()
    finally:
        workers.kill()
    if broke(future):
        if not begun:
            raise workers_cannot_start()
        died: Future[R] = Future()
        died.set_exception(_death(next(iter(own)).exitcode if own else None))
        return died
    return future


def _death(exit_code: int | None) -> WorkerDiedError:
    """The error for the exit code of a process; a negative code is the number of the signal that killed it."""
    how, why = "died", ""
    if exit_code is not None and exit_code >= 0:
        how = f"ended with exit code {exit_code}"
    elif exit_code is not None:
        number = -exit_code
        name = signal.Signals(number).name if number in set(signal.Signals) else "unknown"
        how = f"was killed by signal {number} ({name})"
        why = ": memory probably ran out" if name == "SIGKILL" else ": a library crashed on it, or memory ran out"
    return worker_died(f"{how}, with no other at work beside it{why}")


def worker_died(how: str) -> WorkerDiedError:
    """The error of a sample whose worker process died again when the sample was retried alone."""
    return WorkerDiedError(
        f"The process that worked on it {how}",
        expected="a worker process that lives until the sample is done",
        next_step="leave the sample out, take a smaller or whole copy of its file, or make room in memory (fewer other "
        "programs, fewer --jobs); it is tried again only by fmn-data retry, a recording by speech import --retry",
    )


def workers_cannot_start() -> StoppedError:
    """The error if worker processes die before they have begun to work."""
    return StoppedError(
        "The worker processes cannot start: each ended before it had begun to work",
        expected="a program that can be imported: a worker imports the main module first",
        next_step='in a script of your own, put the calls under if __name__ == "__main__": (nothing else may run when '
        "it is imported); otherwise make room in memory; then run it again",
    )


def _outcomes(finished: Iterable[tuple[T, Future[R]]], key: Callable[[T], str]) -> Iterator[Outcome[T, R]]:
    stopped = None
    for item, future in finished:
        raised = future.exception()
        try:
            yield outcome_of(item, None if raised is not None else future.result(), raised, key(item))
        except StoppedError as error:
            stopped = error
    if stopped is not None:
        raise stopped


def outcome_of(item: T, result: R | None, raised: BaseException | None, name: str) -> Outcome[T, R]:
    """Creates the outcome of an item from what its function returned or raised.

    Raises:
        StoppedError: the function raised it, or the disk is full.
    """
    return Outcome(item, result, None) if raised is None else Outcome(item, None, sample_error(raised, name))


def sample_error(raised: BaseException, name: str) -> SampleError:
    """Converts ``raised`` to the error of one sample, with ``raised`` as its cause.

    Raises:
        StoppedError: ``raised`` is one, or the disk is full.
    """
    if isinstance(raised, StoppedError):
        raise raised
    if isinstance(raised, OSError) and raised.errno in (errno.ENOSPC, errno.EDQUOT):
        raise StoppedError(
            f"Nothing more can be written: {raised.strerror}",
            where=raised.filename,
            next_step="make room, then run the same command again to resume",
        )
    if isinstance(raised, WorkerDiedError):
        raised.where = name
    if isinstance(raised, SampleError):
        return raised
    if isinstance(raised, ToolkitError):
        error = SampleError(
            raised.found, where=raised.where or name, expected=raised.expected, next_step=raised.next_step
        )
    elif isinstance(raised, MemoryError):
        error = SampleError(
            f"There is not enough memory for it{f': {raised}' if str(raised) else ''}",
            where=name,
            next_step="make room in memory (fewer other programs, fewer --jobs), then run fmn-data retry",
        )
    else:
        error = SampleError(f"{type(raised).__name__}: {raised}", where=name)
    error.__cause__ = raised
    return error
