"""Parallel, cached feature extraction for many clips or utterances, in constant memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dataset_tools.core.errors import SampleError, ToolkitError
from dataset_tools.core.progress import Progress, silent
from fmn.config_sections import decisive
from fmn.features.config import TRIVIAL_DIMS, AudioFeatureConfig, VideoFeatureConfig
from fmn.features.encoder_facts import KnownEncoding
from fmn.features.media import FeatureSet, Media
from fmn.features.workers import device_errors, overlapped
from fmn.torch_threads import threads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fmn.features.cache import FeatureCache
    from fmn.features.simple_features import Measures

    Feature = NDArray[np.float32]

Result = TypeVar("Result")
Networks = dict[VideoFeatureConfig | AudioFeatureConfig, Any]
"""Loaded encoders and backbones by configuration, all on one device: for callers that extract several times."""


def extract_video(
    items: Sequence[Media],
    config: VideoFeatureConfig,
    *,
    cache: Path,
    device: str = "cpu",
    jobs: int = 1,
    progress: Progress = silent,
    networks: Networks | None = None,
) -> FeatureSet:
    """Extracts one vector per clip (paper, section 3.1), or one per window if pooling is ``none``.

    Threads decode, estimate flow and run the network concurrently (see fmn/features/pipeline.py; PyAV, OpenCV and
    torch release the GIL).

    Args:
        items: the clips; identical files are processed once.
        config: determines the values.
        cache: folder of the feature cache, shared by runs; created if missing.
        device: torch device of the network.
        jobs: threads. Results do not depend on it.
        progress: progress callback, called after every clip.
        networks: cache of loaded networks, for later calls with the same dictionary; None: they are not kept.

    Returns:
        Values float32 ``[dim]``, or ``[windows, dim]``, read from the cache on access, and the failures.

    Raises:
        InputError: the weights or the encoder cannot be used, or the flow method is not available.
        StoppedError: the cache cannot be written, or the device fails.
    """
    from fmn.features.simple_features import clip_measures

    if config.kind == "features":
        from fmn.features.feature_files import load_feature_files

        return load_feature_files(items, Path(config.features), axes=1, pooling=config.pooling)
    if config.kind == "encoder":
        from fmn.features.encoding import ClipEncoding

        clips = KnownEncoding(config, lambda: _loaded_once(networks, config, lambda: ClipEncoding(config, device)))
        return _encoded("video features", items, clips, cache, jobs, progress)
    if config.kind != "backbone":
        measure = clip_measures(config.kind)
        return _measured("video features", items, measure, dim=config.dim, cache=cache, jobs=jobs, progress=progress)
    from fmn.features.backbone import Backbone
    from fmn.features.cache import FeatureCache
    from fmn.features.flow import estimator
    from fmn.features.pipeline import described
    from fmn.features.windows import read_windows

    if config.flow != "none":
        estimator(config.flow)  # raise here if the method is missing, not for every clip
    with threads(1), device_errors(device):  # jobs run in parallel, and features must not depend on a thread count
        backbone = _loaded_once(networks, config, lambda: Backbone(config, device))
        store = FeatureCache(cache, backbone.source, dim=config.dim, axes=2 if config.pooling == "none" else 1)
        found, missing = _cached(items, store)
        computed = described(
            missing,
            lambda item: _isolated(item, lambda media: read_windows(media.path, config)),
            backbone,
            jobs=jobs,
            shared=device == "cpu",
            pooling=config.pooling,
        )
        features = _collect(
            "video features", items, found, computed, store, progress, note=config.note, source=backbone.source
        )
        return replace(features, trained_on=backbone.trained_on & {item.sha256 for item in items})


def extract_audio(
    items: Sequence[Media],
    config: AudioFeatureConfig,
    *,
    cache: Path,
    device: str = "cpu",
    jobs: int = 1,
    progress: Progress = silent,
    networks: Networks | None = None,
) -> FeatureSet:
    """Extracts one sequence per utterance (paper, section 3.2): MFCC always on the CPU, an encoder on the device.

    Arguments and errors are those of `extract_video`.

    Returns:
        Values float32 ``[frames, dim]``, with MFCC frames 10 ms apart by default, and the failures.
    """
    from fmn.features.audio import read_audio
    from fmn.features.cache import FeatureCache
    from fmn.features.log_mel import LogMel
    from fmn.features.mfcc import Mfcc
    from fmn.features.simple_features import utterance_measures

    if config.kind == "features":
        from fmn.features.feature_files import load_feature_files, with_layers

        return with_layers(load_feature_files(items, Path(config.features), axes=2), config)
    if config.kind == "encoder":
        from fmn.features.encoding import UtteranceEncoding

        speech = KnownEncoding(
            config, lambda: _loaded_once(networks, config, lambda: UtteranceEncoding(config, device))
        )
        return _encoded("audio features", items, speech, cache, jobs, progress)
    if config.kind in TRIVIAL_DIMS:
        measure = utterance_measures(config.kind)
        return _measured("audio features", items, measure, dim=config.dim, cache=cache, jobs=jobs, progress=progress)
    with threads(1):
        sequence = LogMel(config) if config.kind == "log_mel" else Mfcc(config)
        source = _audio_source(config)
        store = FeatureCache(cache, source, dim=config.dim, axes=2)
        found, missing = _cached(items, store)

        def whole(item: Media) -> Feature | ToolkitError:
            return _isolated(item, lambda media: sequence(read_audio(media.path, config.sample_rate_hz)).numpy())

        computed = overlapped(whole, missing, jobs)
        features = _collect("audio features", items, found, computed, store, progress, note=None, source=source)
        return replace(features, band=config.band)


def _loaded_once(
    networks: Networks | None, config: VideoFeatureConfig | AudioFeatureConfig, load: Callable[[], Result]
) -> Result:
    """Returns the network of a configuration from ``networks``, or loads it."""
    if networks is None:
        return load()
    if config not in networks:
        networks[config] = load()
    network: Result = networks[config]
    return network


def _encoded(
    stage: str,
    items: Sequence[Media],
    encoding: KnownEncoding,
    cache: Path,
    jobs: int,
    progress: Progress,
) -> FeatureSet:
    """Computes features with a pretrained encoder, item by item, cached like all features."""
    from fmn.features.cache import FeatureCache

    facts = encoding.facts
    with threads(1):
        store = FeatureCache(cache, facts.source, dim=facts.dim, axes=facts.axes)
        found, missing = _cached(items, store)
        work = encoding.loaded().of if missing else None
        computed = overlapped(lambda item: _isolated(item, work), missing, jobs) if work else iter(())
        features = _collect(stage, items, found, computed, store, progress, note=facts.note, source=facts.source)
        return replace(features, space=facts.space, band=facts.band)


def _measured(
    stage: str,
    items: Sequence[Media],
    measures: Measures,
    *,
    dim: int,
    cache: Path,
    jobs: int,
    progress: Progress,
) -> FeatureSet:
    """Computes the features of sanity-check baselines, item by item, cached like all features."""
    from fmn.features.cache import FeatureCache

    store = FeatureCache(cache, measures.source, dim=dim, axes=measures.axes)
    found, missing = _cached(items, store)

    def whole(item: Media) -> Feature | ToolkitError:
        return _isolated(item, lambda media: measures.of(media.path))

    computed = overlapped(whole, missing, jobs)
    return _collect(stage, items, found, computed, store, progress, note=None, source=measures.source)


def _cached(items: Sequence[Media], store: FeatureCache) -> tuple[set[str], list[Media]]:
    """Returns the SHA-256 of cached features, and the items (one per distinct file) still to be computed."""
    found: set[str] = set()
    missing: dict[str, Media] = {}
    for item in items:
        if item.sha256 in found or item.sha256 in missing:
            continue
        if store.get(item.sha256) is None:
            missing[item.sha256] = item
        else:
            found.add(item.sha256)
    return found, list(missing.values())


def _isolated(item: Media, work: Callable[[Media], Result]) -> Result | ToolkitError:
    """Returns the result of ``work``, or the error specific to this item; other toolkit errors propagate."""
    try:
        item.require_content()
        return work(item)
    except SampleError as error:
        return error
    except ToolkitError:
        raise
    except Exception as error:  # one bad sample never stops the others
        return SampleError(
            f"No feature could be computed for {item.name}: {type(error).__name__}: {error}",
            where=item.path,
            next_step="check the file; if it plays, report this",
        )


def _collect(
    stage: str,
    items: Sequence[Media],
    found: set[str],
    computed: Iterator[tuple[Media, Feature | ToolkitError]],
    store: FeatureCache,
    progress: Progress,
    *,
    note: str | None,
    source: str,
) -> FeatureSet:
    """Caches the computed features, rejects those that are not finite, and orders all of them like the items."""
    from fmn.features.cache import CachedFeatures

    order = list(dict.fromkeys(item.sha256 for item in items))
    failures: dict[str, ToolkitError] = {}
    cached = done = len(found)
    progress(stage, done, len(order), "from the cache" if done else "")
    for item, feature in computed:
        if isinstance(feature, ToolkitError):
            failures[item.sha256] = feature
        elif not store.fits(feature):
            failures[item.sha256] = SampleError(
                f"The feature of {item.name} contains NaN or infinity",
                where=item.path,
                expected="finite numbers",
                next_step="check the weights of the backbone",
            )
        else:
            store.put(item.sha256, feature)
            found.add(item.sha256)
        done += 1
        progress(stage, done, len(order), item.name)
    return FeatureSet(
        dim=store.dim,
        values=CachedFeatures(store, (key for key in order if key in found)),
        failures={key: failures[key] for key in order if key in failures},
        source=source,
        computed=len(found) - cached,
        note=note,
    )


def _audio_source(config: AudioFeatureConfig) -> str:
    """Returns a digest of everything that determines the values of a sequence."""
    import torch

    from dataset_tools.core import torch_compat

    versions = {"torch": torch.__version__, "torchaudio": torch_compat.torchaudio().__version__}
    settings = decisive(config)
    if config.kind == "mfcc":
        del settings["kind"]
    text = json.dumps({"kind": "audio/1", "config": settings, "versions": versions}, sort_keys=True)
    return "audio-" + hashlib.sha256(text.encode()).hexdigest()[:16]
