"""Inter-annotator agreement per field: Cohen's kappa for two, Krippendorff's alpha for more, and Gwet's AC1.

Kappa and alpha drop to 0 or below when nearly all decisions are the same, even if few differ; AC1 does not.

Sources: J. Cohen, "A coefficient of agreement for nominal scales", 1960; K. Krippendorff, "Computing Krippendorff's
alpha-reliability", 2011 (nominal data, any number of annotators, missing values); K. L. Gwet, "Computing inter-rater
reliability and its variance in the presence of high agreement", 2008, and "Handbook of Inter-Rater Reliability", 4th
edition, 2014 (missing values). The packages krippendorff, irrCAC and scikit-learn are not used: three formulas of a few
lines, for nominal values only, do not justify the dependencies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Literal

from dataset_tools.decisions.journal import ReviewRow
from dataset_tools.decisions.majority_rule import outcome, votes_by_item

Ratings = Mapping[str, Mapping[str, str]]
"""Values assigned by the annotators: item id → annotator → value."""


@dataclass(frozen=True)
class Agreement:
    """Agreement on one field.

    Attributes:
        field: what was judged. annotators: how many judged it. items: how many were judged by at least two.
        measure: name of the coefficient in ``value``. ``mean IoU``: mean overlap of the frames that two keep.
        value: 1 for full agreement, 0 for agreement by chance; None if undefined (nothing was judged twice, or only
            one value was ever assigned).
        ac1: Gwet's AC1; None if undefined, and for ``mean IoU``.
    """

    field: str
    annotators: int
    items: int
    measure: Literal["Cohen's kappa", "Krippendorff's alpha", "mean IoU"]
    value: float | None
    ac1: float | None


def agreement(rows: Iterable[ReviewRow]) -> tuple[Agreement, ...]:
    """Returns the agreement on every field that at least two annotators judged.

    Args:
        rows: of reviews.jsonl. The decision of each annotator is the one that votes (`votes_by_item`).
    """
    rows = tuple(rows)
    clips, utterances = votes_by_item(rows, "clip"), votes_by_item(rows, "utterance")
    fields: dict[str, Ratings] = {"verdict": _ratings(clips, lambda row: row.verdict)}
    for position, name in enumerate(("action", "subject", "object")):
        fields[name] = _ratings(clips, partial(_word, position=position))
    fields["speech verdict"] = _ratings(utterances, lambda row: row.verdict)
    choices = {"verdict": ("accept", "trim", "reject"), "speech verdict": ("accept", "reject")}
    found = [_nominal(name, ratings, choices.get(name, ())) for name, ratings in fields.items()]
    found.append(_overlap(clips))
    return tuple(one for one in found if one.items)


def disagreement(votes: Iterable[ReviewRow]) -> float | None:
    """Share of the pairs of annotators that decided differently about one item (verdict and class of a clip).

    Args:
        votes: one row per annotator (`votes_by_item`).

    Returns:
        0 to 1; None for fewer than two annotators.
    """
    differ = [one != other for one, other in combinations(map(outcome, votes), 2)]
    return sum(differ) / len(differ) if differ else None


def cohens_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's kappa, (p_o - p_e) / (1 - p_e), of two annotators' values for the same items; None if p_e is 1."""
    count = len(pairs)
    if not count:
        return None
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    observed = sum(a == b for a, b in pairs) / count
    expected = sum(first[value] * second[value] for value in first) / count**2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def krippendorffs_alpha(items: Iterable[Sequence[str]]) -> float | None:
    """Krippendorff's alpha, 1 - D_o / D_e, of nominal values grouped by item; None if only one value occurs.

    D_o = 1/n Σ_u (ordered pairs of differing values in unit u) / (m_u - 1), D_e = Σ_{c≠k} n_c n_k / (n (n - 1)),
    over units with m_u ≥ 2 values, n values in total.
    """
    units = [Counter(values) for values in items if len(values) >= 2]
    totals: Counter[str] = Counter()
    observed = 0.0
    for unit in units:
        totals += unit
        size = unit.total()
        observed += (size**2 - sum(count**2 for count in unit.values())) / (size - 1)
    n = totals.total()
    expected = n**2 - sum(count**2 for count in totals.values())
    return None if expected == 0 else 1 - (n - 1) * observed / expected


