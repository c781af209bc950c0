"""Features of many clips or utterances: cached, in parallel, one failure at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fmn.features.config import AudioFeatureConfig, VideoFeatureConfig
from fmn.features.media import FeatureSet, Media, Progress, silent


def extract_video(
    items: Sequence[Media],
    config: VideoFeatureConfig,
    *,
    cache: Path,
    device: str = "cpu",
    jobs: int = 1,
    progress: Progress = silent,
) -> FeatureSet:
    """One vector a clip (paper, section 3.1).

    Args:
        items: the clips; those of equal content are computed once.
        config: what decides the values.
        cache: folder of the feature cache, shared by runs; made when missing.
        device: where the network runs, as torch names it.
        jobs: workers that decode and estimate flow, and on the CPU run the network. No result depends on it.
        progress: told after every item.

    Returns:
        Values float32 ``[config.dim]``, and the failures.

    Raises:
        InputError: the weights cannot be used, or the flow method is not there.
        StoppedError: the cache cannot be written, or the device fails.
    """
    raise NotImplementedError


def extract_audio(
    items: Sequence[Media],
    config: AudioFeatureConfig,
    *,
    cache: Path,
    device: str = "cpu",
    jobs: int = 1,
    progress: Progress = silent,
) -> FeatureSet:
    """One sequence an utterance (paper, section 3.2). Arguments and errors as of `extract_video`.

    Returns:
        Values float32 ``[frames, config.dim]``, frames 10 ms apart by default, and the failures.
    """
    raise NotImplementedError
