"""Matching of annotated intervals to classes.

iaMat, attribute × interval, does not record roles: {take out, knife, plate} may be a knife on a plate, or a plate and a
knife. The tool, ingredients and containers fields of the annotation file record them, where they can be read. The thing
acted on is listed among the ingredients even if it is not food: the file's class names concatenate verb, tool,
ingredients and containers, as in ``take outVhandbottlefridge``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dataset_tools.classes.triplets import ActionClass, ClassFile

if TYPE_CHECKING:
    from dataset_tools.corpora.corpus import Interval

PARTS = ("tools", "ingredients", "containers")


@dataclass(frozen=True)
class Classification:
    """Class of an interval.

    Attributes:
        status: ``class``: it belongs to one class. ``ambiguous``: it matches several and belongs to none.
            ``none``: it matches no class.
        class_id: the class it belongs to, else None.
        candidates: ids of all the classes that it matches, in the class file's order.
    """

    status: Literal["class", "ambiguous", "none"]
    class_id: str | None
    candidates: tuple[str, ...]


def classify(interval: Interval, classes: ClassFile) -> Classification:
    """Returns the class of an interval: the one whose verb, subject and (if it has one) object are annotated for it.

    Other things may be annotated too, but a class without an object excludes all objects of the class file other than
    its subject. Where the annotation file records roles, a thing must not be annotated only in a role other than that
    of the class.
    """
    candidates = tuple(one.id for one in classes.classes if fits(interval, one, classes))
    if len(candidates) == 1:
        return Classification("class", candidates[0], candidates)
    return Classification("ambiguous" if candidates else "none", None, candidates)


def fits(interval: Interval, action_class: ActionClass, classes: ClassFile) -> bool:
    """Whether an interval matches a class, regardless of other classes."""
    if interval.verb not in action_class.verbs and interval.verbs.isdisjoint(action_class.verbs):
        return False
    subject = _attributes(action_class.subject, interval, classes)
    if not subject or _plays_another_part(subject, "ingredients", interval):
        return False
    if action_class.object is None:
        return not any(_attributes(thing, interval, classes) for thing in classes.objects - {action_class.subject})
    thing = _attributes(action_class.object, interval, classes)
    if action_class.role is None or action_class.role == "companion":
        return bool(thing)
    return bool(thing) and not _plays_another_part(
        thing, "tools" if action_class.role == "tool" else "containers", interval
    )


def _attributes(thing: str, interval: Interval, classes: ClassFile) -> frozenset[str]:
    """Returns the attributes of an interval that count as a thing of the class file."""
    return interval.things.intersection(classes.things[thing].attributes)


def _plays_another_part(attributes: frozenset[str], part: str, interval: Interval) -> bool:
    """Whether something else is annotated for ``part``, and the attributes for other parts only.

    A part that is empty or cannot be read excludes nothing: the annotations are incomplete.
    """
    parts = {name: getattr(interval, name) or frozenset[str]() for name in PARTS}
    if not parts[part] or attributes & parts[part]:
        return False
    return any(attributes & annotated for annotated in parts.values())
