"""Inputs and outputs of feature extraction."""

from __future__ import annotations

from collections.abc import Mapping
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
    """A clip or an utterance to be described.

    Attributes:
        sha256: of the file's content, 64 hexadecimal digits; features are kept under it, so it must be true.
        path: the file.
        name: what it is called in messages (the id of its row).
    """

    sha256: str
    path: Path
    name: str

    def require_content(self) -> None:
        """Refuses a file of other content, whose features would be kept as those of this content, and stay.

        A file that is missing or cannot be read is left to the decoder, which says so.

        Raises:
            SampleError: the content of the file is not what ``sha256`` says.
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
                next_step="restore the file or make it again: fmn-data verify names all that changed",
            )


@dataclass(frozen=True)
class FeatureSet:
    """Features of media, by content.

    Attributes:
        dim: length of a clip's vector; values a frame of an utterance's sequence.
        values: sha256 → float32 ``[dim]`` or ``[windows, dim]`` (video), ``[frames, dim]`` (audio). All finite. What
            was extracted is read from the cache each time it is asked for.
        failures: sha256 → why there is no feature. An item is in exactly one of the two.
        source: digest of what decided the values: configuration, weights, versions of the libraries.
        computed: how many were computed now; the others came from the cache.
        note: caveats of results with these features, or None.
        band: of an audio frame, how many neighboring values belong together (MFCC of one order, one layer); None: all.
        trained_on: sha256 of the media that the network behind the features was trained on, as far as it tells.
        space: what identifies the joint space that they are vectors of (`fmn.features.encoders.interface.space_of`).
    """

    dim: int
    values: Mapping[str, NDArray[np.float32]]
    failures: dict[str, ToolkitError] = field(default_factory=dict)
    source: str = ""
    computed: int = 0
    note: str | None = None
    trained_on: frozenset[str] = frozenset()
    band: int | None = None
    space: str = ""


def joint_space(video: FeatureSet, audio: FeatureSet) -> str:
    """The space that both kinds of features are vectors of; empty where they are of no joint encoder."""
    return video.space if video.space == audio.space else ""
