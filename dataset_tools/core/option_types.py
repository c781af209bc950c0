"""Types of options: short names in the help, and what was expected if a value is wrong. Only `command` imports this."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

_SHORT_TYPES = {int: "N", float: "X", str: "TEXT"}


def set_type(annotation: Any) -> None:
    """Sets the short type of an option for the help, such as ``--jobs N`` or ``--engine local|ray``, and its parser.

    Numbers, and options whose path must not be a file or a folder, are parsed here: Typer's messages on them are those
    of its libraries, and differ between its versions. Arguments keep Typer's types, which their help shows (``<dir>``).
    """
    kind, *extra = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    while (inner := get_args(kind)) and get_origin(kind) is not Literal:
        kind = inner[0]  # unwraps `Path | None`, `list[Path] | None`
    for option in extra:
        if not isinstance(option, typer.models.OptionInfo):
            continue
        if option.metavar is None:
            option.metavar = _short_type(kind, option)
        if kind in (int, float):
            option.parser = _number_parser(kind, option.min, option.max)
        elif kind is Path and not (option.file_okay and option.dir_okay):
            option.parser = _path_parser(is_folder=option.dir_okay)


def _short_type(kind: Any, option: typer.models.OptionInfo) -> str | None:
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    if kind is Path:
        return "FILE" if not option.dir_okay else "PATH" if option.file_okay else "DIR"
    return _SHORT_TYPES.get(kind)


def _number_parser(kind: type[int | float], lowest: float | None, highest: float | None) -> Callable[[Any], Any]:
    """Returns the parser of a number between two limits, both included; None: no limit."""
    expected = "an integer" if kind is int else "a number"
    if lowest is not None and highest is not None:
        expected += f" from {lowest} to {highest}"
    elif lowest is not None or highest is not None:
        expected += f" of at least {lowest}" if highest is None else f" of at most {highest}"

    def number(value: Any) -> Any:
        try:
            found = kind(value)
        except (ValueError, OverflowError):
            found = None
        is_within = found is not None and (lowest is None or found >= lowest) and (highest is None or found <= highest)
        if not is_within:
            raise typer.BadParameter(f"{value!r} is not {expected}")
        return found

    return number


def _path_parser(*, is_folder: bool) -> Callable[[Any], Path]:
    def path(value: Any) -> Path:
        found = Path(value)
        with suppress(OSError):  # too long a name, a folder that may not be entered: the command tells what it wanted
            if found.is_file() if is_folder else found.is_dir():
                given, expected = ("file", "folder") if is_folder else ("folder", "file")
                raise typer.BadParameter(f"{os.fspath(value)!r} is a {given}; expected a {expected}")
            if found.exists() and not os.access(found, os.R_OK):
                raise typer.BadParameter(f"{os.fspath(value)!r} cannot be read: this account has no permission to")
        return found

    return path
