"""The memory as a part of a network: its state, and arguments that are refused."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch

from dataset_tools.core.errors import InputError
from fmn.models.memory import FeatureMemory

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_state_travels_with_a_checkpoint(samples: Callable) -> None:
    memory, other = (FeatureMemory(6, 7, 5, novelty_threshold=0.9) for _ in range(2))
    video, audio, _ = (torch.from_numpy(part).float() for part in samples(1, 30))
    memory.write(video, audio, torch.ones(30), score_threshold=0.5)
    other.load_state_dict(memory.state_dict())
    assert other.size == memory.size
    assert torch.equal(other.read(video, audio), memory.read(video, audio))
    other.clear()
    assert other.size == 0
    assert torch.equal(other.video_slots, torch.zeros(6, 7))


def test_a_network_that_is_loaded_or_copied_knows_its_slots() -> None:
    network, other = (torch.nn.ModuleDict({"memory": FeatureMemory(6, 2, 2, novelty_threshold=0.9)}) for _ in range(2))
    network["memory"].write(torch.eye(2), torch.eye(2), torch.ones(2))
    other.load_state_dict(network.state_dict())
    assert [part["memory"].size for part in (network, other, copy.deepcopy(network))] == [2, 2, 2]
    kept = ["memory.audio_slots", "memory.counts", "memory.slot_classes", "memory.video_slots"]
    assert sorted(network.state_dict()) == kept


@pytest.mark.parametrize(
    "arguments",
    [
        {"capacity": 0},
        {"video_dim": 0},
        {"update": 0.0},
        {"update": 1.5},
        {"update": "share"},
        {"space": "common"},
        {"novelty": "product"},
        {"when_full": "oldest"},
    ],
)
def test_impossible_memories_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(InputError):
        FeatureMemory(**{"capacity": 3, "video_dim": 2, "audio_dim": 2, **arguments})


def test_what_does_not_fit_is_refused() -> None:
    memory = FeatureMemory(3, 2, 2)
    two = torch.rand(2, 2)
    with pytest.raises(InputError, match=r"\(2, 4\)") as caught:
        memory.write(torch.rand(2, 4), two, torch.rand(2))
    assert caught.value.expected == "(2, 2), (2, 2), (2,)"
    with pytest.raises(InputError, match=r"\(3, 2\)"):
        memory.write(two, torch.rand(3, 2), torch.rand(2))
    with pytest.raises(InputError, match=r"\(2, 1\)"):
        memory.write(two, two, torch.rand(2, 1))
    with pytest.raises(InputError, match=r"\(3,\)"):
        memory.write(two, two, torch.rand(2), classes=torch.zeros(3, dtype=torch.int64))
    with pytest.raises(InputError, match=r"\(2, 5\)"):
        memory.read(torch.rand(2, 5), two)
    with pytest.raises(InputError, match="softmin"):
        memory.read(two, two, reduce="softmin")
    with pytest.raises(InputError, match="temperature"):
        memory.read(two, two, reduce="softmax", temperature=0.0)
