"""The losses of the paper, the triplet ranking loss (eq. 1) and binary cross-entropy (eq. 4), and a contrastive one.

A pair of the same class is a match and never a negative, whichever clip the utterance was made for. An anchor without
a match or without a negative contributes nothing; a batch of such anchors has a loss of 0.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from dataset_tools.core.errors import InputError
from fmn.config import Config, TrainingConfig

TripletForm = Literal["standard", "as_published"]
Negatives = Literal["hard", "semi-hard", "all"]

LEAST_PROBABILITY = 1e-6


def triplet_loss(
    cosines: Tensor,
    match: Tensor,
    *,
    margin: float = 0.2,
    form: TripletForm = "standard",
    negatives: Negatives = "hard",
) -> Tensor:
    """Eq. 1 over all matches of a batch, in both directions.

    The standard form is max(0, cos(a, n) − cos(a, p) + margin). The published one, max(0, S(a, p) + S(a, n) + margin),
    pushes the positive away too when S is a similarity, as eq. 2 defines it.

    Args:
        cosines: [N, M] cosine similarity of every clip with every utterance of the batch.
        match: [N, M] bool: of the same class.
        margin: by how much the similarity of a match must exceed that of a negative.
        form: ``standard`` or ``as_published``.
        negatives: ``hard``: only the most similar negative of each anchor; ``semi-hard``: for each anchor and
            positive, the most similar negative that is less similar than the positive or, if there is none, the least
            similar of all (Schroff et al., FaceNet, 2015); ``all``: the mean over all negatives.

    Returns:
        The mean over the (anchor, positive) pairs that have a negative, in both directions; 0 if there are none.
    """
    sign = 1.0 if form == "as_published" else -1.0
    total, count = cosines.new_zeros(()), cosines.new_zeros(())
    for similarity, positive in ((cosines, match), (cosines.T, match.T)):
        usable = positive & ~positive.all(dim=1, keepdim=True)
        if negatives == "all":
            each = functional.relu(similarity[:, None, :] + sign * similarity[:, :, None] + margin)  # [N, p, n]
            negative = ~positive[:, None, :]
            terms = (each * negative).sum(dim=2) / negative.sum(dim=2).clamp(min=1)
        else:
            chosen = _hard(similarity, positive) if negatives == "hard" else _semi_hard(similarity, positive)
            terms = functional.relu(similarity.gather(1, chosen) + sign * similarity + margin)
        total = total + (terms * usable).sum()
        count = count + usable.sum()
    return total / count.clamp(min=1)


def contrastive_loss(cosines: Tensor, match: Tensor, *, temperature: float = 0.07) -> Tensor:
    """InfoNCE with class positives: each match against all negatives of its anchor, in both directions.

    −log(exp(s_p) / (exp(s_p) + Σ over the negatives n of exp(s_n))), with s = cosine / temperature: InfoNCE (van den
    Oord et al., 2018) for each positive separately. Other positives are excluded from the sum, which would push them
    away.

    Args:
        cosines: [N, M] cosine similarity of every clip with every utterance of the batch.
        match: [N, M] bool: of the same class.
        temperature: softmax temperature.

    Returns:
        The mean over the (anchor, positive) pairs that have a negative, in both directions; 0 if there are none.
    """
    total, count = cosines.new_zeros(()), cosines.new_zeros(())
    for similarity, positive in ((cosines / temperature, match), (cosines.T / temperature, match.T)):
        alone = positive.all(dim=1, keepdim=True)
        usable = positive & ~alone
        # Without negatives the sum would be log 0: such an anchor is not masked, and does not count.
        against = similarity.masked_fill(usable, -torch.inf).logsumexp(dim=1, keepdim=True)
        total = total + (functional.softplus(against - similarity) * usable).sum()
        count = count + usable.sum()
    return total / count.clamp(min=1)


def configured_triplet(cosines: Tensor, match: Tensor, training: TrainingConfig) -> Tensor:
    """The loss that ``training.triplet`` selects: `triplet_loss` in one of its forms, `contrastive_loss`, or none.

    Args:
        cosines: [N, M] cosine similarity of every clip with every utterance of the batch.
        match: [N, M] bool: of the same class.
        training: the form, its margin and negatives or its temperature.

    Returns:
        The loss, not weighted; for ``off`` 0, without a gradient.
    """
    if training.triplet == "off":
        return cosines.new_zeros(())
    if training.triplet == "softmax":
        return contrastive_loss(cosines, match, temperature=training.triplet_temperature)
    return triplet_loss(cosines, match, margin=training.margin, form=training.triplet, negatives=training.negatives)


def require_loss(config: Config) -> None:
    """Checks that a loss of FMN is left to train with.

    Raises:
        InputError: every loss has weight 0, is off, or does not apply to the score.
    """
    training, score = config.training, config.model.score
    weights = (
        training.score_weight,
        training.s1_weight * (score != "s1"),
        training.triplet_weight * (training.triplet != "off"),
        training.slot_weight * (score not in ("s1", "cosine")),
    )
    if not any(weights):
        raise InputError(
            f"There is no loss to train with: with model.score={score}, every loss that applies is off or has weight 0",
            where="training.score_weight, s1_weight, triplet, triplet_weight, slot_weight",
            expected="at least one loss",
            next_step="leave one of these values out",
        )


def balanced_bce(score: Tensor, match: Tensor, *, logarithms: bool = False) -> Tensor:
    """Eq. 4, −(y log ŷ + (1 − y) log(1 − ŷ)): the average of its mean over matches and its mean over non-matches.

    In a batch of N × M pairs of 20 classes only one in twenty matches; balancing gives both kinds the same weight.

    Args:
        score: [N, M] logits of ŷ.
        match: [N, M] bool, y.
        logarithms: whether the score is log ŷ, as for scores that are products. Eq. 3 as published yields scores
            above 1, for which eq. 4 is undefined: they are clamped to 1 − 1e-6, without a gradient.

    Returns:
        The loss; if one kind is missing, the mean over the other.
    """
    if logarithms:
        log_match = score.clamp(max=float(torch.log1p(torch.tensor(-LEAST_PROBABILITY))))
        each = torch.where(match, -log_match, -torch.log(-torch.expm1(log_match)))
    else:
        each = functional.binary_cross_entropy_with_logits(score, match.to(score.dtype), reduction="none")
    kinds = [(each * kind).sum() / kind.sum().clamp(min=1) for kind in (match, ~match)]
    present = torch.stack([match.any(), (~match).any()]).sum()
    return (kinds[0] + kinds[1]) / present


def _hard(similarity: Tensor, positive: Tensor) -> Tensor:
    """[N, M]: index of each anchor's most similar negative, repeated M times."""
    return similarity.masked_fill(positive, -torch.inf).argmax(dim=1, keepdim=True).expand_as(similarity)


def _semi_hard(similarity: Tensor, positive: Tensor) -> Tensor:
    """[N, M]: for each anchor and positive, index of the most similar negative below the positive, or the least."""
    behind = ~positive[:, None, :] & (similarity[:, None, :] < similarity[:, :, None])  # [N, p, n]
    best_behind = similarity[:, None, :].masked_fill(~behind, -torch.inf).argmax(dim=2)
    least = similarity.masked_fill(positive, torch.inf).argmin(dim=1, keepdim=True)
    return torch.where(behind.any(dim=2), best_behind, least)
