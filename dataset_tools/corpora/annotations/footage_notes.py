"""Remarks on a list of intervals: guesses, unknown words, intervals of no class, persons."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction

from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.corpora.annotations.class_words import ClassWords
from dataset_tools.corpora.annotations.interval_list import SHOWN_PROBLEMS, ListedInterval


def notes_on(
    rows: Sequence[ListedInterval],
    words: ClassWords,
    unmatched: Sequence[ListedInterval],
    guessed: Mapping[str, tuple[str, str, str]],
    leads: Mapping[str, Fraction],
    *,
    in_seconds: bool,
) -> tuple[str, ...]:
    """Returns remarks for the user, as full sentences; ``leads`` as in `FrameIndex.lead_s`, by video.

    Labels that were guessed are told only if they are none of the classes: a draft told all of them.
    """
    notes = ["Times are in seconds: frames were determined from the videos' timestamps."] if in_seconds else []
    if leads:
        later = first_of([f"{video} ({float(lead_s):.3f} s)" for video, lead_s in leads.items()], SHOWN_PROBLEMS)
        notes.append(f"Times count from where players begin; the picture begins later in {', '.join(later)}.")
    if not any(row.person for row in rows):
        notes.append("No persons are given: every video counts as a separate person, unless its name identifies one.")
    elif unnamed := [row for row in rows if not row.person]:
        lack = f"{count_of(len(rows), 'interval')} {'has' if len(unnamed) == 1 else 'have'}"
        notes.append(
            f"{len(unnamed):,} of {lack} no person, the first at {unnamed[0].place}: each of their videos counts as "
            "a separate person, unless its name identifies one, also if other rows of it name a person. Repeat the "
            "person in every row."
        )
    notes += _notes_on_case(sorted({row.person for row in rows if row.person}))
    if words.unknown:
        notes.append(f"The class file lacks {len(words.unknown)} of the words: {_counted(words.unknown)}.")
    if unmatched:
        parts = {(row.action, row.subject, row.object) for row in unmatched}
        notes += note_on_guesses({label: words for label, words in guessed.items() if words in parts})
        kinds = Counter(" ".join(filter(None, (row.action, row.subject, row.object))) for row in unmatched)
        belong = f"{count_of(len(rows), 'interval')} belong{'s' * (len(unmatched) == 1)}"
        notes.append(f"{len(unmatched):,} of {belong} to none of the classes: {_counted(kinds)}.")
    return tuple(notes)


def note_on_guesses(guessed: Mapping[str, tuple[str, str, str]]) -> tuple[str, ...]:
    """Returns a remark with an example of how labels were parsed; none if no label was."""
    if not guessed:
        return ()
    label, (action, subject, object_) = next(iter(guessed.items()))
    return (
        f"Action, subject and object were guessed from the words of {count_of(len(guessed), 'label')}, such as "
        f"{label[:60]!r}: {action!r}, {subject!r}, {object_!r}.",
    )


def _notes_on_case(persons: Sequence[str]) -> list[str]:
    """Returns a warning if persons differ only in upper and lower case: ids have their case, so it is not changed."""
    spellings: dict[str, list[str]] = defaultdict(list)
    for person in persons:
        spellings[person.casefold()].append(person)
    alike = [" and ".join(map(repr, several)) for several in spellings.values() if len(several) > 1]
    shown = "; ".join(first_of(alike, SHOWN_PROBLEMS))
    return [f"Persons that differ only in case count as different persons: {shown}."] if alike else []


def _counted(names: Counter[str]) -> str:
    return ", ".join(first_of([f"{name!r} ({count})" for name, count in sorted(names.items())], SHOWN_PROBLEMS))
