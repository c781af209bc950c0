"""Sentence generation from a small grammar, in English and Chinese.

A sentence is a viewpoint (I, he, the cook, do it!) in a tense, around a verb phrase: a verb of the action, the subject
with its article or number, and the object with its preposition. The words come from the class file; the shipped
``annotations/sentences/grammar.yaml`` adds other verbs and names that people use, and every class without an entry
there still gets its sentences.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest

from dataset_tools.classes.triplets import ActionClass, ClassFile
from dataset_tools.core.errors import InputError
from dataset_tools.core.seeds import generator
from dataset_tools.speech import chinese, english
from dataset_tools.speech.grammar import Phrase, load_grammar

LANGUAGES = ("en", "zh")


def describe(
    action_class: ActionClass, classes: ClassFile, *, count: int, language: str = "en", seed: int = 0
) -> list[str]:
    """Distinct sentences that describe one class; the first n of them are the same for every ``count`` >= n.

    Viewpoints and tenses take turns; within one, the action's own verb comes twice as often as its other verbs.

    Args:
        action_class: the class.
        classes: the file it is from, which has its words.
        count: how many.
        language: ``en`` or ``zh``.
        seed: another seed, another choice and order.

    Raises:
        InputError: the language has no grammar, or the class has fewer different sentences than ``count``.
    """
    sentences = every_sentence(action_class, classes, language=language, seed=seed)
    if len(sentences) < count:
        raise InputError(
            f"{count} different sentences are asked for, and the grammar has {len(sentences)}",
            where=f"class {action_class.id}, language {language}",
            expected=f"at most {len(sentences)}",
            next_step="ask for fewer with --per-class, or add verbs and names to annotations/sentences/grammar.yaml",
        )
    return sentences[:count]


def every_sentence(action_class: ActionClass, classes: ClassFile, *, language: str = "en", seed: int = 0) -> list[str]:
    """All sentences that the grammar has for a class, in the order in which `describe` takes them.

    Raises:
        InputError: the language has no grammar.
    """
    frames = _phrases(action_class, classes, language)
    orders = []
    for name in sorted(frames):
        rng = generator(seed, "sentences", language, action_class.id, name)
        # A weighted shuffle: the phrase with weight w comes first with a chance in proportion to w.
        keys = {phrase.text: rng.random() ** (1 / phrase.weight) for phrase in frames[name]}
        orders.append(sorted(keys, key=lambda text: -keys[text]))
    generator(seed, "sentences", language, action_class.id).shuffle(orders)
    return list(dict.fromkeys(_in_turns(orders)))


def check_words(classes: ClassFile, language: str) -> None:
    """Makes sure that a class file has the words of a language.

    Raises:
        InputError: Chinese words are lacking; all such keys are named.
    """
    keys = [key for one in classes.classes for key in (one.action, one.subject, one.object) if key]
    words = classes.actions | classes.things
    lacking = sorted({key for key in keys if not words[key].zh})
    if language == "zh" and lacking:
        raise InputError(
            f"The class file has no Chinese word for: {', '.join(lacking)}",
            where=classes.path,
            expected="`zh` at each action and thing of its classes",
            next_step="add them, or leave --language zh out",
        )


def _phrases(action_class: ActionClass, classes: ClassFile, language: str) -> dict[str, list[Phrase]]:
    """All sentences, by the frame (viewpoint and tense) they are in."""
    grammar = load_grammar()
    if language == "en":
        return english.sentences(action_class, classes, grammar.english)
    if language == "zh":
        return chinese.sentences(action_class, classes, grammar.chinese)
    raise InputError(
        f"There is no grammar for the language {language!r}",
        expected="one of " + ", ".join(LANGUAGES),
        next_step="choose one of them with --language",
    )


def _in_turns(orders: Iterable[list[str]]) -> Iterable[str]:
    """The first of each, then the second of each, and so on."""
    return (text for turn in zip_longest(*orders) for text in turn if text is not None)
