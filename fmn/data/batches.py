"""Features of distinct items on one device, and sampling of batches from them."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fmn.data.sequences import Sequences, StoredSequences

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch of training pairs: their distinct clips and utterances, and which of them match.

    Attributes:
        video: [V, Dv] the clips.
        audio: the A utterances.
        match: [V, A] bool, whether clip and utterance are of the same class.
        pairs: [B, 2] int64, rows of ``video`` and ``audio``: the sampled pairs.
        clip_classes: [V] int64. utterance_classes: [A] int64.
        windows: of the V clips, if the features keep them; ``video`` is then their mean.
    """

    video: Tensor
    audio: Sequences
    match: Tensor
    pairs: Tensor
    clip_classes: Tensor
    utterance_classes: Tensor
    windows: Sequences | None = None


class ItemTensors:
    """Features of all items on one device: batches are gathered there, without synchronizing with the host.

    Args:
        video: N vectors [Dv], or N sequences of windows [windows, Dv].
        audio: M sequences [frames, F], each at least one frame long.
        clip_classes: [N]. utterance_classes: [M].
        device: where the features are stored.
        audio_band: number of adjacent values of an audio frame that form one band (`FeatureSet.band`); None: all.
        space: the joint embedding space of clips and utterances (`joint_space`); empty: none.

    Attributes:
        partners: [M] the clip that each utterance was spoken for, if only that is known; None: classes are known.
    """

    def __init__(
        self,
        video: Sequence[NDArray[np.float32]],
        audio: Sequence[NDArray[np.float32]],
        clip_classes: Indices,
        utterance_classes: Indices,
        device: torch.device,
        audio_band: int | None = None,
        space: str = "",
    ) -> None:
        self.device = device
        self.space = space
        self.partners: Indices | None = None
        self._audio = StoredSequences(audio, device)
        self._windows = StoredSequences(video, device) if video[0].ndim == 2 else None
        vectors = video if self._windows is None else [clip.mean(0, np.float64).astype(np.float32) for clip in video]
        self.video = torch.from_numpy(np.stack(vectors)).to(device)
        self._set_classes(clip_classes, utterance_classes)
        self.audio_band = audio_band or self.audio_dim

    def with_clusters(self, clip_clusters: Indices, utterance_clusters: Indices, partners: Indices) -> ItemTensors:
        """Returns a view with clusters [N] and [M] in place of classes, and ``partners`` [M] to form pairs."""
        other = copy(self)
        other._set_classes(clip_clusters, utterance_clusters)
        other.partners = partners
        return other

    def _set_classes(self, clip_classes: Indices, utterance_classes: Indices) -> None:
        self.clip_classes = torch.from_numpy(np.asarray(clip_classes, dtype=np.int64)).to(self.device)
        self.utterance_classes = torch.from_numpy(np.asarray(utterance_classes, dtype=np.int64)).to(self.device)

    def pairs(self, clips: Indices, utterances: Indices, generator: np.random.Generator) -> Indices:
        """[P, 2], in random order: the spoken pairs if only these are known, else `matched_once` by class."""
        if self.partners is None:
            classes = self.clip_classes.cpu().numpy(), self.utterance_classes.cpu().numpy()
            return matched_once(clips, utterances, *classes, generator)
        spoken = utterances[np.isin(self.partners[utterances], clips)]
        pairs = np.stack([self.partners[spoken], spoken], axis=1)
        return pairs[generator.permutation(len(pairs))]

    def rows_of_pairs(
        self, clips: Indices, utterances: Indices, generator: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """`pairs` as row indices into ``clips`` and ``utterances``, both sorted, [P, 2], and their classes [P]."""
        pairs = self.pairs(clips, utterances, generator)
        rows = np.stack([np.searchsorted(clips, pairs[:, 0]), np.searchsorted(utterances, pairs[:, 1])], axis=1)
        return self.on_device(rows), self.clip_classes[self.on_device(pairs[:, 0])]

    @property
    def video_dim(self) -> int:
        return self.video.shape[1]

    @property
    def audio_dim(self) -> int:
        return self._audio.frames.shape[1]

    @property
    def lengths(self) -> Indices:
        """[M]: number of frames of each utterance."""
        return self._audio.lengths

    @property
    def most_windows(self) -> int:
        """Maximum number of windows in a clip; 1 if the features are vectors."""
        return 1 if self._windows is None else int(self._windows.lengths.max())

    def on_device(self, indices: Indices) -> Tensor:
        """Returns ``indices`` as a tensor on the device of the features; the copy is asynchronous."""
        tensor = torch.from_numpy(np.ascontiguousarray(indices))
        if self.device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)

    def utterances(self, indices: Indices) -> Sequences:
        """Returns the utterances ``indices`` [B], zero-padded to the longest of them."""
        return self._audio.padded(indices, self.on_device(indices))

    def windows(self, indices: Indices) -> Sequences | None:
        """Returns the windows of the clips ``indices`` [B]; None if the features are vectors."""
        return None if self._windows is None else self._windows.padded(indices, self.on_device(indices))

    def batch(self, pairs: Indices) -> Batch:
        """Returns the batch of ``pairs`` [B, 2] (clip, utterance)."""
        clips, clip_rows = np.unique(pairs[:, 0], return_inverse=True)
        utterances, utterance_rows = np.unique(pairs[:, 1], return_inverse=True)
        at_clips, at_utterances = self.on_device(clips), self.on_device(utterances)
        clip_classes, utterance_classes = self.clip_classes[at_clips], self.utterance_classes[at_utterances]
        return Batch(
            video=self.video[at_clips],
            audio=self.utterances(utterances),
            match=clip_classes[:, None] == utterance_classes[None, :],
            pairs=self.on_device(np.stack([clip_rows, utterance_rows], axis=1)),
            clip_classes=clip_classes,
            utterance_classes=utterance_classes,
            windows=self.windows(clips),
        )


