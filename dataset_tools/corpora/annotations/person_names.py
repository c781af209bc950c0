"""Persons from video names by a regular expression, matched under a time limit since it may come from others."""

from __future__ import annotations

import json
import posixpath
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import slug
from dataset_tools.corpora.annotations.interval_list import SHOWN_PROBLEMS, IntervalList
from dataset_tools.corpora.annotations.plain_text import plain_text

MOST_S = 20.0
"""Time limit in seconds for all names; typical expressions take microseconds per name."""

_PROGRAM = """
import json, re, sys
pattern, names = json.load(sys.stdin)
try:
    expression = re.compile(pattern)
except (re.error, OverflowError, RecursionError, MemoryError) as error:
    json.dump({"wrong": str(error) or type(error).__name__}, sys.stdout)
else:
    found = [expression.search(name) for name in names] if expression.groups else []
    json.dump({"groups": expression.groups, "persons": [one and one[1] for one in found]}, sys.stdout)
"""


def with_persons(path: Path, listed: IntervalList, pattern: str) -> IntervalList:
    """Returns the list with missing persons filled in from the names of its videos.

    Args:
        path: the annotation file.
        listed: its content.
        pattern: a regular expression whose first group is the person.

    Raises:
        InputError: the expression is invalid, has no group, takes too long, or finds no person in a name.
    """
    names = {row.video: plain_text(posixpath.basename(row.video.replace("\\", "/"))) for row in listed.rows}
    persons = dict(zip(names, _first_groups(path, pattern, list(names.values())), strict=True))
    rows, unknown = [], []
    for row in listed.rows:
        person = row.person or slug(persons[row.video])
        if not person:
            unknown.append(row.place if row.place == row.video else f"{row.place}: {row.video}")
        rows.append(replace(row, person=person))
    if unknown:
        without = f"{count_of(len(unknown), 'name')}: {', '.join(first_of(unknown, SHOWN_PROBLEMS))}"
        found = f"--person {pattern!r} finds no person in {without}"
        expected = "the person, with letters or digits, in the name of every video"
        raise refused(path, found, expected, "correct the expression, or rename these files")
    used = {persons[row.video] for row in listed.rows if not row.person}
    return replace(listed, rows=tuple(rows), persons=listed.persons | used)


def _first_groups(path: Path, pattern: str, names: Sequence[str]) -> list[str]:
    """Returns the match of the expression's first group in each name; empty if there is none.

    Matching runs in a separate process, as a catastrophic search cannot be interrupted within this one.
    """
    command = [sys.executable, "-I", "-S", "-c", _PROGRAM]
    try:
        completed = subprocess.run(
            command, input=json.dumps([pattern, names]).encode(), capture_output=True, check=False, timeout=MOST_S
        )
    except subprocess.TimeoutExpired:
        found = f"--person {pattern!r} takes more than {MOST_S:g} seconds to match"
        raise refused(path, found, "an expression without nested repeats", "simplify it") from None
    answer: dict[str, Any] = {"wrong": f"matching exited with status {completed.returncode}"}
    if completed.returncode == 0:
        answer = json.loads(completed.stdout)
    if "wrong" in answer:
        found = f"--person {pattern!r} is not a valid regular expression: {answer['wrong']}"
        raise refused(path, found, r"such as '(p\d+)_'", "correct the expression")
    if answer["groups"] < 1:
        found = f"--person {pattern!r} has no group"
        raise refused(path, found, r"a group for the person, such as '(p\d+)_'", "enclose it in parentheses")
    return [person or "" for person in answer["persons"]]


def refused(path: Path, found: str, expected: str, next_step: str) -> InputError:
    """Returns the error of an option, or of the folder that it is applied to."""
    return InputError(found, where=path, expected=expected, next_step=next_step)
