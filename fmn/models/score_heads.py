"""S1 heads for a pair of mapped vectors: with a hidden layer (standard), or linear (as published)."""

from __future__ import annotations

from torch import Tensor, nn


class HiddenHead(nn.Module):
    """S1 in the standard form: the two mapped vectors concatenated, a hidden layer, one output.

    The first layer is split into its two halves, so that N × M pairs cost N + M products with its matrix.
    """

    def __init__(self, embed_dim: int, units: int, dropout: float) -> None:
        super().__init__()
        self.video = nn.Linear(embed_dim, units)
        self.audio = nn.Linear(embed_dim, units, bias=False)
        self.output = nn.Linear(units, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, video: Tensor, audio: Tensor) -> Tensor:
        """[..., D], [..., D] (broadcast against each other) → logit of S1 [...]."""
        return self.joined(self.video(video), self.audio(audio))

    def joined(self, video: Tensor, audio: Tensor) -> Tensor:
        """The same from the halves [..., U] of the first layer."""
        hidden = (video + audio).relu_()
        logit: Tensor = self.output(self.dropout(hidden)).squeeze(-1)
        return logit


class LinearHead(nn.Module):
    """S1 as published: the two mapped vectors concatenated, one layer, softmax over "match" and "no match".

    Its logit is a term of the clip plus a term of the utterance: the ranking of a gallery is the same for every query.
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.video = nn.Linear(embed_dim, 2)
        self.audio = nn.Linear(embed_dim, 2, bias=False)

    def forward(self, video: Tensor, audio: Tensor) -> Tensor:
        """[..., D], [..., D] (broadcast against each other) → logit of S1 [...]."""
        return self.joined(self.video(video), self.audio(audio))

    @staticmethod
    def joined(video: Tensor, audio: Tensor) -> Tensor:
        """The same from the layer's outputs [..., 2] for each modality."""
        both = video + audio  # match, no match
        return both[..., 0] - both[..., 1]
