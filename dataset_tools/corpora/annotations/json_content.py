"""Typed reading of JSON annotation files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from dataset_tools.corpora.annotations.interval_list import read_content, refusal

Part = TypeVar("Part")


def read_json(path: Path, expected: str, type_: type[Part]) -> Part:
    """Returns the content of a JSON file.

    Raises:
        InputError: the file cannot be read, or does not match the type.
    """
    try:
        return msgspec.json.decode(read_content(path, expected).removeprefix(b"\xef\xbb\xbf"), type=type_)
    except (ValueError, RecursionError) as error:
        found = f"is not usable JSON: {str(error)[:200]}"
        raise refusal(
            path, found, expected, "export it again; if it is in another format, name it with --format"
        ) from error


def part(value: Any, type_: type[Part]) -> Part:
    """Converts a part of the content to a type; fields that the type lacks are ignored.

    Raises:
        ValueError: the part does not match the type.
    """
    try:
        return msgspec.convert(value, type_)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
