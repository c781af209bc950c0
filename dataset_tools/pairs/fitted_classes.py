"""Folds in which every class is trained on: fold 0, the validation fold, never contains all pairs of a class.

A pair is in fold 0 if its clip or its utterance is. A class is therefore trained on if a clip and an utterance of its
training part are in other folds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from dataset_tools.manifests import VALIDATION_FOLD, ClipRow, UtteranceRow
from dataset_tools.pairs.same_content import Content
from dataset_tools.pairs.sides import Sides

Unit = tuple[str, str]  # group that must not cross a fold: kind and name
AssignItems = Callable[[Mapping[Unit, int]], Sides]  # by the folds of the units


@dataclass(frozen=True)
class FoldUnits:
    """The units of the items of a split.

    Attributes:
        clips: the clips. utterances: those that describe no clip, or one of these clips.
        content: their contents, by which duplicates are found.
        of_clip: the unit of every clip, by id; utterances that describe the clip are in the same unit.
        of_free: returns the unit of an utterance that describes only a class.
    """

    clips: Sequence[ClipRow]
    utterances: Sequence[UtteranceRow]
    content: Content
    of_clip: Mapping[str, Unit]
    of_free: Callable[[UtteranceRow], Unit]
    holders: Mapping[str, set[Unit]] = field(init=False)
    """Units that contain each utterance content; the content is in the lowest of their folds."""

    def __post_init__(self) -> None:
        holders: dict[str, set[Unit]] = defaultdict(set)
        for row in self.utterances:
            holders[self.content.utterances[row.id]].add(self.of_utterance(row))
        object.__setattr__(self, "holders", holders)

    def of_utterance(self, row: UtteranceRow) -> Unit:
        """Returns the unit of an utterance."""
        return self.of_free(row) if row.clip is None else self.of_clip[row.clip]

    def holding(self, class_id: str, sides: Sides, folds: Mapping[Unit, int]) -> list[set[Unit]]:
        """Returns sets of units; moving any one of the sets out of fold 0 moves an item of the class out of fold 0.

        If both the clips and the utterances of the class are in fold 0, two moves may be needed.
        """
        clips = [row for row in self.clips if row.class_id == class_id and row.id in sides.clip_folds]
        spoken = [row for row in self.utterances if row.class_id == class_id and row.id in sides.utterance_folds]
        if all(sides.clip_folds[row.id] == VALIDATION_FOLD for row in clips):
            return [{self.of_clip[row.id]} for row in clips]
        every = (self.holders[self.content.utterances[row.id]] for row in spoken)
        return [{unit for unit in units if folds.get(unit, VALIDATION_FOLD) == VALIDATION_FOLD} for units in every]


def fit_every_class(units: FoldUnits, folds: Mapping[Unit, int], assign: AssignItems) -> Sides:
    """Returns the sides that ``assign`` derives from ``folds``, once classes that are only validated left fold 0.

    The smallest unit with items of such a class moves to the next fold. If no validation items would be left, another
    unit replaces it in fold 0; if none can, the class stays there, unless no class at all would be trained on.
    """
    sides = assign(folds)
    size = Counter(map(units.of_utterance, units.utterances))
    size.update(units.of_clip[row.id] for row in units.clips)
    given_up: set[str] = set()
    while lacking := sorted(only_validated(units, sides) - given_up):
        class_id = lacking[0]
        choices = units.holding(class_id, sides, folds)
        moved = min(choices, key=lambda choice: (sum(size[unit] for unit in choice), sorted(choice)))
        found = _moved(units, folds, moved, assign, sides) if moved else None
        if found is None:
            given_up.add(class_id)
        else:
            folds, sides = found
    return sides


def only_validated(units: FoldUnits, sides: Sides) -> set[str]:
    """Returns the classes with training pairs that are all in fold 0."""
    shown = {row.class_id for row in units.clips if row.id in sides.clip_folds}
    heard = {row.class_id for row in units.utterances if row.id in sides.utterance_folds}
    return (shown & heard) - _trained(units, sides)


def _trained(units: FoldUnits, sides: Sides) -> set[str]:
    """Classes with training pairs outside fold 0."""
    shown, heard = (
        {row.class_id for row in rows if folds.get(row.id, VALIDATION_FOLD) != VALIDATION_FOLD}
        for rows, folds in ((units.clips, sides.clip_folds), (units.utterances, sides.utterance_folds))
    )
    return shown & heard


def _moved(
    units: FoldUnits, folds: Mapping[Unit, int], moved: AbstractSet[Unit], assign: AssignItems, before: Sides
) -> tuple[Mapping[Unit, int], Sides] | None:
    """Folds after the move, and their sides; None if no validation items would be left."""
    after = {**folds, **dict.fromkeys(moved, VALIDATION_FOLD + 1)}
    sides = assign(after)
    if _validated(sides) >= _validated(before):
        return after, sides
    lacking = only_validated(units, before)
    for unit in sorted(unit for unit, fold in after.items() if fold != VALIDATION_FOLD and unit not in moved):
        swapped = {**after, unit: VALIDATION_FOLD}
        assigned = assign(swapped)
        if _validated(assigned) >= _validated(before) and only_validated(units, assigned) < lacking:
            return swapped, assigned
    return None if _trained(units, before) else (after, sides)


def _validated(sides: Sides) -> set[str]:
    """Kinds of items in fold 0."""
    kinds = {"clips": sides.clip_folds, "utterances": sides.utterance_folds}
    return {kind for kind, folds in kinds.items() if VALIDATION_FOLD in folds.values()}
