"""Interval CSV: video intervals and their classes.

Columns ``video,start_frame,end_frame,action,subject,object``, or ``start_s,end_s`` for the times, or ``label`` for the
words; and optionally ``person``, ``dish``, ``sentence``, ``sentence_2`` ….
"""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.core.csv_table import Table, table_of
from dataset_tools.corpora.annotations.interval_list import (
    MOST_FRAMES,
    SHOWN_PROBLEMS,
    IntervalList,
    IntervalRows,
    read_content,
    refusal,
)
from dataset_tools.corpora.annotations.time_columns import FRAMES, SECONDS, check_whole_videos, times_of

_EXPECTED = (
    "columns video, start_frame, end_frame (or start_s, end_s; or neither: whole videos), action, subject (or label), "
    "and optionally object, person, dish, sentence, sentence_2"
)
_WORDS, _MORE = ("action", "subject"), ("object", "person", "dish", "sentence")
COLUMNS = frozenset(("video", "label", *_WORDS, *_MORE, *FRAMES, *SECONDS))
"""The known columns, besides more sentences."""
_SENTENCE = re.compile(r"sentence(_[2-9]|_[1-9]\d)?")
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d*)?)")
_THOUSANDS = re.compile(r"\d{1,3}\.000")  # spreadsheets write 12.000 for 12,000 in many countries
_MINUTE = re.compile(r"60\.0+")  # programs that round the seconds alone write 59.9996 s as 0:60.000


def read_table(path: Path, expected: str = _EXPECTED) -> Table:
    """Reads a CSV file as spreadsheets write it (see `dataset_tools.core.csv_table`).

    Raises:
        InputError: the file cannot be read, or is not valid CSV.
    """
    try:
        return table_of(read_content(path, expected))
    except (UnicodeDecodeError, csv.Error) as error:
        raise refusal(path, f"is not readable CSV: {error}", expected, "export it again as CSV, UTF-8") from error


def read_interval_csv(path: Path, *, frame_base: int = 1) -> IntervalList:
    """Reads a CSV file of intervals. Unknown columns are ignored, and named in the notes.

    Args:
        path: the CSV file.
        frame_base: number of the first frame of a video.

    Raises:
        InputError: the file cannot be read, lacks columns, or has invalid rows (all of them in one message).
    """
    table = read_table(path)
    times = _check_columns(table, path)
    rows = IntervalRows(path, _EXPECTED)
    for line, fields in table.rows:
        with rows.at(f"line {line}"):
            values = checked_fields(fields)
            _add(rows, f"line {line}", values, times, frame_base)
    if others := _unknown(table.columns):
        named = ", ".join(first_of([repr(name) for name in others], SHOWN_PROBLEMS))
        rows.notes.append(f"{count_of(len(others), 'column is', 'columns are')} unknown and ignored: {named}.")
    return rows.finished(in_seconds=times == SECONDS)


def checked_fields(fields: Mapping[str, str | None]) -> dict[str, str]:
    """Returns the fields of a row, with single spaces, except in ``video``: file names may have several.

    Raises:
        ValueError: there are more fields than columns.
    """
    if "" in fields:
        raise ValueError("it has more fields than there are columns")
    values = {name: " ".join((text or "").split()) for name, text in fields.items()}
    video = fields.get("video")
    return values | ({"video": video} if video and values["video"] else {})


def needed_fields(values: Mapping[str, str], names: Sequence[str]) -> None:
    """Checks that required fields are not empty.

    Raises:
        ValueError: a field is empty.
    """
    for name in names:
        if not values[name]:
            raise ValueError(f"`{name}` is empty")


def seconds_of(text: str, name: str) -> float:
    """Parses a time: ``83.5``, ``83,5``, ``1:23.5``, ``00:01:23.500``.

    Raises:
        ValueError: the text is not a time.
    """
    plain = text.replace(",", ".") if text.count(",") == 1 and "." not in text else text
    clock = _CLOCK.fullmatch(plain)
    if clock and ((float(clock[3]) >= 60 and not _MINUTE.fullmatch(clock[3])) or (clock[1] and int(clock[2]) >= 60)):
        raise ValueError(f"`{name}`: {text[:40]!r} has 60 or more minutes or seconds: times are like 1:02:03.5")
    try:
        value = 3600 * int(clock[1] or 0) + 60 * int(clock[2]) + float(clock[3]) if clock else _number(plain)
    except ValueError:
        value = math.nan
    if not 0 <= value < MOST_FRAMES:
        raise ValueError(f"`{name}`: {text[:40]!r} is not a time in seconds, nor one like 1:02:03.5")
    return value


