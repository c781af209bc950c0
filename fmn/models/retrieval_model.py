"""Retrieval model base class: items are encoded once, and a gallery is scored in tiles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from dataset_tools.core.seeds import training_generator
from fmn.data.batches import Batch, Indices, ItemTensors
from fmn.data.sequences import Sequences
from fmn.models.learned_layers import LearnedLayers
from fmn.models.memory import Modality

Embeddings = dict[str, Tensor]
"""What N items are encoded to: tensors [N, …] by name."""

TILE = 256  # maximum utterances, and minimum clips, of a tile of scores
LEAST_PAIRS = 16_384  # minimum pairs of a tile: with few utterances it has more clips, to avoid many small tiles
FRAMES_AT_ONCE = 32_768  # padded audio frames, or windows, encoded together


class RetrievalModel(nn.Module, ABC):
    """A system's network, or its closed-form solution. All learned state is in the state dict, buffers included.

    Attributes:
        losses_use_fit: whether the next epoch's losses use the results of `fit_after_epoch`. If not, that is called
            only after epochs that are validated.
        layers: mixes the layers of a speech encoder before the model, if their weights are learned.
    """

    losses_use_fit = True

    def __init__(self) -> None:
        super().__init__()
        self.layers: LearnedLayers | None = None

    @abstractmethod
    def encode_clips(self, video: Tensor) -> Embeddings:
        """[N, Dv] → embeddings of N clips."""

    def encode_windows(self, video: Tensor, windows: Sequences | None) -> Embeddings:
        """Embeddings of N clips, from the means ``video`` [N, Dv] of their windows; the windows are ignored here."""
        return self.encode_clips(video)

    @abstractmethod
    def encode_utterances(self, audio: Sequences) -> Embeddings:
        """M sequences → embeddings of M utterances."""

    def mix_layers(self, audio: Sequences) -> Sequences:
        """Mixes several layers of ``audio`` into one, the input that `encode_utterances` and `losses` expect."""
        return audio if self.layers is None else self.layers(audio)

    @abstractmethod
    def scores(self, clips: Embeddings, utterances: Embeddings) -> Tensor:
        """[N, M] scores; higher means a better match."""

    def for_search(self, modality: Modality, embeddings: Embeddings) -> Embeddings:
        """Adds what `scores` can compute from this modality alone, since a gallery is searched repeatedly."""
        return embeddings

    def check(self, data: ItemTensors) -> None:
        """Raises InputError if the system cannot score the features; called before scoring."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Weighted terms of the loss; their sum is minimized. Empty for a system without gradients.

        Calling it again gives the same terms, except for dropout: memories are written in `after_step`.
        """
        return {}

    def after_step(self) -> None:
        """Called after the optimizer step of a batch, whose `losses` were called last: memories."""

    def prepare(self, data: ItemTensors, clips: Indices, utterances: Indices) -> None:
        """Called before training, also when it resumes, with the items to fit, for instance to compute their means.

        Parameters whose size depends on the data are resized here (`fmn.models.resizable_buffers`): the optimizer is
        created afterwards.
        """

    def fit_after_epoch(
        self, data: ItemTensors, clips: Indices, utterances: Indices, generator: np.random.Generator
    ) -> None:
        """Called after an epoch, before scores are computed, with the items to fit: memories, closed forms."""


def fit_generator(seed: int, epoch: int | Literal["all"]) -> np.random.Generator:
    """The generator for `RetrievalModel.fit_after_epoch` after an epoch, or with ``all`` items, fold 0 included.

    The name in its seed is an earlier one of the method; with another name, runs would change.
    """
    return training_generator(seed, "settle", epoch)


def encode_all_clips(model: RetrievalModel, data: ItemTensors, clips: Indices) -> Embeddings:
    """Embeddings of the clips ``clips``, in that order."""
    tile = max(1, min(TILE, FRAMES_AT_ONCE // data.most_windows))
    with eval_mode(model):
        parts = [
            model.encode_windows(data.video[data.on_device(some)], data.windows(some))
            for some in (clips[start : start + tile] for start in range(0, len(clips), tile))
        ]
    return _joined(parts)


def encode_all_utterances(model: RetrievalModel, data: ItemTensors, utterances: Indices) -> Embeddings:
    """Embeddings of the utterances ``utterances``, in that order; those of similar length are encoded together."""
    order = np.argsort(-data.lengths[utterances], kind="stable")
    layers = 1 if model.layers is None else len(model.layers.logits)
    parts = []
    with eval_mode(model):
        start = 0
        while start < len(order):
            longest = int(data.lengths[utterances[order[start]]])
            stop = start + max(1, min(TILE, FRAMES_AT_ONCE // (longest * layers)))
            parts.append(model.encode_utterances(model.mix_layers(data.utterances(utterances[order[start:stop]]))))
            start = stop
    back = data.on_device(np.argsort(order))
    return {name: tensor[back] for name, tensor in _joined(parts).items()}


def encode_all(
    model: RetrievalModel, data: ItemTensors, clips: Indices | None = None, utterances: Indices | None = None
) -> tuple[Embeddings, Embeddings]:
    """Embeddings of clips and of utterances, in the order of their indices; without indices, of all of them."""
    clips = np.arange(len(data.clip_classes)) if clips is None else clips
    utterances = np.arange(len(data.utterance_classes)) if utterances is None else utterances
    return encode_all_clips(model, data, clips), encode_all_utterances(model, data, utterances)


def score_matrix(
    model: RetrievalModel, clips: Embeddings, utterances: Embeddings, *, done: Callable[[int, int], None] | None = None
) -> Tensor:
    """[N, M] float32 scores on the CPU, computed tile by tile; ``done`` is called with clips scored and total."""
    count, across = _size(clips), _size(utterances)
    result = torch.empty(count, across)
    width = max(1, min(TILE, across))
    height = max(TILE, LEAST_PAIRS // width)
    with eval_mode(model):
        for start in range(0, count, height):
            rows = _rows(clips, start, height)
            for left in range(0, across, width):
                tile = model.scores(rows, _rows(utterances, left, width))
                result[start : start + height, left : left + width] = tile.float().cpu()
            if done is not None:
                done(min(start + height, count), count)
    return result


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Context manager for evaluation mode without gradients."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def _rows(embeddings: Embeddings, start: int, count: int) -> Embeddings:
    return {name: tensor[start : start + count] for name, tensor in embeddings.items()}


def _size(embeddings: Embeddings) -> int:
    return len(next(iter(embeddings.values())))


def _joined(parts: list[Embeddings]) -> Embeddings:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
