"""The feature cache: one small file per feature, keyed by settings and content.

``<root>/<source>/<first two digits>/<sha256>.npy``, where the source is a digest of configuration, weights and the
versions of the libraries that make the values. So it can be shared by runs and workspaces, needs no list, is never out
of date, and may be deleted at any time. Which device computed a value is not part of its name: devices agree to
floating-point accuracy only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.errors import StoppedError
from dataset_tools.core.files import clear_partial, written_whole


class FeatureCache:
    """The features of one source.

    Args:
        root: the folder of the cache; made when something is first written.
        source: digest of what decides the values.
        dim: length of the last axis of every feature.
        axes: number of axes of every feature.
    """

    def __init__(self, root: Path, source: str, *, dim: int, axes: int) -> None:
        clear_partial(root, "*/*/")
        self._folder = root / source
        self.dim, self._axes = dim, axes

    def path(self, sha256: str) -> Path:
        """Where the feature of this content is kept."""
        return self._folder / sha256[:2] / f"{sha256}.npy"

    def get(self, sha256: str) -> NDArray[np.float32] | None:
        """The feature, or None when it was not computed yet or its file is not whole."""
        try:
            value = np.load(self.path(sha256), allow_pickle=False)
        except Exception:  # missing, or torn: numpy reads its header as Python source, and raises what that raises
            return None
        return value if self.fits(value) else None

    def put(self, sha256: str, value: NDArray[np.float32]) -> None:
        """Keeps a feature; the file appears only when complete.

        Raises:
            StoppedError: the disk is full or read-only.
        """
        with written_whole(self.path(sha256)) as partial, partial.open("wb") as file:
            np.save(file, value)

    def fits(self, value: NDArray[np.float32]) -> bool:
        """Whether a value is what this cache holds: float32, of the right shape, without NaN and infinity."""
        return (
            value.dtype == np.float32
            and value.ndim == self._axes
            and value.shape[-1] == self.dim
            and value.size > 0
            and bool(np.isfinite(value).all())
        )


class CachedFeatures(Mapping[str, NDArray[np.float32]]):
    """Features of a cache by content, each read when it is asked for: none is held in memory.

    Args:
        store: the cache that has them.
        keys: their SHA-256, in the order in which they are iterated over.
    """

    def __init__(self, store: FeatureCache, keys: Iterable[str]) -> None:
        self._store, self._keys = store, dict.fromkeys(keys)

    def __getitem__(self, sha256: str) -> NDArray[np.float32]:
        """The feature.

        Raises:
            KeyError: it is none of these.
            StoppedError: its file was removed or damaged in the meantime.
        """
        if sha256 not in self._keys:
            raise KeyError(sha256)
        value = self._store.get(sha256)
        if value is None:
            raise StoppedError(
                "A feature was removed from the cache, or damaged, while it was needed",
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
