"""The encoder interface, and helpers for adapters: weight digest, cache key, layer selection.

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

Layer = int | Literal["last", "mean", "learned"]
"""A transformer layer counted from 1, the last one, the mean of all, or all side by side to be mixed later."""
NO_LICENCE = "not stated with the weights"


class Encoder(Protocol):
    """What every encoder says of itself.

    Attributes:
        name: what it is called in messages and tables.
        revision: of its weights where there are several (a commit of a model hub); else empty.
        source: digest of everything that decides its values (`source_of`): keys the feature cache.
        dim: D, numbers of a feature vector.
        licence: of its weights, as their publisher states it.

    One half of a joint encoder, whose vectors can be compared with those of the other half by their cosine, also has a
    ``space: str`` (`space_of`): a name and a digest of the weights, the same in both halves. The system ``zero_shot``
    goes by it. Such an encoder of speech gives one vector an utterance, [D]; one of pictures has its vectors averaged.
    """

    name: str
    revision: str
    source: str
    dim: int
    licence: str


def space_of(encoder: Encoder) -> str:
    """What identifies the joint space of an encoder's vectors; empty where they cannot be compared with others."""
    space: str = getattr(encoder, "space", "")
    return space


class VideoEncoder(Encoder, Protocol):
    """Encodes pictures one by one, or windows of video as a whole.

    One that decides itself which frames of a clip it sees also has a method
    ``choose(times_s: NDArray[np.float64]) -> NDArray[np.intp]``: from the times of all frames to the numbers of those
    that it is given, all at once. They keep their aspect ratio, and no setting of windows, samples or size counts.

    Attributes:
        size_px: height and width of the frames it is given; the most that the short side has, of one with `choose`.
        frames: frames of a window, always as many; None: pictures, in any number.
    """

    size_px: int
    frames: int | None

    def encode(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """[T, size_px, size_px, 3] RGB -> [D], or [T, D] of which the rows are pooled. Called by several threads."""
        ...


class SpeechEncoder(Encoder, Protocol):
    """Encodes an utterance. One that has transformer layers says in ``layers`` how many, for ``audio.layer=learned``.

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
    """The output of one of the ``layers`` (the first is 1), of the last, their mean, or all of them, [..., L · D].

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
        )
    return layers[number - 1]
