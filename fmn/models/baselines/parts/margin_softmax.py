"""Margin softmax losses of AVLnet and Spoken Moments over a batch, for two towers.

Each loss has two variants. *As published*, the positive of a pair is the pair itself, and every other item of the batch
is a negative, including those of its own class. *With class positives*, all items of the same class are positives, and
none of them is a negative.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fmn.config import Config
from fmn.data.batches import Batch
from fmn.models.baselines.parts.towers import ScoreTrainedTowers, utterance_encoder

Margin = Literal["fixed", "adaptive"]


def margin_softmax(similarity: Tensor, positive: Tensor, negative: Tensor, margin: Tensor | float) -> Tensor:
    """−log(e^(s_p − m) / (e^(s_p − m) + Σ over the negatives n of e^(s_n))), one direction.

    Masked margin softmax (Ilharco et al. 2019; AVLnet: Rouditchenko et al. 2021) has a fixed m and one p per query.

    Args:
        similarity: [Q, G].
        positive: [Q, G] bool.
        negative: [Q, G] bool; items that are neither positive nor negative are masked.
        margin: m, one number or [Q, G].

    Returns:
        The mean over the (query, positive) pairs that have a negative; 0 if there are none.
    """
    usable = positive & negative.any(dim=1, keepdim=True)
    against = similarity.masked_fill(~negative & negative.any(dim=1, keepdim=True), -torch.inf)
    against = against.logsumexp(dim=1, keepdim=True)
    terms = functional.softplus(against - (similarity - margin))
    return (terms * usable).sum() / usable.sum().clamp(min=1)


def adaptive_mean_margin(similarity: Tensor, negative: Tensor, share: float) -> Tensor:
    """[Q, G]: the margin of Spoken Moments (Monfort et al. 2021) for each positive.

    A fraction of the difference between its similarity and the mean of the query's negatives: α · (s_p − mean over n of
    s_n). It is a target, so no gradient flows through it.
    """
    count = negative.sum(dim=1, keepdim=True).clamp(min=1)
    mean = (similarity * negative).sum(dim=1, keepdim=True) / count
    return (share * (similarity - mean)).detach()


def margin_loss(similarity: Tensor, positive: Tensor, negative: Tensor, *, kind: Margin, amount: float) -> Tensor:
    """`margin_softmax` summed over both directions.

    Args:
        similarity: [V, A].
        positive: [V, A] bool.
        negative: [V, A] bool.
        kind: ``fixed``: the margin is ``amount``; ``adaptive``: it is `adaptive_mean_margin` with that fraction.
        amount: see ``kind``.
    """
    total = similarity.new_zeros(())
    for scores, matches, others in ((similarity, positive, negative), (similarity.T, positive.T, negative.T)):
        margin = amount if kind == "fixed" else adaptive_mean_margin(scores, others, amount)
        total = total + margin_softmax(scores, matches, others, margin)
    return total


class GatedProjection(nn.Module):
    """Feature gating (AVLnet, after Miech et al. 2018): h = W₁x + b₁, then h · σ(W₂h + b₂)."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(inputs, outputs)
        self.gate = nn.Linear(outputs, outputs)

    def forward(self, vectors: Tensor) -> Tensor:
        """[N, inputs] → [N, outputs]."""
        projected = self.linear(self.dropout(vectors))
        gated: Tensor = projected * torch.sigmoid(self.gate(projected))
        return gated


class MarginTowers(ScoreTrainedTowers):
    """A gated projection of the clip's features and one of FMN's Bi-LSTM; the score is their dot product."""

    def __init__(
        self,
        config: Config,
        video_dim: int,
        audio_dim: int,
        *,
        kind: Margin,
        amount: float,
        class_positives: bool,
        class_weight: float,
    ) -> None:
        model = config.model
        encoder = utterance_encoder(config, audio_dim)
        super().__init__(
            config,
            video_dim,
            encoder,
            GatedProjection(video_dim, model.embed_dim, model.dropout),
            GatedProjection(encoder.output_dim, model.embed_dim, model.dropout),
            unit=False,
            dim=model.embed_dim,
            class_weight=class_weight,
        )
        self.kind: Margin = kind
        self.amount = amount
        self.class_positives = class_positives

    def retrieval_loss(self, similarity: Tensor, batch: Batch) -> Tensor:
        """`margin_loss` over the batch's distinct items or, as published, over its drawn pairs."""
        if self.class_positives:
            positive, negative = batch.match, ~batch.match
        else:
            similarity, positive, negative = drawn_pairs(similarity, batch.pairs)
        return margin_loss(similarity, positive, negative, kind=self.kind, amount=self.amount)


def drawn_pairs(similarity: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A batch as published: row and column i are the clip and the utterance of pair i.

    Args:
        similarity: [V, A] of the batch's distinct items.
        pairs: [B, 2], indices into these.

    Returns:
        Similarities [B, B]; positives, the diagonal; negatives, all others except those masked because they contain the
        same clip or utterance as the row's pair (AVLnet masks items from the same video).
    """
    clips, utterances = pairs.unbind(1)
    same = (clips[:, None] == clips[None]) | (utterances[:, None] == utterances[None])
    return similarity[clips][:, utterances], torch.eye(len(pairs), dtype=torch.bool, device=pairs.device), ~same
