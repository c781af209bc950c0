"""The columns of clips, utterances and pairs in formats of flat tables, such as CSV and Parquet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from dataset_tools.exports.exported_rows import ExportedRow, TableName
from dataset_tools.manifests import ClipRow, WindowOrigin

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Column:
    """A column: its name, the type of its values (None if there is none), and the function that reads a value."""

    name: str
    kind: type[str] | type[int] | type[float] | type[bool]
    value: Callable[[ExportedRow], Value]


def _of_row(kind: type[Any], *names: str) -> list[Column]:
    """Columns that are fields of the row."""

    def getter(name: str) -> Callable[[ExportedRow], Value]:
        return lambda one: _set(getattr(one.row, name))

    return [Column(name, kind, getter(name)) for name in names]


def _set(value: Any) -> Any:
    return None if value is msgspec.UNSET else value


def _as_json(name: str) -> Column:
    """A column with a nested field of the row, encoded as JSON text."""

    def value(exported: ExportedRow) -> Value:
        found = _set(getattr(exported.row, name))
        return None if found is None else msgspec.json.encode(found).decode()

    return Column(name, str, value)


def _of_label(name: str) -> Column:
    return Column(name, str, lambda one: None if one.label is None else getattr(one.label, name))


def _fact(name: str) -> Column:
    def value(exported: ExportedRow) -> Value:
        facts = _set(getattr(exported.row, "speaker", None))
        return None if facts is None else getattr(facts, name) or None

    return Column(name, str, value)


def _trim(place: int) -> Callable[[ExportedRow], Value]:
    def value(exported: ExportedRow) -> Value:
        trim = getattr(exported.row, "trim", None)
        return None if trim is None else int(trim[place])

    return value


def _window(name: str) -> Callable[[ExportedRow], Value]:
    def value(exported: ExportedRow) -> Value:
        origin = getattr(exported.row, "origin", None)
        return getattr(origin, name) if isinstance(origin, WindowOrigin) else None

    return value


def _augmented_from(exported: ExportedRow) -> Value:
    augmented = _set(getattr(exported.row, "augmented", None))
    return None if augmented is None else augmented.original


_FIRST = (*_of_row(str, "id"), Column("class", str, lambda one: one.row.class_id))
_CLASS = (_of_label("action"), _of_label("subject"), _of_label("object"))
_SPLIT = (Column("split", str, lambda one: one.split), Column("fold", int, lambda one: one.fold))

COLUMNS: Mapping[TableName, tuple[Column, ...]] = {
    "clips": (
        *_FIRST,
        *_CLASS,
        *_SPLIT,
        *_of_row(str, "person", "dish"),
        Column("source_video", str, lambda one: one.row.video if isinstance(one.row, ClipRow) else None),
        *_of_row(int, "start_frame", "end_frame"),
        Column("trim_start_frame", int, _trim(0)),
        Column("trim_end_frame", int, _trim(1)),
        Column("window", int, _window("index")),
        Column("windows", int, _window("of")),
        *_of_row(float, "fps"),
        *_of_row(int, "frames", "width", "height"),
        *_of_row(float, "duration_s"),
        Column("sound", bool, lambda one: getattr(one.row, "sound", None) is True),
        _as_json("source_frames"),
        *_of_row(str, "review", "sha256"),
    ),
    "utterances": (
        *_FIRST,
        *_CLASS,
        *_SPLIT,
        *_of_row(str, "clip", "text", "text_source", "language", "voice", "source", "engine"),
        _fact("accent"),
        _fact("age_band"),
        _fact("device"),
        Column("augmented_from", str, _augmented_from),
        *_of_row(int, "sample_rate_hz"),
        *_of_row(float, "duration_s"),
        _as_json("quality"),
        *_of_row(str, "review", "sha256"),
    ),
    "pairs": (*_FIRST, *_SPLIT, *_of_row(str, "clip", "utterance")),
}
"""Nested fields (``quality``, ``source_frames``) are JSON text; frame numbers are 1-based and ranges inclusive."""
