"""Vocabulary mapping from an annotation file to the class file; counts unknown words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeVar

from dataset_tools.classes.triplets import ActionWord, ClassFile, ThingWord
from dataset_tools.corpora.annotations.plain_text import plain_text

Word = TypeVar("Word", ActionWord, ThingWord)


class ClassWords:
    """Maps the words of an annotation file to MPII's, and counts those that the class file lacks."""

    def __init__(self, classes: ClassFile) -> None:
        self._actions = _by_any_name(classes.actions, {key: word.verbs for key, word in classes.actions.items()})
        self._things = _by_any_name(classes.things, {key: word.attributes for key, word in classes.things.items()})
        self.unknown: Counter[str] = Counter()

    def verb(self, text: str) -> str:
        action = self._actions.get(_plain(text))
        if action is None:
            self.unknown[text] += 1
        return text if action is None or text in action.verbs else action.verbs[0]

    def thing(self, text: str) -> str:
        thing = self._things.get(_plain(text))
        if thing is None:
            self.unknown[text] += 1
        return text if thing is None or text in thing.attributes else thing.attributes[0]


def _by_any_name(words: Mapping[str, Word], mpii: Mapping[str, Sequence[str]]) -> dict[str, Word]:
    """Returns the words by MPII's names for them, by their own names, and by key; later ones take precedence."""
    known: dict[str, Word] = {}
    for key, word in words.items():
        for name in mpii[key]:
            known.setdefault(_plain(name), word)
    known.update({_plain(word.name): word for word in words.values()})
    known.update({_plain(key): word for key, word in words.items()})
    return known


def _plain(text: str) -> str:
    return plain_text(text).lower().replace("-", " ")
