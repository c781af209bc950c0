"""Reads a CSV of intervals: which span of which video shows what.

``video,start_frame,end_frame,action,subject,object``, or ``start_s,end_s`` for the times, and ``person``, ``dish`` and
``sentence`` at will; and the CSV files of EPIC-KITCHENS-100.
"""

from __future__ import annotations

import ast
import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import read_input, slug

FRAMES, SECONDS = ("start_frame", "end_frame"), ("start_s", "end_s")
_EXPECTED = (
    "columns video, start_frame, end_frame (or start_s, end_s; or neither: whole videos), action, subject, and object, "
    "person, dish, sentence at will"
)
_NEEDED, _MORE = ("video", "action", "subject"), ("object", "person", "dish", "sentence")
_EPIC_COLUMNS = {
    "video_id": "video",
    "start_timestamp": "start_s",
    "stop_timestamp": "end_s",
    "verb": "action",
    "noun": "subject",
    "all_nouns": "object",
    "participant_id": "person",
    "narration": "sentence",
}
"""Their frames are of re-encoded copies, so the timestamps count."""
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d*)?)")
_MOST_FRAMES = 10**8
_LONGEST_NAME = 150
_LONGEST_SENTENCE = 500
_SHOWN_PROBLEMS = 20


@dataclass(frozen=True)
class ListedInterval:
    """A row: its line, words with single spaces, person and dish as slugs.

    Attributes:
        start, end: frames or seconds, as the list has them; None: the whole video.
        sentence: what a person said of it, or an empty text.
    """

    line: int
    video: str
    start: float | None
    end: float | None
    action: str
    subject: str
    object: str
    person: str
    dish: str
    sentence: str = ""


@dataclass(frozen=True)
class IntervalList:
    """The rows of a list; whether their times are seconds; what is to be said of it, as full sentences."""

    rows: tuple[ListedInterval, ...]
    in_seconds: bool
    notes: tuple[str, ...] = ()


def read_interval_list(listing: Path) -> IntervalList:
    """Reads a CSV (UTF-8; commas, semicolons or tabs). Columns that are not known are ignored, and named in the notes.

    Raises:
        InputError: it cannot be read, or lacks columns, or has wrong rows (all of them in one message).
    """
    try:
        text = read_input(listing).decode("utf-8-sig")
        offset = 0
        if text[:4].lower() == "sep=":  # Excel's own first line
            text, offset = text.partition("\n")[2], 1
        first_line = text.partition("\n")[0]
        delimiter = max(",;\t", key=first_line.count)
        reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", strict=True, delimiter=delimiter)
        columns = [(column or "").strip().lower() for column in reader.fieldnames or []]
        is_epic = "narration_id" in columns
        if is_epic:
            columns = [
                f"epic {column}" if column in FRAMES else _EPIC_COLUMNS.get(column, column) for column in columns
            ]
        reader.fieldnames = columns
        times = _check_columns(columns, listing)
        lines = [(reader.line_num + offset, row) for row in reader]
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
            rows.append(_row(line, _of_epic(fields) if is_epic else fields, times))
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
    return IntervalList(tuple(rows), times == SECONDS, tuple(_notes(columns, is_epic=is_epic)))


def _notes(columns: Sequence[str], *, is_epic: bool) -> Iterator[str]:
    if is_epic:
        yield "The list is of EPIC-KITCHENS-100: its timestamps count, not its frames, which are of other copies."
    others = [repr(name) for name in dict.fromkeys(columns) if name not in (*_NEEDED, *_MORE, *FRAMES, *SECONDS)]
    if others and not is_epic:
        yield f"{len(others)} columns are not known and ignored: {', '.join(others[:_SHOWN_PROBLEMS])}."


