"""Pairs are written into the memory's slots: as one sample at a time, by the thresholds, equal slots by their order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from dataset_tools.core.errors import InputError
from fmn.models.memory import FeatureMemory

pytestmark = pytest.mark.usefixtures("one_thread")

RULES = {"min": min, "max": max, "mean": lambda video, audio: (video + audio) / 2}


class PlainMemory:
    """The rules of the docstring, one sample at a time, in float64."""

    def __init__(self, cosine, capacity, update, threshold, novelty="min", when_full="nearest") -> None:
        self.cosine, self.capacity, self.update, self.threshold = cosine, capacity, update, threshold
        self.rule, self.when_full = RULES[novelty], when_full
        self.slots: list[tuple[np.ndarray, np.ndarray]] = []
        self.counts: list[int] = []

    def write(self, video, audio, score, score_threshold) -> None:
        for v, a, s in zip(video, audio, score, strict=True):
            if not s > score_threshold:
                continue
            near = [self.rule(self.cosine(v, sv), self.cosine(a, sa)) for sv, sa in self.slots]
            new = not near or max(near) < self.threshold
            if new and len(self.slots) < self.capacity:
                self.slots.append((v, a))
                self.counts.append(1)
            elif not new or self.when_full == "nearest":
                x = near.index(max(near))
                share = 1 / (self.counts[x] + 1) if self.update == "mean" else self.update
                self.slots[x] = tuple((1 - share) * s + share * r for s, r in zip(self.slots[x], (v, a), strict=True))
                self.counts[x] += 1


@pytest.mark.parametrize("novelty", ["min", "max", "mean"])
@pytest.mark.parametrize("update", ["mean", 0.3, 1.0])
@pytest.mark.parametrize("when_full", ["nearest", "drop"])
@pytest.mark.parametrize(("capacity", "threshold"), [(50, 0.7), (4, 0.7), (3, 0.99), (50, -1.0)])
def test_a_batch_is_written_as_one_sample_at_a_time(
    novelty, update, when_full, capacity, threshold, samples: Callable, cosine: Callable
) -> None:
    memory = FeatureMemory(
        capacity, 7, 5, update=update, novelty_threshold=threshold, novelty=novelty, when_full=when_full
    )
    plain = PlainMemory(cosine, capacity, update, threshold, novelty, when_full)
    for seed in range(3):
        video, audio, score = samples(seed, 40)
        memory.write(*(torch.from_numpy(part).float() for part in (video, audio, score)), score_threshold=0.5)
        plain.write(video, audio, score, 0.5)
    assert memory.size == len(plain.slots)
    assert memory.counts[: memory.size].tolist() == plain.counts
    for slots, part in ((memory.video_slots, 0), (memory.audio_slots, 1)):
        expected = np.stack([slot[part] for slot in plain.slots])
        np.testing.assert_allclose(slots[: memory.size].numpy(), expected, atol=1e-5)
        assert (slots[memory.size :] == 0).all()


def test_more_rows_than_are_held_at_once(monkeypatch: pytest.MonkeyPatch, samples: Callable) -> None:
    video, audio, score = samples(5, 90)
    whole, parts = (FeatureMemory(20, 7, 5, novelty_threshold=0.8) for _ in range(2))
    rows = [torch.from_numpy(part).float() for part in (video, audio, score)]
    whole.write(*rows, score_threshold=0.2)
    monkeypatch.setattr("fmn.models.memory.ROWS_AT_ONCE", 7)
    parts.write(*rows, score_threshold=0.2)
    assert torch.allclose(whole.video_slots, parts.video_slots, atol=1e-5)
    assert torch.equal(whole.counts, parts.counts)


def test_the_thresholds_are_strict_as_the_paper_says() -> None:
    memory = FeatureMemory(5, 2, 2, novelty_threshold=0.0)
    axes = torch.eye(2)
    memory.write(axes[:1], axes[:1], torch.tensor([0.5]), score_threshold=0.5)
    assert memory.size == 0, "S1 must be above T1"
    memory.write(axes, axes, torch.tensor([0.6, 0.6]), score_threshold=0.5)
    assert memory.size == 1, "m2 = T2 is not new"


def test_of_equal_slots_the_first_is_updated() -> None:
    memory = FeatureMemory(2, 2, 2, novelty_threshold=0.9, update=0.5)
    axes = torch.eye(2)
    memory.write(axes, axes, torch.ones(2), score_threshold=0.5)
    between = torch.ones(1, 2)
    memory.write(between, between, torch.ones(1), score_threshold=0.5)  # full and new, as near to both
    assert memory.counts.tolist() == [2, 1]


def test_rewriting_forgets_what_was_there(samples: Callable) -> None:
    video, audio, score = (torch.from_numpy(part).float() for part in samples(4, 30))
    once, again = (FeatureMemory(6, 7, 5, novelty_threshold=0.8) for _ in range(2))
    again.write(audio @ torch.ones(5, 7), audio, score, score_threshold=0.0)
    slots = once.write(video, audio, score, score_threshold=0.3)
    again.clear()
    assert torch.equal(again.write(video, audio, score, score_threshold=0.3), slots)
    assert torch.equal(once.video_slots, again.video_slots)
    assert torch.equal(once.counts, again.counts)


def test_writing_says_where_each_pair_went() -> None:
    memory = FeatureMemory(2, 3, 3, novelty_threshold=0.9, when_full="drop")
    rows = torch.eye(3)[[0, 1, 2, 1, 0]]
    slots = memory.write(rows, rows, torch.tensor([1, 1, 1, 0, 1.0]))
    assert slots.tolist() == [0, 1, -1, -1, 0]
    assert memory.counts.tolist() == [2, 1]


@pytest.mark.parametrize("update", ["mean", 0.5])
@pytest.mark.parametrize("threshold", [0.0, 0.5, 2**-0.5, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_equal_candidates_do_not_depend_on_how_the_rows_are_cut(update, threshold: float, seed: int) -> None:
    # Axes and their sums: cosines that are equal, or equal T2, in exact arithmetic, and differ in the last digits.
    random = np.random.default_rng(seed)
    rows = torch.from_numpy(random.integers(0, 2, (60, 6))).float() * 0.1
    whole, single = (FeatureMemory(5, 6, 6, update=update, novelty_threshold=threshold) for _ in range(2))
    slots = whole.write(rows, rows.roll(1, dims=1), torch.ones(60))
    for row in range(60):
        one = rows[row : row + 1]
        assert single.write(one, one.roll(1, dims=1), torch.ones(1)).item() == slots[row], row
    assert torch.equal(whole.counts, single.counts)
    assert torch.allclose(whole.video_slots, single.video_slots, atol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_equal_means_equal_up_to_how_it_was_summed(seed: int) -> None:
    random = np.random.default_rng(seed)
    one = random.normal(size=300)
    shuffled = torch.from_numpy(np.stack([random.permutation(one) for _ in range(9)]))
    memory = FeatureMemory(9, 300, 300, novelty_threshold=1.1).double()
    memory.write(shuffled, shuffled, torch.ones(9))
    level = torch.ones(5, 300)  # as near to every shuffled vector as to the others
    assert memory.write(level, level, torch.ones(5)).tolist()[0] == 0

    same = FeatureMemory(9, 300, 300, novelty_threshold=1.0).double()
    assert set(same.write(shuffled[[3] * 9], shuffled[[3] * 9], torch.ones(9)).tolist()) == {0}, "m2 = T2 is not new"


def test_writing_leaves_no_gradient_behind() -> None:
    memory = FeatureMemory(3, 2, 2)
    rows = torch.rand(4, 2, requires_grad=True)
    memory.write(rows, rows, torch.ones(4, requires_grad=True))
    assert not memory.video_slots.requires_grad
    assert memory.size > 0


def test_a_diverged_model_does_not_poison_the_memory() -> None:
    memory = FeatureMemory(3, 2, 2)
    bad = torch.tensor([[float("nan"), 1.0]])
    with pytest.raises(InputError, match="not finite"):
        memory.write(bad, torch.ones(1, 2), torch.ones(1))
    assert memory.size == 0
    assert memory.write(bad, torch.ones(1, 2), torch.zeros(1)).tolist() == [-1], "it is not written, so it may be so"
