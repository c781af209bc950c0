"""The encoder interface, and helpers for adapters: weight digest, cache key, layer selection.

A package adds an encoder through an entry point in one of the two groups in fmn/features/encoders/registry.py: a
factory function (`VideoFactory`, `SpeechFactory`). docs/encoders.md has an example.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal, Protocol

from dataset_tools.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Layer = int | Literal["last", "mean", "learned"]
"""A transformer layer counted from 1, the last one, the mean of all, or all concatenated for a learned mixture."""
NO_LICENCE = "not stated with the weights"


class Encoder(Protocol):
    """Attributes common to all encoders.

    Attributes:
        name: its name in messages and tables.
        revision: of its weights if there are several (a commit on a model hub), else empty.
        source: digest of everything that determines its values (`source_of`): keys the feature cache.
        dim: D, size of a feature vector.
        licence: of its weights, as stated by their publisher.

    One half of a joint encoder, whose vectors can be compared with those of the other half by cosine similarity, also
    has a ``space: str`` (`space_of`): a name and a digest of the weights, the same in both halves. The system
    ``zero_shot`` requires it. Such a speech encoder returns one vector per utterance, [D]; the vectors of such an image
    encoder are averaged.
    """

    name: str
    revision: str
    source: str
    dim: int
    licence: str


def space_of(encoder: Encoder) -> str:
    """Returns the identifier of an encoder's joint embedding space; empty if it is not part of a joint encoder."""
    space: str = getattr(encoder, "space", "")
    return space


class VideoEncoder(Encoder, Protocol):
    """Encodes single images, or windows of video as a whole.

    An encoder that samples the frames of a clip itself also has a method
    ``choose(times_s: NDArray[np.float64]) -> NDArray[np.intp]``: from the times of all frames to the numbers of those
    to encode, in one call. They keep their aspect ratio, and settings of windows, sampling and size are ignored.

    Attributes:
        size_px: height and width of its input frames; with `choose`, the maximum of their short side.
        frames: fixed number of frames in a window; None: encodes single images, any number of them.
    """

    size_px: int
    frames: int | None

    def encode(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """[T, size_px, size_px, 3] RGB -> [D], or [T, D], whose rows are then pooled. Must be thread-safe."""
        ...


class SpeechEncoder(Encoder, Protocol):
    """Encodes an utterance. With transformer layers, it has their number as ``layers``, for ``audio.layer=learned``.

    Attributes:
        sample_rate_hz: of its input waveform.
    """

    sample_rate_hz: int

    def encode(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """[n] samples, full scale ±1 -> [T, D], or [D] for the whole utterance. Must be thread-safe."""
        ...


class VideoFactory(Protocol):
    """Factory of a video encoder, the target of an entry point."""

    def __call__(self, argument: str, *, device: str) -> VideoEncoder:
        """Loads the encoder; ``argument`` follows the colon in ``--video-encoder NAME:ARGUMENT``, or is empty."""
        ...


class SpeechFactory(Protocol):
    """Factory of a speech encoder, the target of an entry point."""

    def __call__(self, argument: str, *, device: str, layer: Layer) -> SpeechEncoder:
        """Loads the encoder; ``layer`` is ``audio.layer`` of the configuration."""
        ...


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """Returns the SHA-256 of a state dict's content (names, types, shapes, values), independent of the file format."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def source_of(name: str, weights: str, packages: Sequence[str], **settings: Any) -> str:
    """Returns the digest for an encoder's ``source``, sixteen hexadecimal digits.

    Args:
        name: of the architecture; not a path, which does not determine the values.
        weights: digest of the weights by content.
        packages: distributions whose version may change the values (torch is added).
        settings: of the input and the output.
    """
    versions = {package: version(package) for package in ("torch", *packages)}
    text = json.dumps([name, weights, versions, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_layer(layers: Sequence[Tensor], layer: Layer, encoder: str) -> Tensor:
    """Selects one of the ``layers`` (from 1), the last, the mean of all, or all concatenated, [..., L · D].

    Raises:
        InputError: there is no such layer.
    """
    import torch

    if layer == "mean":
        return torch.stack(list(layers)).mean(dim=0)
    if layer == "learned":
        return torch.cat(list(layers), dim=-1)
    number = len(layers) if layer == "last" else layer
    if not 1 <= number <= len(layers):
        raise InputError(
            f"The encoder {encoder} has no layer {number}",
            where="audio.layer",
            expected=f"a number from 1 to {len(layers)}, last, mean, or learned",
            next_step="correct audio.layer",
        )
    return layers[number - 1]
