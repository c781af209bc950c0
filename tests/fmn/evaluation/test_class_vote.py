"""The vote of the nearest items: of classes of any size, own items excluded or not, equal shares, and no vote."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from fmn.evaluation.class_vote import class_vote, ranked


def blocks(sizes: Sequence[int], own: str, noise: float = 0.3) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Scores of every item with every other: items of one class always score above those of others."""
    of_items = np.repeat(np.arange(len(sizes)), sizes)
    same = of_items[:, None] == of_items
    scores = same + noise * np.random.default_rng(0).uniform(size=same.shape)
    if own == "excluded":
        np.fill_diagonal(scores, -np.inf)
    return scores.astype(np.float32), of_items


@pytest.mark.parametrize("own", ["excluded", "included"])
@pytest.mark.parametrize("size", range(2, 31))
def test_classes_that_are_told_apart_win_whatever_their_size(size: int, own: str) -> None:
    for noise in (0.3, 0.0):  # without noise, all items of a class are tied
        scores, of_items = blocks([size] * 6, own, noise)
        vote = class_vote(scores, of_items, 6)
        assert (vote.neighbors == min(25, size - (own == "excluded"))).all()
        assert (vote.shares == np.eye(6)[of_items]).all()


@pytest.mark.parametrize("own", ["excluded", "included"])
def test_classes_of_very_different_sizes_win_as_well(own: str) -> None:
    sizes = [200, 3, 90, 8, 40, 17, 2]
    scores, of_items = blocks(sizes, own)
    vote = class_vote(scores, of_items, len(sizes))
    assert (vote.shares == np.eye(len(sizes))[of_items]).all()
    at_hand = np.array(sizes) - (own == "excluded")
    assert vote.neighbors.tolist() == np.minimum(25, at_hand)[of_items].tolist()


def test_the_neighborhood_ends_before_a_class_would_be_outnumbered() -> None:
    of_items = np.array([0] * 9 + [1] * 4)
    # By descending score: classes 0, 0, 1, 0, | 0, …: of class 1, one item is excluded, so at most three may vote.
    order = [0, 1, 9, 2, 3, 4, 5, 6, 7, 8, 10, 11]
    scores = np.full((1, 13), -np.inf, dtype=np.float32)
    scores[0, order] = np.linspace(1, 0, len(order))
    vote = class_vote(scores, of_items, 2)
    assert vote.neighbors.tolist() == [3]
    of_first, of_second = 2 / np.sqrt(9), 1 / np.sqrt(4)  # the excluded item is part of its class
    assert vote.shares[0] == pytest.approx(np.array([of_first, of_second]) / (of_first + of_second))
    assert vote.best[0].tolist() == scores[0, [0, 9]].tolist()
    assert class_vote(scores, of_items, 2, most=2).shares.tolist() == [[1, 0]]


def test_of_equal_shares_the_better_item_decides() -> None:
    of_items = np.array([0, 0, 1, 1, 2, 2])
    vote = class_vote(np.array([[0.5, 0.1, 0.9, 0.2, 0.4, 0.3]], dtype=np.float32), of_items, 3)
    assert vote.shares.tolist() == [[0.5, 0.5, 0]]
    assert ranked(vote.shares, vote.best).tolist() == [[1, 0, 2]]
    assert ranked(vote.shares[0], vote.best[0]).tolist() == [1, 0, 2]


def test_a_class_without_other_items_gets_no_vote() -> None:
    of_items = np.array([0, 1, 1, 3])
    scores = np.array([[-np.inf, 0.9, 0.8, 0.1], [0.1, -np.inf, 0.8, 0.2], [-np.inf] * 4], dtype=np.float32)
    vote = class_vote(scores, of_items, 4)  # no item is of class 2
    assert vote.neighbors.tolist() == [0, 1, 0]
    assert vote.shares.tolist() == [[0] * 4, [0, 1, 0, 0], [0] * 4]


def test_classes_of_fifty_are_told_apart_as_by_their_25_best_items() -> None:
    """As many as in the paper's data set: the vote is that of 25 equal items."""
    rng = np.random.default_rng(1)
    of_items = np.repeat(np.arange(20), 50)
    centers = rng.normal(size=(20, 16))
    clips, utterances = (centers[of_items] + rng.normal(size=(1000, 16)) for _ in range(2))
    vectors = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in (clips, utterances)]
    scores = (vectors[0] @ vectors[1].T).astype(np.float32)
    np.fill_diagonal(scores, -np.inf)
    vote = class_vote(scores, of_items, 20)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :25]
    counts = np.stack([(of_items[best] == number).sum(axis=1) for number in range(20)], axis=1)
    np.testing.assert_allclose(vote.shares, counts / 25, atol=1e-12)


@pytest.mark.parametrize("exclude", [False, True])
def test_votes_are_those_of_each_class_by_itself(*, exclude: bool) -> None:
    """Also with classes without items: the first, the last, and some between."""
    rng = np.random.default_rng(2)
    of_items = rng.choice([1, 2, 5, 6, 9], size=90, p=[0.5, 0.2, 0.2, 0.05, 0.05])
    scores = rng.normal(size=(40, 90)).astype(np.float32)
    if exclude:
        scores[rng.uniform(size=scores.shape) < 0.3] = -np.inf
    vote = class_vote(scores, of_items, 12)
    members = [of_items == number for number in range(12)]
    for row, found in enumerate(scores):
        left = [np.isfinite(found[of_class]).sum() for of_class in members]
        assert vote.best[row].tolist() == [max([-np.inf, *found[of_class].tolist()]) for of_class in members]
        largest = 0
        for k in range(1, 26):
            nearest = of_items[np.argsort(-found, kind="stable")[:k]]
            largest = k if k <= sum(left) and min(left[number] for number in nearest) >= k else largest
        if any(not left[number] for number in set(of_items.tolist())):
            largest = 0
        nearest = of_items[np.argsort(-found, kind="stable")[:largest]]
        weights = [(nearest == number).sum() / max(1, of_class.sum()) ** 0.5 for number, of_class in enumerate(members)]
        assert vote.neighbors[row] == largest
        assert vote.shares[row] == pytest.approx(np.array(weights) / (sum(weights) or 1))
