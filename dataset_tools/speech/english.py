"""English sentences about a class."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from dataset_tools.classes import ActionClass, ClassFile
from dataset_tools.speech.grammar import EnglishGrammar, Phrase

_PARTICLES = frozenset(["apart", "away", "back", "down", "in", "off", "on", "open", "out", "over", "up"])


class _Verb(NamedTuple):
    """One verb in its forms; a particle, if it has one, ends each of them (takes out)."""

    base: str
    third_person: str
    past: str
    participle: str
    gerund: str


# The viewpoints and tenses: what stands before which form of the verb. {}: the verb phrase.
_FRAMES: dict[str, tuple[str, ...]] = {
    "base": (
        "{}.",
        "now {}.",
        "then {}.",
        "please {}.",
        "let's {}.",
        "I {}.",
        "now I {}.",
        "I will {}.",
        "I'm going to {}.",
        "he is going to {}.",
        "she will {}.",
        "next, the cook will {}.",
        "the person is going to {}.",
        "watch the cook {}.",
    ),
    "third_person": (
        "he {}.",
        "she {}.",
        "the person {}.",
        "the cook {}.",
        "now the cook {}.",
        "then she {}.",
        "someone {}.",
    ),
    "past": ("I {}.", "he {}.", "she {}.", "the person {}.", "the cook {}.", "then I {}.", "after that, he {}."),
    "participle": ("I have just {}.", "she has just {}.", "the cook has just {}."),
    "gerund": (
        "I'm {}.",
        "now I'm {}.",
        "he's {}.",
        "she's {}.",
        "the person is {}.",
        "the cook is {}.",
        "someone is {}.",
        "here you can see the cook {}.",
    ),
}


def sentences(action_class: ActionClass, classes: ClassFile, grammar: EnglishGrammar) -> dict[str, list[Phrase]]:
    """All sentences of a class, by frame (its pattern)."""
    result = {}
    for form, frames in _FRAMES.items():
        phrases = [
            Phrase(text, weight)
            for verb, weight in _verbs(action_class, classes, grammar)
            for text in _verb_phrases(verb, form, action_class, classes, grammar)
        ]
        for frame in frames:
            result[f"{form}: {frame}"] = [Phrase(_spoken(frame.format(text)), weight) for text, weight in phrases]
    return result


def _spoken(text: str) -> str:
    return text[0].upper() + text[1:]


def _verbs(action_class: ActionClass, classes: ClassFile, grammar: EnglishGrammar) -> list[tuple[_Verb, float]]:
    """The action's own verb, which is to come half of the time, and the others that may stand in for it."""
    word = classes.actions[action_class.action]
    own = _Verb(word.name, word.third_person, word.past, word.participle, word.gerund)
    names = (*action_class.verbs, *grammar.also.get(action_class.action, ()))
    others = [_Verb(name, *grammar.verbs[name]) for name in dict.fromkeys(names) if name in grammar.verbs]
    others = [verb for verb in others if verb.base != own.base]
    return [(own, float(max(1, len(others)))), *((verb, 1.0) for verb in others)]


def _verb_phrases(
    verb: _Verb, form: str, action_class: ActionClass, classes: ClassFile, grammar: EnglishGrammar
) -> Iterable[str]:
    """The verb in one form with its subject and object: "took the carrot out", "took out the carrot"."""
    head, particle = _split(getattr(verb, form), verb.base)
    for subject, place in _arguments(verb, action_class, classes, grammar):
        after = f" {place}" if place else ""
        doubled = particle and place.split(" ")[0] == particle  # takes the plate out of the drawer
        if not particle or doubled:
            yield f"{head} {subject}{after}"
        else:
            yield f"{head} {particle} {subject}{after}"
            if action_class.role != "companion" or " and " in subject:  # not: takes the knife out along with the plate
                yield f"{head} {subject} {particle}{after}"


def _split(form: str, base: str) -> tuple[str, str]:
    """("takes", "out") of "takes out"; no particle: ("washes", "")."""
    particle = base.rpartition(" ")[2] if " " in base else ""
    if particle in _PARTICLES and form.endswith(" " + particle):
        return form.removesuffix(" " + particle), particle
    return form, ""


def _arguments(
    verb: _Verb, action_class: ActionClass, classes: ClassFile, grammar: EnglishGrammar
) -> Iterable[tuple[str, str]]:
    """Pairs of the subject with its article, and what follows: the object with its preposition, or a tail."""
    definite = action_class.action in grammar.definite
    subjects = _nouns(action_class.subject, classes, grammar, definite=definite, several=True)
    if action_class.object is None:
        for _, subject in subjects:
            for tail in ("", *grammar.tails.get(verb.base, ())):
                yield subject, tail
        return
    objects = _nouns(action_class.object, classes, grammar)
    preposition = action_class.preposition or "with"
    if action_class.role == "companion":
        for article, subject in subjects:
            for other, companion in objects:
                if article == other:  # the knife and the plate, some oil and some milk
                    yield f"{subject} and {companion}", ""
                    yield subject, f"{preposition} {companion}"
        return
    preposition = grammar.prepositions.get(verb.base, {}).get(action_class.role or "", preposition)
    prepositions = [preposition]
    if action_class.role == "tool" and preposition == "with":
        prepositions.append("using")
    for word in prepositions:
        for _, subject in subjects:
            for _, thing in objects:
                yield subject, f"{word} {thing}"


def _nouns(
    key: str, classes: ClassFile, grammar: EnglishGrammar, *, definite: bool = False, several: bool = False
) -> list[tuple[str, str]]:
    """A thing with its articles, and which kind each is: ("a", "an onion"), ("the", "the onion")."""
    word = classes.things[key]
    nouns = []
    for name in (word.name, *grammar.names.get(key, ())):
        nouns.append(("the", f"the {name}"))
        if not definite:
            nouns.append(("a", f"some {name}" if word.mass else f"{_article(name)} {name}"))
    if several and word.plural and key in grammar.plurals:
        nouns.append(("the", f"the {word.plural}"))
        if not definite:
            nouns.append(("a", f"some {word.plural}"))
    return nouns


def _article(name: str) -> str:
    return "an" if name[0] in "aeio" else "a"
