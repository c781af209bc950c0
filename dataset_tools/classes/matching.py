"""Matching of annotated intervals to classes.

iaMat, attribute × interval, does not tell who plays which part: {take out, knife, plate} may be a knife on a plate, or
a plate and a knife. The annotation file's tool, ingredients and containers tell it, where they can be read. What the
action is done to stands among the ingredients, also when it is no food: the file's class names are verb, tool,
ingredients and containers in a row, as in ``take outVhandbottlefridge``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dataset_tools.classes.triplets import ActionClass, ClassFile

if TYPE_CHECKING:  # it needs h5py, and only the name is used here
    from dataset_tools.corpora.mpii.annotations import Interval

PARTS = ("tools", "ingredients", "containers")


@dataclass(frozen=True)
class Classification:
    """What an interval was found to be.

    Attributes:
        status: ``class``: it belongs to one class. ``ambiguous``: it fits several and belongs to none.
            ``none``: it fits no class.
        class_id: the class it belongs to, else None.
        candidates: ids of all the classes that it fits, in the class file's order.
    """

    status: Literal["class", "ambiguous", "none"]
    class_id: str | None
    candidates: tuple[str, ...]


def classify(interval: Interval, classes: ClassFile) -> Classification:
    """The class of an interval: one whose verb, subject and (if it has one) object are annotated for it.

    Other things may be annotated too, but for a class without an object none of the file's objects beside its subject.
    Where the file tells who plays which part, a thing must not be annotated as another part than the class gives it.
    """
    candidates = tuple(one.id for one in classes.classes if fits(interval, one, classes))
    if len(candidates) == 1:
        return Classification("class", candidates[0], candidates)
    return Classification("ambiguous" if candidates else "none", None, candidates)


def fits(interval: Interval, one: ActionClass, classes: ClassFile) -> bool:
    """Whether an interval could belong to a class, looked at alone."""
    if interval.verb not in one.verbs and interval.verbs.isdisjoint(one.verbs):
        return False
    subject = _attributes(one.subject, interval, classes)
    if not subject or _plays_another_part(subject, "ingredients", interval):
        return False
    if one.object is None:
        return not any(_attributes(thing, interval, classes) for thing in classes.objects - {one.subject})
    thing = _attributes(one.object, interval, classes)
    if one.role is None or one.role == "companion":
        return bool(thing)
    return bool(thing) and not _plays_another_part(thing, "tools" if one.role == "tool" else "containers", interval)


def _attributes(thing: str, interval: Interval, classes: ClassFile) -> frozenset[str]:
    """The attributes of an interval that count as a thing of the class file."""
    return interval.things.intersection(classes.things[thing].attributes)


def _plays_another_part(attributes: frozenset[str], part: str, interval: Interval) -> bool:
    """Whether somebody else is annotated for ``part``, and the attributes for other parts only.

    A part that is empty or cannot be read excludes nobody: the annotators filled in what they could.
    """
    parts = {name: getattr(interval, name) or frozenset[str]() for name in PARTS}
    if not parts[part] or attributes & parts[part]:
        return False
    return any(attributes & annotated for annotated in parts.values())
