"""Standard streams: closed ones, an encoding without some characters, failing ones, and stdout reserved for JSON."""

from __future__ import annotations

import ctypes
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any, TextIO, TypeVar

from dataset_tools.core.errors import StoppedError

Answer = TypeVar("Answer")


class OutputError(StoppedError):
    """Stdout cannot be written: its disk is full, or (`is_unread`) nobody reads it anymore, as after ``| head``."""

    def __init__(self, error: OSError) -> None:
        self.is_unread = isinstance(error, BrokenPipeError)
        super().__init__(
            f"The output cannot be written: {error.strerror}",
            where="stdout",
            next_step="send it somewhere else, or make room; then run the same command again",
        )


@contextmanager
def usable_streams() -> Iterator[None]:
    """Makes stdin, stdout and stderr usable for a program, whatever it was started with; for the main program only.

    - A closed one is opened on ``/dev/null``: else the next file that is opened would be in its place.
    - Characters that the encoding lacks, such as ✓ in ASCII, are replaced by a question mark on output.
    - What cannot be written to stderr is lost, and the work goes on.
    - What cannot be written to stdout raises `OutputError` in the context; nothing raises it when the program exits.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            _discard(descriptor)
            setattr(sys, name, open(descriptor, "w" if descriptor else "r", closefd=False))  # noqa: SIM115
    sys.stdout = _made_usable(sys.stdout, sys.__stdout__, _Stdout)
    sys.stderr = _made_usable(sys.stderr, sys.__stderr__, _Stderr)
    try:
        yield
    finally:
        try:
            sys.stdout.flush()
        except OutputError:
            _discard(1)  # what is left in the buffer is written when the program exits
            raise


@contextmanager
def reserved_stdout() -> Iterator[None]:
    """Redirects stdout to stderr within the context, for the whole process and the processes that it starts.

    The file descriptor is redirected, too, since libraries in C and worker processes do not use `sys.stdout`.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stdout.flush()
        ctypes.CDLL(None).fflush(None)  # what code in C has printed is in its buffer
        os.dup2(kept, 1)
        os.close(kept)


class _Stream(io.TextIOWrapper):
    @classmethod
    def like(cls, stream: io.TextIOWrapper[Any]) -> _Stream:
        """Returns a stream on the same buffer, with the same encoding and buffering."""
        return cls(
            stream.buffer,
            stream.encoding,
            stream.errors,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )

    def write(self, text: str, /) -> int:
        return self._attempted(lambda: super(_Stream, self).write(text), len(text))

    def flush(self) -> None:
        self._attempted(super().flush, None)

    def _attempted(self, act: Callable[[], Answer], otherwise: Answer) -> Answer:
        raise NotImplementedError


class _Stdout(_Stream):
    def _attempted(self, act: Callable[[], Answer], otherwise: Answer) -> Answer:
        try:
            return act()
        except OSError as error:
            raise OutputError(error) from None


class _Stderr(_Stream):
    def _attempted(self, act: Callable[[], Answer], otherwise: Answer) -> Answer:
        try:
            return act()
        except OSError:
            _discard(2)
            with suppress(OSError):
                act()
            return otherwise


def _made_usable(stream: TextIO, first: TextIO | None, kind: type[_Stream]) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.reconfigure(errors="replace")
    return kind.like(stream) if stream is first else stream  # else a caller has redirected it, and handles its errors


def _discard(descriptor: int) -> None:
    """Redirects a file descriptor to ``/dev/null``."""
    null = os.open(os.devnull, os.O_RDWR)
    if null == descriptor:
        os.set_inheritable(null, True)  # as the standard ones are
        return
    os.dup2(null, descriptor)
    os.close(null)
