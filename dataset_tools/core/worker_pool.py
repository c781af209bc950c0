"""Worker pool: processes that run functions, and that cannot outlive the process that started them.

Workers are started by a fork server (spawned where there is none): progress bars run threads, and a process with
threads must not be forked. Not loky, whose pool also breaks as a whole; nor pebble, whose pool does not: with the
lifeline, it would save 40 lines and add a dependency.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import Any, TypeVar

from dataset_tools.core.errors import StoppedError

T = TypeVar("T")
R = TypeVar("R")


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


def imported_by_workers(function: Callable[..., Any]) -> list[str]:
    """The modules to import once, in the fork server: what a function needs; in a script, what it may import itself."""
    if not hasattr(sys.modules["__main__"], "__file__"):  # as in a command, which hides it (see `CommandLine`)
        return [function.__module__ or __name__]  # a method of a built-in type has none
    return sorted(name for name in sys.modules if name.partition(".")[0] in ("dataset_tools", "fmn"))


class WorkerPool:
    """A process pool whose workers cannot outlive this process, even if it is killed.

    All workers hold the read end of a pipe whose only write end is in this process: when it closes, they exit.

    Args:
        jobs: number of worker processes.
        function: what they will run, which decides what the fork server imports.

    Raises:
        StoppedError: the system has no semaphores.
    """

    def __init__(self, jobs: int, function: Callable[..., Any]) -> None:
        context = worker_context(imported_by_workers(function))
        self._worker_end, self._lifeline = context.Pipe(duplex=False)
        self._begun, self._begins = context.Pipe(duplex=False)
        try:
            self._executor = ProcessPoolExecutor(
                jobs, mp_context=context, initializer=_begin_worker, initargs=(self._worker_end, self._begins)
            )
        except OSError as error:  # of its semaphores, which are files in a temporary file system on Linux
            if error.errno not in (errno.ENOENT, errno.EACCES, errno.EROFS, errno.ENOSYS):
                raise
            raise StoppedError(
                f"Worker processes cannot be started: {error.strerror}",
                where="/dev/shm",
                expected="a temporary file system that this account can write to, for semaphores",
                next_step="mount one, as containers do by default; then run the same command again",
            ) from error

    def submit(self, function: Callable[[T], R], item: T) -> Future[R]:
        """Submits a call; if the pool is broken, or breaks at this moment, its future is broken (see `broke`).

        Raises:
            OSError: no process can be started.
        """
        try:
            return self._executor.submit(function, item)
        except (BrokenProcessPool, OSError, EOFError) as error:
            # A pool that breaks at this moment has closed the pipe meant for a new worker: "handle is closed", without
            # a number, or a bad descriptor. A fork server that is killed resets the connection, or ends it.
            is_other = isinstance(error, OSError) and not isinstance(error, ConnectionError)
            if is_other and getattr(error, "errno", None) not in (None, errno.EBADF):
                raise
            if not isinstance(error, BrokenProcessPool):
                end_fork_server()  # half a request ends it, but perhaps only after the next one was sent
            future: Future[R] = Future()
            future.set_exception(BrokenProcessPool(str(error)))
            return future

    def first_done(self, pending: Collection[Future[Any]]) -> set[Future[Any]]:
        """Waits for at least one of the futures; if the pool is broken, ends it and returns all of them."""
        manager: threading.Thread | None = getattr(self._executor, "_executor_manager_thread", None)
        done, ended = set[Future[Any]](), False
        while not done and not ended:
            ended = manager is not None and not manager.is_alive()
            done, _ = wait(pending, timeout=1, return_when=FIRST_COMPLETED)
        if done and not any(broke(future) for future in done):
            return done
        self._kill_workers()
        for future in pending:
            # Python 3.11 takes no lock while a pool breaks, and can forget what is submitted at that moment.
            if not future.done():
                future.set_exception(BrokenProcessPool("The pool broke while it was given this call"))
        return set(pending)

    def have_begun(self) -> bool:
        """Whether a worker has begun to work, though it may have died since."""
        return self._begun.poll()

    def finish(self) -> None:
        """Waits for the workers to finish."""
        self._executor.shutdown(wait=True)

    def kill(self) -> None:
        """Kills the workers and their children, whatever they are doing, and closes the pool."""
        self._kill_workers()
        for end in (self._worker_end, self._begun, self._begins):
            end.close()

    def _kill_workers(self) -> None:
        self._lifeline.close()
        self._executor.shutdown(wait=True, cancel_futures=True)


def broke(future: Future[Any]) -> bool:
    """Whether a finished future has no outcome of its call, as a worker of the pool died."""
    return future.cancelled() or isinstance(future.exception(), BrokenProcessPool)


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