def epoch_batches(
    pairs: Indices, lengths: Indices, *, batch_size: int, count: int | None, generator: np.random.Generator
) -> list[Indices]:
    """Samples the batches of one epoch.

    Pairs are ordered in rounds, each of which contains an utterance at most once, so that a batch rarely encodes an
    utterance redundantly; within groups of a few batches, utterances of similar length are batched together to reduce
    padding.

    Args:
        pairs: [P, 2] all pairs to sample from.
        lengths: [M] number of frames of each utterance.
        batch_size: maximum pairs in a batch, at least 2. All batches of the last group may be smaller, of about the
            same size. None is a single pair while there are others, except one if batches of 2 divide an odd number.
        count: pairs in the epoch; None uses every pair once.
        generator: random number generator.

    Returns:
        Index arrays [B, 2].
    """
    shuffled = pairs[generator.permutation(len(pairs))]
    ordered = shuffled[np.argsort(_occurrence(shuffled[:, 1]), kind="stable")]
    if count is not None:
        ordered = np.resize(ordered, (count, 2))  # repeats from the start when there are fewer
    if len(ordered) == 0:
        return []
    batches: list[Indices] = []
    group = 8 * batch_size
    starts = range(group, len(ordered) - 1, group)  # of the groups after the first; a last pair alone starts none
    for window in np.split(ordered, starts):
        window = window[np.argsort(lengths[window[:, 1]], kind="stable")]
        parts = np.array_split(window, -(-len(window) // batch_size))
        batches += [parts[index] for index in generator.permutation(len(parts))]
    return batches


def matched_once(
    clip_indices: Indices,
    utterance_indices: Indices,
    clip_classes: Indices,
    utterance_classes: Indices,
    generator: np.random.Generator,
) -> Indices:
    """Pairs clips and utterances of the same class at random, so that each appears at least once and few twice.

    Classes without clips or without utterances are left out.

    Args:
        clip_indices: the clips.
        utterance_indices: the utterances.
        clip_classes: [N] the classes of all clips.
        utterance_classes: [M] the classes of all utterances.
        generator: matches the items of a class, and shuffles the pairs.

    Returns:
        [P, 2], in random order; a class has as many pairs as the larger of its two counts.
    """
    parts: list[Indices] = []
    for label in np.intersect1d(clip_classes[clip_indices], utterance_classes[utterance_indices]):
        clips = generator.permutation(clip_indices[clip_classes[clip_indices] == label])
        utterances = generator.permutation(utterance_indices[utterance_classes[utterance_indices] == label])
        size = max(len(clips), len(utterances))
        parts.append(np.stack([np.resize(clips, size), np.resize(utterances, size)], axis=1))
    pairs = np.concatenate(parts) if parts else np.empty((0, 2), dtype=np.int64)
    return pairs[generator.permutation(len(pairs))]


def _occurrence(values: Indices) -> Indices:
    """[P]: number of earlier occurrences of the value at each position."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.searchsorted(ordered, ordered)
    counts = np.empty_like(values)
    counts[order] = np.arange(len(values)) - first
    return counts
