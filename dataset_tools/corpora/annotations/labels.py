"""Label parsing: action, subject and object from the words of a label or sentence, without a dictionary.

Examples: ``cut_carrot_knife``, ``CutCarrot``, ``take out milk``, ``Pour the milk into a glass.``; the rules are in a
table in docs/own-footage.md.
"""

from __future__ import annotations

import re

ONE_WORD_ACTION, ONE_WORD_ACTION_ZH = "show", "展示"
"""The action of a one-word label, whose word is the subject; in English and in Chinese."""
_ARTICLES = frozenset({"the", "a", "an", "some"})
_PARTICLES = frozenset({"out", "up", "off", "on", "in", "down", "apart", "away", "over", "together"})
_PREPOSITIONS = frozenset(
    {"into", "in", "to", "onto", "on", "with", "from", "off", "at", "for", "over", "under", "through", "using"}
)
_BETWEEN = _PARTICLES | _PREPOSITIONS
_ENDS = frozenset({"and", "or", "then", "while", "until", "by"})
_PERSONS = frozenset(
    {"he", "she", "they", "we", "i", "you", "it", "man", "woman", "person", "people", "men", "women", "boy", "girl"}
    | {"boys", "girls", "guy", "lady", "child", "children"}
)
_AUXILIARIES = frozenset({"is", "are", "was", "were", "be", "being", "seen", "shown", "now", "then"})
_PERSON_WITHIN = 4
_CAMEL = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])")
_CLAUSE_END = re.compile(r"[,;:.!?()，。；！？]+(?=\s|$)|[，。；！？]")


def parse_label(text: str, *, is_sentence: bool = False) -> tuple[str, str, str]:
    """Returns action, subject and object (an empty string if there is none), in lower case, with single spaces.

    Args:
        text: a label, or a sentence; of a sentence, only the first clause is used, and the last word of each thing.
        is_sentence: whether it is a sentence.

    Raises:
        ValueError: the text has no words.
    """
    if not is_sentence and (parts := _underscored(text)):
        return parts
    clause = _CLAUSE_END.split(text.strip(" .,;:!?"))[0]
    words = _words(clause)
    if is_sentence:
        words = _without_person(words)
    if not words:
        raise ValueError(f"the label {text[:40]!r} has no words")
    if len(words) == 1:
        return ONE_WORD_ACTION, words[0], ""
    action, rest = _verb(words)
    rest = rest[: _first(rest, _ENDS)]
    subject, rest = rest[: _first(rest, _BETWEEN)], rest[_first(rest, _BETWEEN) :]
    if rest and rest[0] in _PARTICLES and (rest[0] not in _PREPOSITIONS or not rest[1:] or rest[1] in _PREPOSITIONS):
        action, rest = f"{action} {rest[0]}", rest[1:]  # take the milk out of the fridge
    rest = rest[1:] if rest and rest[0] in {*_PREPOSITIONS, "of"} else rest
    things = [thing for thing in (subject, rest[: _first(rest, _BETWEEN)]) if thing]
    if not things:
        return ONE_WORD_ACTION, action, ""
    named = [" ".join(thing[-1:] if is_sentence else thing) for thing in things]
    return action, named[0], "" if named[0] == named[-1] else named[-1]


def preposition_of(label: str, object_: str) -> str:
    """Returns the preposition before the object in a label (``into`` in "pour milk into a glass"), or an empty string.

    Args:
        label: the text that was passed to `parse_label`.
        object_: the object that it returned.
    """
    words, thing = _words(label), object_.split()
    for place in range(1, len(words)):
        if words[place : place + len(thing)] == thing and words[place - 1] in _PREPOSITIONS:
            return words[place - 1]
    return ""


def _underscored(text: str) -> tuple[str, str, str] | None:
    """Parses two or three parts separated by ``_``, as in ``cut_bell-pepper_knife``; None if the verb is phrasal."""
    text = text.strip()
    parts = [" ".join(_words(part, keep_articles=True)) for part in text.split("_")]
    if " " in text or len(parts) not in (2, 3) or not all(parts) or parts[1] in _PARTICLES:
        return None
    action, subject, object_ = (*parts, "")[:3]
    return action, subject, "" if subject == object_ else object_


def _words(text: str, *, keep_articles: bool = False) -> list[str]:
    found = [word.strip("\"'“”‘’.,;:!?()[]").lower() for word in re.split(r"[\s_\-]+", _CAMEL.sub(" ", text))]
    return [word for word in found if re.search(r"\w", word) and (keep_articles or word not in _ARTICLES)]


def _without_person(words: list[str]) -> list[str]:
    """Removes the person and auxiliary verbs: ``a young man is cutting wood`` becomes ``cutting wood``."""
    person = next((place for place, word in enumerate(words[:_PERSON_WITHIN]) if word in _PERSONS), None)
    if person is None or person + 1 == len(words):
        return words
    words = words[person + 1 :]
    while len(words) > 1 and words[0] in _AUXILIARIES:
        words = words[1:]
    return words


def _verb(words: list[str]) -> tuple[str, list[str]]:
    """Returns the verb with its particle or preposition (``take out``, ``listen to``), and the words after it."""
    count = 2 if words[1] in _BETWEEN and len(words) > 2 else 1
    rest = words[count:]
    return " ".join(words[:count]), rest[1:] if rest[0] == "of" else rest


def _first(words: list[str], of: frozenset[str]) -> int:
    """Returns the index of the first word in the set, or the number of words if there is none."""
    return next((place for place, word in enumerate(words) if word in of), len(words))
