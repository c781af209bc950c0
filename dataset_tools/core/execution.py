"""Runs one function over many items in worker processes, so that one bad item never stops the others.

Workers are started by a fork server (spawned where there is none): progress bars run threads, and a process with
threads must not be forked. Work always happens in a worker, with ``jobs=1`` too: a decoder that crashes on a damaged
file takes its worker with it and not the command, and one process or many walk the same path. Not loky, whose pool
breaks as a whole, too; nor pebble, whose does not: with the lifeline kept it is 40 lines less, and one dependency more.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from dataset_tools.core.errors import SampleError, StoppedError, ToolkitError

ATTEMPTS_ALONE = 2

T = TypeVar("T")
R = TypeVar("R")

_elsewhere: ContextVar[Callable[..., Any] | None] = ContextVar("elsewhere", default=None)


@dataclass(frozen=True)
class Outcome(Generic[T, R]):
    """What became of an item: its result, or the error that explains why there is none.

    Attributes:
        item: the item.
        result: what the function returned; None when it failed.
        error: why it failed, with the original exception as its cause; None when it did not.
    """

    item: T
    result: R | None
    error: ToolkitError | None


@contextmanager
def running_elsewhere(run: Callable[..., Any]) -> Iterator[None]:
    """Within it, `run_each` hands its work to ``run(function, items, key)``, which keeps the same promises."""
    token = _elsewhere.set(run)
    try:
        yield
    finally:
        _elsewhere.reset(token)


def run_each(
    function: Callable[[T], R], items: Iterable[T], *, jobs: int, key: Callable[[T], str] = str
) -> Generator[Outcome[T, R], None, None]:
    """Calls ``function`` on every item and yields the outcomes as they finish, in no particular order.

    Any exception becomes the `SampleError` of its item. A worker that dies (killed, out of memory, crashed) takes
    others' items with it: each of them is run again, alone, and only one that then kills its worker twice fails.
    Items are taken from ``items`` as they are needed. Leaving the loop early, or an interrupt, ends the workers and
    their children at once; wrap the call in `contextlib.closing` where the loop itself may raise.

    Args:
        function: a function of a module, which a worker can import; a second call must do no harm.
        items: what to call it on; they travel to the worker by pickling.
        jobs: worker processes.
        key: names an item in messages.

    Raises:
        StoppedError: the function raised it (a full disk), so that going on is useless; outcomes that were ready
            have been yielded before.
    """
    if jobs < 1:
        raise ValueError(f"jobs ({jobs}) must be 1 or more")
    elsewhere = _elsewhere.get()
    if elsewhere is not None:
        yield from elsewhere(function, items, key)
        return
    remaining = iter(items)
    pending: dict[Future[R], T] = {}
    workers = _Workers(jobs)
    try:
        while True:
            # Two items a worker: one at work, one waiting, so that nobody idles and little is lost.
            for item in islice(remaining, 2 * jobs - len(pending)):
                pending[workers.submit(function, item)] = item
            if not pending:
                break
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            whole = [future for future in done if not isinstance(future.exception(), BrokenProcessPool)]
            yield from _outcomes([(pending.pop(future), future) for future in whole], key)
            if len(whole) < len(done):
                # Everything in flight broke, and nobody knows whose fault it was: each alone will show.
                wait(pending)
                suspects, pending = pending, {}
                for item in suspects.values():
                    for _ in range(ATTEMPTS_ALONE):
                        workers = workers.renewed()
                        alone = workers.submit(function, item)
                        wait([alone])
                        if not isinstance(alone.exception(), BrokenProcessPool):
                            break
                    yield from _outcomes([(item, alone)], key)
                workers = workers.renewed()
        workers.finish()
    finally:
        workers.kill()


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
    """The outcome of an item, of what its function gave or raised.

    Raises:
        StoppedError: the function raised it, or there is no room on the disk.
    """
    if raised is None:
        return Outcome(item, result, None)
    if isinstance(raised, StoppedError):
        raise raised
    if isinstance(raised, OSError) and raised.errno in (errno.ENOSPC, errno.EDQUOT):
        raise StoppedError(
            f"Nothing more can be written: {raised.strerror}",
            where=raised.filename,
            next_step="make room, then run the same command again: it goes on where it stopped",
        )
    return Outcome(item, None, _sample_error(raised, name))


def _sample_error(raised: BaseException, name: str) -> SampleError:
    """``raised`` as the error of one sample, with ``raised`` as its cause."""
    if isinstance(raised, SampleError):
        return raised
    if isinstance(raised, ToolkitError):
        error = SampleError(
            raised.found, where=raised.where or name, expected=raised.expected, next_step=raised.next_step
        )
    elif isinstance(raised, BrokenProcessPool):
        error = SampleError(
            "The process that worked on it died, twice",
            where=name,
            expected="a worker process that lives until the item is done",
            next_step="see whether memory ran out (fewer --jobs), then run fmn-data retry",
        )
    else:
        error = SampleError(f"{type(raised).__name__}: {raised}", where=name)
    error.__cause__ = raised
    return error


class _Workers:
    """A pool of processes that cannot outlive this one, not even when it is killed.

    All workers hold the reading end of a pipe whose only writing end is here: when it closes, they end.
    """

    def __init__(self, jobs: int) -> None:
        methods = multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        # The fork server imports once what this process has imported, so that not every worker has to.
        own = sorted(name for name in sys.modules if name.partition(".")[0] == __name__.partition(".")[0])
        context.set_forkserver_preload(["__main__", *own])
        self._jobs = jobs
        self._worker_end, self._lifeline = context.Pipe(duplex=False)
        self._executor = ProcessPoolExecutor(
            jobs, mp_context=context, initializer=_begin_worker, initargs=(self._worker_end,)
        )
        self._broken = False

    def submit(self, function: Callable[[T], R], item: T) -> Future[R]:
        try:
            future = self._executor.submit(function, item)
        except (BrokenProcessPool, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            # A pool that breaks at this moment has closed the pipe that a new worker was to get ("handle is closed").
            future = Future()
            future.set_exception(BrokenProcessPool(str(error)))
        future.add_done_callback(self._look_at)
        return future

    def _look_at(self, future: Future[R]) -> None:
        self._broken |= not future.cancelled() and isinstance(future.exception(), BrokenProcessPool)

    def renewed(self) -> _Workers:
        """These workers, or new ones in place of a pool that broke."""
        if not self._broken:
            return self
        self.kill()
        return _Workers(self._jobs)

    def finish(self) -> None:
        """Lets the workers end by themselves."""
        self._executor.shutdown(wait=True)

    def kill(self) -> None:
        """Ends the workers and their children, whatever they do."""
        self._lifeline.close()
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._worker_end.close()


def _begin_worker(lifeline: Connection) -> None:
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # Ctrl-C in the terminal is for the command; it ends its workers itself
        # A pool that breaks terminates its other workers, whose children would outlive them.
        signal.signal(signal.SIGTERM, lambda number, frame: _end_group())
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    """Ends this worker and the encoder that it may be running when the command is gone."""
    with suppress(EOFError, OSError):
        lifeline.recv_bytes()
    _end_group()


def _end_group() -> None:
    if hasattr(os, "killpg"):
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)
