"""Validation of configurations: dataclasses whose type hints constrain their values.

An error lists all unknown keys and invalid values together, each with its value and what is allowed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from dataset_tools.core.errors import InputError, ToolkitError

Section = TypeVar("Section")
Value = TypeVar("Value")
Count = Annotated[int, Meta(ge=1, le=10**8)]
LARGEST_SIZE = 65_536
Size = Annotated[int, Meta(ge=1, le=LARGEST_SIZE)]
"""A dimension of something held in memory; the limit is many times the paper's largest, 2048."""
NotNegative = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Proportion = Annotated[float, Meta(ge=0, lt=1)]
Cosine = Annotated[float, Meta(ge=-1, le=1)]

REFUSAL = "The configuration cannot be used: "


def section_from(section: type[Section], values: Mapping[str, Any], *, expected: str, path: str = "") -> Section:
    """Creates a dataclass from a mapping; missing fields have their defaults.

    Args:
        section: the dataclass, with type hints that msgspec checks.
        values: by field.
        expected: describes the valid keys and values in an error message.
        path: prefix of a key in messages (``options.``).

    Raises:
        InputError: see `config_from_dict`.
    """
    problems: list[str] = []
    instance = _read(section, values, path, problems)
    if problems or instance is None:
        raise InputError(
            REFUSAL + "; ".join(problems),
            expected=expected,
            next_step="correct or remove them",
        )
    return instance


def check(section: object, *rules: str | None) -> None:
    """Validates a dataclass that was created directly; called in its `__post_init__`.

    Whole numbers for fields of floats become floats, so that equal configurations have equal digests.

    Args:
        section: the dataclass, with type hints that msgspec checks.
        rules: for each rule on several values together, what is wrong, or None.

    Raises:
        InputError: there are invalid values; the message lists all of them.
    """
    hints = _hints(type(section))  # type: ignore[arg-type]  # a class is hashable
    problems = [*(_problem(key, getattr(section, key), hint) for key, hint in hints.items()), *rules]
    if any(problems):
        raise InputError(
            REFUSAL + "; ".join(filter(None, problems)),
            where=type(section).__name__,
            next_step="correct these values",
        )
    for key, hint in hints.items():
        if isinstance(getattr(section, key), int) and not dataclasses.is_dataclass(hint):
            object.__setattr__(section, key, msgspec.convert(getattr(section, key), hint))


class Checked:
    """Base class of a section that is validated whenever it is created; one with rules calls `check` itself."""

    def __post_init__(self) -> None:
        check(self)


_LATER, _IN_RUN_NAMES = "later", "in run names"


def later(default: Value, *, in_run_names: bool = False) -> Value:
    """A field that was added after data or runs existed; its default has to preserve the behavior from before it.

    Digests leave it out while it has its default, so that features and runs from before it are found.

    Args:
        default: its default.
        in_run_names: whether the names of runs depend on it even so; only for fields for which they always did.
    """
    field: Value = dataclasses.field(default=default, metadata={_LATER: True, _IN_RUN_NAMES: in_run_names})
    return field


def decisive(section: Any, *, of_run: bool = False) -> dict[str, Any]:
    """Returns the values that a digest of a configuration covers, sections as dictionaries.

    Args:
        section: the configuration, or a section of it: a dataclass.
        of_run: whether the digest names a run, not features.

    Returns:
        All values, except those of `later` fields that are at their defaults.
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(section):
        value, about = getattr(section, field.name), field.metadata
        if about.get(_LATER) and value == field.default and not (of_run and about[_IN_RUN_NAMES]):
            continue
        values[field.name] = decisive(value, of_run=of_run) if dataclasses.is_dataclass(value) else value
    return values


@cache
def _hints(section: type) -> Mapping[str, Any]:
    """Type hints of a dataclass, constraints included: evaluating them takes longer than checking the values."""
    return get_type_hints(section, include_extras=True)


def _problem(name: str, value: Any, hint: Any) -> str | None:
    """Describes what is wrong with a value; None if it is valid."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return None if isinstance(value, hint) else f"{name} is {value!r}, expected {hint.__name__}"
    try:
        msgspec.convert(value, hint)
    except ValueError as error:
        parts = [hint] if get_origin(hint) is Literal else get_args(hint)
        literals = [part for part in parts if get_origin(part) is Literal]
        if literals and (literals == list(parts) or isinstance(value, str)):  # msgspec does not list the choices
            choices = ", ".join(repr(choice) for part in literals for choice in get_args(part))
            other = "" if literals == list(parts) else ", or a number"
            return f"{name} is {value!r}, expected one of {choices}{other}"
        return f"{name} is {value!r}: {error}"
    if isinstance(value, float) and not math.isfinite(value):  # JSON has no such numbers, and no key needs one
        return f"{name} is {value!r}, expected a finite number"
    if isinstance(value, Mapping):  # the options of a system
        return next(filter(None, (_problem(f"{name}.{key}", each, Any) for key, each in value.items())), None)
    return None


def _read(section: type[Section], values: Any, path: str, problems: list[str]) -> Section | None:
    """Returns an instance of the dataclass ``section``, or appends to ``problems`` and returns None."""
    if not isinstance(values, Mapping):
        problems.append(f"{path.rstrip('.') or 'it'} is not an object of keys and values")
        return None
    hints = _hints(section)  # type: ignore[arg-type]  # a class is hashable
    problems += [f"{path}{key} is unknown" for key in values if key not in hints]
    fields: dict[str, Any] = {}
    before = len(problems)
    for key, hint in hints.items():
        if key not in values:
            continue
        if dataclasses.is_dataclass(hint):
            fields[key] = _read(hint, values[key], f"{path}{key}.", problems)  # type: ignore[arg-type]
            continue
        if problem := _problem(path + key, values[key], hint):
            problems.append(problem)
        else:
            fields[key] = msgspec.convert(values[key], hint)
    if len(problems) > before:
        return None
    try:
        return section(**fields)
    except ToolkitError as error:  # a rule on several values (`check`)
        problems.append(f"{path.rstrip('.')}: {error.found.removeprefix(REFUSAL)}")
        return None
