"""FMN with learned class vectors: its agreement by hand, and no memory in it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dataset_tools.core.errors import InputError
from fmn.config import Config, with_values
from fmn.data.batches import ItemTensors
from fmn.models.baselines.class_towers import ClassTowers
from fmn.models.baselines.parts.class_vectors import ClassVectors
from fmn.models.fmn import FeatureMemoryNetwork

TEMPERATURE = 0.5


def unit(*numbers: float) -> list[float]:
    length = math.sqrt(sum(number**2 for number in numbers))
    return [number / length for number in numbers]


def posterior(row: list[float], vectors: list[list[float]]) -> list[float]:
    """The softmax of cosine / temperature, number by number."""
    weights = [
        math.exp(sum(a * b for a, b in zip(unit(*row), unit(*vector), strict=True)) / TEMPERATURE) for vector in vectors
    ]
    return [weight / sum(weights) for weight in weights]


CLIP_VECTORS = [[3.0, 0.0], [0.0, 0.5], [-1.0, -1.0]]  # their lengths must not count
SPEECH_VECTORS = [[1.0, 1.0], [2.0, -1.0], [-1.0, 0.0]]
CLIPS = [[1.0, 0.0], [0.6, 0.8]]
UTTERANCES = [[0.0, 1.0], [-0.8, 0.6], [1.0, 0.0]]


@pytest.fixture
def config(small: Config) -> Config:
    return with_values(small, {"system": "class_towers", "model.embed_dim": 2, "memory.temperature": TEMPERATURE})


@pytest.fixture
def model(config: Config) -> ClassTowers:
    torch.manual_seed(0)
    model = ClassTowers(config, 12, 8)
    model.class_vectors.open(3)
    with torch.no_grad():
        model.class_vectors.video.copy_(torch.tensor(CLIP_VECTORS))
        model.class_vectors.audio.copy_(torch.tensor(SPEECH_VECTORS))
    return model.eval()


def items() -> ItemTensors:
    random = np.random.default_rng(0)
    classes = np.repeat([0, 1, 2], 3)
    video = [random.normal(size=12).astype(np.float32) for _ in classes]
    audio = [random.normal(size=(20, 8)).astype(np.float32) for _ in classes]
    return ItemTensors(video, audio, classes, classes, torch.device("cpu"))


def test_the_agreement_is_the_sum_of_products_of_class_posteriors(model: ClassTowers) -> None:
    clips, utterances = {"mapped": torch.tensor(CLIPS)}, {"mapped": torch.tensor(UTTERANCES)}
    expected = [
        [
            sum(p * q for p, q in zip(posterior(clip, CLIP_VECTORS), posterior(speech, SPEECH_VECTORS), strict=True))
            for speech in UTTERANCES
        ]
        for clip in CLIPS
    ]
    assert model.agreement(clips, utterances).tolist() == [pytest.approx(row, abs=1e-6) for row in expected]
    # The score is FMN's: S1 counts with its small power, beside softplus(0) = log 2 of the agreement's logarithm.
    s1 = model.s1_matrix(clips, utterances)
    found = model.scores(clips, utterances)
    exponent = model.config.model.s1_exponent
    assert torch.allclose(found, exponent * s1 + math.log(2) * torch.tensor(expected).log(), atol=1e-5)


def test_it_is_fmn_where_slots_are_the_class_vectors(model: ClassTowers, config: Config) -> None:
    fmn = FeatureMemoryNetwork(with_values(config, {"system": "fmn", "memory.capacity": 3}), 12, 8)
    own = {
        name: value
        for name, value in model.state_dict().items()
        if name.split(".")[0] not in ("class_vectors", "memory")
    }
    fmn.load_state_dict(fmn.state_dict() | own)
    rows = torch.tensor(CLIP_VECTORS), torch.tensor(SPEECH_VECTORS)
    fmn.memory.write(*rows, torch.ones(3), classes=torch.arange(3))
    clips, utterances = {"mapped": torch.tensor(CLIPS)}, {"mapped": torch.tensor(UTTERANCES)}
    assert torch.allclose(model.scores(clips, utterances), fmn.eval().scores(clips, utterances), atol=1e-5)
    batch = items().batch(np.array([[0, 0], [4, 5], [8, 7], [1, 2]]))
    ours, theirs = model.losses(batch), fmn.losses(batch)
    assert ours.keys() == theirs.keys()
    for name, loss in ours.items():
        assert loss.item() == pytest.approx(theirs[name].item(), abs=1e-5), name


def test_memories_are_neither_written_nor_read(model: ClassTowers) -> None:
    data = items()
    everything = np.arange(9)
    clips, utterances = {"mapped": torch.tensor(CLIPS)}, {"mapped": torch.tensor(UTTERANCES)}
    before = model.scores(clips, utterances)
    losses = model.losses(data.batch(np.array([[0, 0], [4, 5]])))
    model.fit_after_epoch(data, everything, everything, np.random.default_rng(0))
    assert model.memory.size == 0
    random = torch.Generator().manual_seed(1)
    slots = (torch.randn(5, 2, generator=random) for _ in range(2))
    model.memory.write(*slots, torch.ones(5), classes=torch.arange(5) % 3)
    assert model.memory.size
    assert torch.equal(model.scores(clips, utterances), before)
    assert model.losses(data.batch(np.array([[0, 0], [4, 5]]))) == losses


def test_class_vectors_are_learned(config: Config) -> None:
    data = items()
    model = ClassTowers(config, 12, 8)
    model.prepare(data, np.arange(9), np.arange(9))
    assert model.class_vectors.video.shape == model.class_vectors.audio.shape == (3, 2)
    losses = model.losses(data.batch(np.array([[0, 0], [4, 5], [8, 7]])))
    for side in ("video", "audio"):
        (gradient,) = torch.autograd.grad(
            losses[f"{side}_slots"], getattr(model.class_vectors, side), retain_graph=True
        )
        assert gradient.abs().sum() > 0
    other = ClassTowers(config, 12, 8)  # a checkpoint brings the number of classes along
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.class_vectors.video, model.class_vectors.video)


def test_the_cross_entropy_is_of_the_own_class() -> None:
    vectors = ClassVectors(2, 2, temperature=TEMPERATURE)
    vectors.open(3)
    with torch.no_grad():
        vectors.video.copy_(torch.tensor(CLIP_VECTORS))
    expected = -(math.log(posterior(CLIPS[0], CLIP_VECTORS)[2]) + math.log(posterior(CLIPS[1], CLIP_VECTORS)[0])) / 2
    found = vectors.cross_entropy("video", torch.tensor(CLIPS), torch.tensor([2, 0]))
    assert found.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("change", [{"memory.read": "max"}, {"model.score": "distance"}])
def test_what_only_a_memory_has_is_refused(config: Config, change: dict[str, str]) -> None:
    with pytest.raises(InputError, match="class_towers does not support"):
        ClassTowers(with_values(config, change), 12, 8)
