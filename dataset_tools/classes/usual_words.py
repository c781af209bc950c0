"""Inflection of English words that a class file omits (verb forms, plurals), and default prepositions.

The forms come from lemminflect (https://github.com/bjascob/LemmInflect), a dictionary with rules for unknown words.
"""

from __future__ import annotations

import re

from dataset_tools.classes.triplets import ActionWord, ObjectPhrase, Role, ThingWord

_PHRASES: dict[Role | None, tuple[str, str]] = {
    "tool": ("with", "用{object}"),
    "source": ("from", "从{object}里"),
    "target": ("into", "往{object}里"),
    "place": ("in", "在{object}里"),
    "companion": ("along with", "连同{object}"),
    None: ("with", "用{object}"),
}
_MEASURE_ZH = "个"  # the general measure word


def usual_action(key: str, name: str | None = None) -> ActionWord:
    """The action of a key of a class file, in the forms of its English verb: ``take-out``, "takes out", "took out".

    Args:
        key: a key of ``actions``.
        name: the verb where it is not the key, its particle behind it.
    """
    name = name or key.replace("-", " ")
    verb, _, particle = name.partition(" ")
    third_person, past, participle, gerund = (
        f"{_inflected(verb, tag)} {particle}".strip() for tag in ("VBZ", "VBD", "VBN", "VBG")
    )
    return ActionWord(name, "", (name,), third_person, past, participle, gerund, {}, None)


def usual_thing(key: str, name: str | None = None) -> ThingWord:
    """The thing of a key of a class file; whether it is counted is not known.

    Args:
        key: a key of ``things``.
        name: the noun where it is not the key.
    """
    name = name or key.replace("-", " ")
    before, space, noun = name.rpartition(" ")
    plural = before + space + _inflected(_lemma(noun, "NOUN"), "NNS")
    return ThingWord(name, "", tuple(dict.fromkeys((name, key))), None, plural, _MEASURE_ZH, None)


def usual_phrase_of(role: Role | None) -> ObjectPhrase:
    """What an object in a role is called with, where neither its class nor its words tell."""
    return ObjectPhrase(role, *_PHRASES[role])


def verb_lemma(text: str) -> str:
    """The base form of a verb, in lower case: ``Playing`` is ``play``, ``took out`` ``take out``."""
    verb, _, particle = _plain(text).partition(" ")
    return f"{_lemma(verb, 'VERB')} {particle}".strip()


def noun_lemma(text: str) -> str:
    """The singular of a noun, in lower case: ``Red Peppers`` is ``red pepper``."""
    before, space, noun = _plain(text).rpartition(" ")
    return before + space + _lemma(noun, "NOUN")


def _lemma(word: str, part_of_speech: str) -> str:
    from lemminflect import getLemma

    if not re.fullmatch("[a-z]+", word):
        return word
    return (getLemma(word, part_of_speech) or (word,))[0]


def _inflected(word: str, tag: str) -> str:
    from lemminflect import getInflection

    forms = getInflection(word, tag) if word else ()  # there is none where a key begins or ends with a hyphen
    return str(forms[0]) if forms else word


def _plain(text: str) -> str:
    return " ".join(re.split(r"[\s_-]+", text.lower().strip()))