def gwets_ac1(items: Iterable[Sequence[str]], choices: Collection[str] = ()) -> float | None:
    """Gwet's AC1, (p_a - p_e) / (1 - p_e), of nominal values of any number of annotators; missing values are omitted.

    p_a is the share of agreeing pairs among an item's values, averaged over the items with at least two values; p_e =
    Σ_k π_k (1 - π_k) / (q - 1), where π_k is the share of value k among an item's values, averaged over all items, and
    q is the number of possible values.

    Args:
        items: the values of each item. Items with a single value count in π_k, as in Gwet's definition.
        choices: possible values, whether or not they occur; values that occur are added.

    Returns:
        None if no item has two values, or if only one value is possible.
    """
    units = [Counter(values) for values in items if values]
    pairs = [unit for unit in units if unit.total() >= 2]
    values = {value for unit in units for value in unit} | set(choices)
    if not pairs or len(values) < 2:
        return None
    observed = sum(
        sum(count * (count - 1) for count in unit.values()) / (unit.total() * (unit.total() - 1)) for unit in pairs
    ) / len(pairs)
    shares = [sum(unit[value] / unit.total() for unit in units) / len(units) for value in values]
    expected = sum(share * (1 - share) for share in shares) / (len(values) - 1)
    return (observed - expected) / (1 - expected)


def _nominal(name: str, ratings: Ratings, choices: Collection[str]) -> Agreement:
    ac1 = gwets_ac1([list(values.values()) for values in ratings.values()], choices)
    twice = {item: values for item, values in ratings.items() if len(values) >= 2}
    annotators = sorted({who for values in twice.values() for who in values})
    if len(annotators) == 2:
        one, other = annotators
        value = cohens_kappa([(values[one], values[other]) for values in twice.values()])
        return Agreement(name, 2, len(twice), "Cohen's kappa", value, ac1)
    value = krippendorffs_alpha([list(values.values()) for values in twice.values()])
    return Agreement(name, len(annotators), len(twice), "Krippendorff's alpha", value, ac1)


def _overlap(clips: Mapping[str, Mapping[str, ReviewRow]]) -> Agreement:
    """Mean intersection over union of the frame ranges that pairs of annotators keep of a clip."""
    kept = {
        clip: {who: _kept(row) for who, row in votes.items() if row.verdict in ("accept", "trim")}
        for clip, votes in clips.items()
    }
    kept = {clip: ranges for clip, ranges in kept.items() if len(ranges) >= 2}
    overlaps = [_iou(a, b) for ranges in kept.values() for a, b in combinations(ranges.values(), 2)]
    annotators = {who for ranges in kept.values() for who in ranges}
    mean = sum(overlaps) / len(overlaps) if overlaps else None
    return Agreement("frames kept", len(annotators), len(kept), "mean IoU", mean, ac1=None)


def _kept(row: ReviewRow) -> tuple[int, int]:
    return row.trim or row.shown.interval or (row.shown.first_frame, row.shown.first_frame + row.shown.frames - 1)


def _iou(a: tuple[int, int], b: tuple[int, int]) -> float:
    shared = max(0, min(a[1], b[1]) - max(a[0], b[0]) + 1)
    return shared / (a[1] - a[0] + 1 + b[1] - b[0] + 1 - shared)


def _ratings(votes: Mapping[str, Mapping[str, ReviewRow]], value: Callable[[ReviewRow], str | None]) -> Ratings:
    return {
        item: {who: rating for who, row in by_annotator.items() if (rating := value(row)) is not None}
        for item, by_annotator in votes.items()
    }


def _word(row: ReviewRow, position: int) -> str | None:
    """Action (0), subject (1) or object (2) of the chosen class; None for a rejected clip."""
    if row.verdict == "reject":
        return None
    words = (row.corrected_class or row.shown.class_id).split("_")
    return words[position] if position < len(words) else ""
