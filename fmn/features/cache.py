"""The feature cache: one small file per feature, keyed by settings and content.

``<root>/<source>/<first two digits>/<sha256>.npy``, where the source is a digest of configuration, weights and the
versions of the libraries that compute the values. So it can be shared by runs and workspaces, needs no index, is never
stale, and may be deleted at any time. The key does not include the device that computed a value, although devices
agree only up to floating-point accuracy. ``<root>/contents`` records which files were checked
(`fmn.features.file_contents`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.errors import StoppedError
from dataset_tools.core.files import clear_partial, written_whole
from fmn.features.file_contents import FileContents


class FeatureCache:
    """The features of one source.

    Attributes:
        contents: which files were checked to have the content that their features are cached for.

    Args:
        root: the folder of the cache; created on the first write.
        source: digest of everything that determines the values.
        dim: length of the last axis of every feature.
        axes: number of axes of every feature.
    """

    def __init__(self, root: Path, source: str, *, dim: int, axes: int) -> None:
        self._root, self._folder = root, root / source
        self.source, self.dim, self._axes = source, dim, axes
        self.contents = FileContents(lambda sha256: root / "contents" / sha256[:2] / f"{sha256}.npy")

    def clear_partial(self) -> None:
        """Removes incomplete files of killed commands."""
        clear_partial(self._root, "*/*/")

    def path(self, sha256: str) -> Path:
        """Returns the path of the feature of this content."""
        return self._folder / sha256[:2] / f"{sha256}.npy"

    def get(self, sha256: str) -> NDArray[np.float32] | None:
        """Returns the feature, or None if it is not cached or its file is corrupt."""
        try:
            value = np.load(self.path(sha256), allow_pickle=False)
        except Exception:  # missing or corrupt: numpy parses the header as Python source, which can raise anything
            return None
        return value if self.fits(value) else None

    def put(self, sha256: str, value: NDArray[np.float32]) -> None:
        """Stores a feature atomically.

        Raises:
            StoppedError: the disk is full or read-only.
        """
        with written_whole(self.path(sha256)) as partial, partial.open("wb") as file:
            np.save(file, value)

    def fits(self, value: NDArray[np.float32]) -> bool:
        """Whether a value is valid for this cache: float32, of the right shape, without NaN or infinity."""
        return (
            value.dtype == np.float32
            and value.ndim == self._axes
            and value.shape[-1] == self.dim
            and value.size > 0
            and bool(np.isfinite(value).all())
        )


class CachedFeatures(Mapping[str, NDArray[np.float32]]):
    """Features of a cache by content, each read on access; none is kept in memory.

    Args:
        store: the cache that holds them.
        keys: their SHA-256, in iteration order.
    """

    def __init__(self, store: FeatureCache, keys: Iterable[str]) -> None:
        self._store, self._keys = store, dict.fromkeys(keys)

    def __getitem__(self, sha256: str) -> NDArray[np.float32]:
        """Reads the feature.

        Raises:
            KeyError: the key is not one of these features.
            StoppedError: its file was removed or damaged in the meantime.
        """
        if sha256 not in self._keys:
            raise KeyError(sha256)
        value = self._store.get(sha256)
        if value is None:
            raise StoppedError(
                "A cached feature was removed or damaged while it was in use",
                where=self._store.path(sha256),
                next_step="run the same command again: it computes what is missing",
            )
        return value

    def __contains__(self, sha256: object) -> bool:
        return sha256 in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)
