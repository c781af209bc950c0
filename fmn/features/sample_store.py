"""Store of decoded samples on disk, for fast reading of random training windows.

One file a clip and stream, ``<root>/samples-<source>/<sha256>.<stream>.npy``, uncompressed and mapped into memory:
five bytes a pixel and sample. At the demo's size that is 4 MB for five seconds; at the paper's it is 55 MB.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.errors import SampleError, ToolkitError
from dataset_tools.core.files import clear_partial, written_whole
from dataset_tools.core.progress import Progress, silent
from fmn.features.config import VideoFeatureConfig
from fmn.features.media import Media
from fmn.features.windows import read_samples
from fmn.features.workers import overlapped

_DECISIVE = ("sample_fps", "resize_px", "resize", "flow", "flow_bound_px")


class SampleStore:
    """The samples that a configuration takes of clips.

    Args:
        root: folder that holds stores; shared by runs.
        config: only what decides samples counts: rate, size and flow.
    """

    def __init__(self, root: Path, config: VideoFeatureConfig) -> None:
        decisive = {name: getattr(config, name) for name in _DECISIVE}
        text = json.dumps([decisive, av.__version__, cv2.__version__], sort_keys=True)
        self._folder = root / f"samples-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        self._config = config

    def path(self, sha256: str, stream: str) -> Path:
        """Where the samples of a stream of this clip are kept."""
        return self._folder / f"{sha256}.{stream}.npy"

    def samples(self, sha256: str, stream: str) -> NDArray[Any]:
        """[samples, height, width, C], uint8 or int8, mapped into memory; `fill` must have put it there."""
        mapped: NDArray[Any] = np.load(self.path(sha256, stream), mmap_mode="r")
        return mapped

    def fill(self, items: Sequence[Media], *, jobs: int = 1, progress: Progress = silent) -> dict[str, ToolkitError]:
        """Decodes the clips that are not there yet.

        Returns:
            The failures, by content.

        Raises:
            StoppedError: the disk is full.
        """
        last = self._config.streams[-1]  # written after the other, so it tells that both are whole
        missing = list({item.sha256: item for item in items if not self.path(item.sha256, last).is_file()}.values())
        clear_partial(self._folder)
        failures: dict[str, ToolkitError] = {}
        for done, (item, error) in enumerate(overlapped(self._decode, missing, jobs), start=1):
            if error is not None:
                failures[item.sha256] = error
            progress("frames and flow", done, len(missing), item.name)
        return failures

    def _decode(self, item: Media) -> SampleError | None:
        try:
            item.require_content()
            samples = read_samples(item.path, self._config)
        except SampleError as error:
            return error
        for stream, pixels in (("rgb", samples.rgb), ("flow", samples.flow)):
            if pixels is not None:
                with written_whole(self.path(item.sha256, stream)) as partial, partial.open("wb") as file:
                    np.save(file, pixels)
        return None
