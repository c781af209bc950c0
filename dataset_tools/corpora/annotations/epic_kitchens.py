"""Reader of the EPIC-KITCHENS-100 CSV files, as published: ``EPIC_100_train.csv``, ``EPIC_100_validation.csv``.

Timestamps are used, as the frame numbers refer to re-encoded copies of the videos.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

from dataset_tools.corpora.annotations.interval_csv import checked_fields, needed_fields, read_table, seconds_of
from dataset_tools.corpora.annotations.interval_list import IntervalList, IntervalRows, refusal

_NEEDED = ("video_id", "start_timestamp", "stop_timestamp", "verb", "noun")
_EXPECTED = f"the columns of EPIC-KITCHENS-100: {', '.join(_NEEDED)}; optionally all_nouns, participant_id, narration"


def read_epic_kitchens(path: Path) -> IntervalList:
    """Reads verb, noun and second noun as action, subject and object, and the narration as the sentence.

    Raises:
        InputError: the file cannot be read, lacks columns (the test set has no verbs), or has invalid rows.
    """
    table = read_table(path, _EXPECTED)
    missing = [name for name in _NEEDED if name not in table.columns]
    if missing or len(set(table.columns)) < len(table.columns):
        found = f"lacks the columns {', '.join(missing)}" if missing else "has a column twice"
        raise refusal(path, found, _EXPECTED, "use a file with verbs and nouns, such as EPIC_100_validation.csv")
    rows = IntervalRows(path, _EXPECTED)
    rows.notes.append(
        "The annotations are from EPIC-KITCHENS-100: timestamps are used, not frames, which are of re-encoded copies."
    )
    for line, fields in table.rows:
        with rows.at(f"line {line}"):
            values = checked_fields(fields)
            needed_fields(values, _NEEDED)
            start, end = (seconds_of(values[name], name) for name in _NEEDED[1:3])
            words = (_word(values["verb"]), _word(values["noun"]), _word(_second_noun(values)))
            person, sentence = values.get("participant_id", ""), values.get("narration", "")
            rows.add(f"line {line}", values["video_id"], start, end, words, sentences=[sentence], person=person)
    return rows.finished(in_seconds=True)


def _second_noun(values: Mapping[str, str]) -> str:
    text = values.get("all_nouns") or "[]"
    try:
        nouns = ast.literal_eval(text)
        others = [noun for noun in nouns if noun != values["noun"]]
        if not isinstance(nouns, list) or not all(isinstance(noun, str) for noun in others):
            raise ValueError
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"`all_nouns`: {text[:40]!r} is not a list of words") from error
    return others[0] if others else ""


def _word(text: str) -> str:
    """Converts ``board:chopping`` to ``chopping board``, and ``put-down`` to ``put down``."""
    return " ".join(reversed(text.split(":"))).replace("-", " ")
