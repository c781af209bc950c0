"""Which class an annotated interval belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dataset_tools.class_words import ActionClass, ClassFile

if TYPE_CHECKING:  # it needs h5py, and only the name is used here
    from dataset_tools.mpii.annotations import Interval


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
    """
    candidates = tuple(one.id for one in classes.classes if _fits(interval, one, classes))
    if len(candidates) == 1:
        return Classification("class", candidates[0], candidates)
    return Classification("ambiguous" if candidates else "none", None, candidates)


def _fits(interval: Interval, one: ActionClass, classes: ClassFile) -> bool:
    if interval.verb not in one.verbs and interval.verbs.isdisjoint(one.verbs):
        return False
    if not _has(interval, one.subject, classes):
        return False
    if one.object is not None:
        return _has(interval, one.object, classes)
    return not any(_has(interval, thing, classes) for thing in classes.objects - {one.subject})


def _has(interval: Interval, thing: str, classes: ClassFile) -> bool:
    return not interval.things.isdisjoint(classes.things[thing].attributes)
