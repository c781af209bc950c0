"""Scores, losses, gradients and memories of a GPU agree with the CPU's, with the sums of float32 and with TF32's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fmn.config import Config, preset, with_values
from fmn.data.batches import ItemTensors
from fmn.data.sequences import Sequences
from fmn.models.losses import balanced_bce, contrastive_loss, triplet_loss
from fmn.models.memory import FeatureMemory
from fmn.models.retrieval_model import RetrievalModel, encode_all_clips, encode_all_utterances, score_matrix
from fmn.models.utterance_encoder import UtteranceEncoder
from fmn.systems import find_system

pytestmark = pytest.mark.gpu

CLASSES, PER_CLASS = 8, 9
# The largest difference, in shares of the largest value. By default cuDNN's LSTM and convolutions use TF32, of 10 bits.
BOUNDS = {"float32": {"scores": 1e-4, "loss": 1e-4, "gradient": 1e-3}, "tf32": {"scores": 2e-2, "loss": 2e-2}}
MEMORY_BOUNDS = {"slots": 1e-5, "read": 1e-4}


@pytest.fixture(params=list(BOUNDS))
def precision(request: pytest.FixtureRequest, set_tf32: Callable[[bool], None]) -> str:
    name: str = request.param
    set_tf32(name == "tf32")
    return name


@dataclass
class Side:
    model: RetrievalModel
    data: ItemTensors


def both_sides(config: Config, device: torch.device) -> tuple[Side, Side]:
    """One model with one set of memories, and one data set, on the CPU and on ``device``."""
    random = np.random.default_rng(0)
    classes = np.repeat(np.arange(CLASSES), PER_CLASS)
    centers = random.normal(size=(CLASSES, config.video.dim)), random.normal(size=(CLASSES, config.audio.dim))
    video = [(centers[0][k] + random.normal(size=config.video.dim)).astype(np.float32) for k in classes]
    audio = [
        (centers[1][k] + random.normal(size=(random.integers(20, 60), config.audio.dim))).astype(np.float32)
        for k in classes
    ]
    every = np.arange(len(classes))
    torch.manual_seed(0)
    data = ItemTensors(video, audio, classes, classes, torch.device("cpu"))
    model = find_system("fmn").build(config, config.video.dim, config.audio.dim)
    model.prepare(data, every, every)
    model.fit_after_epoch(data, every, every, np.random.default_rng(0))
    other = find_system("fmn").build(config, config.video.dim, config.audio.dim).to(device)
    other.load_state_dict(model.state_dict())
    return Side(model, data), Side(other, ItemTensors(video, audio, classes, classes, device))


def config_of(name: str, form: str, device: torch.device) -> Config:
    """A preset without dropout (cuDNN's LSTM has a gradient in training mode only); tiny in a rehearsal."""
    changes: dict[str, Any] = {"model.dropout": 0.0}
    if device.type == "cpu":
        changes |= {"model.hidden_size": 8, "model.embed_dim": 16, "model.head_hidden_size": 16}
    return with_values(preset(name, form), changes)  # type: ignore[arg-type]


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference, in shares of the largest value."""
    found, expected = found.detach().double().cpu(), expected.detach().double().cpu()
    assert found.shape == expected.shape
    assert torch.isfinite(found).all()
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-12))


@pytest.mark.parametrize("form", ["standard", "as_published"])
@pytest.mark.parametrize("name", ["demo", "paper"])
def test_scores_agree(name: str, form: str, precision: str, device: torch.device, record: Callable[..., None]) -> None:
    every = np.arange(CLASSES * PER_CLASS)
    scores = [
        score_matrix(
            side.model,
            encode_all_clips(side.model, side.data, every),
            encode_all_utterances(side.model, side.data, every),
        )
        for side in both_sides(config_of(name, form, device), device)
    ]
    found = difference(scores[1], scores[0])
    record(difference=found, bound=BOUNDS[precision]["scores"])
    assert scores[0].std() > 0
    assert found <= BOUNDS[precision]["scores"]


@pytest.mark.parametrize("form", ["standard", "as_published"])
@pytest.mark.parametrize("name", ["demo", "paper"])
def test_losses_and_gradients_agree(
    name: str, form: str, precision: str, device: torch.device, record: Callable[..., None]
) -> None:
    pairs = np.stack([np.arange(32), np.random.default_rng(1).permutation(32)], axis=1)
    losses, gradients = [], []
    for side in both_sides(config_of(name, form, device), device):
        parts = side.model.train().losses(side.data.batch(pairs))
        torch.stack(list(parts.values())).sum().backward()  # type: ignore[no-untyped-call]
        losses.append(torch.stack([parts[name] for name in sorted(parts)]))
        own = [parameter.grad for parameter in side.model.parameters() if parameter.grad is not None]
        gradients.append(torch.cat([gradient.flatten().cpu() for gradient in own]))
    found = {"loss": difference(losses[1], losses[0]), "gradient": difference(gradients[1], gradients[0])}
    record(**found, bound=BOUNDS[precision])
    assert gradients[0].abs().max() > 0
    for part, bound in BOUNDS[precision].items():
        assert found.get(part, 0.0) <= bound


def test_mixed_precision_leaves_the_bi_lstm_in_float32(device: torch.device) -> None:
    encoder = UtteranceEncoder(13, 64).to(device)
    utterances = Sequences(torch.randn(4, 30, 13, device=device), torch.tensor([30, 7, 12, 1], device=device))
    exact = encoder(utterances)
    with torch.autocast(device.type, torch.bfloat16):
        assert torch.equal(encoder(utterances), exact)


@pytest.mark.parametrize("reduce", ["max", "softmax", "distance"])
@pytest.mark.parametrize("known", [True, False])
def test_memories_agree(reduce: Any, known: bool, device: torch.device, record: Callable[..., None]) -> None:
    random = torch.Generator().manual_seed(0)
    rows, dim = 600, 32
    classes = torch.randint(0, 12, (rows,), generator=random)
    centers = torch.randn(2, 12, dim, generator=random)
    video, audio = (centers[side][classes] + torch.randn(rows, dim, generator=random) for side in (0, 1))
    score = torch.rand(rows, generator=random)
    found = []
    for place in (torch.device("cpu"), device):
        memory = FeatureMemory(40, dim, dim, novelty_threshold=0.3).to(place)
        written = [part.to(place) for part in (video, audio, score)]
        slots = memory.write(*written, classes=classes.to(place) if known else None)  # type: ignore[arg-type]
        read = memory.read(video.to(place), audio.to(place), reduce=reduce)
        found.append((memory, slots, read))
    (memory, slots, read), (other, other_slots, other_read) = found
    assert 12 <= memory.size == other.size
    assert torch.equal(slots, other_slots)
    assert torch.equal(memory.counts, other.counts.cpu())
    values = [difference(getattr(other, name), getattr(memory, name)) for name in ("video_slots", "audio_slots")]
    record(slots=memory.size, of_slots=max(values), of_read=difference(other_read, read), bounds=MEMORY_BOUNDS)
    assert max(values) <= MEMORY_BOUNDS["slots"]
    assert difference(other_read, read) <= MEMORY_BOUNDS["read"]


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    **{
        f"triplet, {form}, {negatives}": lambda scores, match, form=form, negatives=negatives: triplet_loss(
            scores, match, form=form, negatives=negatives
        )
        for form in ("standard", "as_published")
        for negatives in ("hard", "semi-hard", "all")
    },
    "contrastive": contrastive_loss,
    "bce": balanced_bce,
    "bce of logarithms": lambda scores, match: balanced_bce(scores - 1, match, logarithms=True),
}


@pytest.mark.parametrize("name", list(LOSSES))
def test_each_loss_agrees(name: str, device: torch.device, record: Callable[..., None]) -> None:
    random = torch.Generator().manual_seed(0)
    cosines = 2 * torch.rand(48, 40, generator=random) - 1
    match = torch.rand(48, 40, generator=random) < 0.1
    values, gradients = [], []
    for place in (torch.device("cpu"), device):
        scores = copy.deepcopy(cosines).to(place).requires_grad_()
        value = LOSSES[name](scores, match.to(place))
        value.backward()  # type: ignore[no-untyped-call]
        assert scores.grad is not None
        values.append(value)
        gradients.append(scores.grad)
    found = {"loss": difference(values[1], values[0]), "gradient": difference(gradients[1], gradients[0])}
    record(**found, bound=1e-5)
    assert max(found.values()) <= 1e-5
