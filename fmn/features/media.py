"""Inputs and outputs of feature extraction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dataset_tools.core.errors import SampleError, ToolkitError
from dataset_tools.core.files import sha256_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Media:
    """A clip or an utterance whose feature is to be extracted.

    Attributes:
        sha256: of the file's content, 64 hexadecimal digits; it keys the cached features, so it must be correct.
        path: the file.
        name: its name in messages (the id of its row).
    """

    sha256: str
    path: Path
    name: str

    def require_content(self) -> None:
        """Checks the content of the file, so that no features are cached under the SHA-256 of other content.

        If the file is missing or cannot be read, the decoder raises the error instead.

        Raises:
            SampleError: the content of the file does not match ``sha256``.
        """
        try:
            found = sha256_of(self.path)
        except OSError:
            return
        if found != self.sha256:
            raise SampleError(
                f"The content of {self.name} has changed: its SHA-256 is {found[:12]}…, not {self.sha256[:12]}…",
                where=self.path,
                expected="the file that the manifest lists",
                next_step="restore or rebuild the file; fmn-data verify lists all changed files",
            )


def distinct(items: Iterable[Media]) -> list[Media]:
    """Returns the items without those of the same content and path as an earlier one."""
    found: dict[tuple[str, Path], Media] = {}
    for item in items:
        found.setdefault((item.sha256, item.path), item)
    return list(found.values())


@dataclass(frozen=True)
class FeatureSet:
    """Features of media, by content.

    Attributes:
        dim: size of a clip's vector; number of values per frame of an utterance's sequence.
        values: sha256 → float32 ``[dim]`` or ``[windows, dim]`` (video), ``[frames, dim]`` (audio). All finite.
            Extracted features are read from the cache on each access.
        failures: sha256 → error. A content is in exactly one of the two.
        changed: (sha256, path) → error of a file of other content than its sha256 says, if another file is as it says.
        source: digest of everything that determines the values: configuration, weights, library versions.
        fresh: sha256 of the features computed in this call, or to be computed after a dry run; the others were in the
            cache.
        note: caveats of results with these features, or None.
        band: number of adjacent values of an audio frame that form one band (MFCC of one order, one layer); None: all.
        trained_on: sha256 of the media on which the network was trained, as far as is known.
        space: identifies the joint embedding space of the features (`fmn.features.encoders.interface.space_of`).
        own: SHA-256 digests of the user's own features at hand, also of other media, by name; empty: extracted ones.
    """

    dim: int
    values: Mapping[str, NDArray[np.float32]]
    failures: dict[str, ToolkitError] = field(default_factory=dict)
    source: str = ""
    fresh: frozenset[str] = frozenset()
    note: str | None = None
    trained_on: frozenset[str] = frozenset()
    band: int | None = None
    space: str = ""
    own: Mapping[str, str] = field(default_factory=dict)
    changed: Mapping[tuple[str, Path], ToolkitError] = field(default_factory=dict)

    @property
    def computed(self) -> int:
        """Number of features computed in this call, or to be computed after a dry run."""
        return len(self.fresh)

    def failure_of(self, item: Media) -> ToolkitError | None:
        """Returns why an item has no feature here, or None if it has one."""
        return self.failures.get(item.sha256) or self.changed.get((item.sha256, item.path))

    def failures_of(self, items: Iterable[Media]) -> dict[str, ToolkitError]:
        """Returns the errors of the items that have no feature here, by name."""
        return {item.name: error for item in items if (error := self.failure_of(item)) is not None}


def reasons(failures: Mapping[str, ToolkitError]) -> dict[str, str]:
    """Returns what was found about each item."""
    return {name: error.found for name, error in failures.items()}


def joint_space(video: FeatureSet, audio: FeatureSet) -> str:
    """Returns the joint embedding space of both kinds of features; empty if there is none."""
    return video.space if video.space == audio.space else ""
