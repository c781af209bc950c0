"""Records: JSON files of one object, such as build.json, which are validated when read and written indented."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from dataset_tools.core.errors import InputError, ToolkitError

Record = TypeVar("Record")


def read_record(
    path: Path,
    record_type: type[Record],
    *,
    name: str,
    expected: str,
    next_step: str,
    check: Callable[[Record], None] | None = None,
    raises: type[ToolkitError] = InputError,
) -> Record | None:
    """Reads a record; returns None if there is no such file.

    Args:
        path: the file.
        record_type: what it is decoded as.
        name: what it is, for the message ``The NAME cannot be read``.
        expected: what writes it, for the same message.
        next_step: advice, for the same message.
        check: raises a ValueError for a record of the right type that cannot be used either.
        raises: class of the error.

    Raises:
        InputError: the file is not JSON of this type, or fails the check.
    """
    if not path.is_file():
        return None
    try:
        record = msgspec.json.decode(path.read_bytes(), type=record_type)
        if check is not None:
            check(record)
    except (ValueError, RecursionError) as error:
        found = f"The {name} cannot be read: {error}"
        raise raises(found, where=path, expected=expected, next_step=next_step) from error
    return record


def record_bytes(record: object) -> bytes:
    """Encodes a record as indented JSON with a final newline."""
    return msgspec.json.format(msgspec.json.encode(record)) + b"\n"
