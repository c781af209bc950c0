from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fmn.models.baselines.parts.margin_softmax import adaptive_mean_margin, drawn_pairs, margin_loss, margin_softmax


def similarities(rows: int, columns: int, *, seed: int = 0) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def published_by_loops(similarity: Tensor, pairs: list[tuple[int, int]], *, margin: float | None) -> float:
    """Both directions over drawn pairs, written out; without a margin the adaptive one, half of the mean distance."""
    total = 0.0
    for direction in (0, 1):
        terms = []
        for pair in pairs:
            positive = float(similarity[pair])
            negatives = []
            for other in pairs:
                if other[0] == pair[0] or other[1] == pair[1]:
                    continue  # the very clip or the very utterance: masked
                negatives.append(
                    float(similarity[pair[0], other[1]] if direction == 0 else similarity[other[0], pair[1]])
                )
            if not negatives:
                continue
            away = 0.5 * (positive - sum(negatives) / len(negatives)) if margin is None else margin
            top = math.exp(positive - away)
            terms.append(-math.log(top / (top + sum(map(math.exp, negatives)))))
        total += sum(terms) / len(terms)
    return total


PAIRS = [(0, 2), (1, 0), (2, 1), (0, 3), (3, 3), (4, 4)]


@pytest.mark.parametrize(
    ("kind", "amount", "margin"), [("fixed", 0.001, 0.001), ("fixed", 0.7, 0.7), ("adaptive", 0.5, None)]
)
def test_as_published_it_is_the_direct_loop(kind: str, amount: float, margin: float | None) -> None:
    similarity = similarities(5, 5)
    rows, positive, negative = drawn_pairs(similarity, torch.tensor(PAIRS))
    found = margin_loss(rows, positive, negative, kind=kind, amount=amount)  # type: ignore[arg-type]
    assert float(found) == pytest.approx(published_by_loops(similarity, PAIRS, margin=margin), rel=1e-5)


@pytest.mark.parametrize(("kind", "amount"), [("fixed", 0.3), ("adaptive", 0.5)])
def test_with_class_positives_it_is_the_direct_loop(kind: str, amount: float) -> None:
    similarity = similarities(4, 6, seed=1)
    classes, others = [0, 1, 1, 2], [0, 0, 1, 1, 1, 5]
    match = torch.tensor(classes)[:, None] == torch.tensor(others)[None]
    total = 0.0
    for matrix, positives in ((similarity, match), (similarity.T, match.T)):
        terms = []
        for query in range(len(matrix)):
            negatives = [float(matrix[query, n]) for n in range(matrix.shape[1]) if not positives[query, n]]
            for p in range(matrix.shape[1]):
                if positives[query, p]:
                    value = float(matrix[query, p])
                    mean = sum(negatives) / len(negatives)
                    away = amount if kind == "fixed" else amount * (value - mean)
                    top = math.exp(value - away)
                    terms.append(-math.log(top / (top + sum(map(math.exp, negatives)))))
        total += sum(terms) / len(terms)
    found = margin_loss(similarity, match, ~match, kind=kind, amount=amount)  # type: ignore[arg-type]
    assert float(found) == pytest.approx(total, rel=1e-5)


def test_a_batch_of_one_class_costs_nothing_and_has_a_gradient() -> None:
    similarity = similarities(3, 3).requires_grad_(True)
    match = torch.ones(3, 3, dtype=torch.bool)
    loss = margin_softmax(similarity, match, ~match, 0.1)
    assert float(loss.detach()) == 0
    loss.backward()
    assert similarity.grad is not None
    assert torch.equal(similarity.grad, torch.zeros(3, 3))


def test_masked_items_do_not_count() -> None:
    similarity = similarities(2, 4)
    positive = torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0]], dtype=torch.bool)
    negative = torch.tensor([[0, 1, 1, 0], [1, 0, 1, 0]], dtype=torch.bool)
    before = margin_softmax(similarity, positive, negative, 0.1)
    similarity[:, 3] = 99
    assert float(margin_softmax(similarity, positive, negative, 0.1)) == pytest.approx(float(before))


def test_no_gradient_flows_through_the_adaptive_margin() -> None:
    similarity = similarities(3, 3).requires_grad_(True)
    assert not adaptive_mean_margin(similarity, ~torch.eye(3, dtype=torch.bool), 0.5).requires_grad
