from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import ndcg_score

from dataset_tools.core.errors import InputError
from fmn.metrics.bootstrap import interval_of_mean
from fmn.metrics.chosen_metrics import chosen_metrics, parse_metrics
from fmn.metrics.retrieval_metrics import query_metrics

KS = (1, 2, 3, 5, 20)
SHAPE = (5, 6)
NAMES = ("ndcg@1", "ndcg@3", "ndcg@20", "mrr", "map", "recall@2", "recall@20", "hit@1", "hit@3")
TREC = (
    "ndcg_cut_1",
    "ndcg_cut_3",
    "ndcg_cut_20",
    "recip_rank",
    "map",
    "recall_2",
    "recall_20",
    "success_1",
    "success_3",
)

relevances = arrays.arrays(bool, SHAPE)
tied_scores = arrays.arrays(np.int64, SHAPE, elements=st.integers(0, 3))


@given(scores=tied_scores, relevant=relevances)
@settings(deadline=None)
def test_ndcg_with_ties_is_that_of_scikit_learn(scores: Any, relevant: Any) -> None:
    found = query_metrics(scores, relevant, KS).ndcg
    for k in KS:
        expected = [ndcg_score(relevant[[row]], scores[[row]], k=k) for row in range(len(scores))]
        np.testing.assert_allclose(found[k], expected, atol=1e-12)


@given(scores=tied_scores, relevant=relevances)
@settings(deadline=None, max_examples=25)
def test_reciprocal_ranks_are_the_mean_over_every_order_of_the_ties(scores: Any, relevant: Any) -> None:
    def reciprocal_rank(ranking: tuple[int, ...], row: int) -> float:
        return next((1 / rank for rank, item in enumerate(ranking, start=1) if relevant[row, item]), 0.0)

    for row, found in enumerate(query_metrics(scores, relevant, ()).reciprocal_rank):
        orders = [
            order
            for order in itertools.permutations(range(SHAPE[1]))
            if all(scores[row, a] >= scores[row, b] for a, b in itertools.pairwise(order))
        ]
        assert found == pytest.approx(np.mean([reciprocal_rank(order, row) for order in orders]))


def test_reciprocal_rank_of_a_large_tie() -> None:
    # One relevant item of 2,000 that tie, behind 3 others: the mean of 1/4 … 1/2003.
    scores, relevant = np.zeros((1, 2003)), np.zeros((1, 2003), dtype=bool)
    scores[0, :3], relevant[0, 1000] = 1, True
    expected = sum(1 / rank for rank in range(4, 2004)) / 2000
    assert query_metrics(scores, relevant, ()).reciprocal_rank[0] == pytest.approx(expected)


@given(order=st.permutations(range(30)), relevant=relevances)
@settings(deadline=None)
def test_without_ties_every_metric_is_that_of_trec_eval(order: Any, relevant: Any) -> None:
    trec = pytest.importorskip("pytrec_eval")
    scores = np.reshape(order, SHAPE).astype(np.float32)
    run = {str(q): {str(g): float(value) for g, value in enumerate(row)} for q, row in enumerate(scores)}
    qrels = {str(q): {str(g): int(value) for g, value in enumerate(row)} for q, row in enumerate(relevant)}
    measures = {"ndcg_cut.1,3,20", "recip_rank", "map", "recall.2,20", "success.1,3"}
    expected = trec.RelevanceEvaluator(qrels, measures).evaluate(run)
    found = chosen_metrics(scores, relevant, relevant, NAMES)
    asked = relevant.any(axis=1)
    for name, theirs in zip(NAMES, TREC, strict=True):
        values = np.array([expected[str(q)][theirs] for q in range(SHAPE[0])])
        assert found["class"][name] == pytest.approx(100 * values.mean())
        own = 100 * values[asked].mean() if asked.any() else None
        assert found["instance"][name] == (None if own is None else pytest.approx(own))


def test_chance_and_the_ceiling_are_those_of_a_gallery_that_ties() -> None:
    # Three items, two of the class, one the partner. Chance of the partner's reciprocal rank: (1 + 1/2 + 1/3) / 3;
    # of the class's: first with 2/3, second with 1/3. With the class known, the partner is first or second.
    scores = np.array([[3.0, 2.0, 1.0]])
    classes, partners = np.array([[False, True, True]]), np.array([[False, False, True]])
    found = chosen_metrics(scores, classes, partners, ("mrr", "hit@1"))
    assert found["instance"] == pytest.approx({"mrr": 100 / 3, "hit@1": 0})
    assert found["class"] == pytest.approx({"mrr": 50, "hit@1": 0})
    assert found["chance"]["instance"] == pytest.approx({"mrr": 100 * (1 + 1 / 2 + 1 / 3) / 3, "hit@1": 100 / 3})
    assert found["chance"]["class"] == pytest.approx({"mrr": 100 * (2 / 3 + 1 / 6), "hit@1": 200 / 3})
    assert found["ceiling"]["instance"] == pytest.approx({"mrr": 75, "hit@1": 50})
    assert found["ceiling"]["class"] == pytest.approx({"mrr": 100, "hit@1": 100})


def test_intervals_are_of_the_queries_that_enter() -> None:
    scores = np.array([[2.0, 1, 0], [1, 2, 0], [2, 1, 0]])
    classes = np.array([[True, False, False]] * 3)  # ranks 1, 2, 1
    partners = np.array([[True, False, False], [False, False, True], [False, False, False]])  # ranks 1, 3, none
    factors = {"class": ["a", "b", "c"], "voice": ["x", "x", "y"]}
    found = chosen_metrics(scores, classes, partners, ("mrr",), factors)["intervals"]
    of_class = interval_of_mean([100, 50, 100], factors)
    own = interval_of_mean([100, 100 / 3], {name: labels[:2] for name, labels in factors.items()})
    assert found == {
        "class": {"mrr": pytest.approx([of_class.low, of_class.high])},
        "instance": {"mrr": pytest.approx([own.low, own.high])},
    }
    nobody = chosen_metrics(scores, classes, np.zeros((3, 3), dtype=bool), ("mrr", "ndcg@2"), factors)
    for block in (nobody, nobody["chance"], nobody["ceiling"], nobody["intervals"]):
        assert block["instance"] == {"mrr": None, "ndcg@2": None}


def test_names_are_taken_in_their_order_once_each() -> None:
    assert parse_metrics("ndcg@10,mrr,recall@5") == ("ndcg@10", "mrr", "recall@5")
    assert parse_metrics(" MRR, hit@25 ,mrr,map") == ("mrr", "hit@25", "map")


@pytest.mark.parametrize(
    "text", ["ndcg", "mrr@10", "recall@0", "recall@-1", "recall@05", "bleu", "", "mrr,", "hit@k", "ndcg@1e3", "hit@٣"]
)
def test_what_is_no_metric_is_refused_with_the_list(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_metrics(text)
    names = "ndcg@k, mrr, map, recall@k, hit@k"
    assert caught.value.expected == f"comma-separated names out of {names}, with k of at least 1"
