"""The agreement that is read of the memory: values, gradients, precision and what is kept for them."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch

from fmn.models.memory import FeatureMemory

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_reads_are_those_of_direct_loops(temperature: float, samples: Callable, cosine: Callable) -> None:
    memory = FeatureMemory(6, 7, 5, novelty_threshold=0.9)
    video, audio, _ = samples(1, 30)
    rows = [torch.from_numpy(part).float() for part in (video, audio)]
    memory.write(*rows, torch.ones(30), score_threshold=0.5)
    assert memory.size == 6
    queries, others = samples(2, 4)[0], samples(3, 3)[1]
    largest = memory.read(torch.from_numpy(queries).float(), torch.from_numpy(others).float())
    softly = memory.read(
        torch.from_numpy(queries).float(), torch.from_numpy(others).float(), reduce="softmax", temperature=temperature
    )
    for n, m in itertools.product(range(4), range(3)):
        of_video = np.array([cosine(queries[n], slot) for slot in memory.video_slots.double().numpy()])
        of_audio = np.array([cosine(others[m], slot) for slot in memory.audio_slots.double().numpy()])
        assert largest[n, m] == pytest.approx(
            max(max(v, 0) * max(a, 0) for v, a in zip(of_video, of_audio, strict=True)), abs=1e-5
        )
        chosen = [
            np.exp(cosines / temperature) / np.exp(cosines / temperature).sum() for cosines in (of_video, of_audio)
        ]
        assert softly[n, m] == pytest.approx(chosen[0] @ chosen[1], abs=1e-5)


def test_two_negative_cosines_are_no_agreement() -> None:
    memory = FeatureMemory(2, 2, 2)
    memory.write(torch.tensor([[1.0, 0]]), torch.tensor([[1.0, 0]]), torch.ones(1), score_threshold=0)
    opposite = torch.tensor([[-1.0, 0]])
    assert memory.read(opposite, opposite).item() == 0


def test_an_empty_memory_agrees_with_everything() -> None:
    memory = FeatureMemory(2, 3, 4)
    for reduce in ("max", "softmax", "distance"):
        assert torch.equal(memory.read(torch.rand(2, 3), torch.rand(5, 4), reduce=reduce), torch.ones(2, 5))


def test_zero_vectors_do_no_harm() -> None:
    memory = FeatureMemory(3, 2, 2, novelty_threshold=0.5)
    memory.write(torch.zeros(2, 2), torch.zeros(2, 2), torch.ones(2), score_threshold=0)
    assert memory.size == 2
    assert torch.equal(memory.read(torch.zeros(1, 2), torch.ones(1, 2)), torch.zeros(1, 1))


def test_reads_in_tiles_are_the_same(monkeypatch: pytest.MonkeyPatch, samples: Callable) -> None:
    memory = FeatureMemory(6, 7, 5, novelty_threshold=0.9)
    video, audio, _ = (torch.from_numpy(part).float() for part in samples(1, 30))
    memory.write(video, audio, torch.ones(30), score_threshold=0.5)
    whole = memory.read(video, audio)
    monkeypatch.setattr("fmn.models.memory.TILE_PAIRS", 70)
    assert torch.equal(memory.read(video, audio), whole)


@pytest.mark.parametrize("reduce", ["max", "softmax", "distance"])
def test_reads_pass_gradients_to_both_sides(reduce: str) -> None:
    memory = FeatureMemory(4, 3, 3, novelty_threshold=0.9).double()
    memory.write(torch.rand(4, 3), torch.rand(4, 3), torch.ones(4), score_threshold=0)
    torch.autograd.gradcheck(
        lambda video, audio: memory.read(video, audio, reduce=reduce),
        (
            torch.rand(2, 3, dtype=torch.float64, requires_grad=True),
            torch.rand(3, 3, dtype=torch.float64, requires_grad=True),
        ),
    )


def test_the_distance_reading_is_that_of_a_direct_loop(samples: Callable, cosine: Callable) -> None:
    memory = FeatureMemory(6, 7, 5, novelty_threshold=0.9)
    memory.write(*(torch.from_numpy(part).float() for part in samples(1, 30)[:2]), torch.ones(30))
    queries, others = samples(2, 4)[0], samples(3, 3)[1]
    found = memory.read(torch.from_numpy(queries), torch.from_numpy(others), reduce="distance")
    for n, m in itertools.product(range(4), range(3)):
        products = [
            (1 - cosine(queries[n], video)) * (1 - cosine(others[m], audio))
            for video, audio in zip(
                memory.video_slots.double().numpy(), memory.audio_slots.double().numpy(), strict=True
            )
        ]
        assert found[n, m] == pytest.approx(min(products), abs=1e-5)


def test_as_printed_two_negative_cosines_are_an_agreement() -> None:
    memory = FeatureMemory(2, 2, 2)
    memory.write(torch.tensor([[1.0, 0]]), torch.tensor([[1.0, 0]]), torch.ones(1))
    opposite = torch.tensor([[-1.0, 0]])
    assert memory.read(opposite, opposite, clamp=False).item() == 1
    assert memory.read(opposite, -opposite, clamp=False).item() == -1


@pytest.mark.parametrize("reduce", ["max", "softmax", "distance"])
def test_training_keeps_no_tensor_of_pairs_times_slots(reduce: str) -> None:
    memory = FeatureMemory(40, 8, 8, novelty_threshold=2.0)
    memory.write(torch.randn(40, 8), torch.randn(40, 8), torch.ones(40))
    kept: list[int] = []
    video, audio = torch.randn(50, 8, requires_grad=True), torch.randn(60, 8, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda part: kept.append(part.numel()) or part, lambda part: part):
        found = memory.read(video, audio, reduce=reduce)
        found.sum().backward()
    with torch.no_grad():
        assert torch.allclose(found, memory.read(video, audio, reduce=reduce), atol=1e-6)
    assert 0 < max(kept) <= 50 * 60
    assert video.grad is not None
    assert audio.grad is not None


def test_autocast_does_not_coarsen_the_cosines(samples: Callable) -> None:
    memory = FeatureMemory(6, 7, 5, novelty_threshold=0.9)
    video, audio, _ = (torch.from_numpy(part).float() for part in samples(1, 30))
    memory.write(video, audio, torch.ones(30))
    plain = memory.read(video, audio, reduce="softmax", temperature=0.05)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(memory.read(video, audio, reduce="softmax", temperature=0.05), plain)
    short = memory.read(video.bfloat16(), audio.bfloat16(), reduce="softmax", temperature=0.05)
    exact = memory.read(video.bfloat16().float(), audio.bfloat16().float(), reduce="softmax", temperature=0.05)
    assert torch.equal(short, exact)
