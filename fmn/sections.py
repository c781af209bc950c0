"""Reads a section of a configuration, a dataclass, strictly: all unknown keys and wrong values are named at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, get_type_hints

import msgspec

from dataset_tools.core.errors import InputError, ToolkitError

Section = TypeVar("Section")


def section_from(section: type[Section], values: Mapping[str, Any], *, expected: str, path: str = "") -> Section:
    """Reads a dataclass; what is left out has its default.

    Args:
        section: the dataclass, with type hints that msgspec checks.
        values: by field.
        expected: what an error says of the keys and values that would have been right.
        path: what stands before a key where it is named (``options.``).

    Raises:
        InputError: as of `config_from_dict`.
    """
    problems: list[str] = []
    found = _read(section, values, path, problems)
    if problems or found is None:
        raise InputError(
            "The configuration cannot be used: " + "; ".join(problems),
            expected=expected,
            next_step="correct or remove what is named",
        )
    return found


def _read(section: type[Section], values: Any, path: str, problems: list[str]) -> Section | None:
    """An instance of the dataclass ``section``; what is wrong goes to ``problems`` and gives null."""
    if not isinstance(values, Mapping):
        problems.append(f"{path.rstrip('.') or 'it'} is not an object of keys and values")
        return None
    hints = get_type_hints(section, include_extras=True)
    problems += [f"{path}{key} is unknown" for key in values if key not in hints]
    found: dict[str, Any] = {}
    before = len(problems)
    for key, hint in hints.items():
        if key not in values:
            continue
        if dataclasses.is_dataclass(hint):
            found[key] = _read(hint, values[key], f"{path}{key}.", problems)  # type: ignore[arg-type]
            continue
        try:
            found[key] = msgspec.convert(values[key], hint)
        except msgspec.ValidationError as error:
            problems.append(f"{path}{key} is {values[key]!r}: {error}")
    if len(problems) > before:
        return None
    try:
        return section(**found)
    except ToolkitError as error:  # the features' configurations check themselves
        problems.append(error.found)
        return None
