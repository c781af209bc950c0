"""Typed reading of JSON annotation files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from dataset_tools.corpora.annotations.interval_list import read_content, refusal

Part = TypeVar("Part")


def read_json(path: Path, expected: str, type_: type[Part]) -> Part:
    """The content of a JSON file.

    Raises:
        InputError: it cannot be read, or is not of the type.
    """
    try:
        return msgspec.json.decode(read_content(path, expected).removeprefix(b"\xef\xbb\xbf"), type=type_)
    except (ValueError, RecursionError) as error:
        found = f"is no JSON that can be used: {str(error)[:200]}"
        raise refusal(
            path, found, expected, "export it again; if it is of another format, --format names it"
        ) from error


def part(value: Any, type_: type[Part]) -> Part:
    """A part of it; what the type does not name is ignored.

    Raises:
        ValueError: it is something else.
    """
    try:
        return msgspec.convert(value, type_)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
