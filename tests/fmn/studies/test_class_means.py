"""The baselines of the unmapped memory: nearest class means by hand."""

from __future__ import annotations

import numpy as np
import torch

from fmn.data.batches import ItemTensors
from fmn.studies.class_means import RAW, SEGMENTS, TEMPERATURES, ClassMeans


def test_items_are_compared_with_the_means_of_old_and_new_classes() -> None:
    random = np.random.default_rng(0)
    classes = np.array([0, 0, 1, 1, 2, 2, 0, 1, 2])  # old 0 and 1; 2 is new; the last three ask
    centers = np.eye(3, 4, dtype=np.float32) * 5
    video = (centers[classes] + random.normal(size=(9, 4))).astype(np.float32)
    audio = [(centers[c] + random.normal(size=(3 + c, 4))).astype(np.float32) for c in classes]
    data = ItemTensors(list(video), audio, classes, classes, torch.device("cpu"))
    old, new, asked = np.arange(4), np.array([4, 5]), np.array([6, 7, 8])
    model = ClassMeans(RAW).eval()
    clips, utterances = model.with_shares(data, (old, old), (new, new), (asked, asked))
    for vectors, found in ((video, clips), (np.stack([part.mean(0) for part in audio]), utterances)):
        rows = vectors.astype(np.float64)
        rows = (rows - rows[:4].mean(0)) / rows[:4].std(0)
        means = np.stack([rows[:2].mean(0), rows[2:4].mean(0), rows[4:6].mean(0)])
        cosines = rows[6:] @ means.T / np.linalg.norm(rows[6:], axis=1)[:, None] / np.linalg.norm(means, axis=1)

        def likelihood(t: float, cosines: np.ndarray = cosines) -> float:
            shares = np.exp(cosines[:2, :2] / t)
            return float(np.log(np.diag(shares) / shares.sum(1)).sum())

        shares = np.exp(cosines / max(TEMPERATURES, key=likelihood))
        np.testing.assert_allclose(found["shares"].numpy(), shares / shares.sum(1, keepdims=True), rtol=1e-3, atol=1e-6)
    expected = clips["shares"] @ utterances["shares"].T
    torch.testing.assert_close(model.scores(clips, utterances), expected)


def test_whitened_means_are_given_what_the_memory_of_new_classes_has() -> None:
    random = np.random.default_rng(1)
    classes = np.array([0] * 5 + [1] * 5 + [2] * 3 + [0, 1, 2])  # old 0 and 1; 2 is new; the last three ask
    centers = np.eye(3, 4) * 4
    video = (centers[classes] + random.normal(size=(16, 4))).astype(np.float32)
    audio = [(centers[c] + random.normal(size=(8, 4))).astype(np.float32) for c in classes]
    data = ItemTensors(list(video), audio, classes, classes, torch.device("cpu"))
    old, new, asked = np.arange(10), np.arange(10, 13), np.arange(13, 16)
    clips, utterances = (
        ClassMeans(SEGMENTS, whitened=True).eval().with_shares(data, (old, old), (new, new), (asked, asked))
    )
    quarters = np.stack([part.reshape(4, 2, 4).mean(1).reshape(16) for part in audio])
    for vectors, found in ((video, clips), (quarters, utterances)):
        rows = vectors.astype(np.float64)
        rows = (rows - rows[:10].mean(0)) / rows[:10].std(0)
        means = np.stack([rows[:5].mean(0), rows[5:10].mean(0)])
        within = np.cov((rows[:10] - means[classes[:10]]).T, bias=True)
        shrunk = 0.9 * within + 0.1 * np.trace(within) / len(within) * np.eye(len(within))
        values, axes = np.linalg.eigh(shrunk)
        rows = rows @ (axes / np.sqrt(values)) @ axes.T
        means = np.stack([rows[:5].mean(0), rows[5:10].mean(0), rows[10:13].mean(0)])
        spread = ((rows[:10] - means[classes[:10]]) ** 2).sum() / 8
        squares = (means**2).sum(1)
        lengths = np.sqrt(np.maximum(squares - spread / [5, 5, 3], 0.1 * squares[:2].mean()))
        logits = rows[13:] @ (means / lengths[:, None]).T / np.linalg.norm(rows[13:], axis=1)[:, None] / 0.05
        shares = np.exp(logits - logits.max(1, keepdims=True))
        np.testing.assert_allclose(found["shares"].numpy(), shares / shares.sum(1, keepdims=True), rtol=1e-3, atol=1e-5)
