"""Errors of Python, the operating system and libraries as errors of the toolkit: users never see a traceback."""

from __future__ import annotations

import errno
import sys

import typer

from dataset_tools.core.early_interrupts import FOUND, NEXT_STEP
from dataset_tools.core.errors import InputError, StoppedError, ToolkitError
from dataset_tools.core.files import disk_error
from dataset_tools.core.unicode_names import not_encodable


def as_toolkit_error(raised: BaseException) -> ToolkitError:
    """Converts an exception to one of the toolkit's errors."""
    if isinstance(raised, ToolkitError):
        return raised
    if isinstance(raised, typer.Abort):  # a confirmation was declined, or Ctrl+C
        return StoppedError("Not confirmed: nothing was changed", next_step="answer y, or give --yes")
    # Python 3.11 turns an interrupt in `__set_name__`, when a library is imported, into a RuntimeError.
    if isinstance(raised, KeyboardInterrupt) or isinstance(raised.__cause__, KeyboardInterrupt):
        return interrupted()
    stopped = disk_error(raised, getattr(raised, "filename", None))
    if stopped is not None:
        return stopped
    if isinstance(raised, UnicodeEncodeError) and "utf-8" not in (raised.encoding, sys.getfilesystemencoding()):
        return not_encodable(raised)
    if isinstance(raised, OSError) and raised.errno == errno.ENOLCK:
        return StoppedError(
            "The file system has no locks, which keep two commands from writing to the same files",
            where=raised.filename,
            expected="a file system with locks (NFS: rpc.statd and lockd; Lustre: the mount option flock)",
            next_step="use a workspace on another disk, or ask the administrator to enable locks",
        )
    if isinstance(raised, OSError):
        remedy = "give this account access, or use another folder" if isinstance(raised, PermissionError) else "fix it"
        return StoppedError(
            f"Operating system error: {raised.strerror or raised}",
            where=raised.filename,
            next_step=f"{remedy}; then run the same command again: it resumes",
        )
    kinds = {kind.__name__ for kind in type(raised).__mro__}
    if kinds & {"MemoryError", "OutOfMemoryError"} or "not enough memory" in str(raised):
        return StoppedError(
            f"There is not enough memory: {raised}" if str(raised) else "There is not enough memory",
            next_step="reduce memory use (--jobs, batch size, smaller files), then run the same command again",
        )
    if kinds & {"FloatingPointError", "LinAlgError"}:  # such as a singular matrix
        return InputError(
            f"A calculation failed on these inputs: {type(raised).__name__}: {raised}",
            expected="values that the calculation is defined for",
            next_step="check the inputs and the options; --debug shows where it failed",
        )
    if isinstance(raised, RecursionError):
        return InputError(
            "An input is nested too deeply",
            expected="a file as the toolkit writes it",
            next_step="check the files that the command reads; --debug shows where it failed",
        )
    if str(raised) == "Could not determine home directory.":  # `Path.home` and `Path.expanduser`, in any library
        return InputError(
            "The home directory is unknown: the account has none, or a path begins with ~ and an unknown name",
            expected="the environment variable HOME",
            next_step="set HOME to a folder that can be written to, and check paths that begin with ~",
        )
    return StoppedError(
        f"Unexpected error: {type(raised).__name__}: {raised}",
        next_step="run it again with --debug and report what it prints",
    )


def interrupted() -> StoppedError:
    """The error of a command that was interrupted."""
    return StoppedError(FOUND, next_step=NEXT_STEP)
