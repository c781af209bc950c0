"""Assignment of pairs: side and fold of each pair, derived from those of its items, and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

from dataset_tools.core.errors import InputError
from dataset_tools.core.seeds import generator
from dataset_tools.manifests import SPLIT_SIDES, ClipRow, ItemRow, PairRow, Side, UtteranceRow
from dataset_tools.pairs.folds import FOLDS
from dataset_tools.pairs.sides import Sides
from dataset_tools.pairs.splits import SplitName


@dataclass(frozen=True)
class PairOptions:
    """How pairs are split.

    Attributes:
        split: ``items``, ``person``, ``mpii`` or ``pairs`` (see `dataset_tools.pairs.splits`).
        test_share: share of the items (for ``pairs``: of the pairs) on the test side, 0 < share < 1.
        seed: random seed of the split.
        reviewed: whether to use only items that an annotator accepted.
    """

    split: SplitName = "items"
    test_share: float = 0.3
    seed: int = 0
    reviewed: bool = False

    def __post_init__(self) -> None:
        if self.split not in get_args(SplitName):
            raise InputError(
                f"There is no split {self.split!r}",
                where="--split",
                expected=f"one of {', '.join(get_args(SplitName))}",
            )
        if not 0 < self.test_share < 1:
            raise InputError(
                f"The test share is {self.test_share}",
                where="--test-share",
                expected="a number between 0 and 1, such as 0.3",
            )


def pairs_of_class(
    clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow], sides: Sides, options: PairOptions
) -> dict[str, Counter[Side]]:
    """Counts the pairs of each class on each side."""
    clips_in = Counter((row.class_id, sides.clips.get(row.id)) for row in clips)
    utterances_in = Counter((row.class_id, sides.utterances.get(row.id)) for row in utterances)
    counts: dict[str, Counter[Side]] = {}
    for class_id in {row.class_id for row in clips}:
        if options.split == "pairs":
            pairs = clips_in[class_id, None] * utterances_in[class_id, None]
            test = round(options.test_share * pairs)
            counts[class_id] = Counter({"test": test, "train": pairs - test})
        else:
            counts[class_id] = Counter({s: clips_in[class_id, s] * utterances_in[class_id, s] for s in SPLIT_SIDES})
    return counts


AssignPair = Callable[[PairRow], tuple[Side, int | None] | None]
"""Returns the side and the fold of a pair (no fold on the test side), or None if it is on neither side."""


def pair_assignment(
    clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow], sides: Sides, options: PairOptions
) -> AssignPair:
    """Returns the function that assigns the pairs of these items."""
    if options.split == "pairs":
        return _random_assignment(clips, utterances, options)

    def assign(pair: PairRow) -> tuple[Side, int | None] | None:
        side = sides.clips.get(pair.clip)
        if side is None or side != sides.utterances.get(pair.utterance):
            return None
        if side == "test":
            return side, None
        return side, min(sides.clip_folds[pair.clip], sides.utterance_folds[pair.utterance])

    return assign


def _random_assignment(
    clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow], options: PairOptions
) -> AssignPair:
    """Literal reading of the paper: in every class, exactly ``test_share`` of the pairs, at random, are for testing."""
    row_of, row_counts = _positions(clips)
    column_of, column_counts = _positions(utterances)
    ranks = {}
    for class_id, rows in row_counts.items():
        random = generator(options.seed, "split", "pairs", class_id)
        columns = column_counts[class_id]
        ranks[class_id] = random.permutation(rows * columns).reshape(rows, columns)

    def assign(pair: PairRow) -> tuple[Side, int | None]:
        rank = ranks[pair.class_id]
        here = int(rank[row_of[pair.clip], column_of[pair.utterance]])
        return ("test", None) if here < round(options.test_share * rank.size) else ("train", here % FOLDS)

    return assign


def _positions(items: Sequence[ItemRow]) -> tuple[dict[str, int], Counter[str]]:
    """Position of every item within its class, in order of id, and number of items per class."""
    positions: dict[str, int] = {}
    counts: Counter[str] = Counter()
    for item in sorted(items, key=lambda row: row.id):
        positions[item.id] = counts[item.class_id]
        counts[item.class_id] += 1
    return positions, counts
