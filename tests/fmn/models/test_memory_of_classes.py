"""Slots of classes: pairs keep to those of their class, which are read as one."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch

from fmn.models.memory import FeatureMemory

pytestmark = pytest.mark.usefixtures("one_thread")


def class_samples(seed: int, rows: int) -> tuple[np.ndarray, ...]:
    """Rows around a center for each of four classes; some classes are not known (−1)."""
    random = np.random.default_rng(seed)
    kind = random.integers(0, 4, rows)
    video = np.eye(7)[kind] + 0.5 * random.normal(size=(rows, 7))
    audio = np.eye(5)[kind] + 0.5 * random.normal(size=(rows, 5))
    return video, audio, np.where(random.random(rows) < 0.2, -1, kind)


@pytest.mark.parametrize("capacity", [3, 6, 30])
@pytest.mark.parametrize("threshold", [-1.0, 0.5, 0.8])
@pytest.mark.parametrize("when_full", ["nearest", "drop"])
def test_pairs_of_a_class_keep_to_slots_of_their_class(
    capacity: int, threshold: float, when_full: str, cosine: Callable
) -> None:
    memory = FeatureMemory(capacity, 7, 5, novelty_threshold=threshold, when_full=when_full)
    video, audio, classes = class_samples(0, 60)
    went = memory.write(
        *(torch.from_numpy(part).float() for part in (video, audio)), torch.ones(60), classes=torch.from_numpy(classes)
    )
    held: list[tuple[int, list[int]]] = []  # the class of a slot, and the rows that it is the mean of
    expected = []
    for row in range(60):
        near = []
        for _, rows in held:
            slots = video[rows].mean(0), audio[rows].mean(0)
            near.append(min(cosine(video[row], slots[0]), cosine(audio[row], slots[1])))
        allowed = [x for x, (name, _) in enumerate(held) if classes[row] in (-1, name)]
        best = max(allowed, key=lambda x: near[x], default=None)  # type: ignore[no-any-return]
        is_new = best is None or near[best] < threshold
        if is_new and len(held) < capacity:
            held.append((classes[row], []))
            best = len(held) - 1
        elif is_new and when_full == "drop":
            expected.append(-1)
            continue
        elif best is None:
            best = near.index(max(near))
        held[best][1].append(row)
        expected.append(best)
    assert went.tolist() == expected
    assert memory.slot_classes[: memory.size].tolist() == [name for name, _ in held]
    for slots, part in ((memory.video_slots, video), (memory.audio_slots, audio)):
        np.testing.assert_allclose(slots[: memory.size], [part[rows].mean(0) for _, rows in held], atol=1e-5)


@pytest.mark.parametrize("reduce", ["softmax", "max", "distance"])
def test_slots_of_a_class_are_read_as_one(reduce: str, cosine: Callable) -> None:
    memory = FeatureMemory(50, 7, 5, novelty_threshold=0.85)
    video, audio, classes = class_samples(1, 50)
    rows = [torch.from_numpy(part).float() for part in (video, audio)]
    memory.write(*rows, torch.ones(50), classes=torch.from_numpy(classes))
    names = memory.slot_classes[: memory.size].tolist()
    assert any(names.count(name) > 1 for name in range(4)), "a class has several slots"
    assert -1 in names, "and some slots have no class"
    groups = [[x for x in range(memory.size) if names[x] == name] for name in range(4)]
    groups += [[x] for x in range(memory.size) if names[x] < 0]
    found = memory.read(rows[0][:4], rows[1][:6], reduce=reduce, temperature=0.2)  # type: ignore[arg-type]
    for n, m in itertools.product(range(4), range(6)):
        v = np.array([cosine(video[n], slot) for slot in memory.video_slots[: memory.size].double().numpy()])
        a = np.array([cosine(audio[m], slot) for slot in memory.audio_slots[: memory.size].double().numpy()])
        if reduce == "softmax":
            share_v, share_a = (np.exp(cosines / 0.2) / np.exp(cosines / 0.2).sum() for cosines in (v, a))
            expected = sum(share_v[group].sum() * share_a[group].sum() for group in groups)
        elif reduce == "max":
            expected = max(max(v[group].max(), 0) * max(a[group].max(), 0) for group in groups)
        else:
            expected = min((1 - v[group]).min() * (1 - a[group]).min() for group in groups)
        assert float(found[n, m]) == pytest.approx(expected, abs=1e-5)


def test_the_share_of_a_class_is_that_of_its_slots(cosine: Callable) -> None:
    memory = FeatureMemory(30, 7, 5, novelty_threshold=0.6)
    video, audio, classes = class_samples(2, 50)
    rows = [torch.from_numpy(part).float() for part in (video, audio)]
    classes = np.where(classes == 3, 2, classes)  # class 3 gets no slot
    assert memory.log_class_shares("audio", rows[1], torch.zeros(50), temperature=0.3).tolist() == [0] * 50, "empty"
    memory.write(*rows, torch.ones(50), classes=torch.from_numpy(classes))
    names = memory.slot_classes[: memory.size].numpy()
    asked = torch.tensor([0, 1, 2, 3])
    for side, part, slots in (("video", video, memory.video_slots), ("audio", audio, memory.audio_slots)):
        rows_asked = torch.from_numpy(part[:4]).float().requires_grad_()
        found = memory.log_class_shares(side, rows_asked, asked, temperature=0.3)  # type: ignore[arg-type]
        for n in range(3):
            cosines = np.array([cosine(part[n], slot) for slot in slots[: memory.size].double().numpy()]) / 0.3
            expected = np.log(np.exp(cosines[names == n]).sum() / np.exp(cosines).sum())
            assert found[n].item() == pytest.approx(expected, abs=1e-5)
        assert found[3].item() == 0, "a class without a slot adds nothing"
        found.sum().backward()
        assert rows_asked.grad is not None
        assert rows_asked.grad[:3].abs().sum(1).min() > 0
        assert torch.equal(rows_asked.grad[3], torch.zeros(part.shape[1]))
