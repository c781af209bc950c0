"""Reads a CSV of intervals: which span of which video shows what.

``video,start_frame,end_frame,action,subject,object``, or ``start_s,end_s`` for the times, and ``person,dish`` at will.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import read_input

FRAMES, SECONDS = ("start_frame", "end_frame"), ("start_s", "end_s")
_EXPECTED = (
    "columns video, start_frame, end_frame (or start_s, end_s), action, subject, and object, person, dish at will"
)
_NEEDED, _MORE = ("video", "action", "subject"), ("object", "person", "dish")
_MOST_FRAMES = 10**8
_LONGEST_NAME = 150
_SHOWN_PROBLEMS = 20


@dataclass(frozen=True)
class ListedInterval:
    """A row: its line, the times as they stand there, words with single spaces, person and dish as slugs."""

    line: int
    video: str
    start: float
    end: float
    action: str
    subject: str
    object: str
    person: str
    dish: str


def read_interval_list(listing: Path) -> tuple[list[ListedInterval], bool]:
    """The rows of a CSV (UTF-8; commas, semicolons or tabs), and whether its times are seconds.

    Raises:
        InputError: it cannot be read, or lacks columns, or has wrong rows (all of them in one message).
    """
    try:
        text = read_input(listing).decode("utf-8-sig")
        first_line = text.partition("\n")[0]
        delimiter = max(",;\t", key=first_line.count)
        reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", strict=True, delimiter=delimiter)
        columns = [(column or "").strip().lower() for column in reader.fieldnames or []]
        reader.fieldnames = columns
        times = _check_columns(columns, listing)
        lines = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise InputError(
            f"The list of intervals cannot be read: {error.strerror}",
            where=listing,
            expected=_EXPECTED,
            next_step="check the path",
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"The list of intervals is no CSV that can be read: {error}",
            where=listing,
            expected=_EXPECTED,
            next_step="export it again as CSV, UTF-8",
        ) from error
    rows: list[ListedInterval] = []
    problems: list[str] = []
    for line, fields in lines:
        try:
            rows.append(_row(line, fields, times))
        except ValueError as error:
            problems.append(f"line {line}: {error}")
    if problems or not rows:
        shown = problems[:_SHOWN_PROBLEMS] + [f"and {len(problems) - _SHOWN_PROBLEMS} more"] * (
            len(problems) > _SHOWN_PROBLEMS
        )
        raise InputError(
            "The list of intervals cannot be used" + "".join(f"\n  - {problem}" for problem in shown)
            if problems
            else "The list of intervals has no rows",
            where=listing,
            expected=_EXPECTED,
            next_step="correct these lines" if problems else "add a line for every interval",
        )
    return rows, times == SECONDS


def _check_columns(columns: Sequence[str], listing: Path) -> tuple[str, str]:
    """The two columns of times.

    Raises:
        InputError: columns are missing, unknown, there twice, or do not say what the times are.
    """
    has_frames, has_seconds = ({*FRAMES} <= {*columns}, {*SECONDS} <= {*columns})
    problems = [f"the column {name!r} is missing" for name in _NEEDED if name not in columns]
    problems += [
        f"the column {name!r} is there {columns.count(name)} times"
        for name in sorted({*columns})
        if columns.count(name) > 1
    ]
    known = (*_NEEDED, *_MORE, *FRAMES, *SECONDS)
    problems += [f"the column {name!r} is not known" for name in dict.fromkeys(columns) if name not in known]
    if has_frames == has_seconds:
        problems.append("the times must be start_frame and end_frame, or start_s and end_s (seconds), not both")
    if problems:
        raise InputError(
            "The list of intervals cannot be used: " + "; ".join(problems),
            where=f"{listing}, line 1",
            expected=_EXPECTED,
            next_step="correct the first line",
        )
    return FRAMES if has_frames else SECONDS


def _row(line: int, fields: Mapping[str, str | None], times: tuple[str, str]) -> ListedInterval:
    if "" in fields:
        raise ValueError("it has more fields than there are columns")
    values = {name: " ".join((text or "").split()) for name, text in fields.items()}
    for name in (*_NEEDED, *times):
        if not values[name]:
            raise ValueError(f"`{name}` is empty")
    if any(not character.isprintable() for text in values.values() for character in text):
        raise ValueError("it has characters that cannot be printed")
    if not slug(values["video"]) or len(values["video"]) > _LONGEST_NAME:
        raise ValueError(f"`video`: {values['video'][:40]!r} is no name of a video")
    subject, object_ = values["subject"], values.get("object", "")
    if subject.lower() == object_.lower():
        raise ValueError(f"`object`: it is the subject, {subject!r}, again")
    start, end = (_number(values[name], name, whole=times == FRAMES) for name in times)
    person, dish = (slug(values.get(name, "")) for name in ("person", "dish"))
    if times == FRAMES and start < 1:
        raise ValueError(f"`start_frame`: {int(start)} is before the first frame: frames count from 1")
    if end < start:
        raise ValueError(f"`{times[1]}`: {values[times[1]]} is before `{times[0]}`, {values[times[0]]}")
    return ListedInterval(line, values["video"], start, end, values["action"], subject, object_, person, dish)


def _number(text: str, name: str, *, whole: bool) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if whole and not (value.is_integer() and abs(value) < _MOST_FRAMES):
        raise ValueError(f"`{name}`: {text[:40]!r} is no number of a frame")
    if not 0 <= value < _MOST_FRAMES and not whole:
        raise ValueError(f"`{name}`: {text[:40]!r} is no time in seconds, such as 12.5")
    return value


def slug(text: str) -> str:
    """Letters, digits, dots and single hyphens: what a name can be in ids and in names of files."""
    return re.sub(r"[^\w.]+|_+", "-", text).strip("-.")
