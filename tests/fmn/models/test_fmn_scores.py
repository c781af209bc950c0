"""The network's scores, by loops over pairs and slots: S1, the agreement, and what they are combined to."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from fmn.models.fmn import FeatureMemoryNetwork
from fmn.models.retrieval_model import Embeddings


def probabilities(
    model: FeatureMemoryNetwork, clips: Embeddings, utterances: Embeddings
) -> tuple[Tensor, Tensor, Tensor]:
    """S1 and Max by loops over pairs and slots, and the scores of the model."""
    space, used = model.config.memory.space, model.memory.size
    s1, largest = (torch.empty(len(clips["mapped"]), len(utterances["mapped"])) for _ in range(2))
    with torch.no_grad():
        for i, j in np.ndindex(*s1.shape):
            s1[i, j] = torch.sigmoid(model.s1(clips["mapped"][i], utterances["mapped"][j]))
            products = [
                max(0.0, float(torch.cosine_similarity(clips[space][i], model.memory.video_slots[x], dim=0)))
                * max(0.0, float(torch.cosine_similarity(utterances[space][j], model.memory.audio_slots[x], dim=0)))
                for x in range(used)
            ]
            largest[i, j] = max(products)
        return s1, largest.clamp(min=1e-4), model.scores(clips, utterances)


@pytest.mark.parametrize("space", ["mapped", "raw"])
def test_equation_3_as_printed_and_its_inverse(network: Callable, space: str, embeddings_of: Callable) -> None:
    for score in ("s1/max", "s1*max"):
        model = network(filled=True, model__score=score, memory__space=space, memory__read="max")
        s1, largest, found = probabilities(model, *embeddings_of(model))
        expected = s1 / largest if score == "s1/max" else s1 * largest
        torch.testing.assert_close(found.exp(), expected, rtol=1e-4, atol=1e-6)
    assert (s1 / largest > 1).any()  # as printed, S is no probability


def test_the_combined_score_is_s1_with_a_power_times_the_agreement_with_a_power(
    network: Callable, embeddings_of: Callable
) -> None:
    model = network(filled=True, model__score="combined", model__s1_exponent=0.3, memory__read="max")
    with torch.no_grad():
        model.scale.fill_(0.7)
        model.shift.fill_(-0.2)
    s1, largest, found = probabilities(model, *embeddings_of(model))
    odds = (s1 / (1 - s1)) ** 0.3 * largest ** math.log1p(math.exp(0.7)) * math.exp(-0.2)
    torch.testing.assert_close(found.exp(), odds, rtol=1e-4, atol=1e-6)


def test_the_distance_reading_is_a_small_product_of_distances(network: Callable, embeddings_of: Callable) -> None:
    model = network(filled=True, model__score="distance")
    clips, utterances = embeddings_of(model)
    with torch.no_grad():
        scores = model.scores(clips, utterances)
        s1 = torch.sigmoid(model.s1_matrix(clips, utterances))
    products = torch.empty_like(s1)
    for i, j in np.ndindex(*s1.shape):
        of_slots = [
            (1 - torch.cosine_similarity(clips["mapped"][i], model.memory.video_slots[x], dim=0))
            * (1 - torch.cosine_similarity(utterances["mapped"][j], model.memory.audio_slots[x], dim=0))
            for x in range(model.memory.size)
        ]
        products[i, j] = (1 - s1[i, j]) * min(of_slots)
    torch.testing.assert_close(scores, -math.log(2) * products.log(), rtol=1e-4, atol=1e-5)  # softplus(0) = log 2


def test_agreement_alone_and_cosine_alone(network: Callable, embeddings_of: Callable) -> None:
    memory = network(filled=True, model__score="memory", memory__read="max")
    _, largest, found = probabilities(memory, *embeddings_of(memory))
    assert torch.equal(found.flatten().argsort(), largest.flatten().argsort()) or torch.allclose(
        largest.flatten()[found.flatten().argsort()].diff().clamp(max=0), torch.zeros(1), atol=1e-6
    )
    cosine = network(model__score="cosine")
    clips, utterances = embeddings_of(cosine)
    expected = torch.cosine_similarity(clips["mapped"][:, None], utterances["mapped"][None], dim=2)
    with torch.no_grad():
        scores = cosine.scores(clips, utterances)
    assert torch.corrcoef(torch.stack([scores.flatten(), expected.flatten()]))[0, 1] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("score", ["s1", "combined", "s1/max", "s1*max", "distance"])
def test_with_empty_memories_the_order_is_that_of_s1(network: Callable, score: str, embeddings_of: Callable) -> None:
    model = network(model__score=score)
    clips, utterances = embeddings_of(model)
    with torch.no_grad():
        s1, scores = model.s1_matrix(clips, utterances), model.scores(clips, utterances)
    assert torch.equal(scores.argsort(dim=1), s1.argsort(dim=1))
    if score in ("s1/max", "s1*max"):
        torch.testing.assert_close(scores.exp(), torch.sigmoid(s1))
