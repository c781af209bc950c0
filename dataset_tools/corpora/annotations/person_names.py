"""Persons from video names by a regular expression, which may come from elsewhere: it is matched under a time limit."""

from __future__ import annotations

import json
import posixpath
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import slug
from dataset_tools.corpora.annotations.interval_list import IntervalList, shown_of

MOST_S = 20.0
"""Seconds for all names; a usual expression takes microseconds for each."""

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
    """The list with the persons that the names of its videos tell, where it does not tell them itself.

    Args:
        path: of the annotation file.
        listed: what it lists.
        pattern: a regular expression whose first group is the person.

    Raises:
        InputError: it is no such expression, takes too long, or finds no person in a name.
    """
    names = {row.video: posixpath.basename(row.video.replace("\\", "/")) for row in listed.rows}
    said = dict(zip(names, _first_groups(path, pattern, list(names.values())), strict=True))
    rows, unknown = [], []
    for row in listed.rows:
        if not (row.person or said[row.video]):
            unknown.append(f"{row.place}: {row.video}")
        rows.append(row if row.person else replace(row, person=said[row.video]))
    if unknown:
        found = f"--person {pattern!r} finds no person in {len(unknown)} names: {', '.join(shown_of(unknown))}"
        raise _refused(path, found, "the person in the name of every video", "correct the expression")
    return replace(listed, rows=tuple(rows))


def _first_groups(path: Path, pattern: str, names: Sequence[str]) -> list[str]:
    """What the first group of the expression is in each name; empty where nothing matches.

    A process of its own matches: within this one, nothing could end a search that takes years.
    """
    command = [sys.executable, "-I", "-S", "-c", _PROGRAM]
    try:
        ended = subprocess.run(
            command, input=json.dumps([pattern, names]).encode(), capture_output=True, check=False, timeout=MOST_S
        )
    except subprocess.TimeoutExpired:
        found = f"--person {pattern!r} takes more than {MOST_S:g} seconds to match"
        raise _refused(path, found, "an expression without nested repeats", "write it more simply") from None
    answer: dict[str, Any] = {"wrong": f"matching it ended with {ended.returncode}"}
    if ended.returncode == 0:
        answer = json.loads(ended.stdout)
    if "wrong" in answer:
        found = f"--person {pattern!r} is no regular expression: {answer['wrong']}"
        raise _refused(path, found, r"such as '(p\d+)_'", "correct the expression")
    if answer["groups"] < 1:
        found = f"--person {pattern!r} has no group"
        raise _refused(path, found, r"a group for the person, such as '(p\d+)_'", "put it into brackets")
    return [slug(person or "") for person in answer["persons"]]


def _refused(path: Path, found: str, expected: str, next_step: str) -> InputError:
    return InputError(found, where=path, expected=expected, next_step=next_step)
