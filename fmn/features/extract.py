"""Parallel, cached feature extraction for many clips or utterances, in constant memory."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache as cache_result
from functools import partial
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

from dataset_tools.core.errors import SampleError, ToolkitError
from dataset_tools.core.progress import Progress, silent
from fmn.config_sections import decisive
from fmn.features.config import TRIVIAL_DIMS, AudioFeatureConfig, VideoFeatureConfig
from fmn.features.encoder_facts import KnownEncoding, weights_changed
from fmn.features.encoders.registry import SPEECH, VIDEO, comes_with_package
from fmn.features.media import FeatureSet, Media, distinct
from fmn.features.workers import device_errors, overlapped
from fmn.torch_threads import threads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fmn.features.cache import FeatureCache
    from fmn.features.encoding import Encoding
    from fmn.features.simple_features import Measures
    from fmn.features.windows import ClipWindows

    Feature = NDArray[np.float32]
    Computed = Iterator[tuple[Media, Feature | ToolkitError]]

Result = TypeVar("Result")
Networks = dict[VideoFeatureConfig | AudioFeatureConfig, Any]
"""Loaded encoders and backbones by configuration, all on one device: for callers that extract several times."""
_LOADING = RLock()
"""Held while a network is loaded, so that threads that extract with the same networks load each of them once."""


def extract_video(
    items: Sequence[Media],
    config: VideoFeatureConfig,
    *,
    cache: Path,
    device: str = "cpu",
    jobs: int = 1,
    progress: Progress = silent,
    networks: Networks | None = None,
    dry_run: bool = False,
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
        dry_run: compute and write nothing: ``fresh`` are the features that would be computed, which are among the
            values, but cannot be read. A pretrained encoder is loaded only if its weights come with a
            package, since others may be downloaded: their size is then 0, and none of their features count as cached.

    Returns:
        Values float32 ``[dim]``, or ``[windows, dim]``, read from the cache on access, and the failures.

    Raises:
        InputError: the weights or the encoder cannot be used, or the flow method is not available.
        StoppedError: the cache cannot be written, or the device fails.
    """
    if config.kind == "features":
        from fmn.features.feature_files import load_feature_files

        return load_feature_files(items, Path(config.features), axes=1, pooling=config.pooling)
    extraction = _Extraction("video features", items, cache, jobs, progress, networks, dry_run)
    if config.kind == "encoder":
        from fmn.features.encoding import ClipEncoding

        return extraction.encoded(VIDEO, config, lambda: ClipEncoding(config, device))
    if config.kind in TRIVIAL_DIMS:
        from fmn.features.simple_features import clip_measures

        return extraction.measured(clip_measures(config.kind))
    return extraction.by_backbone(config, device)


def extract_audio(
    items: Sequence[Media],
    config: AudioFeatureConfig,
    *,
    cache: Path,
    device: str = "cpu",
    jobs: int = 1,
    progress: Progress = silent,
    networks: Networks | None = None,
    dry_run: bool = False,
) -> FeatureSet:
    """Extracts one sequence per utterance (paper, section 3.2): MFCC always on the CPU, an encoder on the device.

    Arguments and errors are those of `extract_video`.

    Returns:
        Values float32 ``[frames, dim]``, with MFCC frames 10 ms apart by default, and the failures.
    """
    if config.kind == "features":
        from fmn.features.feature_files import load_feature_files, with_layers

        return with_layers(load_feature_files(items, Path(config.features), axes=2), config)
    extraction = _Extraction("audio features", items, cache, jobs, progress, networks, dry_run)
    if config.kind == "encoder":
        from fmn.features.encoding import UtteranceEncoding

        return extraction.encoded(SPEECH, config, lambda: UtteranceEncoding(config, device))
    if config.kind in TRIVIAL_DIMS:
        from fmn.features.simple_features import utterance_measures

        return extraction.measured(utterance_measures(config.kind))
    from fmn.features.log_mel import LogMel
    from fmn.features.mfcc import Mfcc

    with threads(1):
        sequence = LogMel(config) if config.kind == "log_mel" else Mfcc(config)
        store = extraction.store(_audio_source(config), config.dim, axes=2)

        def load() -> Callable[[Media], Feature]:
            from fmn.features.audio import read_audio  # imports PyAV

            return lambda media: sequence(read_audio(media.path, config.sample_rate_hz)).numpy()

        return replace(extraction.each(store, load), band=config.band)


