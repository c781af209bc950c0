"""Classifiers of clips and of utterances, over the classes of the training manifest."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fmn.config import Config
from fmn.data.sequences import Sequences
from fmn.models.baselines.parts.towers import Standardized, utterance_encoder
from fmn.models.resizable_buffers import ResizableBuffers


class ClassHead(ResizableBuffers):
    """Linear layer with one logit per class; `open` creates it, loading a checkpoint resizes it."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(0, inputs))
        self.bias = nn.Parameter(torch.empty(0))

    def open(self, classes: int) -> None:
        """Creates random weights for ``classes`` classes."""
        fresh = nn.Linear(self.weight.shape[1], classes).to(self.weight.device)
        self.weight, self.bias = (nn.Parameter(value.detach()) for value in (fresh.weight, fresh.bias))

    def forward(self, vectors: Tensor) -> Tensor:
        """[N, inputs] → logits [N, C]."""
        return functional.linear(vectors, self.weight, self.bias)


class ClipClassifier(nn.Module):
    """Standardized clip features, one hidden layer, class logits."""

    def __init__(self, config: Config, video_dim: int) -> None:
        super().__init__()
        units, dropout = config.model.head_hidden_size, config.model.dropout
        self.standardized = Standardized(video_dim)
        self.hidden = nn.Sequential(nn.Dropout(dropout), nn.Linear(video_dim, units), nn.ReLU(), nn.Dropout(dropout))
        self.head = ClassHead(units)

    def forward(self, video: Tensor) -> Tensor:
        """[..., Dv] → [..., C]."""
        logits: Tensor = self.head(self.hidden(self.standardized(video)))
        return logits


class UtteranceClassifier(nn.Module):
    """FMN's Bi-LSTM and a linear layer to class logits."""

    def __init__(self, config: Config, audio_dim: int) -> None:
        super().__init__()
        self.encoder = utterance_encoder(config, audio_dim)
        self.dropout = nn.Dropout(config.model.dropout)
        self.head = ClassHead(self.encoder.output_dim)

    def forward(self, audio: Sequences) -> Tensor:
        """M sequences → [M, C]."""
        return self.logits(self.encoder(audio))

    def steps(self, audio: Sequences) -> Sequences:
        """M sequences → logits [M, T, C] for every state of the Bi-LSTM."""
        states = self.encoder.steps(self.encoder.states(audio))
        return states._replace(frames=self.logits(states.frames))

    def logits(self, vectors: Tensor) -> Tensor:
        """[..., 2U] → [..., C]."""
        logits: Tensor = self.head(self.dropout(vectors))
        return logits
