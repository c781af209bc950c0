"""Class file draft from an annotation file: its (action, subject, object) triplets, most frequent first.

Words are clustered by lemma (``cuts`` and ``cutting``, ``red pepper`` and ``red peppers``). A cluster of verbs is named
by the lemma, a cluster of nouns by its most frequent spelling; all its spellings count as the word. Where most words of
the file are not English (``links zeigen``), only spaces, hyphens, underscores and case may differ. Videos are not
opened: usable intervals are counted by `dataset_tools.classes.interval_counts` once the class file exists.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataset_tools.classes.triplets import ActionClass, ActionWord, ClassFile, ThingWord, make_class
from dataset_tools.classes.usual_words import (
    is_english,
    noun_lemma,
    spaced,
    usual_action,
    usual_phrase_of,
    usual_thing,
    verb_lemma,
)
from dataset_tools.core.count_of import first_of
from dataset_tools.core.letters import ascii_slug
from dataset_tools.corpora.annotations.interval_list import IntervalList, ListedInterval
from dataset_tools.corpora.annotations.labels import ONE_WORD_ACTION, ONE_WORD_ACTION_ZH, preposition_of

if TYPE_CHECKING:
    from rich.table import Table

_SHOWN_CLASSES = 50


@dataclass(frozen=True)
class TripletCount:
    """Frequency of a triplet in the annotations.

    Attributes:
        class_id: id of the class that it becomes.
        intervals, videos: number of each.
        persons: number of persons; None: unknown, since the file does not name the person of every interval.
        with_sentence: number of intervals that have their own sentence.
    """

    class_id: str
    intervals: int
    videos: int
    persons: int | None
    with_sentence: int

    def as_dict(self) -> dict[str, Any]:
        """Returns the attributes by name (for ``--json``)."""
        return asdict(self)


@dataclass(frozen=True)
class ClassDraft:
    """A class file drafted from annotations.

    Attributes:
        classes: the triplets, most frequent first.
        counts: frequency of each, in that order.
        clusters: words with several spellings, one line each.
        left_out: number of intervals of triplets beyond the requested number of classes.
        is_english: whether most words are; otherwise, inflected forms were not clustered.
    """

    classes: ClassFile
    counts: tuple[TripletCount, ...]
    clusters: tuple[str, ...]
    left_out: int
    is_english: bool


def draft_classes(listed: IntervalList, listing: Path, *, count: int | None = None) -> ClassDraft:
    """Drafts classes from the triplets that an annotation file names.

    Args:
        listed: content of the annotation file.
        listing: path of the annotation file.
        count: maximum number of classes; None: every triplet.
    """
    rows = listed.rows
    spoken = {text for row in rows for text in (row.action, row.subject, row.object)} - {ONE_WORD_ACTION}
    english = is_english(spoken)
    of_verb, of_noun = (verb_lemma, noun_lemma) if english else (spaced, spaced)
    verbs = _Clusters((row.action for row in rows), of_verb, "action", by_lemma=True)
    nouns = _Clusters((text for row in rows for text in (row.subject, row.object) if text), of_noun, "thing")
    actions = {key: _action(key, of_verb, spellings) for key, spellings in verbs.spellings.items()}
    things = {key: _thing(key, spellings) for key, spellings in nouns.spellings.items()}
    if ONE_WORD_ACTION in actions and any(word.zh for word in things.values()):
        actions[ONE_WORD_ACTION] = replace(actions[ONE_WORD_ACTION], zh=ONE_WORD_ACTION_ZH)
    prepositions = {
        (verbs.key(action), nouns.key(object_)): preposition_of(label, object_)
        for label, (action, _, object_) in listed.guessed.items()
        if object_
    }
    members: dict[ActionClass, list[ListedInterval]] = defaultdict(list)
    for row in rows:
        action, subject = verbs.key(row.action), nouns.key(row.subject)
        other = nouns.key(row.object) if row.object else subject
        thing = None if other == subject else other
        phrase = usual_phrase_of(None)
        if preposition := prepositions.get((action, thing or "")):
            phrase = replace(phrase, preposition=preposition)
        members[make_class(actions, things, action, subject, thing, phrase if thing else None)].append(row)
    ranked = sorted(members, key=lambda one: (-len(members[one]), one.id))
    taken = ranked[:count]
    of_actions = {one.action for one in taken}
    of_things = {thing for one in taken for thing in (one.subject, one.object) if thing}
    return ClassDraft(
        ClassFile(
            listing,
            tuple(taken),
            {key: word for key, word in actions.items() if key in of_actions},
            {key: word for key, word in things.items() if key in of_things},
            frozenset(one.object for one in taken if one.object),
        ),
        tuple(_count(one, members[one]) for one in taken),
        (*verbs.sentences(of_actions), *nouns.sentences(of_things)),
        sum(len(members[one]) for one in ranked[len(taken) :]),
        english,
    )


def draft_table(draft: ClassDraft) -> Table:
    """Returns a table of the most frequent classes of a draft."""
    from rich.table import Table

    table = Table("class")
    for column in ("intervals", "videos", "persons", "with a sentence"):
        table.add_column(column, justify="right")
    for row in draft.counts[:_SHOWN_CLASSES]:
        numbers = (row.intervals, row.videos, row.persons, row.with_sentence)
        table.add_row(row.class_id, *("unknown" if number is None else f"{number:,}" for number in numbers))
    for more in first_of([row.class_id for row in draft.counts], _SHOWN_CLASSES)[_SHOWN_CLASSES:]:
        table.add_row(more, "", "", "", "")
    return table


def _count(action_class: ActionClass, rows: Sequence[ListedInterval]) -> TripletCount:
    persons = {row.person for row in rows}
    return TripletCount(
        action_class.id,
        len(rows),
        len({row.video for row in rows}),
        len(persons) if all(persons) else None,
        sum(bool(row.sentences) for row in rows),
    )


class _Clusters:
    """Clusters of texts that count as the same word.

    Attributes:
        spellings: spellings of each key of the class file, in lower case, with their counts, most frequent first.
    """

    def __init__(self, texts: Iterable[str], lemma: Callable[[str], str], kind: str, *, by_lemma: bool = False) -> None:
        groups: dict[str, Counter[str]] = defaultdict(Counter)
        for text in texts:
            groups[lemma(text)][_plain(text)] += 1
        self.spellings: dict[str, dict[str, int]] = {}
        self._keys: dict[str, str] = {}
        for base, counts in groups.items():
            ranked = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
            name = base if by_lemma else next(iter(ranked))
            key = self._free(ascii_slug(name.casefold()), kind)
            self.spellings[key] = ranked
            self._keys |= dict.fromkeys(ranked, key)

    def key(self, text: str) -> str:
        """Returns the key of the class file for a text."""
        return self._keys[_plain(text)]

    def _free(self, key: str, kind: str) -> str:
        """Returns a key that no other cluster has, such as ``thing-2`` for a word without letters from a to z."""
        if key and key not in self.spellings:
            return key
        number = next(n for n in range(1, len(self.spellings) + 2) if f"{key or kind}-{n}" not in self.spellings)
        return f"{key or kind}-{number}"

    def sentences(self, keys: set[str]) -> Iterable[str]:
        """Yields the spellings of each cluster that has several, with their counts."""
        for key, spellings in self.spellings.items():
            if key in keys and len(spellings) > 1:
                yield f"{key}: " + ", ".join(f"{text!r} ({count})" for text, count in spellings.items())


def _action(key: str, lemma: Callable[[str], str], spellings: Iterable[str]) -> ActionWord:
    texts = tuple(spellings)
    name = lemma(texts[0])
    usual = usual_action(key, name)
    return replace(usual, verbs=tuple(dict.fromkeys((*usual.verbs, *texts))), zh=_chinese(name))


def _thing(key: str, spellings: Iterable[str]) -> ThingWord:
    texts = tuple(spellings)
    usual = usual_thing(key, texts[0])
    return replace(usual, attributes=tuple(dict.fromkeys((*usual.attributes, *texts))), zh=_chinese(texts[0]))


def _plain(text: str) -> str:
    """Normalizes a text for comparison with the words of a class file."""
    return text.lower().replace("-", " ")


def _chinese(name: str) -> str:
    return name if re.search("[\u3400-\u9fff]", name) else ""