def _needed(columns: Sequence[str]) -> tuple[str, ...]:
    has_label = "label" in columns and not any(name in columns for name in _WORDS)
    return ("video", *(("label",) if has_label else _WORDS))


def _unknown(columns: Sequence[str]) -> list[str]:
    known = (*_needed(columns), *_MORE, *FRAMES, *SECONDS)
    return [name for name in dict.fromkeys(columns) if name and name not in known and not _SENTENCE.fullmatch(name)]


def _check_columns(table: Table, path: Path) -> tuple[str, str] | None:
    """Returns the two columns of times; None if there are none: whole videos.

    Raises:
        InputError: columns are missing or duplicated, or do not specify the unit of the times.
    """
    columns, unknown = table.columns, _unknown(table.columns)
    problems = [f"the column {name!r} is missing" for name in _needed(columns) if name not in columns]
    for name, count in Counter(columns).items():
        if count > 1 and name and name not in unknown:
            problems.append(f"the column {name!r} occurs {count} times")
    times = None
    try:
        times = times_of(columns)
        if times is None:
            check_whole_videos(unknown, [fields for _, fields in table.rows])
    except ValueError as error:
        problems.append(str(error))
    if problems:
        found = "cannot be used: " + "; ".join(problems)
        next_step = "correct the first line; if the file is of another format, name it with --format"
        raise refusal(path, found, _EXPECTED, next_step, line=1)
    return times


def _add(
    rows: IntervalRows, place: str, values: Mapping[str, str], times: tuple[str, str] | None, frame_base: int
) -> None:
    needed = _needed(list(values))
    needed_fields(values, needed)
    if "label" in needed:
        action, subject, object_ = rows.words_of(values["label"])
        words = (action, subject, values.get("object") or object_)
    else:
        words = (values["action"], values["subject"], values.get("object", ""))
    start, end = _times(values, times, frame_base)
    sentences = [text for name, text in values.items() if _SENTENCE.fullmatch(name)]
    person, dish = values.get("person", ""), values.get("dish", "")
    rows.add(place, values["video"], start, end, words, sentences=sentences, person=person, dish=dish)


def _times(
    values: Mapping[str, str], times: tuple[str, str] | None, frame_base: int
) -> tuple[float, float] | tuple[None, None]:
    """Returns start and end as numbers, frames from 1; (None, None) if both are empty: the whole video."""
    if times is None or not (values[times[0]] or values[times[1]]):
        return None, None
    for name in times:
        if not values[name]:
            raise ValueError(f"`{name}` is empty: give both times, or neither for the whole video")
    number = _frame if times == FRAMES else seconds_of
    start, end = (number(values[name], name) for name in times)
    if times == FRAMES and start < frame_base:
        raise ValueError(f"`start_frame`: {int(start)} is before the first frame: frames count from {frame_base}")
    if end < start:
        raise ValueError(f"`{times[1]}`: {values[times[1]]} is before `{times[0]}`, {values[times[0]]}")
    shift = 1 - frame_base if times == FRAMES else 0
    return start + shift, end + shift


def _frame(text: str, name: str) -> float:
    try:
        value = math.nan if _THOUSANDS.fullmatch(text) else _number(text)
    except ValueError:
        value = math.nan
    if not (value.is_integer() and abs(value) < MOST_FRAMES):
        raise ValueError(f"`{name}`: {text[:40]!r} is not a frame number, a whole one without separators")
    return value


def _number(text: str) -> float:
    """Returns a number; NaN for ``10_20``, which Python reads as 1020.

    Raises:
        ValueError: the text is none.
    """
    return math.nan if "_" in text else float(text)
