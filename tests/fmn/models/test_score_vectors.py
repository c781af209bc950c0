"""Score vectors: their inner products rank a gallery as the final score does, whatever the memories store."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch.nn import functional

from fmn.config import Config
from fmn.data.sequences import Sequences
from fmn.models.fmn import LEAST_AGREEMENT, FeatureMemoryNetwork
from fmn.models.retrieval_model import score_matrix
from fmn.models.score_vectors import score_vectors

CLASSES, ITEMS, QUERIES = 6, 400, 20


def model_with_slots(space: Literal["mapped", "raw"], temperature: float = 0.1) -> FeatureMemoryNetwork:
    """FMN with made-up weights, whose raw vectors have other sizes (12 and 10) than the mapped ones (16)."""
    torch.manual_seed(0)
    config = Config()
    config = replace(
        config,
        model=replace(config.model, embed_dim=16, hidden_size=5, head_hidden_size=32, s1_exponent=0.1),
        memory=replace(config.memory, space=space, temperature=temperature),
    )
    model = FeatureMemoryNetwork(config, 12, 8).eval()
    slots = {"mapped": (16, 16), "raw": (12, 10)}[space]
    video, audio = (torch.randn(CLASSES, size) for size in slots)
    model.memory.write(video, audio, torch.ones(CLASSES), classes=torch.arange(CLASSES))
    return model


@pytest.mark.parametrize("modality", ["video", "audio"])
@pytest.mark.parametrize("space", ["mapped", "raw"])
@torch.no_grad()
def test_the_best_items_have_the_largest_inner_products(
    space: Literal["mapped", "raw"], modality: Literal["video", "audio"]
) -> None:
    model = model_with_slots(space)
    clips, utterances = (ITEMS, QUERIES) if modality == "video" else (QUERIES, ITEMS)
    video = model.for_search("video", model.encode_clips(torch.randn(clips, 12)))
    frames = Sequences(torch.randn(utterances, 9, 8), torch.full((utterances,), 9))
    audio = model.for_search("audio", model.encode_utterances(frames))
    scores = score_matrix(model, video, audio)
    items, queries = (video, audio) if modality == "video" else (audio, video)
    scores = scores if modality == "video" else scores.T  # [items, queries]
    vectors = score_vectors(model, modality)
    assert vectors is not None
    vectors.fit(items)
    of_items = vectors.items(items)
    for number in range(QUERIES):
        query = {name: part[number : number + 1] for name, part in queries.items()}
        products = of_items @ vectors.query(query, items, of_items)
        best = scores[:, number].topk(10).indices.tolist()
        assert set(best) <= set(products.topk(40).indices.tolist())


@torch.no_grad()
def test_a_gallery_without_the_querys_class_is_ranked_by_s1() -> None:
    model = model_with_slots("mapped", temperature=0.005)
    items, query = (
        functional.normalize(functional.normalize(slots[number], dim=0) + torch.randn(count, 16) / 20, dim=1)
        for slots, number, count in ((model.memory.video_slots, 0, ITEMS), (model.memory.audio_slots, 1, 1))
    )
    video, audio = model.for_search("video", {"mapped": items}), model.for_search("audio", {"mapped": query})
    assert model.agreement(video, audio).max() < LEAST_AGREEMENT
    vectors = score_vectors(model, "video")
    assert vectors is not None
    vectors.fit(video)
    of_items = vectors.items(video)
    products = of_items @ vectors.query(audio, video, of_items)
    best = score_matrix(model, video, audio)[:, 0].topk(10).indices.tolist()
    assert set(best) <= set(products.topk(40).indices.tolist())
