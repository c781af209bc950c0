"""S1 heads for a pair of mapped vectors: with a hidden layer (standard), or linear (as published)."""

from __future__ import annotations

from torch import Tensor, nn


class HiddenHead(nn.Module):
    """S1 of the working form: the two mapped vectors side by side, a hidden layer, one output.

    The first layer is split into its halves, so that N × M pairs cost N + M products with its matrix.
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
    """S1 as published: the two mapped vectors side by side, one layer, softmax over "match" and "no match".

    Its logit is a term of the clip plus a term of the utterance: for one query the order of the gallery is fixed.
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
        """The same from what the layer gives of either side [..., 2]."""
        both = video + audio  # match, no match
        return both[..., 0] - both[..., 1]