@dataclass(frozen=True)
class _Extraction:
    """The arguments of `extract_video` or `extract_audio`, and the name of the stage in its progress."""

    stage: str
    items: Sequence[Media]
    cache: Path
    jobs: int
    progress: Progress
    networks: Networks | None
    dry_run: bool

    def store(self, source: str, dim: int, axes: int) -> FeatureCache:
        from fmn.features.cache import FeatureCache

        return FeatureCache(self.cache, source, dim=dim, axes=axes)

    def loaded_once(self, config: VideoFeatureConfig | AudioFeatureConfig, load: Callable[[], Result]) -> Result:
        """Returns the network of a configuration from ``networks``, or loads it."""
        if self.networks is None:
            return load()
        with _LOADING:
            if config not in self.networks:
                self.networks[config] = load()
            network: Result = self.networks[config]
        return network

    def measured(self, measures: Measures) -> FeatureSet:
        """Computes trivial features."""
        store = self.store(measures.source, measures.dim, measures.axes)
        return self.each(store, lambda: lambda media: measures.of(media.path))

    def encoded(
        self, group: str, config: VideoFeatureConfig | AudioFeatureConfig, load: Callable[[], Encoding]
    ) -> FeatureSet:
        """Computes features with a pretrained encoder; as if none were cached in a dry run that must not load it."""
        if self.dry_run and not comes_with_package(group, config.encoder):
            import numpy as np

            values = {item.sha256: np.zeros(0, np.float32) for item in self.items}
            return FeatureSet(0, values, fresh=frozenset(values))
        encoding = KnownEncoding(config, lambda: self.loaded_once(config, load))
        facts = encoding.facts
        store = self.store(facts.source, facts.dim, facts.axes)
        features = self.each(store, lambda: encoding.loaded().of, note=facts.note)
        return replace(features, space=facts.space, band=facts.band)

    def by_backbone(self, config: VideoFeatureConfig, device: str) -> FeatureSet:
        """Computes features with a video network, which is not loaded if all of them are cached."""
        from fmn.features.backbone import Backbone, clips_trained_on, source_of

        if config.flow == "tvl1":
            from fmn.features.flow import estimator

            estimator(config.flow)  # raise here if the method is missing, not for every clip
        with threads(1), device_errors(device):  # jobs run in parallel, and features must not depend on a thread count
            loaded: Backbone | None = (self.networks or {}).get(config)
            source = source_of(config) if loaded is None else loaded.source
            trained_on = clips_trained_on(config) if loaded is None else loaded.trained_on
            store = self.store(source, config.dim, axes=2 if config.pooling == "none" else 1)

            @cache_result
            def network() -> Backbone:
                backbone = self.loaded_once(config, lambda: Backbone(config, device))
                if backbone.source != source:
                    raise weights_changed(config.weights)
                return backbone

            if not (self.items and all(store.path(item.sha256).is_file() for item in self.items)):
                network()  # weights that do not fit are refused before anything is written, in a dry run, without items

            def compute(missing: Sequence[Media]) -> Computed:
                from fmn.features.pipeline import clip_features  # imports PyAV and OpenCV
                from fmn.features.windows import read_windows

                def read(item: Media) -> ClipWindows | ToolkitError:
                    return _isolated(item, store, lambda media: read_windows(media.path, config))

                shared = device == "cpu"
                return clip_features(missing, read, network(), jobs=self.jobs, shared=shared, pooling=config.pooling)

            features = self.collected(store, compute, note=config.note)
            return replace(features, trained_on=trained_on & {item.sha256 for item in self.items})

    def each(
        self, store: FeatureCache, load: Callable[[], Callable[[Media], Feature]], *, note: str | None = None
    ) -> FeatureSet:
        """Computes features that are not cached, one by one; ``load`` returns the function, if there are any."""

        def compute(missing: Sequence[Media]) -> Computed:
            work = load()
            return overlapped(lambda item: _isolated(item, store, work), missing, self.jobs)

        with threads(1):
            return self.collected(store, compute, note=note)

    def collected(
        self, store: FeatureCache, compute: Callable[[Sequence[Media]], Computed], *, note: str | None
    ) -> FeatureSet:
        """Reads cached features, caches computed ones, rejects those that are not finite; in the order of the items.

        The file of a cached feature has to have the content that it was computed from, like the file of one to compute.
        Of several files with the same SHA-256, all are checked, and one with that content is computed.
        """
        from fmn.features.cache import CachedFeatures

        if not self.dry_run:
            store.clear_partial()
        files = distinct(self.items)
        order = dict.fromkeys(item.sha256 for item in files)
        found = {key for key in order if store.get(key) is not None}
        copies = Counter(item.sha256 for item in files)
        to_check = [item for item in files if self.dry_run or item.sha256 in found or copies[item.sha256] > 1]
        unknown = [item for item in to_check if not store.contents.is_known(item)]
        changed: dict[tuple[str, Path], ToolkitError] = {}
        check = partial(store.contents.error, keep=not self.dry_run)
        for number, (item, error) in enumerate(overlapped(check, unknown, self.jobs), start=1):
            if error is not None:
                changed[item.sha256, item.path] = error
            self.progress("file contents", number, len(unknown), item.name)
        first = {item.sha256: item for item in reversed(files) if (item.sha256, item.path) not in changed}
        failures = {key: error for (key, _), error in changed.items() if key not in first}
        found -= failures.keys()
        missing = [first[key] for key in order if key not in found and key not in failures]
        cached, done = frozenset(found), len(found) + len(failures)
        if self.dry_run:
            found |= {item.sha256 for item in missing}
            missing = []
        self.progress(self.stage, done, len(order), "from the cache" if done else "")
        for item, feature in compute(missing) if missing else ():
            if isinstance(feature, ToolkitError):
                failures[item.sha256] = feature
            elif not store.fits(feature):
                failures[item.sha256] = SampleError(
                    f"The feature of {item.name} contains NaN or infinity",
                    where=item.path,
                    expected="finite numbers",
                    next_step="check the file, and the weights of the encoder or backbone",
                )
            else:
                store.put(item.sha256, feature)
                found.add(item.sha256)
            done += 1
            self.progress(self.stage, done, len(order), item.name)
        return FeatureSet(
            dim=store.dim,
            values=CachedFeatures(store, (key for key in order if key in found)),
            failures={key: failures[key] for key in order if key in failures},
            source=store.source,
            fresh=frozenset(found - cached),
            note=note,
            changed={key: error for key, error in changed.items() if key[0] in first},
        )


def _isolated(item: Media, store: FeatureCache, work: Callable[[Media], Result]) -> Result | ToolkitError:
    """Returns the result of ``work``, or the error specific to this item; other toolkit errors propagate."""
    try:
        store.contents.require(item)
        with threads(1):  # of this thread; another one that extracts or ranks at this time sets its own
            return work(item)
    except SampleError as error:
        return error
    except ToolkitError:
        raise
    except (Exception, SystemExit) as error:  # one bad sample never stops the others, nor does sys.exit() of an encoder
        return SampleError(
            f"No feature could be computed for {item.name}: {type(error).__name__}: {error}",
            where=item.path,
            next_step="check the file; if it plays, report this",
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
