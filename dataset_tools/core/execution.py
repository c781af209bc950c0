"""Worker pool: runs one function over many items in worker processes; a failing item does not stop the others.

Workers are started by a fork server (spawned where there is none): progress bars run threads, and a process with
threads must not be forked. Work always runs in a worker, even with ``jobs=1``: a decoder that crashes on a damaged
file ends its worker, not the command, and one process or many use the same code path. Not loky, whose pool also breaks
as a whole; nor pebble, whose pool does not: with the lifeline, it would save 40 lines and add a dependency.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import islice
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import Any, Generic, TypeVar

from dataset_tools.core.errors import SampleError, StoppedError, ToolkitError, WorkerDiedError

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
    pending: dict[Future[R], T] = {}
    workers = _Workers(jobs, function)
    try:
        while True:
            # Two items per worker: one running, one queued, so that no worker idles and little is lost.
            for item in islice(remaining, 2 * jobs - len(pending)):
                pending[workers.submit(function, item)] = item
            if not pending:
                break
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            if any(_broke(future) for future in done):
                done, _ = wait(pending)
            suspects = [pending.pop(future) for future in list(pending) if future in done and _broke(future)]
            yield from _outcomes([(pending.pop(future), future) for future in list(pending) if future in done], key)
            if suspects:
                # All items in flight failed, and the culprit is unknown: retrying each of them alone finds it.
                workers.kill()
                for item in (part for suspect in suspects for part in parts(suspect)):
                    yield from _outcomes([(item, _tried_alone(function, item))], key)
                workers = _Workers(jobs, function)
        workers.finish()
    except KeyboardInterrupt:
        end_fork_server()
        raise
    finally:
        workers.kill()


def _broke(future: Future[Any]) -> bool:
    return isinstance(future.exception(), BrokenProcessPool)


def _tried_alone(function: Callable[[T], R], item: T) -> Future[R]:
    """Calls the function in a separate process; if that process dies, the future holds a `WorkerDiedError`.

    Raises:
        StoppedError: the process died before it took the item, which is not the fault of the item.
    """
    others = set(multiprocessing.active_children())
    workers = _Workers(1, function)
    try:
        future = workers.submit(function, item)
        own = set(multiprocessing.active_children()) - others
        wait([future])
        begun = workers.have_begun()
    finally:
        workers.kill()
    if _broke(future):
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


def worker_context(preload: list[str]) -> BaseContext:
    """Returns the context of worker processes, with a running fork server if there is one on this system.

    Ctrl-C in the terminal reaches neither the fork server nor the workers, not even while they start, when they would
    print a traceback: the command has to end them.

    Args:
        preload: modules that the fork server imports when it starts; not ``__main__``, whose failure would end it.
    """
    script = vars(sys.modules["__main__"])
    if script.get("__file__") == "<stdin>":
        del script["__file__"]  # workers would import a file of that name
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(preload)
    resource_tracker.ensure_running()  # the server starts it otherwise, which unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    try:
        forkserver.ensure_running()  # inherits the mask, as do the workers
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


def end_fork_server() -> None:
    """Kills the fork server after an interrupt: without the command, workers that it still starts print a traceback.

    Requests for them keep it alive (they hold the descriptor whose end it waits for) until its imports are done.
    """
    server = getattr(forkserver, "_forkserver", None)
    pid = getattr(server, "_forkserver_pid", None)
    if server is not None and pid is not None:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            server._stop()  # waits for it: until it is gone, another call in this process would connect to it


def _imported_by_workers(function: Callable[..., Any]) -> list[str]:
    """The modules to import once, in the fork server: what a function needs; in a script, what it may import itself."""
    if not hasattr(sys.modules["__main__"], "__file__"):  # as in a command, which hides it (see `CommandLine`)
        return [function.__module__ or __name__]  # a method of a built-in type has none
    return sorted(name for name in sys.modules if name.partition(".")[0] in ("dataset_tools", "fmn"))


class _Workers:
    """A process pool whose workers cannot outlive this process, even if it is killed.

    All workers hold the read end of a pipe whose only write end is in this process: when it closes, they exit.
    """

    def __init__(self, jobs: int, function: Callable[..., Any]) -> None:
        context = worker_context(_imported_by_workers(function))
        self._worker_end, self._lifeline = context.Pipe(duplex=False)
        self._begun, self._begins = context.Pipe(duplex=False)
        self._executor = ProcessPoolExecutor(
            jobs, mp_context=context, initializer=_begin_worker, initargs=(self._worker_end, self._begins)
        )

    def submit(self, function: Callable[[T], R], item: T) -> Future[R]:
        try:
            return self._executor.submit(function, item)
        except (BrokenProcessPool, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            # A pool that breaks at this moment has closed the pipe meant for a new worker ("handle is closed").
            future: Future[R] = Future()
            future.set_exception(BrokenProcessPool(str(error)))
            return future

    def have_begun(self) -> bool:
        """Whether a worker has begun to work, though it may have died since."""
        return self._begun.poll()

    def finish(self) -> None:
        """Waits for the workers to finish."""
        self._executor.shutdown(wait=True)

    def kill(self) -> None:
        """Kills the workers and their children, whatever they are doing."""
        self._lifeline.close()
        self._executor.shutdown(wait=True, cancel_futures=True)
        for end in (self._worker_end, self._begun, self._begins):
            end.close()


def _begin_worker(lifeline: Connection, begins: Connection) -> None:
    begins.send_bytes(b"1")
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # of the worker and its children, for `_end_group`
        # A broken pool terminates its other workers, whose children would outlive them.
        signal.signal(signal.SIGTERM, lambda number, frame: _end_group())
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    """Ends this worker, and the encoder that it may be running, once the command is gone."""
    with suppress(EOFError, OSError):
        lifeline.recv_bytes()
    _end_group()


def _end_group() -> None:
    if hasattr(os, "killpg"):
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)
