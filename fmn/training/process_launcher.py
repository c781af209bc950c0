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
"""Exit code of a command that was interrupted, or ended by a signal."""
GRACE_S = 20
"""For the others to notice that one has ended, and to say so."""
LIFELINE = "FMN_LIFELINE"
"""Environment variable: the reading end of a pipe whose only writing end the launcher has."""


def run_processes(count: int) -> int:
    """Runs the command that this process was started with in ``count`` others, until all have ended.

    The first process writes to this one's output. The output of the others is held back and shown only if they fail
    with another exit code, because most errors are the same in all processes.

    Returns:
        0, or the exit code of the command: of the first process, or of another where that did not fail.
    """
    with ExitStack() as held:
        folder = Path(held.enter_context(TemporaryDirectory()))
        children = []
        lifeline, own_end = os.pipe()
        held.callback(os.close, lifeline)
        held.callback(os.close, own_end)
        place = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
        for rank in range(count):
            own = os.environ | place | {"RANK": str(rank), "LOCAL_RANK": str(rank), LIFELINE: str(lifeline)}
            said = held.enter_context((folder / str(rank)).open("w")) if rank else None
            command = [sys.executable, "-m", "fmn", *sys.argv[1:]]
            children.append(subprocess.Popen(command, env=own, stdout=said, stderr=said, pass_fds=(lifeline,)))
        try:
            while not any(child.poll() for child in children) and any(child.poll() is None for child in children):
                time.sleep(0.1)
            ended = time.monotonic()
            while any(child.poll() is None for child in children) and time.monotonic() < ended + GRACE_S:
                time.sleep(0.1)
            codes = [child.poll() or 0 for child in children]
        except KeyboardInterrupt:
            _stop(children)
            if children[0].returncode not in (0, INTERRUPTED):
                raise  # it was interrupted before it could report it
            codes = [children[0].returncode] * count
        finally:
            _stop(children)
        for rank, code in enumerate(codes):
            if code and rank and code != codes[0]:
                how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
                print(f"Process {rank} of this training ended {how}.", file=sys.stderr)
                print((folder / str(rank)).read_text("utf-8", "replace"), file=sys.stderr)
    return next((INTERRUPTED if code < 0 else code for code in codes if code), 0)


def end_with_launcher() -> None:
    """From now on this training process, if :func:`run_processes` started it, ends when the launcher is killed."""
    lifeline = os.environ.pop(LIFELINE, None)  # it is no descriptor of the processes that this one starts
    if lifeline is not None:
        threading.Thread(target=_wait_for_launcher, args=(int(lifeline),), daemon=True).start()


def _wait_for_launcher(lifeline: int) -> None:
    os.read(lifeline, 1)  # nothing is ever written: it returns when the launcher has ended
    os._exit(INTERRUPTED)


def _stop(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ends those that run, by force where they do not end by themselves."""
    for stop in (subprocess.Popen.terminate, subprocess.Popen.kill):
        for child in children:
            stop(child)
        for child in children:
            with suppress(subprocess.TimeoutExpired):
                child.wait(GRACE_S)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
