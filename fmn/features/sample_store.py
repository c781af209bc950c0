"""Store of decoded samples on disk, for fast reading of random training windows.

One file per clip and stream, ``<root>/samples-<source>/<sha256>.<stream>.npy``, uncompressed and memory-mapped: five
bytes per pixel and sample. Five seconds take 4 MB at the demo's size, 55 MB at the paper's.
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
from fmn.features.file_contents import FileContents
from fmn.features.media import Media, distinct
from fmn.features.windows import read_samples
from fmn.features.workers import overlapped

_DECISIVE = ("sample_fps", "resize_px", "resize", "flow", "flow_bound_px")


class SampleStore:
    """The samples of clips under a configuration.

    Args:
        root: folder of the stores; shared by runs.
        config: only its sampling rate, frame size and flow settings are used.
    """

    def __init__(self, root: Path, config: VideoFeatureConfig) -> None:
        decisive = {name: getattr(config, name) for name in _DECISIVE}
        text = json.dumps([decisive, av.__version__, cv2.__version__], sort_keys=True)
        self._folder = root / f"samples-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        self._config = config
        self._contents = FileContents(lambda sha256: self._folder / f"{sha256}.files.npy")

    def path(self, sha256: str, stream: str) -> Path:
        """Returns the path of the samples of one stream of a clip."""
        return self._folder / f"{sha256}.{stream}.npy"

    def samples(self, sha256: str, stream: str) -> NDArray[Any]:
        """[samples, height, width, C], uint8 or int8, memory-mapped; `fill` must have stored it."""
        mapped: NDArray[Any] = np.load(self.path(sha256, stream), mmap_mode="r")
        return mapped

    def fill(
        self, items: Sequence[Media], *, jobs: int = 1, progress: Progress = silent
    ) -> dict[tuple[str, Path], ToolkitError]:
        """Decodes the clips that are not stored yet, and checks the content of all files.

        Returns:
            The failures, by SHA-256 and path.

        Raises:
            StoppedError: the disk is full.
        """
        clear_partial(self._folder)
        unknown = [item for item in distinct(items) if not (self._is_stored(item) and self._contents.is_known(item))]
        failures: dict[tuple[str, Path], ToolkitError] = {}
        for done, (item, error) in enumerate(overlapped(self._decode, unknown, jobs), start=1):
            if error is not None:
                failures[item.sha256, item.path] = error
            progress("frames and flow", done, len(unknown), item.name)
        return failures

    def _is_stored(self, item: Media) -> bool:
        last = self._config.streams[-1]  # written last, so if it exists, both are complete
        return self.path(item.sha256, last).is_file()

    def _decode(self, item: Media) -> SampleError | None:
        try:
            self._contents.require(item)
            if self._is_stored(item):
                return None
            samples = read_samples(item.path, self._config)
        except SampleError as error:
            return error
        for stream, pixels in (("rgb", samples.rgb), ("flow", samples.flow)):
            if pixels is not None:
                with written_whole(self.path(item.sha256, stream)) as partial, partial.open("wb") as file:
                    np.save(file, pixels)
        return None
