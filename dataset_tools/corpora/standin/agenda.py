"""Agenda of a synthetic video: its intervals, their classes, durations and attributes.

It reproduces properties of MPII Cooking 2: several tools in one interval, intervals that match two classes, intervals
that match none, classes with too few intervals, one activity verb out of several synonyms of the action.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass

import numpy as np

from dataset_tools.classes.matching import classify
from dataset_tools.classes.triplets import ActionClass, ClassFile
from dataset_tools.core.errors import InputError
from dataset_tools.core.seeds import generator
from dataset_tools.corpora.corpus import Interval
from dataset_tools.corpora.standin.cast import FRAME_RATE, Sequence
from dataset_tools.corpora.standin.class_assignment import assign_classes, needs
from dataset_tools.corpora.standin.difficulty import Difficulty
from dataset_tools.corpora.standin.motions import MOTIONS
from dataset_tools.corpora.standin.things import CLUTTER, SUBJECTS, THINGS, TOOLS

# Lengths of intervals: log-normal, truncated to these limits. The resulting median is 1.7 s; it is 12 s in TACoS.
SCALE_S, SPREAD = 1.43, 0.62
LIMITS_S = (0.9, 7.5)
GAP_S = (0.8, 1.35)
AMBIGUOUS_SHARE = 0.06
OTHER_SHARE = 0.12

# The tool in the acting hand if the class does not name one. Other actions are done with the bare hand, or with the
# subject itself in it.
_USUAL_TOOLS = {"cut": "knife", "peel": "knife", "stir": "spatula"}
# Kitchen activities outside all classes; used if they match no class of the class file.
_OTHER_SUBJECTS = {
    "cut": ("apple", "cucumber", "lemon", "lime", "onion", "orange"),
    "peel": ("apple", "carrot", "cucumber", "onion"),
    "wash": ("carrot", "cucumber", "knife", "lemon", "lime", "plate"),
    "squeeze": ("orange",),
    "take-out": ("apple", "milk", "oil", "onion", "orange", "salt"),
    "stir": ("bowl", "frying-pan"),
    "grate": ("carrot", "apple", "lemon"),
}
# Attributes of almost all intervals in MPII Cooking 2; no class requires or excludes them.
_BYSTANDERS = ("hand", "counter", "cutting-board", "drawer", "cupboard", "side-peeler", "sink", "water", "peel")
_CONTAINERS = frozenset(
    ["bowl", "plate", "frying-pan", "cutting-board", "counter", "drawer", "cupboard", "sink", "jar", "tin"]
)
_KNIVES = ("knife", "chefs-knife", "table-knife", "bread-knife")
_TOOLS = frozenset(["hand", "fork", "spatula", "squeezer", "side-peeler", "flat-grater", "sponge", *_KNIVES])
Roles = dict[str, tuple[str, ...]]  # tools, ingredients, containers


@dataclass(frozen=True)
class AgendaItem:
    """An interval to be performed and annotated.

    Attributes:
        class_id: the class it shows; None if it matches none, or several.
        action: key of the motion. subject: thing acted on. tool: thing in the acting hand, or None.
        verb: MPII activity, without its V.
        tools, ingredients, containers: MPII attributes by role; together they are the interval's things.
        frames: length.
    """

    class_id: str | None
    action: str
    subject: str
    tool: str | None
    verb: str
    tools: tuple[str, ...]
    ingredients: tuple[str, ...]
    containers: tuple[str, ...]
    frames: int

    @property
    def things(self) -> tuple[str, ...]:
        """All attributes that are not verbs, tools first."""
        return tuple(dict.fromkeys((*self.tools, *self.ingredients, *self.containers)))


@dataclass(frozen=True)
class Agenda:
    """The plan of one video.

    Attributes:
        sequence: person and dish.
        things: kinds of things on the worktop, subjects first.
        items: the intervals, in order.
        gaps: frames before the first item, between items, and after the last: one more than items.
        tools: the tool that acts on each subject in its class, None for the bare hand; idle hands use it, too.
    """

    sequence: Sequence
    things: tuple[str, ...]
    items: tuple[AgendaItem, ...]
    gaps: tuple[int, ...]
    tools: dict[str, str | None]


def plan_agendas(
    classes: ClassFile, level: Difficulty, cast: Many[Sequence], *, seed: int, per_class: int
) -> tuple[Agenda, ...]:
    """Distributes the intervals of all classes over the videos, and adds intervals outside the classes.

    Raises:
        InputError: a class needs a motion or a thing that the synthetic corpus cannot draw.
    """
    _check_known(classes)
    assigned = assign_classes(classes, level, len(cast), seed, per_class)
    return tuple(_agenda(classes, level, one, own, seed) for one, own in zip(cast, assigned, strict=True))


def _check_known(classes: ClassFile) -> None:
    unknown = sorted({one.action for one in classes.classes} - MOTIONS.keys())
    unknown += sorted({one.subject for one in classes.classes} - SUBJECTS.keys())
    unknown += sorted(classes.objects - THINGS.keys())
    if unknown:
        raise InputError(
            "The synthetic corpus cannot show " + ", ".join(unknown),
            where=classes.path,
            expected=f"actions among {', '.join(MOTIONS)} and things among {', '.join(THINGS)}",
            next_step="write the synthetic corpus with the shipped class file",
        )


def _agenda(classes: ClassFile, level: Difficulty, sequence: Sequence, hand: list[ActionClass], seed: int) -> Agenda:
    rng = generator(seed, "standin", "agenda", sequence.id)
    kinds = _shown(classes, level, hand, rng)
    subjects = sorted(kinds & SUBJECTS.keys())
    clutter = sorted(kinds & CLUTTER.keys())
    more = [str(key) for key in rng.permutation(sorted(CLUTTER.keys() - kinds))]
    clutter += sorted(more[: max(0, level.clutter - len(clutter))])
    items = [_class_item(one, classes, rng) for one in hand]
    items += [_ambiguous_item(classes, subjects, rng) for _ in range(_share(AMBIGUOUS_SHARE, len(hand), rng))]
    items += [_other_item(classes, subjects, rng) for _ in range(_share(OTHER_SHARE, len(hand), rng))]
    items = [items[int(place)] for place in rng.permutation(len(items))]
    gaps = rng.uniform(*GAP_S, len(items) + 1)
    least_s = min(60.5, 4.2 * len(hand))  # a minute, in a corpus of the usual size
    total_s = gaps.sum() + sum(item.frames for item in items) / FRAME_RATE
    gaps *= 1 + max(0.0, least_s - total_s) / gaps.sum()
    return Agenda(
        sequence=sequence,
        things=(*subjects, *clutter),
        items=tuple(items),
        gaps=tuple(int(np.ceil(gap * FRAME_RATE)) for gap in gaps),
        tools={one.subject: _acting_tool(one) for one in classes.classes if one.subject in subjects},
    )


def _acting_tool(one: ActionClass) -> str | None:
    """Returns what the acting hand holds, besides the subject itself."""
    return one.object if one.role == "tool" and one.object in TOOLS else _USUAL_TOOLS.get(one.action)


def _shown(classes: ClassFile, level: Difficulty, hand: Many[ActionClass], rng: np.random.Generator) -> set[str]:
    """Returns the things that the classes need, and further subjects with theirs: each could be the one acted on."""
    kinds: set[str] = set().union(*(needs(one) for one in hand))
    others = {one.subject: needs(one) for one in classes.classes}
    for key in rng.permutation(sorted(SUBJECTS.keys() - kinds)):
        more = kinds | others.get(str(key), {str(key)})
        if len(more & SUBJECTS.keys()) <= level.subjects:
            kinds = more
    return kinds


def _share(share: float, of: int, rng: np.random.Generator) -> int:
    """Returns ``share · of``, stochastically rounded, so that it is correct on average."""
    return int(share * of + rng.random())


def _frames(rng: np.random.Generator) -> int:
    """Samples the length of an interval, from the same distribution for every class."""
    while True:
        seconds = SCALE_S * float(np.exp(SPREAD * rng.standard_normal()))
        if LIMITS_S[0] <= seconds <= LIMITS_S[1]:
            return int(np.ceil(seconds * FRAME_RATE))


def _attribute(thing: str, classes: ClassFile, rng: np.random.Generator) -> str:
    """Samples an MPII attribute for a thing, mostly the usual one."""
    if thing not in classes.things:
        return thing
    names = classes.things[thing].attributes
    return names[0] if rng.random() < 0.6 else names[int(rng.integers(len(names)))]


def _roles(things: Many[str], acted_on: Many[str]) -> Roles:
    """Returns attributes by role, roughly as in MPII Cooking 2: the thing acted on is an ingredient, even a pan."""
    rest = [thing for thing in things if thing not in acted_on]
    containers = tuple(thing for thing in rest if thing in _CONTAINERS)
    tools = tuple(thing for thing in rest if thing in _TOOLS)
    others = [thing for thing in rest if thing not in (*tools, *containers)]
    return {"tools": tools, "ingredients": (*acted_on, *others), "containers": containers}


def _candidates(verb: str, roles: Roles, classes: ClassFile) -> tuple[str, ...]:
    """Returns the classes that an interval with these attributes matches."""
    things = frozenset(thing for part in roles.values() for thing in part)
    parts = {part: frozenset(names) for part, names in roles.items()}
    return classify(Interval(0, "s00-d00-cam-002", 1, 2, verb, things, frozenset((verb,)), **parts), classes).candidates


def _with_bystanders(
    verb: str, things: Many[str], acted_on: Many[str], classes: ClassFile, rng: np.random.Generator, extra: Many[str]
) -> Roles:
    """Returns the roles of these things and of others that keep the class: up to three usual ones, and ``extra``."""
    wanted = _candidates(verb, _roles(things, acted_on), classes)
    usual = [str(name) for name in rng.permutation(_BYSTANDERS)[: int(rng.integers(1, 4))]]
    for one in (*usual, *extra):
        if one not in things and _candidates(verb, _roles([*things, one], acted_on), classes) == wanted:
            things = [*things, one]
    return _roles(things, acted_on)


def _class_item(one: ActionClass, classes: ClassFile, rng: np.random.Generator) -> AgendaItem:
    verb = one.verbs[0] if rng.random() < 0.4 else one.verbs[int(rng.integers(len(one.verbs)))]
    subject = _attribute(one.subject, classes, rng)
    things = [subject] + ([_attribute(one.object, classes, rng)] if one.object else [])
    tool = _acting_tool(one)
    lying_about = [str(name) for name in rng.permutation(["fork", "spatula", "side-peeler", "flat-grater"])[:2]]
    extra = ([tool] if tool else []) + (lying_about if rng.random() < 0.5 else [])
    roles = _with_bystanders(verb, things, [subject], classes, rng, extra)
    if _candidates(verb, roles, classes) != (one.id,):
        raise InputError(
            f"No interval belongs to the class {one.id} alone: {verb} {', '.join(things)} fits "
            + (", ".join(_candidates(verb, roles, classes)) or "none"),
            where=classes.path,
            expected="classes that differ in verb, subject or object",
            next_step="write the synthetic corpus with the shipped class file",
        )
    return AgendaItem(one.id, one.action, one.subject, tool, verb, **roles, frames=_frames(rng))


def _ambiguous_item(classes: ClassFile, subjects: Many[str], rng: np.random.Generator) -> AgendaItem:
    """Returns an interval that matches two classes of one action; one that matches none if there is no such pair."""
    pairs = [
        (one, other)
        for one in classes.classes
        for other in classes.classes
        if one.id != other.id and one.action == other.action and one.subject in subjects and other.subject in subjects
    ]
    for place in rng.permutation(len(pairs)):
        one, other = pairs[int(place)]
        things = [classes.things[key].attributes[0] for key in sorted(needs(one) | needs(other))]
        roles = _roles(things, things)
        if len(_candidates(one.verbs[0], roles, classes)) > 1:
            tool = _USUAL_TOOLS.get(one.action)
            return AgendaItem(None, one.action, one.subject, tool, one.verbs[0], **roles, frames=_frames(rng))
    return _other_item(classes, subjects, rng)


def _other_item(classes: ClassFile, subjects: Many[str], rng: np.random.Generator) -> AgendaItem:
    """Returns an interval that matches no class: an action on another thing, or a thing that is moved."""
    choices = [(action, key) for action, keys in _OTHER_SUBJECTS.items() for key in keys if key in subjects]
    for place in rng.permutation(len(choices)):
        action, subject = choices[int(place)]
        if action not in classes.actions:
            continue
        verb = classes.actions[action].verbs[0]
        thing = classes.things[subject].attributes[0]
        roles = _roles([thing, "hand"], [thing])
        if not _candidates(verb, roles, classes):
            tool = _USUAL_TOOLS.get(action)
            return AgendaItem(None, action, subject, tool, verb, **roles, frames=_frames(rng))
    subject = str(rng.choice(list(subjects)))
    thing = classes.things[subject].attributes[0] if subject in classes.things else subject
    return AgendaItem(
        None, "take-out", subject, None, "move", **_roles([thing, "counter"], [thing]), frames=_frames(rng)
    )
