from __future__ import annotations

from math import log

import numpy as np
import pytest
import torch
from torch.nn import functional

from fmn.config import Config, with_values
from fmn.data.batches import Batch, ItemTensors
from fmn.models.baselines.clip_towers import ClipTowers
from fmn.systems import find_system

ITEMS = 5


def model_and_batch(small: Config, **options: float) -> tuple[ClipTowers, Batch]:
    """Five clips and their utterances, all of one class: a batch of pairs (i, i) knows no class."""
    config = with_values(
        small, {"system": "clip_towers", **{f"options.{key}": value for key, value in options.items()}}
    )
    random = np.random.default_rng(3)
    video = [random.normal(size=12).astype(np.float32) for _ in range(ITEMS)]
    audio = [random.normal(size=(30, config.audio.dim)).astype(np.float32) for _ in range(ITEMS)]
    classes = np.zeros(ITEMS, dtype=np.int64)
    data = ItemTensors(video, audio, classes, classes, torch.device("cpu"))
    torch.manual_seed(0)
    model = find_system("clip_towers").build(find_system("clip_towers").complete(config), 12, config.audio.dim)
    assert isinstance(model, ClipTowers)
    model.prepare(data, np.arange(ITEMS), np.arange(ITEMS))
    return model.eval(), data.batch(np.repeat(np.arange(ITEMS)[:, None], 2, axis=1))


def test_its_loss_is_the_pseudocode_of_the_paper(small: Config) -> None:
    """Radford et al., figure 3: the mean of two cross-entropies with the pairs on the diagonal."""
    model, batch = model_and_batch(small)
    cosines = functional.cosine_similarity(
        model.encode_clips(batch.video)["vector"][:, None], model.encode_utterances(batch.audio)["vector"][None], dim=2
    )
    logits, labels = cosines / 0.07, torch.arange(ITEMS)
    expected = (functional.cross_entropy(logits, labels) + functional.cross_entropy(logits.T, labels)) / 2
    assert model.losses(batch)["retrieval"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_the_temperature_is_learned_and_never_below_a_hundredth(small: Config) -> None:
    model, batch = model_and_batch(small, temperature=0.5)
    assert model.log_scale.item() == pytest.approx(log(2))
    model.losses(batch)["retrieval"].backward()  # type: ignore[no-untyped-call]
    assert model.log_scale.grad is not None
    assert float(model.log_scale.grad) != 0
    losses = []
    for temperature in (0.01, 0.001):
        with torch.no_grad():
            model.log_scale.fill_(-log(temperature))
        losses.append(model.losses(batch)["retrieval"].item())
    assert losses[0] == pytest.approx(losses[1])
