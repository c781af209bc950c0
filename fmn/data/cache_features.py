"""Feature extraction ahead of training, on this machine or a cluster (``fmn features extract``).

Training, evaluation and comparisons then read all features from the cache. On a cluster each task computes the features
of a few files and writes them to the cache, which all nodes access under the same path; only counts and failures are
returned.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from dataset_tools.core.cores import usable_cores
from dataset_tools.core.execution import run_each
from dataset_tools.core.progress import Progress, silent
from fmn.config import Config
from fmn.data.items import load_items
from fmn.data.loading import feature_cache, usable_device
from fmn.features.config import AudioFeatureConfig, VideoFeatureConfig
from fmn.features.extract import Networks, extract_audio, extract_video
from fmn.features.media import FeatureSet, Media, distinct, reasons

FILES_A_TASK = 4
"""Small, so that little work is lost if a node fails; decoding takes far longer than scheduling a task."""

_networks: Networks = {}
"""Networks loaded in this worker process, reused by its next tasks."""


@dataclass(frozen=True)
class CachedCount:
    """Result of `cache_features`: distinct contents with features, how many were computed now, and failures by name.

    After a dry run: how many would be computed, and the failures that are known before.
    """

    clips: int
    utterances: int
    computed: int
    failures: dict[str, str]
    dry_run: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Task:
    media: tuple[Media, ...]
    config: VideoFeatureConfig | AudioFeatureConfig
    cache: Path
    device: str
    dry_run: bool = False


def cache_features(
    manifests: Sequence[Path | str],
    config: Config,
    *,
    root: Path | str | None = None,
    device: str = "auto",
    jobs: int | None = None,
    in_tasks: bool = False,
    dry_run: bool = False,
    progress: Progress = silent,
) -> CachedCount:
    """Computes the features of all clips and utterances of some manifests that are missing in the workspace's cache.

    Args:
        manifests: of one workspace.
        config: its ``video`` and ``audio`` define the features.
        root: the workspace, if it is not the parent of the manifests' folder.
        device: ``auto``, or a torch device; with ``in_tasks``, a device of the machine where a task runs.
        jobs: workers; None: one per core.
        in_tasks: runs tasks of `dataset_tools.core.execution.run_each`, possibly on a cluster; if a worker crashes,
            only the file that caused the crash is lost. False: runs in threads of this process.
        dry_run: only check and count (`fmn.features.extract.extract_video`).
        progress: progress callback.

    Raises:
        InputError: a manifest is invalid, or the weights or the encoder cannot be used.
        StoppedError: the cache cannot be written, the device fails, or the connection to the cluster is lost.
    """
    jobs, root = jobs or usable_cores(), None if root is None else Path(root)
    loaded = [load_items(Path(manifest), root) for manifest in manifests]
    cache = feature_cache(loaded[0].workspace)
    counts: list[int] = []
    computed, failures = 0, dict[str, str]()
    for media, part in (
        ([one for items in loaded for one in items.clip_media()], config.video),
        ([one for items in loaded for one in items.utterance_media()], config.audio),
    ):
        whole = _Task(tuple(distinct(media)), part, cache, device, dry_run)
        contents = {one.name: one.sha256 for one in whole.media}
        if in_tasks and not dry_run:
            _extract(replace(whole, media=()), jobs)  # fails early if the networks cannot be loaded
        done = _in_tasks(whole, jobs, progress) if in_tasks and not dry_run else _cache_files(whole, jobs, progress)
        counts.append(len({sha256 for name, sha256 in contents.items() if name not in done[1]}))
        computed += done[0]
        failures |= done[1]
    clips, utterances = counts
    return CachedCount(clips, utterances, computed, failures, dry_run)


def _cache_files(task: _Task, jobs: int = 1, progress: Progress = silent) -> tuple[int, dict[str, str]]:
    """Returns the number of computed features, and the reasons of failures by file name; also called in workers."""
    features = _extract(task, jobs, progress)
    return features.computed, reasons(features.failures_of(task.media))


def _in_tasks(whole: _Task, jobs: int, progress: Progress) -> tuple[int, dict[str, str]]:
    """The same as `_cache_files`, in tasks of a few files."""
    stage = "video features" if isinstance(whole.config, VideoFeatureConfig) else "audio features"
    done = computed = 0
    failures: dict[str, str] = {}
    progress(stage, 0, len(whole.media))
    with closing(run_each(_cache_files, _split(whole, FILES_A_TASK), jobs=jobs, key=_key, parts=_parts)) as outcomes:
        for outcome in outcomes:
            if outcome.result is not None:
                computed += outcome.result[0]
                failures |= outcome.result[1]
            else:
                failures |= {media.name: str(outcome.error and outcome.error.found) for media in outcome.item.media}
            done += len(outcome.item.media)
            progress(stage, done, len(whole.media))
    return computed, failures


def _extract(task: _Task, jobs: int, progress: Progress = silent) -> FeatureSet:
    device = str(usable_device(task.device, dry_run=task.dry_run))
    options: dict[str, Any] = {"cache": task.cache, "device": device, "jobs": jobs, "dry_run": task.dry_run}
    if isinstance(task.config, VideoFeatureConfig):
        return extract_video(task.media, task.config, progress=progress, networks=_networks, **options)
    return extract_audio(task.media, task.config, progress=progress, networks=_networks, **options)


def _split(task: _Task, size: int) -> Iterator[_Task]:
    """Files of one content are in one task: one of them is computed, all are checked."""
    files = defaultdict[str, list[Media]](list)
    for media in task.media:
        files[media.sha256].append(media)
    contents = list(files.values())
    for start in range(0, len(contents), size):
        yield replace(task, media=tuple(chain.from_iterable(contents[start : start + size])))


def _parts(task: _Task) -> Sequence[_Task]:
    return list(_split(task, 1))


def _key(task: _Task) -> str:
    return task.media[0].name
