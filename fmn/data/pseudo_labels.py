"""Pseudo-labels: training without class labels, on k-means clusters of the clips of spoken pairs.

Only the pairs are known: which utterance was spoken for which clip. The clips of these pairs are clustered by their
features, and the cluster of a clip replaces its class, for the clip and for the utterances spoken for it, in training
and in model selection. So every system that trains on classes can train on clusters. The memories of FMN are written
with the spoken pairs, not with pairs sampled by class. Utterances are not clustered: the mean of their frames does not
represent their words, and on the development corpus 0, clusters of both (means of 4, 8 or 16 parts of an utterance
concatenated with the clip) were not purer.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.errors import InputError
from dataset_tools.core.seeds import training_generator
from fmn.data.batches import Indices, ItemTensors
from fmn.data.items import Items, train_val_split
from fmn.data.loading import FeatureDataset

NO_CLUSTER = -1
ROUNDS = 100


def with_pseudo_labels(prepared: FeatureDataset, clusters: int, seed: int) -> FeatureDataset:
    """Returns the same features with spoken pairs only and clusters in place of classes; uses no class label.

    Args:
        prepared: items to train on.
        clusters: maximum number of clusters; limited by the number of fitted clips.
        seed: of the run.

    Raises:
        InputError: no pair of the manifest consists of a clip and an utterance that was spoken for it.
    """
    items = spoken_pairs(prepared.items)
    fitted = train_val_split(items).train_clips
    clips = np.unique(items.pairs[:, 0])
    is_fitted = np.isin(clips, fitted)
    vectors = _standardized(prepared.data, clips, is_fitted)
    generator = training_generator(seed, "clusters", "pairs")
    centers = kmeans(vectors[is_fitted], min(clusters, len(fitted)), generator)
    clip_clusters = np.full(len(items.clips), NO_CLUSTER)
    clip_clusters[clips] = _nearest(vectors, centers)
    utterance_clusters = np.where(items.partners >= 0, clip_clusters[items.partners], NO_CLUSTER)
    note = f"Trained without class labels, on {len(centers)} clusters of pairs; validation results refer to clusters."
    data = prepared.data.with_clusters(clip_clusters, utterance_clusters, items.partners)
    return replace(prepared, items=items, data=data, notes=(*prepared.notes, note))


def spoken_pairs(items: Items) -> Items:
    """Returns ``items`` with only those pairs whose utterance was spoken for the clip, in order of the utterances.

    Raises:
        InputError: there is none.
    """
    spoken = np.flatnonzero(items.partners[items.pairs[:, 1]] == items.pairs[:, 0])
    if not len(spoken):
        raise InputError(
            "No pair has a clip and an utterance that was spoken for it",
            where=items.manifest,
            expected="utterances whose clip is known and in the same split: fmn noise, and training without class "
            "labels, use only these",
            next_step="synthesize speech (fmn-data speech synthesize) or import recordings named after their clips; "
            "fmn train needs them only with --labels pairs",
        )
    spoken = spoken[np.argsort(items.pairs[spoken, 1], kind="stable")]
    return replace(items, pairs=items.pairs[spoken], folds=items.folds[spoken])


def kmeans(vectors: NDArray[np.float64], clusters: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Lloyd's k-means with k-means++ initialization (Arthur and Vassilvitskii, 2007): [N, D] → centers [clusters, D].

    Not scipy's kmeans2: its k-means++ divides by zero if there are fewer distinct vectors than clusters (1.17).
    """
    centers = vectors[[generator.integers(len(vectors))]]
    while len(centers) < clusters:
        distances = _square_distances(vectors, centers).min(axis=1)
        total = distances.sum()
        chosen = generator.choice(len(vectors), p=distances / total if total > 0 else None)
        centers = np.concatenate([centers, vectors[[chosen]]])
    labels = _nearest(vectors, centers)
    for _ in range(ROUNDS):
        for cluster in np.unique(labels):  # the center of an empty cluster is kept
            centers[cluster] = vectors[labels == cluster].mean(axis=0)
        before, labels = labels, _nearest(vectors, centers)
        if np.array_equal(before, labels):
            break
    return centers


def _standardized(data: ItemTensors, clips: Indices, fitted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[N, Dv]: features of clips, standardized by the mean and standard deviation over the fitted clips."""
    video = data.video[data.on_device(clips)].cpu().numpy().astype(np.float64)
    mean, deviation = video[fitted].mean(axis=0), video[fitted].std(axis=0)
    standardized: NDArray[np.float64] = (video - mean) / np.maximum(deviation, 1e-6)
    return standardized


def _square_distances(vectors: NDArray[np.float64], centers: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, D] and [K, D] → [N, K], never negative."""
    squares = (vectors**2).sum(1)[:, None] - 2 * vectors @ centers.T + (centers**2).sum(1)
    clamped: NDArray[np.float64] = np.maximum(squares, 0.0)
    return clamped


def _nearest(vectors: NDArray[np.float64], centers: NDArray[np.float64]) -> Indices:
    """[N]: the nearest center of each vector."""
    nearest: Indices = _square_distances(vectors, centers).argmin(axis=1)
    return nearest