def _check_columns(columns: Sequence[str], listing: Path) -> tuple[str, str] | None:
    """The two columns of times; None where there are none: whole videos.

    Raises:
        InputError: columns are missing, there twice, or do not say what the times are.
    """
    of_times = [name for name in (*FRAMES, *SECONDS) if name in columns]
    problems = [f"the column {name!r} is missing" for name in _NEEDED if name not in columns]
    known = (*_NEEDED, *_MORE, *FRAMES, *SECONDS)
    problems += [
        f"the column {name!r} is there {columns.count(name)} times" for name in known if columns.count(name) > 1
    ]
    if of_times not in ([], [*FRAMES], [*SECONDS]):
        problems.append(
            "the times must be start_frame and end_frame, or start_s and end_s (seconds), not both; "
            f"there are {', '.join(of_times)}"
        )
    likely = [name for name in columns if name.startswith(("start", "end", "stop")) and name not in known]
    if not of_times and likely:
        problems.append(f"{likely[0]!r} does not say whether it is start_frame and end_frame, or start_s and end_s")
    if problems:
        raise InputError(
            "The list of intervals cannot be used: " + "; ".join(problems),
            where=f"{listing}, line 1",
            expected=_EXPECTED,
            next_step="correct the first line",
        )
    return None if not of_times else FRAMES if of_times == [*FRAMES] else SECONDS


def _of_epic(fields: Mapping[str, str | None]) -> dict[str, str | None]:
    """A row of EPIC-KITCHENS: the second noun is the object, ``board:chopping`` a chopping board."""
    values = dict(fields)
    try:
        nouns = ast.literal_eval(values.get("object") or "[]")
        others = [str(noun) for noun in nouns if noun != values.get("subject")]
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"`all_nouns`: {(values.get('object') or '')[:40]!r} is no list of words") from error
    values["object"] = others[0] if others else ""
    for name in ("action", "subject", "object"):
        values[name] = " ".join(reversed((values.get(name) or "").split(":"))).replace("-", " ")
    return values


def _row(line: int, fields: Mapping[str, str | None], times: tuple[str, str] | None) -> ListedInterval:
    if "" in fields:
        raise ValueError("it has more fields than there are columns")
    values = {name: " ".join((text or "").split()) for name, text in fields.items()}
    for name in _NEEDED:
        if not values[name]:
            raise ValueError(f"`{name}` is empty")
    if any(not character.isprintable() for text in values.values() for character in text):
        raise ValueError("it has characters that cannot be printed")
    if not slug(values["video"]):
        raise ValueError(f"`video`: {values['video'][:40]!r} is no name of a video")
    if len(values["video"]) > _LONGEST_NAME:
        raise ValueError(
            f"`video`: {values['video'][:40]!r}… has {len(values['video'])} characters, at most {_LONGEST_NAME} are "
            "taken: give a shorter path with --videos"
        )
    subject, object_ = values["subject"], values.get("object", "")
    if subject.lower() == object_.lower():
        raise ValueError(f"`object`: it is the subject, {subject!r}, again")
    start, end = _times(values, times)
    person, dish = (slug(values.get(name, "")) for name in ("person", "dish"))
    sentence = values.get("sentence", "")
    if len(sentence) > _LONGEST_SENTENCE:
        raise ValueError(f"`sentence` has {len(sentence)} characters, at most {_LONGEST_SENTENCE} are taken")
    return ListedInterval(line, values["video"], start, end, values["action"], subject, object_, person, dish, sentence)


def _times(values: Mapping[str, str], times: tuple[str, str] | None) -> tuple[float, float] | tuple[None, None]:
    """Start and end as numbers; none where both are empty: the whole video."""
    if times is None or not (values[times[0]] or values[times[1]]):
        return None, None
    for name in times:
        if not values[name]:
            raise ValueError(f"`{name}` is empty: give both times, or neither for the whole video")
    start, end = (_number(values[name], name, whole=times == FRAMES) for name in times)
    if times == FRAMES and start < 1:
        raise ValueError(f"`start_frame`: {int(start)} is before the first frame: frames count from 1")
    if end < start:
        raise ValueError(f"`{times[1]}`: {values[times[1]]} is before `{times[0]}`, {values[times[0]]}")
    return start, end


def _number(text: str, name: str, *, whole: bool) -> float:
    is_decimal_comma = not whole and text.count(",") == 1 and "." not in text
    plain = text.replace(",", ".") if is_decimal_comma else text
    clock = None if whole else _CLOCK.fullmatch(plain)
    try:
        value = 3600 * int(clock[1] or 0) + 60 * int(clock[2]) + float(clock[3]) if clock else float(plain)
    except ValueError:
        value = math.nan
    if whole and not (value.is_integer() and abs(value) < _MOST_FRAMES):
        raise ValueError(f"`{name}`: {text[:40]!r} is no number of a frame")
    if not 0 <= value < _MOST_FRAMES and not whole:
        raise ValueError(f"`{name}`: {text[:40]!r} is no time in seconds, nor one like 1:02:03.5")
    return value
