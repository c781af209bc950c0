"""Feature extraction with pretrained encoders: frame sampling, pooling, normalization, cache key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from dataset_tools.core.errors import InputError
from fmn.features.config import AudioFeatureConfig, VideoFeatureConfig
from fmn.features.encoders.interface import Encoder, space_of
from fmn.features.encoders.registry import open_speech_encoder, open_video_encoder
from fmn.features.frame_sampling import sample_frames
from fmn.features.library_versions import av_version
from fmn.features.media import Media
from fmn.features.mfcc import mean_variance_normalized
from fmn.features.pooling import pooled
from fmn.features.workers import device_errors

if TYPE_CHECKING:
    from fmn.features.frames import Resize

Feature = NDArray[np.float32]
Choose = Callable[[NDArray[np.float64]], NDArray[np.intp]]


class Encoding(Protocol):
    """A loaded encoder and how it is applied.

    Attributes:
        source: digest of everything that determines the values, including the encoder's own source.
        axes: number of axes of a feature: 1 (clip) or 2 (utterance, windows of a clip).
        band: number of values of one layer in a frame with several layers; None: all.
        note: must accompany results with these features: the encoder, and the license of its weights.
        space: identifies the joint embedding space of the features (`space_of`); empty: none.
    """

    source: str
    axes: int
    band: int | None
    note: str
    space: str

    @property
    def encoder(self) -> Encoder:
        """The encoder."""
        ...

    def of(self, media: Media) -> Feature:
        """Computes the feature of one item."""
        ...


class ClipEncoding:
    """Clip -> [D]: encodes windows (or single frames) of the clip and pools them; [W, D] if pooling is ``none``."""

    band: int | None = None

    def __init__(self, config: VideoFeatureConfig, device: str) -> None:
        """Loads the encoder that ``config.encoder`` names.

        Raises:
            InputError: it cannot be used.
        """
        self.encoder = open_video_encoder(config.encoder, device)
        self._config, self._device = config, device
        self.axes = 2 if config.pooling == "none" else 1
        self._window_frames = self.encoder.frames or config.window_frames
        self._choose: Choose | None = getattr(self.encoder, "choose", None)
        self._resize: Resize = "at_most" if self._choose else config.resize
        self.note = _note("Video", self.encoder)
        self.space = space_of(self.encoder) if config.pooling != "max" else ""  # a maximum of vectors is outside it
        windows = {
            "window_frames": self._window_frames,
            "sample_fps": config.sample_fps,
            "windows": config.windows,
        }
        self.source = _source(
            "video",
            self.encoder,
            size_px=self.encoder.size_px,
            frames=config.frames,
            resize=self._resize,
            pooling=config.pooling,
            av=av_version(),
            **({} if self._choose else windows),
        )

    def of(self, media: Media) -> Feature:
        """Computes the feature of a clip. An image encoder gets each frame once; one with `choose`, its chosen frames.

        Raises:
            SampleError: the clip cannot be read.
        """
        from fmn.features.frames import read_frames
        from fmn.features.windows import center_crop, windows_of

        def plan(times_s: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
            if self._choose:
                chosen = self._choose(times_s)
                if self._config.frames == "middle":
                    chosen = np.full_like(chosen, len(times_s) // 2)
                return np.arange(len(times_s)), chosen[None]
            frames = sample_frames(times_s, self._config.sample_fps)
            return frames, windows_of(len(frames), self._config, self._window_frames)

        def needed(times_s: NDArray[np.float64]) -> NDArray[np.intp]:
            frames, windows = plan(times_s)
            return frames[np.unique(windows)]

        size_px = self.encoder.size_px
        rgb, times_s = read_frames(media.path, needed, resize_px=size_px, resize=self._resize)
        if not self._choose:
            rgb = center_crop(rgb, size_px)
        _, windows = plan(times_s)
        single_images = self.encoder.frames is None and not self._choose
        views = [rgb] if single_images else list(rgb[np.searchsorted(np.unique(windows), windows)])
        with _attributed_errors(self._device, "video features"):
            rows = [_rows(self.encoder, self.encoder.encode(view)) for view in views]
        return pooled(np.concatenate(rows), self._config.pooling)


class UtteranceEncoding:
    """Utterance -> [T, D], normalized over the utterance if ``cmvn`` is set."""

    axes = 2

    def __init__(self, config: AudioFeatureConfig, device: str) -> None:
        """Loads the encoder that ``config.encoder`` names.

        Raises:
            InputError: it cannot be used.
        """
        self.encoder = open_speech_encoder(config.encoder, device, config.layer)
        self._config, self._device = config, device
        self.band = self._layer_size() if config.learns_layers else None
        self.note = _note("Audio", self.encoder)
        self.space = space_of(self.encoder)
        self.source = _source(
            "audio",
            self.encoder,
            sample_rate_hz=self.encoder.sample_rate_hz,
            cmvn=config.cmvn,
            layer=config.layer,
        )

    def _layer_size(self) -> int:
        layers = getattr(self.encoder, "layers", 0)
        if not layers:
            raise InputError(
                f"The encoder {self.encoder.name} has no layers to learn weights for",
                where="audio.layer",
                expected="an encoder whose transformer layers can be read (HuBERT, wav2vec 2.0, WavLM, Whisper)",
                next_step="omit audio.layer=learned, or choose another encoder",
            )
        return self.encoder.dim // int(layers)

    def of(self, media: Media) -> Feature:
        """Computes the sequence of an utterance; a single vector becomes a sequence of one frame.

        Raises:
            SampleError: the utterance cannot be read.
        """
        from fmn.features.audio import read_audio

        waveform = read_audio(media.path, self.encoder.sample_rate_hz).numpy()
        with _attributed_errors(self._device, "audio features"):
            sequence = _rows(self.encoder, self.encoder.encode(waveform))
        if self.space and len(sequence) != 1:
            raise InputError(
                f"The encoder returned {len(sequence)} vectors for an utterance, but is half of a joint encoder",
                where=self.encoder.name,
                expected="one vector, [D], in the space of the clips",
                next_step="fix the encoder",
            )
        if self._config.cmvn and len(sequence) > 1:
            sequence = mean_variance_normalized(torch.from_numpy(sequence).double()).float().numpy()
        return sequence


def _rows(encoder: Encoder, features: Feature) -> Feature:
    """Returns [D] or [T, D] as [T, D].

    Raises:
        InputError: the shape does not match the encoder's ``dim``.
    """
    rows = np.ascontiguousarray(np.atleast_2d(features), np.float32)
    if rows.ndim != 2 or rows.shape[1] != encoder.dim or not len(rows):
        raise InputError(
            f"The encoder returned an array of shape {list(np.shape(features))}",
            where=encoder.name,
            expected=f"[{encoder.dim}] or [T, {encoder.dim}] with T ≥ 1, according to its dim",
            next_step="fix the encoder",
        )
    return rows


def _attributed_errors(device: str, stage: str) -> Any:
    """Attributes errors to the device on a GPU, to the item on the CPU."""
    return nullcontext() if device == "cpu" else device_errors(device, stage)


def _note(which: str, encoder: Encoder) -> str:
    at = f"@{encoder.revision}" if encoder.revision else ""
    return f"{which} features are by {encoder.name}{at}; license of its weights: {encoder.licence}."


def _source(kind: str, encoder: Encoder, **settings: Any) -> str:
    stated: object = encoder.source
    if not isinstance(stated, str) or not stated:
        raise InputError(
            f"The encoder states as its source: {stated!r}",
            where=encoder.name,
            expected="a digest of everything that determines its values, which keys the cached features",
            next_step="fix the encoder (fmn.features.encoders.interface.source_of)",
        )
    text = json.dumps({"kind": f"{kind} encoder/1", "encoder": encoder.source, "settings": settings}, sort_keys=True)
    return f"{kind}-" + hashlib.sha256(text.encode()).hexdigest()[:16]
