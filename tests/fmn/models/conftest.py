"""What memories are written with, cosines to compare their slots by, and small networks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from fmn.config import Config, with_values
from fmn.data.batches import Batch, ItemTensors
from fmn.data.sequences import Sequences
from fmn.models.fmn import FeatureMemoryNetwork
from fmn.models.retrieval_model import Embeddings

N, M, VIDEO_DIM, AUDIO_DIM = 5, 7, 12, 8


@pytest.fixture
def cosine() -> Callable[[np.ndarray, np.ndarray], float]:
    """The cosine of two vectors; 0 where one has no length."""

    def of(one: np.ndarray, other: np.ndarray) -> float:
        norm = np.linalg.norm(one) * np.linalg.norm(other)
        return float(one @ other / norm) if norm > 0 else 0.0

    return of


@pytest.fixture
def samples() -> Callable[[int, int], tuple[np.ndarray, ...]]:
    """Rows around a few centers, so that some are near to slots and some are new; scores on both sides of .5."""

    def made(seed: int, rows: int) -> tuple[np.ndarray, ...]:
        random = np.random.default_rng(seed)
        center = random.integers(0, 6, rows)
        video = random.normal(size=(6, 7))[center] + 0.4 * random.normal(size=(rows, 7))
        audio = random.normal(size=(6, 5))[center] + 0.4 * random.normal(size=(rows, 5))
        return video, audio, random.random(rows)

    return made


@pytest.fixture
def network(small: Config) -> Callable[..., FeatureMemoryNetwork]:
    """A network of the small configuration with some values changed (``memory__space="raw"``), for inference.

    ``filled``: its memory has four slots that have nothing to do with each other.
    """

    def built(*, filled: bool = False, **changes: object) -> FeatureMemoryNetwork:
        torch.manual_seed(0)
        values = {name.replace("__", "."): value for name, value in changes.items()}
        model = FeatureMemoryNetwork(with_values(small, values), VIDEO_DIM, AUDIO_DIM).eval()
        if filled:
            generator = torch.Generator().manual_seed(9)
            state = model.memory.state_dict()
            for name in ("video_slots", "audio_slots"):
                state[name][:4] = torch.randn(4, state[name].shape[1], generator=generator)
            state["counts"][:4] = 1
            state["slot_classes"][:] = -1
            model.memory.load_state_dict(state)
        return model

    return built


@pytest.fixture
def features() -> tuple[Tensor, Sequences]:
    """Features of five clips, and of seven utterances."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(3, 10, (M,), generator=generator)
    return torch.randn(N, VIDEO_DIM, generator=generator), Sequences(
        torch.randn(M, 9, AUDIO_DIM, generator=generator), lengths
    )


@pytest.fixture
def embeddings_of(
    features: tuple[Tensor, Sequences],
) -> Callable[[FeatureMemoryNetwork], tuple[Embeddings, Embeddings]]:
    """What a network makes of the features."""

    def embeddings(model: FeatureMemoryNetwork) -> tuple[Embeddings, Embeddings]:
        video, audio = features
        with torch.no_grad():
            return model.encode_clips(video), model.encode_utterances(audio)

    return embeddings


@pytest.fixture
def batch(features: tuple[Tensor, Sequences]) -> Batch:
    """The features as a batch of three classes, with three pairs."""
    video, audio = features
    clip_classes, utterance_classes = torch.arange(N) % 3, torch.arange(M) % 3
    return Batch(
        video=video,
        audio=audio,
        match=clip_classes[:, None] == utterance_classes[None],
        pairs=torch.tensor([[0, 0], [1, 4], [2, 2]]),
        clip_classes=clip_classes,
        utterance_classes=utterance_classes,
    )


@pytest.fixture
def items() -> ItemTensors:
    """Nine clips and nine utterances of three classes."""
    random = np.random.default_rng(3)
    video = [random.normal(size=VIDEO_DIM).astype(np.float32) for _ in range(9)]
    audio = [random.normal(size=(4 + n, AUDIO_DIM)).astype(np.float32) for n in range(9)]
    return ItemTensors(video, audio, np.arange(9) % 3, np.arange(9) % 3, torch.device("cpu"))
