from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch

from fmn.models.losses import balanced_bce, contrastive_loss, triplet_loss

pytestmark = pytest.mark.usefixtures("one_thread")

CLIP_CLASSES = torch.tensor([0, 0, 1, 2, 2, 1])
UTTERANCE_CLASSES = torch.tensor([1, 0, 2, 2])
MATCH = CLIP_CLASSES[:, None] == UTTERANCE_CLASSES[None]
COSINES = torch.rand(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1


def both_ways(cosines: torch.Tensor, match: torch.Tensor) -> Iterator[tuple[float, list[float]]]:
    """Every positive of every anchor with the anchor's negatives, both directions."""
    for similarity, matches in ((cosines, match), (cosines.T, match.T)):
        for anchor, row in enumerate(similarity.tolist()):
            negatives = [cosine for i, cosine in enumerate(row) if not matches[anchor, i]]
            for i, cosine in enumerate(row):
                if matches[anchor, i] and negatives:
                    yield cosine, negatives


def semi_hard(positive: float, negatives: list[float]) -> float:
    behind = [negative for negative in negatives if negative < positive]
    return max(behind) if behind else min(negatives)


def direct_triplet(cosines: torch.Tensor, match: torch.Tensor, margin: float, sign: int, kind: str) -> float:
    terms = []
    for positive, negatives in both_ways(cosines, match):
        chosen = {"hard": [max(negatives)], "semi-hard": [semi_hard(positive, negatives)], "all": negatives}[kind]
        each = [max(0.0, negative + sign * positive + margin) for negative in chosen]
        terms.append(sum(each) / len(each))
    return sum(terms) / len(terms)


@pytest.mark.parametrize(("form", "sign"), [("standard", -1), ("as_published", 1)])
@pytest.mark.parametrize("negatives", ["hard", "semi-hard", "all"])
@pytest.mark.parametrize("margin", [0.0, 0.2, 1.5])
def test_triplets_are_those_of_a_direct_loop(form: str, sign: int, negatives: str, margin: float) -> None:
    found = triplet_loss(COSINES, MATCH, margin=margin, form=form, negatives=negatives)
    assert float(found) == pytest.approx(direct_triplet(COSINES, MATCH, margin, sign, negatives))


@pytest.mark.parametrize("negatives", ["hard", "semi-hard", "all"])
def test_the_working_form_draws_matches_together_and_the_printed_one_drives_them_apart(negatives: str) -> None:
    for form, expected in (("standard", -1), ("as_published", 1)):
        cosines = COSINES.clone().requires_grad_()
        triplet_loss(cosines, MATCH, margin=2.5, form=form, negatives=negatives).backward()
        assert torch.equal(cosines.grad[MATCH].sign(), torch.full((int(MATCH.sum()),), float(expected)).double())
        assert (cosines.grad[~MATCH] >= 0).all()


@pytest.mark.parametrize("negatives", ["hard", "semi-hard", "all"])
def test_gradients_are_those_of_finite_differences(negatives: str) -> None:
    torch.autograd.gradcheck(
        lambda cosines: triplet_loss(cosines, MATCH, margin=0.3, negatives=negatives), COSINES.clone().requires_grad_()
    )
    torch.autograd.gradcheck(lambda cosines: contrastive_loss(cosines, MATCH), COSINES.clone().requires_grad_())
    torch.autograd.gradcheck(lambda score: balanced_bce(score, MATCH), COSINES.clone().requires_grad_())


@pytest.mark.parametrize("match", [torch.ones(3, 3, dtype=torch.bool), torch.zeros(3, 3, dtype=torch.bool)])
def test_a_batch_without_triplets_costs_nothing(match: torch.Tensor) -> None:
    for negatives in ("hard", "semi-hard", "all"):
        cosines = torch.rand(3, 3, requires_grad=True)
        loss = triplet_loss(cosines, match, negatives=negatives)
        loss.backward()
        assert loss.item() == 0
        assert torch.equal(cosines.grad, torch.zeros(3, 3))
    cosines = torch.rand(3, 3, requires_grad=True)
    contrastive_loss(cosines, match).backward()
    assert torch.equal(cosines.grad, torch.zeros(3, 3))
    assert contrastive_loss(cosines, match).item() == 0


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_contrast_is_that_of_a_direct_loop(temperature: float) -> None:
    terms = []
    for positive, negatives in both_ways(COSINES, MATCH):
        own = math.exp(positive / temperature)
        terms.append(-math.log(own / (own + sum(math.exp(negative / temperature) for negative in negatives))))
    assert float(contrastive_loss(COSINES, MATCH, temperature=temperature)) == pytest.approx(sum(terms) / len(terms))


def test_contrast_is_the_usual_one_where_each_anchor_has_one_match() -> None:
    cosines, target = COSINES[:4], torch.arange(4)
    ways = [torch.nn.functional.cross_entropy(part / 0.07, target) for part in (cosines, cosines.T)]
    assert float(contrastive_loss(cosines, torch.eye(4, dtype=torch.bool))) == pytest.approx(float(sum(ways)) / 2)


def test_a_match_never_pushes_another_match_away() -> None:
    cosines = COSINES.clone().requires_grad_()
    contrastive_loss(cosines, MATCH).backward()
    assert (cosines.grad[MATCH] <= 0).all()
    assert (cosines.grad[~MATCH] >= 0).all()


def test_an_anchor_without_a_negative_leaves_the_others_their_gradient() -> None:
    match = torch.tensor([[True, True, True], [True, False, False]])
    for loss in (contrastive_loss, triplet_loss):
        cosines = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.6, 0.2]], requires_grad=True)  # anchor 2: 0.6 above its match
        value = loss(cosines, match)
        value.backward()
        assert math.isfinite(value.item())
        assert value.item() > 0
        assert torch.isfinite(cosines.grad).all()


def test_cross_entropy_weighs_matches_and_others_alike() -> None:
    probability = torch.sigmoid(COSINES)
    matching = [-math.log(float(p)) for p in probability[MATCH]]
    others = [-math.log(1 - float(p)) for p in probability[~MATCH]]
    expected = (sum(matching) / len(matching) + sum(others) / len(others)) / 2
    assert float(balanced_bce(COSINES, MATCH)) == pytest.approx(expected)
    assert float(balanced_bce(probability.log(), MATCH, logarithms=True)) == pytest.approx(expected)


def test_one_kind_alone_is_its_own_mean() -> None:
    everything = torch.ones(2, 2, dtype=torch.bool)
    assert float(balanced_bce(torch.zeros(2, 2), everything)) == pytest.approx(math.log(2))
    assert float(balanced_bce(torch.zeros(2, 2), ~everything)) == pytest.approx(math.log(2))


def test_a_printed_score_above_1_has_a_value_and_no_gradient() -> None:
    score = torch.tensor([[math.log(3.0), math.log(0.5)]], requires_grad=True)
    loss = balanced_bce(score, torch.tensor([[False, False]]), logarithms=True)
    loss.backward()
    assert math.isfinite(loss.item())
    assert score.grad[0, 0] == 0
    assert score.grad[0, 1] == pytest.approx(0.5 * 0.5 / 0.5)
