"""Class file contents: (action, subject, object) triplets and their words."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dataset_tools.manifests import ClassLabel

SCHEMA = "fmn.classes/1"
Role = Literal["tool", "source", "target", "place", "companion"]


@dataclass(frozen=True)
class ObjectPhrase:
    """Role of an object in an action, and its wording in sentences.

    Attributes:
        role: its role in the action; None: not specified in the file.
        preposition: the English preposition (with a knife).
        phrase_zh: the object in a Chinese sentence, with ``{object}`` as the placeholder for its word.
    """

    role: Role | None
    preposition: str
    phrase_zh: str


@dataclass(frozen=True)
class ActionWord:
    """An action of the paper: its words, and its verbs in MPII Cooking 2.

    Attributes:
        name, zh: the English and the Chinese word; the Chinese one is empty if the file has none.
        verbs: activities of MPII Cooking 2, without their final V, that count as the action; the usual one first.
        third_person, past, participle, gerund: forms of the English verb (takes out, took out, taken out, taking out).
        also_verbs: further verbs, each with the subjects for which it counts as the action.
        with_object: role and wording of any object of this action, if they differ from the thing's ``as_object``.
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
    """A subject or object of the paper: its words, and its attributes in MPII Cooking 2.

    Attributes:
        name, zh: the English and the Chinese word; the Chinese one is empty if the file has none.
        attributes: attributes of MPII Cooking 2 that count as the thing; the usual one first.
        mass: whether it is a mass noun (some oil); None: not specified in the file, so its article is always "the".
        plural: None for a mass noun, and for an adverb, which has no article: turn left.
        measure_zh: the Chinese measure word.
        as_object: role and wording of the thing as an object, unless the action overrides them.
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
        role: role of the object in the action. None without an object, or if not specified in the file.
        preposition: preposition of the object in an English sentence (with a knife). None without an object.
        phrase_zh: the object in a Chinese sentence, with ``{object}`` as the placeholder for its word. None without an
            object.
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
        """Returns the triplet in the format of manifests."""
        return ClassLabel(id=self.id, action=self.action, subject=self.subject, object=self.object)


@dataclass(frozen=True)
class ClassFile:
    """A validated class file.

    Attributes:
        path: the file.
        classes: the requested classes: the first of the file, in its order.
        actions, things: the words by key, in the order of the file.
        in_file: number of classes of the file, also those that are not requested.
        objects: keys of the things that an interval of a class without an object must not have besides its subject:
            the objects of all classes in the file, not only the requested ones, and those listed under ``objects``.
    """

    path: Path
    classes: tuple[ActionClass, ...]
    actions: dict[str, ActionWord]
    things: dict[str, ThingWord]
    objects: frozenset[str]
    in_file: int = field(default=0, compare=False)


def usual_phrase(action: ActionWord, thing: ThingWord) -> ObjectPhrase | None:
    """Returns role and wording of a thing as the object of an action, if specified; the action takes precedence."""
    return action.with_object or thing.as_object


def make_class(
    actions: dict[str, ActionWord],
    things: dict[str, ThingWord],
    action: str,
    subject: str,
    object_: str | None = None,
    phrase: ObjectPhrase | None = None,
) -> ActionClass:
    """Returns the class of a triplet of keys; ``phrase`` overrides the role and wording that the words specify.

    Raises:
        ValueError: there is an object, and neither ``phrase`` nor the words specify its role and wording.
    """
    word = actions[action]
    if object_ is not None and phrase is None:
        phrase = usual_phrase(word, things[object_])
        if phrase is None:
            raise ValueError(f"the role of {object_} in {action} is not known")
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
