from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from dataset_tools.core.errors import InputError
from fmn.metrics.retrieval_metrics import (
    by_class,
    mean_average_precision,
    query_metrics,
    recall_at_k,
    retrieval_metrics,
)

KS = (1, 2, 3, 5)


def class_recall(scores, relevant, ks=KS):
    """Eq. 5 in percent, the mean over queries."""
    return {k: 100 * float(found.mean()) for k, found in query_metrics(scores, relevant, ks).recalls.items()}


def every_order(scores: np.ndarray, relevant: np.ndarray) -> list[np.ndarray]:
    """The relevance of one query's gallery in every ranking that its scores allow, each as likely as the other."""
    rankings = [
        order
        for order in itertools.permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    return [relevant[list(order)] for order in rankings]


def average_precision(ranking: np.ndarray) -> float:
    places = [place for place, hit in enumerate(ranking, start=1) if hit]
    return sum(number / place for number, place in enumerate(places, start=1)) / max(1, len(places))


@pytest.fixture(params=range(8))
def tied(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Few distinct scores, so that ties of every kind occur; six items, so that all orders can be tried."""
    random = np.random.default_rng(request.param)
    scores = random.integers(0, 1 + request.param % 4, (12, 6)).astype(float)
    relevant = random.random((12, 6)) < 0.4
    return scores, relevant


def test_ties_count_as_all_their_orders_do(tied: tuple[np.ndarray, np.ndarray]) -> None:
    scores, relevant = tied
    orders = [every_order(*query) for query in zip(scores, relevant, strict=True)]
    hits, recalls = recall_at_k(scores, relevant, KS), class_recall(scores, relevant, KS)
    for k in KS:
        hit = np.mean([np.mean([r[:k].any() for r in query]) for query in orders])
        assert hits[k] == pytest.approx(100 * hit)
        recall = np.mean([np.mean([r[:k].sum() / max(1, r.sum()) for r in query]) for query in orders])
        assert recalls[k] == pytest.approx(100 * recall)
    precision = np.mean([np.mean([average_precision(r) for r in query]) for query in orders])
    assert mean_average_precision(scores, relevant) == pytest.approx(100 * precision)
    ranks = [np.mean([1 + r.argmax() if r.any() else 7 for r in query]) for query in orders]
    assert np.median(query_metrics(scores, relevant).rank) == pytest.approx(np.median(ranks))


def test_the_printed_formula() -> None:
    # b = 2 better, t = 4 tied, p = 2 of them relevant; k = 4 leaves m = 2: 1 − C(2,2)/C(4,2) = 5/6.
    scores = np.array([[9, 8, 5, 5, 5, 5, 1]])
    relevant = np.array([[0, 0, 1, 0, 1, 0, 1]], dtype=bool)
    found = recall_at_k(scores, relevant, (2, 3, 4, 6))
    assert found == pytest.approx({2: 0, 3: 50, 4: 100 * 5 / 6, 6: 100})


def test_constant_scores_give_chance() -> None:
    relevant = np.eye(300, dtype=bool)
    assert recall_at_k(np.zeros((300, 300)), relevant) == pytest.approx({1: 100 / 300, 10: 1000 / 300, 25: 2500 / 300})


def test_distinct_scores_are_counted_as_a_person_would() -> None:
    scores = np.array([[0.9, 0.1, 0.5], [0.2, 0.3, 0.4]])
    relevant = np.array([[False, False, True], [False, False, True]])
    assert recall_at_k(scores, relevant, (1, 2)) == {1: 50, 2: 100}
    assert np.median(query_metrics(scores, relevant).rank) == 1.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64])
def test_tensors_of_any_kind_are_taken(dtype: torch.dtype) -> None:
    scores = torch.tensor([[3, 1, 2], [1, 2, 3]], dtype=dtype).requires_grad_(dtype.is_floating_point)
    assert recall_at_k(scores, torch.eye(2, 3, dtype=torch.bool), (1, 2)) == {1: 50, 2: 100}


def test_infinities_are_scores_like_others() -> None:
    scores = np.array([[np.inf, 1, -np.inf], [-np.inf, -np.inf, 0]])
    relevant = np.array([[1, 0, 0], [1, 0, 0]], dtype=bool)
    assert recall_at_k(scores, relevant, (1, 2)) == pytest.approx({1: 50, 2: 75})


def test_a_k_beyond_the_gallery_finds_everything() -> None:
    assert recall_at_k(np.zeros((2, 3)), np.eye(2, 3, dtype=bool), (25,)) == {25: 100}
    assert class_recall(np.zeros((2, 3)), np.eye(2, 3, dtype=bool), (25,)) == {25: 100}


def test_a_query_without_anything_to_find_finds_nothing() -> None:
    assert recall_at_k(np.zeros((2, 3)), np.array([[1, 1, 1], [0, 0, 0]]), (1,)) == {1: 50}


@pytest.mark.parametrize("measure", [recall_at_k, mean_average_precision, query_metrics])
def test_what_cannot_be_measured_is_refused(measure) -> None:
    with pytest.raises(InputError, match="1 score is NaN, of 6") as caught:
        measure(np.array([[1, 2, 3], [1, np.nan, 3]]), np.eye(2, 3, dtype=bool))
    assert caught.value.where == "query 1"
    with pytest.raises(InputError, match=r"\(2, 3\).*\(3, 2\)"):
        measure(np.zeros((2, 3)), np.zeros((3, 2), dtype=bool))
    with pytest.raises(InputError, match=r"\(0, 3\)"):
        measure(np.zeros((0, 3)), np.zeros((0, 3), dtype=bool))


def test_a_k_below_1_is_refused() -> None:
    with pytest.raises(InputError, match="k is 0"):
        recall_at_k(np.zeros((2, 3)), np.eye(2, 3, dtype=bool), (0, 1))


def test_the_ks_may_come_from_a_generator() -> None:
    assert recall_at_k(np.eye(2), np.eye(2, dtype=bool), (k for k in (1, 2))) == {1: 100.0, 2: 100.0}


def test_queries_without_a_partner_do_not_enter_the_instance_hits() -> None:
    scores = np.array([[3.0, 2, 1], [3, 2, 1]])
    partners = np.array([[False, True, False], [False, False, False]])
    block = retrieval_metrics(scores, ["a", "b"], ["b", "a", "a"], partners, ks=(1, 2))
    assert block["instance_queries"] == 1
    assert block["instance_hit"] == {"1": 0, "2": 100}
    assert block["class_hit"] == {"1": 50, "2": 100}
    none = retrieval_metrics(scores, ["a", "b"], ["b", "a", "a"], np.zeros((2, 3), dtype=bool), ks=(1,))
    assert none["instance_hit"] == {"1": None}


def test_the_block_of_a_direction() -> None:
    classes = np.repeat(np.arange(20), 15)
    scores = np.random.default_rng(0).random((300, 300))
    partners = np.eye(300, dtype=bool)
    block = retrieval_metrics(scores, classes, classes, partners)
    relevant = classes[:, None] == classes[None]
    assert (block["queries"], block["gallery"], block["instance_queries"]) == (300, 300, 300)
    for name, found in (
        ("instance_hit", recall_at_k(scores, partners)),
        ("class_hit", recall_at_k(scores, relevant)),
        ("class_recall", class_recall(scores, relevant, (1, 10, 25))),
    ):
        assert block[name] == {str(k): value for k, value in found.items()}
        assert list(block["chance"][name]) == list(block["ceiling"][name]) == ["1", "10", "25"]
    assert block["class_map"] == mean_average_precision(scores, relevant)
    assert block["median_rank"] == np.median(query_metrics(scores, relevant).rank)


def test_a_clip_with_several_utterances_needs_one_of_them() -> None:
    scores, partners = np.array([[4.0, 3, 2, 1]]), np.array([[False, True, True, False]])
    block = retrieval_metrics(scores, ["a"], ["a", "a", "a", "b"], partners, ks=(1, 2, 3))
    assert block["instance_hit"] == {"1": 0, "2": 100, "3": 100}
    assert block["class_recall"] == pytest.approx({"1": 100 / 3, "2": 200 / 3, "3": 100})


def test_the_other_direction_is_the_transposed_matrix() -> None:
    # Two clips, three utterances; utterance 2 describes no clip of the gallery.
    scores = np.array([[0.9, 0.1, 0.8], [0.2, 0.7, 0.3]])
    partners = np.array([[True, False, False], [False, True, False]])
    clips, utterances = ["a", "b"], ["a", "b", "b"]
    to_audio = retrieval_metrics(scores, clips, utterances, partners, ks=(1, 2))
    to_video = retrieval_metrics(scores.T, utterances, clips, partners.T, ks=(1, 2))
    assert (to_audio["queries"], to_audio["gallery"], to_audio["instance_queries"]) == (2, 3, 2)
    assert (to_video["queries"], to_video["gallery"], to_video["instance_queries"]) == (3, 2, 2)
    assert to_audio["class_recall"] == {"1": pytest.approx(75), "2": pytest.approx(100)}
    assert to_video["instance_hit"] == {"1": pytest.approx(100), "2": pytest.approx(100)}
    assert to_video["class_hit"] == {"1": pytest.approx(200 / 3), "2": pytest.approx(100)}


def test_a_class_missing_in_the_gallery_counts_against_the_queries() -> None:
    block = retrieval_metrics(np.ones((2, 2)), ["a", "z"], ["a", "b"], np.zeros((2, 2), dtype=bool), ks=(1, 2))
    assert block["class_hit"] == block["chance"]["class_hit"] == {"1": pytest.approx(25), "2": pytest.approx(50)}
    assert block["ceiling"]["class_hit"] == {"1": 50, "2": 50}


def test_means_by_class() -> None:
    hits = query_metrics(np.array([[3, 1], [3, 1], [1, 3]]), np.array([[1, 0], [0, 1], [0, 1]]), (1,)).hits[1]
    assert by_class(hits, ["b", "a", "b"]) == {"a": 0, "b": 100}


def test_a_large_gallery_without_ties() -> None:
    random = np.random.default_rng(3)
    scores, relevant = random.random((40, 5000)).astype(np.float32), random.random((40, 5000)) < 0.01
    orders = [hit[np.argsort(-score)] for score, hit in zip(scores, relevant, strict=True)]
    for k in (1, 50, 1000):
        assert recall_at_k(scores, relevant, (k,))[k] == pytest.approx(100 * np.mean([r[:k].any() for r in orders]))
        expected = 100 * np.mean([r[:k].sum() / r.sum() for r in orders])
        assert class_recall(scores, relevant, (k,))[k] == pytest.approx(expected)
    assert mean_average_precision(scores, relevant) == pytest.approx(100 * np.mean([*map(average_precision, orders)]))
    assert np.median(query_metrics(scores, relevant).rank) == np.median([1 + r.argmax() for r in orders])


def test_the_inputs_stay_as_they_are() -> None:
    scores, relevant = np.array([[1.0, 2.0]]), np.array([[True, False]])
    recall_at_k(scores, relevant)
    assert scores.tolist() == [[1.0, 2.0]]
    assert relevant.tolist() == [[True, False]]


def test_queries_are_taken_in_parts_that_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    scores, relevant = random.integers(0, 5, (70, 9)), random.random((70, 9)) < 0.3
    whole = query_metrics(scores, relevant, (1, 4))
    monkeypatch.setattr("fmn.metrics.retrieval_metrics.SCORES_AT_ONCE", 9 * 32)
    parts = query_metrics(scores, relevant, (1, 4))
    assert np.array_equal(whole.hits[4], parts.hits[4])
    assert np.array_equal(whole.recalls[1], parts.recalls[1])
    assert np.array_equal(whole.average_precision, parts.average_precision)
    assert np.array_equal(whole.rank, parts.rank)
    assert np.array_equal(whole.reciprocal_rank, parts.reciprocal_rank)
    assert np.array_equal(whole.ndcg[4], parts.ndcg[4])
