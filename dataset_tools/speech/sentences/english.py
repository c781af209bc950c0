"""English sentence grammar."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from dataset_tools.classes.triplets import ActionClass, ClassFile
from dataset_tools.speech.sentences.grammar import EnglishGrammar, Phrase

_PARTICLES = frozenset(["apart", "away", "back", "down", "in", "off", "on", "open", "out", "over", "up"])


class _Verb(NamedTuple):
    """A verb in its forms; a particle, if it has one, is at the end of each form (takes out)."""

    base: str
    third_person: str
    past: str
    participle: str
    gerund: str


# Sentence frames (viewpoint and tense), by the form of the verb that they take. {}: the verb phrase.
_FRAMES: dict[str, tuple[str, ...]] = {
    "request": ("{}.", "now {}.", "then {}.", "please {}.", "let's {}."),
    "base": (
        "I {}.",
        "now I {}.",
        "now we {}.",
        "I'll {}.",
        "I need to {}.",
        "I'm going to {}.",
        "we're going to {}.",
        "he's going to {}.",
        "she'll {}.",
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
    "participle": ("I've just {}.", "she's just {}.", "the cook has just {}."),
    "gerund": (
        "I'm {}.",
        "now I'm {}.",
        "we're {}.",
        "he's {}.",
        "she's {}.",
        "the person is {}.",
        "the cook is {}.",
        "someone is {}.",
        "here you can see the cook {}.",
    ),
}


def sentences(action_class: ActionClass, classes: ClassFile, grammar: EnglishGrammar) -> dict[str, list[Phrase]]:
    """Returns all sentences of a class, by frame (sentence pattern)."""
    result = {}
    verbs = _verbs(action_class, classes, grammar)
    for form, frames in _FRAMES.items():
        phrases = {
            known: [
                (text, weight)
                for verb, weight in verbs
                for text in _verb_phrases(verb, form, action_class, classes, grammar, known=known)
            ]
            for known in (True, False)
        }
        for frame in frames:
            known = form == "request" or re.search(r"\b(I|we)\b", frame) is not None
            result[f"{form}: {frame}"] = [
                Phrase(_spoken(frame.format(text)), weight) for text, weight in phrases[known]
            ]
    return result


def _spoken(text: str) -> str:
    return text[0].upper() + text[1:]


def _verbs(action_class: ActionClass, classes: ClassFile, grammar: EnglishGrammar) -> list[tuple[_Verb, float]]:
    """The action's own verb, weighted to be used half of the time, and its alternatives."""
    word = classes.actions[action_class.action]
    own = _Verb(word.name, word.third_person, word.past, word.participle, word.gerund)
    names = (*action_class.verbs, *grammar.also.get(action_class.action, ()))
    others = [_Verb(name, *grammar.verbs[name]) for name in dict.fromkeys(names) if name in grammar.verbs]
    others = [verb for verb in others if verb.base != own.base]
    return [(own, float(max(1, len(others)))), *((verb, 1.0) for verb in others)]


def _verb_phrases(
    verb: _Verb, form: str, action_class: ActionClass, classes: ClassFile, grammar: EnglishGrammar, *, known: bool
) -> Iterable[str]:
    """Yields the verb in one form with its subject and object: "took the carrot out", "took out the carrot".

    known: whether the speaker performs or requests the action.
    """
    head, particle = _split(getattr(verb, "base" if form == "request" else form), verb.base)
    known = known and action_class.subject in grammar.known.get(action_class.action, ())
    for subject, place in _arguments(verb, action_class, classes, grammar, known=known):
        after = f" {place}" if place else ""
        doubled = particle and place.split(" ")[0] == particle  # takes the plate out of the drawer
        if not particle or doubled:
            yield f"{head} {subject}{after}"
        else:
            yield f"{head} {particle} {subject}{after}"
            if action_class.role != "companion" or " and " in subject:  # no: takes the knife out along with the plate
                yield f"{head} {subject} {particle}{after}"


def _split(form: str, base: str) -> tuple[str, str]:
    """Splits off the particle: "takes out" → ("takes", "out"); "washes" → ("washes", "")."""
    particle = base.rpartition(" ")[2] if " " in base else ""
    if particle in _PARTICLES and form.endswith(" " + particle):
        return form.removesuffix(" " + particle), particle
    return form, ""


def _arguments(
    verb: _Verb, action_class: ActionClass, classes: ClassFile, grammar: EnglishGrammar, *, known: bool
) -> Iterable[tuple[str, str]]:
    """Yields the subject with its article, and the rest: the object with its preposition, a tail, or both."""
    subjects = [one for one in _subjects(verb, action_class, classes, grammar) if one[0] == "the" or not known]
    tails = grammar.tails.get(verb.base, ("",))
    if action_class.object is None:
        yield from ((subject, tail) for _, subject in subjects for tail in tails)
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
    ends = [f" {tail}" if tail else "" for tail in tails] if action_class.role == "source" else [""]
    for word in prepositions:
        for article, subject in subjects:
            for other, thing in objects:
                if (article, other) != ("the", "a") or action_class.role != "source":  # no: the spices from a jar
                    yield from ((subject, f"{word} {thing}{end}") for end in ends)


def _subjects(
    verb: _Verb, action_class: ActionClass, classes: ClassFile, grammar: EnglishGrammar
) -> list[tuple[str, str]]:
    """Noun phrases of the subject that the verb can take: singular, plural, amounts, parts; or only the whole."""
    key = action_class.subject
    word = classes.things[key]
    singular = _nouns(key, classes, grammar)
    several = []
    if word.plural and key in grammar.plurals:
        several = [("the", f"the {word.plural}"), ("a", f"some {word.plural}")]
    if action_class.action in grammar.as_a_whole:
        return several or [noun for noun in singular if noun[0] == "the"]
    amounts = [("a", f"{amount} {word.name}") for amount in grammar.amounts.get(key, ())]
    if key in grammar.portions.things and verb.base in grammar.portions.verbs:
        amounts.append(("a", f"some {word.name}"))
    return [*singular, *several, *amounts]


def _nouns(key: str, classes: ClassFile, grammar: EnglishGrammar) -> list[tuple[str, str]]:
    """Noun phrases of a thing with their kind of article: ("a", "an onion"), ("the", "the onion")."""
    word = classes.things[key]
    if word.mass is None and word.plural is None:  # an adverb
        return [("the", word.name)]
    nouns = []
    for name in (word.name, *grammar.names.get(key, ())):
        nouns.append(("the", f"the {name}"))
        if word.mass is not None:
            nouns.append(("a", f"some {name}" if word.mass else f"{_article(name)} {name}"))
    return nouns


def _article(name: str) -> str:
    return "an" if name[0] in "aeio" else "a"
