"""The network's memory: read as configured, written in each batch or rewritten after each epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from fmn.data.batches import Batch, ItemTensors
from fmn.data.sequences import Sequences


def test_the_memory_is_built_and_read_by_the_configuration(network: Callable, embeddings_of: Callable) -> None:
    model = network(memory__novelty="max", memory__when_full="drop")
    assert (model.memory.rules.novelty, model.memory.rules.when_full) == ("max", "drop")
    options = {"filled": True, "memory__read": "max", "model__score": "memory", "memory__class_slots": False}
    clamped, printed = network(**options), network(memory__clamp=False, **options)
    clips, utterances = embeddings_of(clamped)
    clips, utterances = {"mapped": torch.cat([clips["mapped"], -clips["mapped"]])}, {"mapped": -utterances["mapped"]}
    with torch.no_grad():
        of_clip, of_utterance = (
            torch.stack([torch.cosine_similarity(rows["mapped"], slot[None], dim=1) for slot in slots[:4]], dim=1)
            for rows, slots in ((clips, clamped.memory.video_slots), (utterances, clamped.memory.audio_slots))
        )
        products = of_clip[:, None] * of_utterance[None]
        torch.testing.assert_close(printed.agreement(clips, utterances), products.amax(2))
        both = (of_clip.clamp(min=0)[:, None] * of_utterance.clamp(min=0)[None]).amax(2)
        torch.testing.assert_close(clamped.agreement(clips, utterances), both)
        assert not torch.allclose(both, products.amax(2))


def test_the_printed_form_writes_the_pairs_of_each_batch_that_pass_t1(
    network: Callable, batch: Batch, features: tuple[Tensor, Sequences]
) -> None:
    options = {"memory__space": "raw", "memory__write": "step", "memory__novelty_threshold": 1.0}
    model = network(memory__score_threshold=0.0, **options)
    first, again = model.losses(batch), model.losses(batch)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert model.memory.size == 0  # written after the step, by what the losses were computed from
    video, audio = features
    raw = model.encoder(audio)
    for parameter in model.parameters():
        parameter.data.mul_(1.1)  # as an optimizer would
    for _ in range(2):  # the second time nothing is left to write
        model.after_step()
    assert model.memory.counts.sum() == 3  # the three pairs that were drawn, not all combinations
    torch.testing.assert_close(model.memory.video_slots[:3], video[[0, 1, 2]])
    torch.testing.assert_close(model.memory.audio_slots[:3], raw[[0, 4, 2]])
    strict = network(memory__score_threshold=0.999, **options)
    strict.losses(batch)
    strict.after_step()
    assert strict.memory.size == 0


def test_settling_rewrites_the_memories_with_the_mapping_of_the_moment(network: Callable, items: ItemTensors) -> None:
    # T2 = -1: nothing is new but the first pair, so the only slot is the mean of all that is written.
    options = {"memory__novelty_threshold": -1.0, "memory__score_threshold": 0.0, "memory__class_slots": False}
    model = network(filled=True, **options).train()
    chosen = np.array([0, 1, 2, 4, 5, 6])
    for _ in range(2):  # the second time with another mapping
        model.fit_after_epoch(items, chosen, chosen, np.random.default_rng(0))
        assert model.training
        model.eval()
        with torch.no_grad():
            clips = model.encode_clips(items.video[chosen])["mapped"]
            utterances = model.encode_utterances(items.utterances(chosen))["mapped"]
        model.train()
        assert model.memory.size == 1
        assert int(model.memory.counts[0]) == len(chosen)
        torch.testing.assert_close(model.memory.video_slots[0], clips.mean(0))
        torch.testing.assert_close(model.memory.audio_slots[0], utterances.mean(0))
        with torch.no_grad():
            model.map_video.weight.mul_(-1.5)


def test_settling_shows_pairs_of_one_class_that_pass_t1(network: Callable, items: ItemTensors) -> None:
    everything = np.arange(9)
    model = network(memory__novelty_threshold=1.0, memory__score_threshold=0.0)
    model.fit_after_epoch(items, everything, everything, np.random.default_rng(0))
    clips = model.encode_clips(items.video)["mapped"].detach()
    utterances = model.encode_utterances(items.utterances(everything))["mapped"].detach()
    for slot in range(model.memory.size):
        clip = int((clips - model.memory.video_slots[slot]).norm(dim=1).argmin())
        utterance = int((utterances - model.memory.audio_slots[slot]).norm(dim=1).argmin())
        assert clip % 3 == utterance % 3
    assert model.memory.size == 9
    s1 = [float(torch.sigmoid(model.s1(clips[i], utterances[j])).detach()) for i in range(9) for j in range(9)]
    strict = network(memory__score_threshold=max(s1))
    strict.fit_after_epoch(items, everything, everything, np.random.default_rng(0))
    assert strict.memory.size == 0


def test_step_writing_is_left_alone_when_an_epoch_ends(network: Callable, items: ItemTensors) -> None:
    model = network(filled=True, memory__write="step")
    before = model.memory.video_slots.clone()
    model.fit_after_epoch(items, np.arange(9), np.arange(9), np.random.default_rng(0))
    assert torch.equal(model.memory.video_slots, before)
