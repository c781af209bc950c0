"""Sentence generation from a small grammar, in English and Chinese.

A sentence combines a viewpoint (I, he, the cook, imperative) and a tense with a verb phrase: a verb of the action, the
subject with its article or number, and the object with its preposition. The words come from the class file; the shipped
``annotations/sentences/grammar.yaml`` adds synonyms of verbs and nouns. Classes without an entry there get sentences,
too.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest

from dataset_tools.classes.triplets import ActionClass, ClassFile
from dataset_tools.core.count_of import first_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.letters import is_latin
from dataset_tools.core.seeds import generator
from dataset_tools.speech.sentences import chinese, english
from dataset_tools.speech.sentences.grammar import Phrase, load_grammar

LANGUAGES = ("en", "zh")
_SHOWN = 10


def describe(
    action_class: ActionClass, classes: ClassFile, *, count: int, language: str = "en", seed: int = 0
) -> list[str]:
    """Generates distinct sentences that describe one class; the first n are the same for every ``count`` >= n.

    Viewpoints and tenses alternate; in English, the action's own verb is as frequent as all its synonyms together.

    Args:
        action_class: the class.
        classes: its class file, which contains its words.
        count: number of sentences.
        language: ``en`` or ``zh``.
        seed: random seed of choice and order.

    Raises:
        InputError: the language has no grammar, or the class has fewer distinct sentences than ``count``.
    """
    sentences = every_sentence(action_class, classes, language=language, seed=seed)
    if len(sentences) < count:
        raise InputError(
            f"{count} different sentences were requested, but the grammar has {len(sentences)}",
            where=f"class {action_class.id}, language {language}",
            expected=f"at most {len(sentences)}",
            next_step="request fewer with --per-class, or add verbs and names to annotations/sentences/grammar.yaml",
        )
    return sentences[:count]


def every_sentence(action_class: ActionClass, classes: ClassFile, *, language: str = "en", seed: int = 0) -> list[str]:
    """Generates all sentences of the grammar for a class, in the order of `describe`.

    Raises:
        InputError: the language has no grammar.
    """
    frames = _phrases(action_class, classes, language)
    orders = []
    for name in sorted(frames):
        rng = generator(seed, "sentences", language, action_class.id, name)
        # A weighted shuffle: the probability that a phrase comes first is proportional to its weight.
        keys = {phrase.text: rng.random() ** (1 / phrase.weight) for phrase in frames[name]}
        orders.append(sorted(keys, key=lambda text: -keys[text]))
    generator(seed, "sentences", language, action_class.id).shuffle(orders)
    return list(dict.fromkeys(_in_turns(orders)))


def check_words(classes: ClassFile, language: str) -> None:
    """Checks that a class file has the words of a language.

    Raises:
        InputError: Chinese words are missing; all such keys are named.
    """
    keys = [key for one in classes.classes for key in (one.action, one.subject, one.object) if key]
    words = classes.actions | classes.things
    lacking = sorted({key for key in keys if not words[key].zh})
    if language == "zh" and lacking:
        raise InputError(
            f"The class file has no Chinese word for: {', '.join(lacking)}",
            where=classes.path,
            expected="`zh` for each action and thing of its classes",
            next_step="add them, or choose --language en",
        )


def note_on_letters(classes: ClassFile, language: str) -> tuple[str, ...]:
    """Returns a warning if generated English sentences of the classes have words in another script; else nothing."""
    keys = [key for one in classes.classes for key in (one.action, one.subject, one.object) if key]
    words = classes.actions | classes.things
    others = list(dict.fromkeys(words[key].name for key in keys if not is_latin(words[key].name)))
    if language != "en" or not others:
        return ()
    shown = ", ".join(first_of([repr(name) for name in others], _SHOWN))
    in_chinese = "build with --language zh, " if all(words[key].zh for key in keys) else ""
    return (
        f"Generated English sentences have words of the class file that are not in Latin letters: {shown}; "
        f"{in_chinese}give English names to these words (`name`, with their forms), or sentences to the intervals.",
    )


def _phrases(action_class: ActionClass, classes: ClassFile, language: str) -> dict[str, list[Phrase]]:
    """All sentences, by frame (viewpoint and tense)."""
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
    """Interleaves lists: the first of each, then the second of each, and so on."""
    return (text for turn in zip_longest(*orders) for text in turn if text is not None)
