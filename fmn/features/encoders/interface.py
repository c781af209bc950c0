"""The interface of an encoder, and what an adapter needs: a digest of weights, the cache key, a choice of layer.

A package adds an encoder by an entry point in one of the two groups that fmn/features/encoders/registry.py names: a
function that makes one (`VideoFactory`, `SpeechFactory`). docs/encoders.md has an example.
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

Layer = int | Literal["last", "mean"]
"""A transformer layer counted from 1, the last one, or the mean of all."""
NO_LICENCE = "not stated with the weights"


class Encoder(Protocol):
    """What every encoder says of itself.

    Attributes:
        name: what it is called in messages and tables.
        revision: of its weights where there are several (a commit of a model hub); else empty.
        source: digest of everything that decides its values (`source_of`): keys the feature cache.
        dim: D, numbers of a feature vector.
        licence: of its weights, as their publisher states it.
    """

    name: str
    revision: str
    source: str
    dim: int
    licence: str


class VideoEncoder(Encoder, Protocol):
    """Encodes pictures one by one, or windows of video as a whole.

    Attributes:
        size_px: height and width of the frames it is given.
        frames: frames of a window, always as many; None: pictures, in any number.
    """

    size_px: int
    frames: int | None

    def encode(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """[T, size_px, size_px, 3] RGB -> [D], or [T, D] of which the rows are pooled. Called by several threads."""
        ...


class SpeechEncoder(Encoder, Protocol):
    """Encodes an utterance.

    Attributes:
        sample_rate_hz: of the waveform it is given.
    """

    sample_rate_hz: int

    def encode(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """[n] samples, full scale ±1 -> [T, D], or [D] of the whole. Called by several threads."""
        ...


class VideoFactory(Protocol):
    """What an entry point for video names."""

    def __call__(self, argument: str, *, device: str) -> VideoEncoder:
        """Loads the encoder: ``argument`` is what follows the colon in ``--video-encoder NAME:ARGUMENT``, or empty."""
        ...


class SpeechFactory(Protocol):
    """What an entry point for speech names."""

    def __call__(self, argument: str, *, device: str, layer: Layer) -> SpeechEncoder:
        """Loads the encoder; ``layer`` is ``audio.layer`` of the configuration."""
        ...


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of a state dict by content (names, types, shapes, values), in whatever file it was stored."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def source_of(name: str, weights: str, packages: Sequence[str], **settings: Any) -> str:
    """The digest that an encoder has as its ``source``, sixteen hexadecimal digits.

    Args:
        name: of the architecture; not a path, which says nothing about values.
        weights: digest of the weights by content.
        packages: distributions whose version may change values (torch is added).
        settings: of the input and of what is read out.
    """
    versions = {package: version(package) for package in ("torch", *packages)}
    text = json.dumps([name, weights, versions, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_layer(layers: Sequence[Tensor], layer: Layer, encoder: str) -> Tensor:
    """The output of one of the ``layers`` (the first is 1), of the last, or their mean.

    Raises:
        InputError: there is no such layer.
    """
    import torch

    if layer == "mean":
        return torch.stack(list(layers)).mean(dim=0)
    number = len(layers) if layer == "last" else layer
    if not 1 <= number <= len(layers):
        raise InputError(
            f"The encoder {encoder} has no layer {number}",
            where="audio.layer",
            expected=f"a number from 1 to {len(layers)}, last, or mean",
        )
    return layers[number - 1]
