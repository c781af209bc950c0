"""Few-shot classes: whitened class means, their lengths, shares of new classes, and what they take from the old."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fmn.config import Config, with_values
from fmn.data.sequences import Sequences
from fmn.models.fmn import FeatureMemoryNetwork
from fmn.models.new_class_memory import (
    SHRINKAGE,
    TEMPERATURE,
    ModalityMemory,
    WhitenedMeans,
    gated_agreement,
    segment_means,
)
from fmn.models.retrieval_model import eval_mode


def test_segments_are_means_of_consecutive_quarters_and_padding_does_not_count() -> None:
    frames = torch.full((2, 8, 1), 99.0)
    frames[0, :, 0] = torch.arange(8.0)
    frames[1, :2, 0] = torch.tensor([3.0, 5.0])
    found = segment_means(Sequences(frames, torch.tensor([8, 2])))
    # of two frames the first fills the first quarter, the second the third; the others are the mean of both
    assert found.tolist() == [[0.5, 2.5, 4.5, 6.5], [3.0, 4.0, 5.0, 4.0]]


@pytest.fixture
def items() -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(4)
    classes = np.repeat([7, 2, 5], 20)
    centers = {7: [4, 0, 0], 2: [0, 4, 0], 5: [0, 0, 4]}
    noise = random.normal(size=(60, 3)) @ np.array([[1, 0.8, 0], [0, 0.5, 0], [0, 0, 2]])
    return torch.tensor([centers[int(c)] for c in classes]) + torch.tensor(noise).float(), torch.tensor(classes)


def test_whitening_is_by_the_shrunk_covariance_within_the_old_classes(
    items: tuple[torch.Tensor, torch.Tensor],
) -> None:
    vectors, classes = items
    part = WhitenedMeans.fit(vectors, classes)
    rows = vectors.double().numpy()
    rows = (rows - rows.mean(0)) / rows.std(0)
    centered = np.concatenate([rows[classes.numpy() == c] - rows[classes.numpy() == c].mean(0) for c in (2, 5, 7)])
    covariance = centered.T @ centered / 60
    shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.trace(covariance) / 3 * np.eye(3)
    found = part.whitened(vectors).double().numpy()
    # a whitened product is one by the inverse of the shrunk covariance
    np.testing.assert_allclose(found @ found.T, rows @ np.linalg.inv(shrunk) @ rows.T, atol=1e-3)
    means = np.stack([found[classes.numpy() == c].mean(0) for c in (2, 5, 7)])
    spread = sum(((found[classes.numpy() == c] - m) ** 2).sum() for c, m in zip((2, 5, 7), means, strict=True)) / 57
    lengths = np.sqrt((means**2).sum(1) - spread / 20)
    np.testing.assert_allclose(part.old.numpy(), means / lengths[:, None], rtol=1e-4)


def test_a_mean_is_as_long_as_what_it_estimates_whatever_number_of_items_it_is_of(
    items: tuple[torch.Tensor, torch.Tensor],
) -> None:
    part = WhitenedMeans.fit(*items)
    center, random = 3 * torch.ones(3), torch.Generator().manual_seed(0)
    for count in (2, 50):
        draws = center + torch.randn(4000, count, 3, generator=random) * (part.spread / 3).sqrt()
        directed = part.directed(draws.mean(1), torch.full((4000,), count))
        assert float((directed @ center / center.norm()).median()) == pytest.approx(1, abs=0.05)


def test_shares_are_a_softmax_over_the_cosines_with_old_and_new_means(
    items: tuple[torch.Tensor, torch.Tensor],
) -> None:
    vectors, classes = items
    part = WhitenedMeans.fit(vectors, classes)
    shown, of = torch.tensor([[8.0, 8, 0], [9, 7, 1], [-6, 0, 3]]), torch.tensor([0, 0, 1])
    memory = ModalityMemory((part, part), (part.whitened(shown),) * 2, of)
    asked = torch.tensor([[8.0, 7, 0], [4, 0, 0]])
    means = torch.stack([part.whitened(shown[:2]).mean(0), part.whitened(shown[2:]).mean(0)])
    every = torch.cat([part.old, part.directed(means, torch.tensor([2, 1]))])
    query = part.whitened(asked)
    expected = torch.exp((query / query.norm(dim=1, keepdim=True)) @ every.T / TEMPERATURE)
    expected = (expected / expected.sum(1, keepdim=True))[:, 3:]
    shares = memory.shares([asked, asked])
    torch.testing.assert_close(shares, expected, rtol=1e-3, atol=1e-5)
    assert float(shares[0, 0]) > 0.9
    assert float(shares[1].sum()) < 0.1


def test_new_classes_take_their_share_from_the_agreement_of_the_old() -> None:
    agreement = torch.tensor([[0.9, 0.1]])
    of_clips, of_utterances = torch.tensor([[0.3, 0.1]]), torch.tensor([[0.5, 0.0], [0.0, 0.0]])
    found = gated_agreement(agreement, of_clips, of_utterances)
    torch.testing.assert_close(found, torch.tensor([[0.6 * 0.5 * 0.9 + 0.3 * 0.5, 0.6 * 0.1]]))


@pytest.mark.parametrize("attention", ["off", "mean"])
def test_the_score_reads_new_classes_only_where_there_are_some(small: Config, attention: str) -> None:
    torch.manual_seed(0)
    model = FeatureMemoryNetwork(
        with_values(small, {"model.score": "memory", "model.step_attention": attention}), 12, 8
    )
    model.memory.write(torch.randn(3, 8), torch.randn(3, 8), torch.ones(3), classes=torch.arange(3))
    video, audio = torch.randn(30, 12), Sequences(torch.randn(30, 9, 8), torch.full((30,), 9))
    classes = torch.arange(30) % 3
    with eval_mode(model):
        clips, utterances = model.encode_clips(video), model.encode_utterances(audio)
        before, agreement = model.scores(clips, utterances), model.agreement(clips, utterances)
        assert "new_shares" not in clips
        model.gives_vectors = True
        vectors = [model.encode_clips(video), model.encode_utterances(audio)]
        model.gives_vectors = False
        assert vectors[1]["vector_1"].shape == (30, 4 * 8)
        memories = []
        for embeddings in vectors:
            held = [embeddings["vector_0"], embeddings["vector_1"]]
            parts = tuple(WhitenedMeans.fit(vector, classes) for vector in held)
            rows = tuple(part.whitened(vector[:1]) for part, vector in zip(parts, held, strict=True))
            memories.append(ModalityMemory(parts, rows, torch.zeros(1, dtype=torch.int64)))
        model.new_classes = {"video": memories[0], "audio": memories[1]}
        clips, utterances = model.encode_clips(video), model.encode_utterances(audio)
        weight = torch.nn.functional.softplus(model.scale)
        expected = gated_agreement(agreement, clips["new_shares"], utterances["new_shares"])
        torch.testing.assert_close(
            model.scores(clips, utterances), weight * expected.clamp(min=1e-4).log() + model.shift
        )
        s1, gate = (
            model.s1_matrix(clips, utterances),
            (1 - clips["new_shares"][:, :1]) * (1 - utterances["new_shares"].T),
        )
        assert gate.min() < 0.5
        model.config = with_values(model.config, {"model.score": "combined", "model.s1_exponent": 0.3})
        combined = 0.3 * gate * s1 + weight * expected.clamp(min=1e-4).log() + model.shift
        torch.testing.assert_close(model.scores(clips, utterances), combined)
        model.config = with_values(model.config, {"model.score": "s1*max"})
        product = gate * torch.sigmoid(s1).log() + expected.clamp(min=1e-4).log()
        torch.testing.assert_close(model.scores(clips, utterances), product)
        model.config = with_values(model.config, {"model.score": "memory"})
        assert int(clips["new_shares"].argmax()) == int(utterances["new_shares"].argmax()) == 0
        model.new_classes = None
        again = model.scores(model.encode_clips(video), model.encode_utterances(audio))
    assert torch.equal(again, before)
