"""``fmn train --processes``: starts the training processes of one machine, as ``torchrun --nproc-per-node`` does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

INTERRUPTED = 3
"""Exit code of a command that was interrupted or killed by a signal."""
OTHER_PROCESS_ENDED = 4
"""Exit code of a training process that ended only because another one had."""
GRACE_S = 20
"""Time for the other processes to notice that one has ended, and to report it."""
LIFELINE = "FMN_LIFELINE"
"""Environment variable: read end of a pipe whose only write end the launcher holds."""


def run_processes(count: int) -> int:
    """Reruns the current command in ``count`` child processes and waits for them.

    The first child inherits this process's output. The output of the others is captured and shown only if they fail
    for another reason: most errors are the same in all processes (then the exit codes are equal), or the consequence of
    an error in another one (`OTHER_PROCESS_ENDED`).

    Returns:
        0, or the first nonzero exit code in order of rank, without `OTHER_PROCESS_ENDED` (`INTERRUPTED` for a signal).
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        children = []
        lifeline, own_end = os.pipe()
        stack.callback(os.close, lifeline)
        stack.callback(os.close, own_end)
        reserved = stack.enter_context(_reserved_port())
        port = str(reserved.getsockname()[1])
        rendezvous = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        for rank in range(count):
            environment = (
                os.environ | rendezvous | {"RANK": str(rank), "LOCAL_RANK": str(rank), LIFELINE: str(lifeline)}
            )
            output = stack.enter_context((folder / str(rank)).open("w")) if rank else None
            command = [sys.executable, "-m", "fmn", *sys.argv[1:]]
            children.append(
                subprocess.Popen(command, env=environment, stdout=output, stderr=output, pass_fds=(lifeline,))
            )
        try:
            while not any(child.poll() for child in children) and any(child.poll() is None for child in children):
                time.sleep(0.1)
            ended = time.monotonic()
            while any(child.poll() is None for child in children) and time.monotonic() < ended + GRACE_S:
                time.sleep(0.1)
            codes = [child.poll() or 0 for child in children]
        except KeyboardInterrupt:
            _stop(children)
            if children[0].returncode not in (0, INTERRUPTED, OTHER_PROCESS_ENDED):
                raise  # it was interrupted before it could report that
            codes = [children[0].returncode] * count
        finally:
            _stop(children)
        for rank, code in enumerate(codes):
            if rank and code not in (0, OTHER_PROCESS_ENDED, codes[0]):
                how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
                print(f"Process {rank} of this training ended {how}.", file=sys.stderr)
                print((folder / str(rank)).read_text("utf-8", "replace"), file=sys.stderr)
    reasons = [INTERRUPTED if code < 0 else code for code in codes if code not in (0, OTHER_PROCESS_ENDED)]
    return reasons[0] if reasons else INTERRUPTED if any(codes) else 0


def end_with_launcher() -> None:
    """Makes this training process, if `run_processes` started it, exit when the launcher is killed."""
    lifeline = os.environ.pop(LIFELINE, None)  # child processes do not inherit this descriptor
    if lifeline is not None:
        threading.Thread(target=_wait_for_launcher, args=(int(lifeline),), daemon=True).start()


def _wait_for_launcher(lifeline: int) -> None:
    os.read(lifeline, 1)  # nothing is ever written: this returns when the launcher has ended
    os._exit(INTERRUPTED)


def _stop(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """Terminates the running children, and kills those that do not exit."""
    for stop in (subprocess.Popen.terminate, subprocess.Popen.kill):
        for child in children:
            stop(child)
        for child in children:
            with suppress(subprocess.TimeoutExpired):
                child.wait(GRACE_S)


def _reserved_port() -> socket.socket:
    """A socket bound to a free port, not listening: rank 0 can listen there, and the system gives it to nobody else."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved
