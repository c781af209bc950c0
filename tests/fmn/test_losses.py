from __future__ import annotations

import math

import pytest
import torch

from fmn.losses import balanced_bce, triplet_loss

torch.manual_seed(0)
CLIP_CLASSES = torch.tensor([0, 0, 1, 2, 2, 1])
UTTERANCE_CLASSES = torch.tensor([1, 0, 2, 2])
MATCH = CLIP_CLASSES[:, None] == UTTERANCE_CLASSES[None]
COSINES = torch.rand(6, 4, dtype=torch.float64) * 2 - 1


def direct_triplet(cosines: torch.Tensor, match: torch.Tensor, margin: float, sign: int, hard: bool) -> float:
    terms = []
    for similarity, matches in ((cosines, match), (cosines.T, match.T)):
        for anchor in range(len(similarity)):
            positives = [i for i in range(similarity.shape[1]) if matches[anchor, i]]
            negatives = [i for i in range(similarity.shape[1]) if not matches[anchor, i]]
            for positive in positives:
                each = [
                    max(0.0, float(similarity[anchor, n]) + sign * float(similarity[anchor, positive]) + margin)
                    for n in negatives
                ]
                if each:
                    terms.append(max(each) if hard else sum(each) / len(each))
    return sum(terms) / len(terms)


@pytest.mark.parametrize(("form", "sign"), [("working", -1), ("printed", 1)])
@pytest.mark.parametrize("negatives", ["hard", "all"])
@pytest.mark.parametrize("margin", [0.0, 0.2, 1.5])
def test_triplets_are_those_of_a_direct_loop(form: str, sign: int, negatives: str, margin: float) -> None:
    found = triplet_loss(COSINES, MATCH, margin=margin, form=form, negatives=negatives)
    assert float(found) == pytest.approx(direct_triplet(COSINES, MATCH, margin, sign, negatives == "hard"))


@pytest.mark.parametrize("negatives", ["hard", "all"])
def test_the_working_form_draws_matches_together_and_the_printed_one_drives_them_apart(negatives: str) -> None:
    for form, expected in (("working", -1), ("printed", 1)):
        cosines = COSINES.clone().requires_grad_()
        triplet_loss(cosines, MATCH, margin=2.5, form=form, negatives=negatives).backward()
        assert torch.equal(cosines.grad[MATCH].sign(), torch.full((int(MATCH.sum()),), float(expected)).double())
        assert (cosines.grad[~MATCH] >= 0).all()


@pytest.mark.parametrize("negatives", ["hard", "all"])
def test_gradients_are_those_of_finite_differences(negatives: str) -> None:
    torch.autograd.gradcheck(
        lambda cosines: triplet_loss(cosines, MATCH, margin=0.3, negatives=negatives), COSINES.clone().requires_grad_()
    )
    torch.autograd.gradcheck(lambda score: balanced_bce(score, MATCH), COSINES.clone().requires_grad_())


@pytest.mark.parametrize("match", [torch.ones(3, 3, dtype=torch.bool), torch.zeros(3, 3, dtype=torch.bool)])
def test_a_batch_without_triplets_costs_nothing(match: torch.Tensor) -> None:
    for negatives in ("hard", "all"):
        cosines = torch.rand(3, 3, requires_grad=True)
        loss = triplet_loss(cosines, match, negatives=negatives)
        loss.backward()
        assert loss.item() == 0
        assert torch.equal(cosines.grad, torch.zeros(3, 3))


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
