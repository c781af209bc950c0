"""Data loading: items of a manifest with their features on a device."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dataset_tools.core.cores import usable_cores
from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError, ToolkitError
from dataset_tools.core.progress import Progress, silent
from dataset_tools.manifests import ClipRow, UtteranceRow
from fmn.config import Config
from fmn.data.batches import ItemTensors
from fmn.data.items import Items, train_val_split
from fmn.features.config import DEMO_ON_RECORDINGS_NOTE, DEMO_WEIGHTS_NOTE
from fmn.features.extract import Networks, extract_audio, extract_video
from fmn.features.media import FeatureSet, Media, joint_space

OTHER_FEATURES = "other weights, library versions or files of own features"
"""Possible causes of a difference in `FeatureDataset.sources`, for messages."""


@dataclass(frozen=True, eq=False)
class FeatureDataset:
    """Items with their features.

    Attributes:
        items: the items, without those that failed.
        data: their features, on the device.
        failures: errors of the items without features, by item name.
        sources: digests of everything that determines the video and the audio features.
        notes: caveats of results with these features.
        own: `FeatureSet.own` of the video and the audio features.
    """

    items: Items
    data: ItemTensors
    failures: dict[str, ToolkitError]
    sources: tuple[str, str]
    notes: tuple[str, ...]
    own: tuple[Mapping[str, str], Mapping[str, str]]

    @property
    def digest(self) -> str:
        """`features_digest` of this data set."""
        return features_digest(self.sources, self.failures)


@dataclass(frozen=True, eq=False)
class BothFeatures:
    """Features of clips and utterances.

    Attributes:
        video, audio: the features, by content.
        failures: errors of the items without features, by item name.
        workspace: the workspace whose cache has them.
    """

    video: FeatureSet
    audio: FeatureSet
    failures: dict[str, ToolkitError]
    workspace: Path

    @property
    def sources(self) -> tuple[str, str]:
        """Digests of everything that determines the video and the audio features."""
        return self.video.source, self.audio.source

    @property
    def own(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """`FeatureSet.own` of the video and the audio features."""
        return self.video.own, self.audio.own

    @property
    def computed(self) -> int:
        """Number of features that were computed, or after a dry run would be; the others were in the cache."""
        return number_computed(self)

    def tensors(
        self,
        clips: Sequence[ClipRow],
        utterances: Sequence[UtteranceRow],
        clip_classes: NDArray[np.int64],
        utterance_classes: NDArray[np.int64],
        device: torch.device,
    ) -> ItemTensors:
        """Loads the features of rows that have them, with their classes [N] and [M]."""
        return ItemTensors(
            [self.video.values[row.sha256] for row in clips],
            [np.ascontiguousarray(self.audio.values[row.sha256]) for row in utterances],
            clip_classes,
            utterance_classes,
            device,
            self.audio.band,
            joint_space(self.video, self.audio),
        )


def number_computed(*found: BothFeatures) -> int:
    """Number of features computed, or to be computed after dry runs; of content that several have, they are one."""
    video = {(one.workspace, key) for one in found for key in one.video.fresh}
    return len(video) + len({(one.workspace, key) for one in found for key in one.audio.fresh})


def features_digest(sources: Sequence[str], failures: Iterable[str]) -> str:
    """Returns an eight-digit digest of a run's inputs other than its configuration and manifest.

    It changes when the user's own features are rewritten at the same path, with new weights, and when failed items are
    repaired.

    Args:
        sources: digests of everything that determines the features, video and audio.
        failures: names of the items without features.
    """
    text = json.dumps([list(sources), sorted(failures)])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def load_features(
    items: Items,
    config: Config,
    *,
    device: torch.device,
    jobs: int | None = None,
    progress: Progress = silent,
    networks: Networks | None = None,
) -> FeatureDataset:
    """Computes the features of all items, or reads them from the cache.

    Args:
        items: from `fmn.data.items.load_items`.
        config: ``config.video`` and ``config.audio`` define the features.
        device: where the networks run and where the features are stored.
        jobs: workers; None: one per core.
        progress: progress callback.
        networks: cache of loaded networks, for later calls with the same dictionary; None: they are not kept.

    Raises:
        InputError: a file is missing, or no clip or no utterance has features.
        StoppedError: the cache cannot be written, or the device fails.
    """
    clips, utterances = items.clip_media(), items.utterance_media()
    found = extract_both(
        clips, utterances, config, items.workspace, device=device, jobs=jobs, progress=progress, networks=networks
    )
    video, audio = found.video, found.audio
    left = _with_features(items, found, config)
    data = found.tensors(left.clips, left.utterances, left.clip_classes, left.utterance_classes, device)
    caveats = (
        video.note,
        DEMO_ON_RECORDINGS_NOTE if items.footage.is_recorded and video.note == DEMO_WEIGHTS_NOTE else None,
        audio.note,
        _seen_before(left, video.trained_on),
    )
    notes = tuple(note for note in caveats if note)
    return FeatureDataset(left, data, found.failures, found.sources, notes, found.own)


def plan_features(
    items: Items, config: Config, *, jobs: int | None = None, progress: Progress = silent
) -> tuple[Items, BothFeatures]:
    """Returns what `load_features` would load, of a dry run: nothing is computed or written.

    Returns:
        The items, without those that cannot have features as far as is known; and the features (`extract_both`).

    Raises:
        InputError: as `load_features`.
    """
    media = items.clip_media(), items.utterance_media()
    device = torch.device("cpu")
    found = extract_both(*media, config, items.workspace, device=device, jobs=jobs, progress=progress, dry_run=True)
    return _with_features(items, found, config), found


def _with_features(items: Items, found: BothFeatures, config: Config) -> Items:
    """Returns the items that have features.

    Raises:
        InputError: no pair has.
    """
    left = items.of_ids(
        {media.name for media in items.clip_media() if found.video.failure_of(media) is None},
        {media.name for media in items.utterance_media() if found.audio.failure_of(media) is None},
    )
    if not len(left.pairs):
        raise _no_pair(items, found.failures, _read_from(config))
    return left


def _read_from(config: Config) -> list[str]:
    """The files that features are read from; a system may have others than those of its configuration."""
    return [part.features for part in (config.video, config.audio) if part.kind == "features"]


def extract_both(
    clips: Sequence[Media],
    utterances: Sequence[Media],
    config: Config,
    workspace: Path,
    *,
    device: torch.device,
    jobs: int | None = None,
    progress: Progress = silent,
    networks: Networks | None = None,
    dry_run: bool = False,
) -> BothFeatures:
    """Computes the features of files, or reads them from the workspace's cache; the other arguments: `load_features`.

    ``dry_run``: computes and writes nothing (`fmn.features.extract.extract_video`).

    Raises:
        InputError: the weights or an encoder cannot be used.
        StoppedError: the cache cannot be written, or the device fails.
    """
    options: dict[str, Any] = {
        "cache": feature_cache(workspace),
        "device": str(device),
        "jobs": jobs or usable_cores(),
        "progress": progress,
        "networks": networks,
        "dry_run": dry_run,
    }
    video = extract_video(clips, config.video, **options)
    audio = extract_audio(utterances, config.audio, **options)
    return BothFeatures(video, audio, video.failures_of(clips) | audio.failures_of(utterances), workspace)


def _no_pair(items: Items, failures: Mapping[str, ToolkitError], read: Sequence[str]) -> InputError:
    """Returns the error if no pair has features; ``read``: the files that features were read from."""
    first = next(iter(failures.values()), None)
    found = f"No pair is left: {count_of(len(failures), 'file has', 'files have')} no features" + (
        f"; the first, {next(iter(failures))}: {first.found}" if first else ""
    )
    if not read:
        next_step = "check these files, or run fmn-data verify"
        return InputError(found, where=items.manifest, next_step=next_step)
    return InputError(
        found,
        where=", ".join(read),
        expected=f"features of the items of {items.manifest}",
        next_step="use an export of a run, which has the features of its training and its test manifest: "
        "fmn features export RUN DIR",
    )


def _seen_before(items: Items, trained_on: frozenset[str]) -> str | None:
    """Returns a caveat if the video backbone was trained on evaluated clips, else None."""
    if not trained_on:
        return None
    tested = items.split == "test"
    evaluated = range(len(items.clips)) if tested else train_val_split(items).validation_clips
    count = sum(items.clips[index].sha256 in trained_on for index in evaluated)
    if not count:
        return None
    of, what = ("these clips", "the results are") if tested else ("the clips of fold 0", "what is validated is")
    return f"The video backbone was fine-tuned on {count} of {of}: {what} too high."


def feature_cache(workspace: Path) -> Path:
    """Returns the folder of the feature cache: cache/features in the workspace."""
    return workspace / "cache" / "features"


def find_device(name: str = "auto") -> torch.device:
    """Returns the device called ``name``; ``auto`` is the first GPU, or the CPU if there is none.

    Raises:
        InputError: there is no such device.
    """
    device = device_named(name)
    try:
        torch.zeros(1, device=device).cpu()  # the device meta has no values
    except (RuntimeError, AssertionError) as error:
        raise _device_error(name, error) from error
    return device


def device_named(name: str) -> torch.device:
    """`find_device` without checking that the device is available: a dry run may plan for another machine.

    Raises:
        InputError: the name is not a torch device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise _device_error(name, error) from error


def usable_device(name: str, *, dry_run: bool) -> torch.device:
    """`find_device`; in a dry run, the CPU after checking the name (`device_named`).

    Raises:
        InputError: there is no such device.
    """
    if not dry_run:
        return find_device(name)
    device_named(name)
    return torch.device("cpu")


def _device_error(name: str, error: Exception) -> InputError:
    return InputError(
        f"The device {name!r} cannot be used: {(str(error).strip() or type(error).__name__).splitlines()[0]}",
        where="--device",
        expected="auto, cpu, cuda, or cuda:0 and so on",
        next_step="omit --device, or install a torch build that supports the device",
    )
