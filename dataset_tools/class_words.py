"""What a class file holds: the (action, subject, object) triplets, and the words for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dataset_tools.manifests import ClassLabel

SCHEMA = "fmn.classes/1"
Role = Literal["tool", "source", "target", "place", "companion"]


@dataclass(frozen=True)
class ActionWord:
    """An action of the paper, in words and in MPII Cooking 2's verbs.

    Attributes:
        name, zh: the English and the Chinese word.
        verbs: activities of MPII Cooking 2, without their final V, that count as the action; the usual one first.
        third_person, past, participle, gerund: forms of the English verb (takes out, took out, taken out, taking out).
    """

    name: str
    zh: str
    verbs: tuple[str, ...]
    third_person: str
    past: str
    participle: str
    gerund: str


@dataclass(frozen=True)
class ThingWord:
    """A subject or object of the paper, in words and in MPII Cooking 2's attributes.

    Attributes:
        name, zh: the English and the Chinese word.
        attributes: attributes of MPII Cooking 2 that count as the thing; the usual one first.
        mass: whether it is not counted (some oil).
        plural: of a thing that is counted, else None.
        measure_zh: the Chinese measure word.
    """

    name: str
    zh: str
    attributes: tuple[str, ...]
    mass: bool
    plural: str | None
    measure_zh: str


@dataclass(frozen=True)
class ActionClass:
    """One (action, subject, object) triplet; the object may be None.

    Attributes:
        id: the keys joined by ``_``: ``cut_carrot_knife``, ``take-out_frying-pan_plate``, ``wash_apple``.
        action: key of the class file's actions. subject, object: keys of its things.
        role: what the object is to the action. None without an object.
        preposition: of the object in an English sentence (with a knife). None without an object.
        phrase_zh: the object in a Chinese sentence, with ``{object}`` for its word. None without an object.
        verbs: all verbs that count as the action for this class: the action's and the row's ``also_verbs``.
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
        classes: the first ``count`` classes, in the file's order.
        actions, things: the words by key, as the file has them.
    """

    path: Path
    classes: tuple[ActionClass, ...]
    actions: dict[str, ActionWord]
    things: dict[str, ThingWord]

    @property
    def objects(self) -> frozenset[str]:
        """Keys of the things that are the object of a class."""
        return frozenset(one.object for one in self.classes if one.object is not None)
