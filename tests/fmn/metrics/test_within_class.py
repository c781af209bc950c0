from __future__ import annotations

import numpy as np
import pytest

from fmn.metrics.within_class import partner_rank


def brute_force(scores: np.ndarray, classes: np.ndarray, partners: np.ndarray) -> list[float]:
    """Every partner against every other item of the class, one comparison at a time."""
    found = []
    for query in range(len(scores)):
        shares = []
        for item in range(scores.shape[1]):
            if not (partners[query, item] and classes[query, item]):
                continue
            rivals = [other for other in range(scores.shape[1]) if classes[query, other] and not partners[query, other]]
            beaten = [
                1.0
                if scores[query, other] > scores[query, item]
                else 0.5 * (scores[query, other] == scores[query, item])
                for other in rivals
            ]
            shares += [sum(beaten) / len(beaten)] if beaten else []
        found.append(sum(shares) / len(shares) if shares else float("nan"))
    return found


def test_it_is_the_share_of_the_class_that_is_better_than_the_partner() -> None:
    #        partner, of its class …, of another class
    scores = np.array([[3.0, 4.0, 1.0, 2.0, 9.0], [3.0, 3.0, 4.0, 3.0, 9.0], [5.0, 1.0, 2.0, 3.0, 9.0]])
    classes = np.array([[True] * 4 + [False]] * 3)
    partners = np.array([[True] + [False] * 4] * 3)
    assert partner_rank(scores, classes, partners).tolist() == pytest.approx([1 / 3, 2 / 3, 0.0])


def test_it_is_what_counting_gives_with_ties_and_several_partners() -> None:
    random = np.random.default_rng(0)
    scores = random.integers(4, size=(60, 17)).astype(np.float32)
    classes = random.integers(3, size=(60, 1)) == random.integers(3, size=17)
    partners = random.random((60, 17)) < 0.15  # some of another class, some queries without any
    expected = brute_force(scores, classes, partners)
    assert np.isnan(expected).any()
    np.testing.assert_allclose(partner_rank(scores, classes, partners), expected)


def test_class_knowledge_alone_gives_a_half_and_instance_knowledge_0() -> None:
    random = np.random.default_rng(1)
    names = np.repeat(np.arange(20), 15)
    classes = names[:, None] == names[None]
    partners = np.eye(300, dtype=bool)
    knows_classes = 10 * classes + random.normal(size=(300, 300))
    ranks = partner_rank(knows_classes, classes, partners)
    # A uniform rank over 15 places has standard deviation .31; the mean of 300 of them .018.
    assert abs(ranks.mean() - 0.5) < 3 * 0.018
    assert partner_rank(1.0 * classes, classes, partners).tolist() == [0.5] * 300
    assert partner_rank(knows_classes + 100 * partners, classes, partners).max() == 0
    assert partner_rank(knows_classes - 100 * partners, classes, partners).min() == 1


def test_there_is_none_without_a_partner_or_without_another_of_the_class() -> None:
    classes = np.array([[True, True], [True, False], [True, False]])
    partners = np.array([[False, False], [True, False], [False, True]])
    assert np.isnan(partner_rank(np.zeros((3, 2)), classes, partners)).all()
