from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import fmn.models.retrieval_model
from fmn.data.batches import ItemTensors
from fmn.data.sequences import Sequences
from fmn.models.retrieval_model import (
    Embeddings,
    RetrievalModel,
    encode_all_clips,
    encode_all_utterances,
    eval_mode,
    score_matrix,
)

CPU = torch.device("cpu")


class Sums(RetrievalModel):
    """Scores a pair by a function of the sums of the two items; notes how it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.tiles: list[tuple[int, int]] = []
        self.batches: list[tuple[int, int]] = []

    def encode_clips(self, video: Tensor) -> Embeddings:
        assert not self.training
        assert not torch.is_grad_enabled()
        return {"sum": video.sum(1)}

    def encode_utterances(self, audio: Sequences) -> Embeddings:
        self.batches.append(tuple(audio.frames.shape[:2]))
        return {"sum": audio.frames.sum((1, 2)), "length": audio.lengths}

    def scores(self, clips: Embeddings, utterances: Embeddings) -> Tensor:
        self.tiles.append((len(clips["sum"]), len(utterances["sum"])))
        return clips["sum"][:, None] - 2 * utterances["sum"][None]


def made() -> tuple[ItemTensors, list[np.ndarray], list[np.ndarray]]:
    random = np.random.default_rng(0)
    video = [random.normal(size=3).astype(np.float32) for _ in range(11)]
    audio = [random.normal(size=(int(random.integers(1, 30)), 2)).astype(np.float32) for _ in range(17)]
    return ItemTensors(video, audio, np.zeros(11, np.int64), np.zeros(17, np.int64), CPU), video, audio


def test_scores_in_tiles_are_the_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fmn.models.retrieval_model, "TILE", 4)
    monkeypatch.setattr(fmn.models.retrieval_model, "LEAST_PAIRS", 16)
    monkeypatch.setattr(fmn.models.retrieval_model, "FRAMES_AT_ONCE", 60)
    data, video, audio = made()
    model = Sums().train()
    clips, utterances = np.array([9, 3, 3, 0, 7, 1]), np.array([16, 2, 5, 11, 0, 8, 9, 10, 3])
    done: list[tuple[int, int]] = []
    scores = score_matrix(
        model,
        encode_all_clips(model, data, clips),
        encode_all_utterances(model, data, utterances),
        done=lambda *counts: done.append(counts),
    )
    expected = np.array([[video[i].sum() - 2 * audio[j].sum() for j in utterances] for i in clips])
    np.testing.assert_allclose(scores.numpy(), expected, atol=1e-4)
    assert max(max(tile) for tile in model.tiles) == 4
    assert len(model.tiles) == 2 * 3
    assert max(count for count, _ in model.batches) <= 4
    assert max(count * steps for count, steps in model.batches) <= 60
    assert done == [(4, 6), (6, 6)]
    assert model.training
    model.tiles.clear()
    one = encode_all_utterances(model, data, utterances[:1])
    scores = score_matrix(model, encode_all_clips(model, data, clips), one)
    np.testing.assert_allclose(scores.numpy(), expected[:, :1], atol=1e-4)
    assert len(model.tiles) == 1  # for one utterance more clips at once


def test_codes_come_back_in_the_order_asked_for() -> None:
    data, _, audio = made()
    order = np.array([5, 16, 0, 3])
    embeddings = encode_all_utterances(Sums(), data, order)
    assert embeddings["length"].tolist() == [len(audio[index]) for index in order]


def test_eval_mode_gives_the_mode_back_after_an_error() -> None:
    model = Sums().train()
    with pytest.raises(RuntimeError, match="stop"), eval_mode(model):
        raise RuntimeError("stop")
    assert model.training
    assert torch.is_grad_enabled()
