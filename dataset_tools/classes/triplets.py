"""Class file contents: (action, subject, object) triplets and their words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dataset_tools.manifests import ClassLabel

SCHEMA = "fmn.classes/1"
Role = Literal["tool", "source", "target", "place", "companion"]


@dataclass(frozen=True)
class ObjectPhrase:
    """What an object is to an action, and how a sentence says so.

    Attributes:
        role: its part in the action; None: the file does not say.
        preposition: the English one (with a knife).
        phrase_zh: the object in a Chinese sentence, with ``{object}`` for its word.
    """

    role: Role | None
    preposition: str
    phrase_zh: str


@dataclass(frozen=True)
class ActionWord:
    """An action of the paper, in words and in MPII Cooking 2's verbs.

    Attributes:
        name, zh: the English and the Chinese word; the Chinese one is empty where the file has none.
        verbs: activities of MPII Cooking 2, without their final V, that count as the action; the usual one first.
        third_person, past, participle, gerund: forms of the English verb (takes out, took out, taken out, taking out).
        also_verbs: further verbs, each with the things that it counts for when they are the subject.
        with_object: what any object is to this action, where that differs from what the thing says of itself.
    """

    name: str
    zh: str
    verbs: tuple[str, ...]
    third_person: str
    past: str
    participle: str
    gerund: str
    also_verbs: dict[str, tuple[str, ...]]
    with_object: ObjectPhrase | None


@dataclass(frozen=True)
class ThingWord:
    """A subject or object of the paper, in words and in MPII Cooking 2's attributes.

    Attributes:
        name, zh: the English and the Chinese word; the Chinese one is empty where the file has none.
        attributes: attributes of MPII Cooking 2 that count as the thing; the usual one first.
        mass: whether it is not counted (some oil); None: the file does not say, so it is always "the" thing.
        plural: None of a thing that is not counted.
        measure_zh: the Chinese measure word.
        as_object: what the thing is to an action as its object, unless the action says otherwise.
    """

    name: str
    zh: str
    attributes: tuple[str, ...]
    mass: bool | None
    plural: str | None
    measure_zh: str
    as_object: ObjectPhrase | None


@dataclass(frozen=True)
class ActionClass:
    """One (action, subject, object) triplet; the object may be None.

    Attributes:
        id: the keys joined by ``_``: ``cut_carrot_knife``, ``take-out_frying-pan_plate``, ``wash_apple``.
        action: key of the class file's actions. subject, object: keys of its things.
        role: what the object is to the action. None without an object, or where the file does not say.
        preposition: of the object in an English sentence (with a knife). None without an object.
        phrase_zh: the object in a Chinese sentence, with ``{object}`` for its word. None without an object.
        verbs: all verbs that count as the action for this subject.
    """

    id: str
    action: str
    subject: str
    object: str | None
    role: Role | None
    preposition: str | None
    phrase_zh: str | None
    verbs: tuple[str, ...]

    def label(self) -> ClassLabel:
        """The triplet as manifests hold it."""
        return ClassLabel(id=self.id, action=self.action, subject=self.subject, object=self.object)


@dataclass(frozen=True)
class ClassFile:
    """A class file that was read and checked.

    Attributes:
        path: the file.
        classes: the classes that are asked for: the first of the file, in its order.
        actions, things: the words by key, as the file has them.
        objects: keys of the things that an interval of a class without an object must not have beside its subject:
            the objects of all classes in the file, however many are asked for, and those it names besides.
    """

    path: Path
    classes: tuple[ActionClass, ...]
    actions: dict[str, ActionWord]
    things: dict[str, ThingWord]
    objects: frozenset[str]


def usual_phrase(action: ActionWord, thing: ThingWord) -> ObjectPhrase | None:
    """What a thing is to an action as its object, as far as the words tell: the action's word goes first."""
    return action.with_object or thing.as_object


def make_class(
    actions: dict[str, ActionWord],
    things: dict[str, ThingWord],
    action: str,
    subject: str,
    object_: str | None = None,
    phrase: ObjectPhrase | None = None,
) -> ActionClass:
    """The class of a triplet of keys; ``phrase`` is what the object is to it, if the words' own is not meant.

    Raises:
        ValueError: there is an object, and neither ``phrase`` nor the words tell what it is to the action.
    """
    word = actions[action]
    if object_ is not None and phrase is None:
        phrase = usual_phrase(word, things[object_])
        if phrase is None:
            raise ValueError(f"what {object_} is to {action} is not known")
    return ActionClass(
        id="_".join(part for part in (action, subject, object_) if part),
        action=action,
        subject=subject,
        object=object_,
        role=phrase.role if phrase else None,
        preposition=phrase.preposition if phrase else None,
        phrase_zh=phrase.phrase_zh if phrase else None,
        verbs=word.verbs + tuple(verb for verb, subjects in word.also_verbs.items() if subject in subjects),
    )
