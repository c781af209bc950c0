"""The Feature Memory Network: its embeddings of clips and utterances, its losses, and their gradients."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from fmn.data.batches import Batch, ItemTensors
from fmn.data.sequences import Sequences


def test_mapped_vectors_have_length_1_and_raw_ones_are_kept_where_the_memory_wants_them(
    network: Callable, embeddings_of: Callable, features: tuple[Tensor, Sequences]
) -> None:
    for embeddings in embeddings_of(network()):
        assert set(embeddings) == {"mapped"}
        torch.testing.assert_close(embeddings["mapped"].norm(dim=1), torch.ones(len(embeddings["mapped"])))
    raw = network(memory__space="raw")
    clips, utterances = embeddings_of(raw)
    video, audio = features
    torch.testing.assert_close(clips["raw"], video)
    torch.testing.assert_close(utterances["raw"], raw.encoder(audio))
    assert raw.memory.video_slots.shape == (10, video.shape[1])
    assert raw.memory.audio_slots.shape == (10, 16)


def test_the_losses_are_those_that_are_asked_for(network: Callable, batch: Batch) -> None:
    assert set(network().losses(batch)) == {"s1", "score", "triplet", "video_slots", "audio_slots"}
    no_slots = {"training__slot_weight": 0}
    assert set(network(training__triplet="off", **no_slots).losses(batch)) == {"s1", "score"}
    only_score = {"training__s1_weight": 0, "training__triplet_weight": 0}
    assert set(network(**only_score, **no_slots).losses(batch)) == {"score"}
    assert set(network(model__score="s1").losses(batch)) == {"score", "triplet"}
    once, twice = (network(training__score_weight=weight).losses(batch) for weight in (1, 2))
    torch.testing.assert_close(twice["score"], 2 * once["score"])
    torch.testing.assert_close(twice["s1"], once["s1"])


def test_the_slot_losses_alone_can_be_minimized_before_anything_is_written(network: Callable, batch: Batch) -> None:
    model = network(training__triplet="off", training__s1_weight=0, training__score_weight=0)
    model.memory.clear()
    losses = model.losses(batch)
    assert {name: loss.item() for name, loss in losses.items()} == {"video_slots": 0, "audio_slots": 0}
    sum(losses.values(), torch.zeros(())).backward()  # type: ignore[no-untyped-call]
    assert not any(each.grad.any() for each in model.parameters() if each.grad is not None)


def test_the_slot_losses_are_minus_the_log_share_of_the_own_class(
    network: Callable, embeddings_of: Callable, batch: Batch, items: ItemTensors
) -> None:
    one_slot = {"memory__novelty_threshold": -1.0, "memory__score_threshold": 0.0}
    model = network(training__slot_weight=3, **one_slot)
    model.fit_after_epoch(items, np.arange(8), np.arange(8), np.random.default_rng(0))
    clips, utterances = embeddings_of(model)
    found = model.losses(batch)
    for side, embeddings, slots, classes in (
        ("video", clips, model.memory.video_slots, batch.clip_classes),
        ("audio", utterances, model.memory.audio_slots, batch.utterance_classes),
    ):
        used = model.memory.size
        own = model.memory.slot_classes[:used] == classes[:, None]
        assert (own.sum(1) == 1).all(), "with T2 = -1 a class has one slot"
        cosines = torch.cosine_similarity(embeddings["mapped"][:, None], slots[None, :used], dim=2)
        expected = torch.nn.functional.cross_entropy(cosines / model.config.memory.temperature, own.int().argmax(1))
        torch.testing.assert_close(found[f"{side}_slots"], 3 * expected)


def test_the_soft_triplet_loss_is_a_softmax_against_all_negatives(
    network: Callable, embeddings_of: Callable, batch: Batch
) -> None:
    model = network(training__triplet="softmax", training__triplet_temperature=0.2)
    clips, utterances = embeddings_of(model)
    similarity = (clips["mapped"] @ utterances["mapped"].T / 0.2).double().exp().numpy()
    match, terms = batch.match.numpy(), []
    for values, positive in ((similarity, match), (similarity.T, match.T)):
        for row, matches in zip(values, positive, strict=True):
            if not matches.all():
                terms += [-math.log(value / (value + row[~matches].sum())) for value in row[matches]]
    assert model.losses(batch)["triplet"].item() == pytest.approx(sum(terms) / len(terms), rel=1e-4)


def test_gradients_reach_everything_but_the_slots(network: Callable, batch: Batch) -> None:
    model = network(filled=True).train()
    slots = model.memory.video_slots.clone()
    torch.stack(list(model.losses(batch).values())).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    assert torch.equal(model.memory.video_slots, slots)
    assert not model.memory.video_slots.requires_grad


def test_clips_enter_normalized_by_the_fitted_ones(network: Callable, items: ItemTensors) -> None:
    model = network()
    items.video[:, 3] = 5.0  # a number that never changes
    chosen = np.arange(2, 9)
    model.prepare(items, chosen, chosen)
    entered = (items.video[chosen] - model.video_mean) / model.video_scale
    torch.testing.assert_close(entered.mean(0), torch.zeros(items.video.shape[1]), atol=1e-5, rtol=0)
    spread = entered.std(0, correction=0)
    assert spread[3] == 0
    torch.testing.assert_close(spread[torch.arange(len(spread)) != 3], torch.ones(len(spread) - 1))
    raw = network(memory__space="raw")
    raw.prepare(items, chosen, chosen)
    torch.testing.assert_close(raw.encode_clips(items.video[chosen])["raw"], entered)


def test_dropout_acts_in_training_only(network: Callable, features: tuple[Tensor, Sequences]) -> None:
    model = network(model__dropout=0.5)
    video, _ = features
    assert torch.equal(model.encode_clips(video)["mapped"], model.encode_clips(video)["mapped"])
    model.train()
    assert not torch.equal(model.encode_clips(video)["mapped"], model.encode_clips(video)["mapped"])
