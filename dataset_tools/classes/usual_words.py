"""Inflection of English words that a class file omits (verb forms, plurals), and default prepositions.

The forms come from lemminflect (https://github.com/bjascob/LemmInflect), a dictionary with rules for unknown words.
Words with letters that are not Latin are not inflected.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from dataset_tools.classes.triplets import ActionWord, ObjectPhrase, Role, ThingWord
from dataset_tools.core.letters import is_latin

_PHRASES: dict[Role | None, tuple[str, str]] = {
    "tool": ("with", "用{object}"),
    "source": ("from", "从{object}里"),
    "target": ("into", "往{object}里"),
    "place": ("in", "在{object}里"),
    "companion": ("along with", "连同{object}"),
    None: ("with", "用{object}"),
}
_DIRECTIONS = frozenset({"left", "right", "forward", "upstairs", "downstairs", "home"})
"""Words that are adverbs in labels such as ``turn left``, though a dictionary has them as nouns, too."""
_MEASURE_ZH = "个"  # the general measure word


def usual_action(key: str, name: str | None = None) -> ActionWord:
    """Returns the action of a key (``take-out``), with the forms of its English verb ("takes out", "took out").

    Args:
        key: a key of ``actions``.
        name: the verb, followed by its particle, if it differs from the key.
    """
    name = name or key.replace("-", " ")
    verb, _, particle = name.partition(" ")
    third_person, past, participle, gerund = (
        f"{_inflected(verb, tag)} {particle}".strip() for tag in ("VBZ", "VBD", "VBN", "VBG")
    )
    return ActionWord(name, "", (name,), third_person, past, participle, gerund, {}, None)


def usual_thing(key: str, name: str | None = None) -> ThingWord:
    """Returns the thing of a key of a class file; whether it is a mass noun is not known. An adverb has no plural.

    Args:
        key: a key of ``things``.
        name: the noun, if it differs from the key.
    """
    name = name or key.replace("-", " ")
    before, space, noun = name.rpartition(" ")
    plural = None if _is_adverb(name) else before + space + _inflected(_lemma(noun, "NOUN"), "NNS")
    return ThingWord(name, "", tuple(dict.fromkeys((name, key))), None, plural, _MEASURE_ZH, None)


def usual_phrase_of(role: Role | None) -> ObjectPhrase:
    """Returns the default wording of an object in a role, used if neither its class nor its words specify one."""
    return ObjectPhrase(role, *_PHRASES[role])


def verb_lemma(text: str) -> str:
    """Returns the base form of a verb, in lower case: ``play`` for ``Playing``, ``take out`` for ``took out``."""
    verb, _, particle = spaced(text).partition(" ")
    return f"{_lemma(verb, 'VERB')} {particle}".strip()


def noun_lemma(text: str) -> str:
    """Returns the singular of a noun, in lower case: ``red pepper`` for ``Red Peppers``."""
    before, space, noun = spaced(text).rpartition(" ")
    return before + space + _lemma(noun, "NOUN")


def is_english(texts: Iterable[str]) -> bool:
    """Whether a dictionary of English has most of the different words, of those of letters from a to z."""
    from lemminflect import getAllLemmas

    words = {word for text in texts for word in spaced(text).split() if re.fullmatch("[a-z]+", word)}
    return sum(bool(getAllLemmas(word)) for word in words) * 2 > len(words)


def _is_adverb(word: str) -> bool:
    from lemminflect import getAllLemmas

    parts_of_speech = set(getAllLemmas(word)) if re.fullmatch("[a-z]+", word) else set()
    # It has "tin", but not as a noun: only as an adverb and a verb.
    return word in _DIRECTIONS or ("ADV" in parts_of_speech and parts_of_speech.isdisjoint({"NOUN", "VERB"}))


def _lemma(word: str, part_of_speech: str) -> str:
    from lemminflect import getLemma

    if not re.fullmatch("[a-z]+", word):
        return word
    return (getLemma(word, part_of_speech) or (word,))[0]


def _inflected(word: str, tag: str) -> str:
    from lemminflect import getInflection

    # The word is empty if a key begins or ends with a hyphen.
    forms = getInflection(word, tag) if word and is_latin(word) else ()
    return str(forms[0]) if forms else word


def spaced(text: str) -> str:
    """Returns a text in lower case, its words separated by single spaces: ``red pepper`` for ``Red_Pepper``."""
    return " ".join(re.split(r"[\s_-]+", text.lower().strip()))
