"""Feature configuration of video and audio, its digests and notes.

Equal configurations yield equal features; the digest is part of the key of the feature cache. Both classes are plain
data (`dataclasses.asdict` converts them for JSON), and importing this module loads no heavy library.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from msgspec import Meta

from dataset_tools.core.errors import InputError
from fmn.config_sections import check, decisive, later

FLOW_STEPS = 127
"""A flow of ±``flow_bound_px`` pixels is stored as ±127."""
FlowMethod = Literal["dis", "dis_fast", "tvl1"]
VideoKind = Literal["backbone", "encoder", "features", "mean_colour", "duration", "file_size"]
AudioKind = Literal["mfcc", "log_mel", "encoder", "features", "duration", "file_size"]

Pooling = Literal["mean", "max", "none"]
WHOLE_CLIPS = "features are of whole clips, but frames is 'middle' (the system one_frame cannot use them)"

I3D_CHANNELS = 1024  # of one stream of the full-width Inception-v1 I3D, after global average pooling
RESNET_CHANNELS = 2048  # of pytorchvideo's I3D ResNet-50, before its head
TRIVIAL_DIMS = {"mean_colour": 6, "duration": 1, "file_size": 1}  # sizes of fmn/features/simple_features.py

RANDOM_WEIGHTS_NOTE = (
    "The video features come from an untrained network (weights='random'): they see little, and results with them say "
    "next to nothing about the method. Train a backbone with python -m fmn.features.pretrain, or name weights."
)
DEMO_WEIGHTS_NOTE = (
    "The video features come from the small demo network that ships with this package, trained on what is done to "
    "which thing in rendered stand-in clips, not from the I3D trained on Kinetics as in the paper."
)
DEMO_ON_RECORDINGS_NOTE = (
    "The demo network knows rendered kitchens only: on recorded footage, retrieval with it was close to chance. Train "
    "with --preset light, or with another encoder (docs/encoders.md)."
)


@dataclass(frozen=True, kw_only=True)
class VideoFeatureConfig:
    """Video features: how a clip becomes one vector (paper, section 3.1). The defaults are the paper's settings.

    A clip is sampled at ``sample_fps`` and resized to ``resize_px`` (short side), optical flow is estimated between
    adjacent samples, and the center ``crop_px`` × ``crop_px`` is cropped. At most ``windows`` windows of
    ``window_frames`` samples, evenly spaced over the clip, are passed through the backbone; their features are pooled.

    Attributes:
        kind: ``backbone`` (all of the above); ``encoder`` or ``features``, implied by those fields; or the input of
            simple baselines (fmn/features/simple_features.py), which ignores all other fields: ``mean_colour``,
            ``duration`` or ``file_size`` of the clip.
        backbone: ``i3d`` (two-stream Inception-v1 I3D) or ``i3d_r50`` (pytorchvideo's, RGB only).
        width: multiplier of every channel count of the Inception-v1 I3D; 1.0 is the published network.
        weights: ``random`` (untrained), ``demo`` (shipped), ``published`` (downloaded with fmn weights download), or
            the path of a file with both streams (.safetensors) or of a folder with one file per stream.
        seed: of the random weights; ignored for other weights.
        sample_fps: samples per second of video; all frames are used if the frame rate of a clip is lower.
        window_frames: samples in a window. A shorter clip is looped until the window is full.
        windows: maximum number of windows per clip.
        frames: ``all`` frames, or the ``middle`` one of the clip, repeated: appearance without motion.
        resize_px: side of the frames before the crop.
        resize: ``short_side`` keeps the aspect ratio; ``square`` does not (section 3.1: 256 × 256).
        crop_px: side of the square network input.
        rgb: whether there is an RGB stream.
        flow: ``dis`` (in every OpenCV build), ``dis_fast`` (coarser, four times as fast), ``tvl1`` (used to train the
            published weights; requires OpenCV's contrib modules) or ``none`` (no flow stream).
        flow_bound_px: flow is clipped to ± this many pixels (of the resized frame) per sample and scaled to [-1, 1].
        encoder: a pretrained encoder in place of the backbone (``timm:NAME``; docs/encoders.md). It is applied to the
            windows above, RGB only, with its own input size and, if it has one, its own number of frames.
        features: a folder or file of the user's own features in place of the backbone (docs/encoders.md).
        pooling: how windows (frames for an image encoder, rows for the user's own features) are pooled to one vector;
            with ``none`` they remain a sequence: systems attend to each (``model.step_attention``) or average them.
    """

    kind: VideoKind = "backbone"
    backbone: Literal["i3d", "i3d_r50"] = "i3d"
    width: Annotated[float, Meta(ge=1 / 16, le=8)] = 1.0
    weights: Annotated[str, Meta(min_length=1)] = "published"
    seed: int = 0
    sample_fps: Annotated[float, Meta(ge=0.1, le=1000)] = 25.0
    window_frames: Annotated[int, Meta(ge=8, le=1024)] = 64
    windows: Annotated[int, Meta(ge=1, le=1024)] = 4
    frames: Literal["all", "middle"] = "all"
    resize_px: Annotated[int, Meta(le=2048)] = 256
    resize: Literal["short_side", "square"] = "short_side"
    crop_px: Annotated[int, Meta(ge=32, le=1024)] = 224
    rgb: bool = True
    flow: FlowMethod | Literal["none"] = "dis"
    flow_bound_px: Annotated[float, Meta(ge=0.1)] = 20.0
    encoder: str = later("", in_run_names=True)
    features: str = later("", in_run_names=True)
    pooling: Pooling = later("mean", in_run_names=True)

    def __post_init__(self) -> None:
        _imply_kind(self, "backbone")
        resnet = self.backbone == "i3d_r50"
        check(
            self,
            _at_least("resize_px", self.resize_px, "crop_px", self.crop_px),
            None if self.streams else "there is no stream: rgb must be true, or flow not 'none'",
            "backbone i3d_r50 has no other stream than RGB: rgb must be true" if resnet and not self.rgb else None,
            "backbone i3d_r50 has no flow stream: flow must be 'none'" if resnet and self.flow != "none" else None,
            "backbone i3d_r50 has one width: width must be 1.0" if resnet and self.width != 1.0 else None,
            "the demo weights are for the backbone i3d" if resnet and self.weights == "demo" else None,
            _source_problem(self),
            WHOLE_CLIPS if self.kind == "features" and self.frames == "middle" else None,
        )

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams of the backbone, in the order in which their features are concatenated."""
        return (("rgb",) if self.rgb else ()) + (("flow",) if self.flow != "none" else ())

    @property
    def dim(self) -> int:
        """Size of a clip's feature vector: 1024 · width per stream (2048 in the paper), or 2048 for the ResNet.

        Raises:
            InputError: the size depends on an encoder or on files of features (`fmn.features.media.FeatureSet.dim`).
        """
        if self.kind in ("encoder", "features"):
            raise InputError("The size of these features is not known before they are loaded", where=self.kind)
        if self.kind != "backbone":
            return TRIVIAL_DIMS[self.kind]
        if self.backbone == "i3d_r50":
            return RESNET_CHANNELS
        return len(self.streams) * scaled_channels(I3D_CHANNELS, self.width)

    @property
    def note(self) -> str | None:
        """The caveat for results with these features; None if there is none."""
        if self.kind != "backbone":
            return None
        return {"random": RANDOM_WEIGHTS_NOTE, "demo": DEMO_WEIGHTS_NOTE}.get(self.weights)

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that identify this configuration, stable across runs and machines."""
        return _digest(self)


@dataclass(frozen=True, kw_only=True)
class AudioFeatureConfig:
    """Audio features: how an utterance becomes a sequence (paper, section 3.2), by default normalized MFCC with deltas.

    The paper specifies MFCC without parameters: the defaults are those common in speech recognition.

    Attributes:
        kind: ``mfcc``; ``log_mel``, the input of MusiCNN (fmn/features/log_mel.py), which uses only the sample rate,
            ``n_mels``, ``window_ms`` and ``hop_ms``; ``encoder`` or ``features``, implied by those fields; or the input
            of sanity-check baselines: ``duration`` or ``file_size`` of the utterance.
        sample_rate_hz: audio is resampled to this rate.
        n_mfcc: number of coefficients, including the zeroth.
        n_mels: number of mel filters.
        window_ms: length of the analysis window.
        hop_ms: hop length.
        deltas: number of delta orders appended to the coefficients (0, 1 or 2).
        delta_frames: frames over which a delta is computed, odd.
        cmvn: whether each coefficient is normalized to mean 0 and variance 1 over the utterance.
        encoder: a pretrained encoder in place of MFCC (``hubert_base``; docs/encoders.md); of the fields above, only
            ``cmvn`` applies to its sequence, and none to a single vector for the whole utterance.
        features: a folder or file of the user's own features in place of MFCC, used without changes.
        layer: the encoder's transformer layer, from 1; the ``last``; the ``mean`` of all; or ``learned``: all layers
            are concatenated, and mixed with weights that are learned with the model (SUPERB, Yang et al. 2021).
    """

    kind: AudioKind = "mfcc"
    sample_rate_hz: Annotated[int, Meta(ge=8_000, le=192_000)] = 16_000
    n_mfcc: Annotated[int, Meta(ge=1, le=1024)] = 20
    n_mels: Annotated[int, Meta(le=1024)] = 40
    window_ms: Annotated[float, Meta(le=10_000)] = 25.0
    hop_ms: Annotated[float, Meta(ge=1)] = 10.0
    deltas: Literal[0, 1, 2] = 2
    delta_frames: Annotated[int, Meta(ge=3, le=999)] = 5
    cmvn: bool = True
    encoder: str = later("", in_run_names=True)
    features: str = later("", in_run_names=True)
    layer: Annotated[int, Meta(ge=1, le=1000)] | Literal["last", "mean", "learned"] = later("last", in_run_names=True)

    def __post_init__(self) -> None:
        _imply_kind(self, "mfcc")
        check(
            self,
            _at_least("n_mels", self.n_mels, "n_mfcc", self.n_mfcc),
            _at_least("window_ms", self.window_ms, "hop_ms", self.hop_ms),
            None if self.delta_frames % 2 else f"delta_frames is {self.delta_frames}, expected an odd number",
            _source_problem(self),
            f"layer is {self.layer!r}, but there is no encoder" if self._has_unused_layer else None,
        )

    @property
    def _has_unused_layer(self) -> bool:
        """Whether a layer is selected although there are none; exported features may hold all layers."""
        return self.layer != "last" and not self.encoder and not (self.layer == "learned" and self.features)

    @property
    def learns_layers(self) -> bool:
        """Whether a frame holds all layers of an encoder; the band is then the size of one layer."""
        return self.layer == "learned" and self.kind in ("encoder", "features")

    @property
    def dim(self) -> int:
        """Number of values per frame of the sequence.

        Raises:
            InputError: see `VideoFeatureConfig.dim`.
        """
        if self.kind in ("encoder", "features"):
            raise InputError("The size of these features is not known before they are loaded", where=self.kind)
        if self.kind in TRIVIAL_DIMS:
            return TRIVIAL_DIMS[self.kind]
        return self.n_mels if self.kind == "log_mel" else self.n_mfcc * (1 + self.deltas)

    @property
    def band(self) -> int | None:
        """Number of adjacent values of a frame that form one band: the coefficients of one order; None: all."""
        return self.n_mfcc if self.kind == "mfcc" else None

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that identify this configuration, stable across runs and machines."""
        return _digest(self)


def scaled_channels(channels: int, width: float) -> int:
    """Scales a channel count of the full-width I3D by ``width``: rounded, at least one."""
    return max(1, round(channels * width))


def _digest(config: VideoFeatureConfig | AudioFeatureConfig) -> str:
    text = json.dumps({type(config).__name__: decisive(config)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _imply_kind(config: VideoFeatureConfig | AudioFeatureConfig, default: str) -> None:
    """Sets the kind if an encoder or features are given; simple baselines keep theirs."""
    named = next((kind for kind in ("encoder", "features") if getattr(config, kind)), None)
    if named and config.kind in (default, "encoder", "features"):
        object.__setattr__(config, "kind", named)


def _source_problem(config: VideoFeatureConfig | AudioFeatureConfig) -> str | None:
    if config.encoder and config.features:
        return "encoder and features are both set, expected one of them"
    if config.kind in ("encoder", "features") and not getattr(config, config.kind):
        return f"kind is {config.kind!r}, but {config.kind} is not set"
    return None


def _at_least(name: str, value: float, other: str, least: float) -> str | None:
    return None if value >= least else f"{name} is {value}, expected at least {least:g} ({other})"


PAPER_VIDEO = VideoFeatureConfig()
PAPER_AUDIO = AudioFeatureConfig()

# Small enough for two cores without a GPU. Frames are resized to a square, because a crop at this size would cut off
# the working hands; 12 samples per second resolve their strokes; ±10 px at a side of 120 is about ±20 px at 256.
DEMO_VIDEO = VideoFeatureConfig(
    width=0.25,
    weights="demo",
    sample_fps=12.0,
    window_frames=16,
    resize_px=120,
    resize="square",
    crop_px=112,
    flow="dis_fast",
    flow_bound_px=10.0,
)
DEMO_AUDIO = AudioFeatureConfig()


def one_frame(config: VideoFeatureConfig) -> VideoFeatureConfig:
    """Returns ``config`` restricted to the middle frame of a clip, repeated, without flow.

    The demo has a separate network for this, trained on single frames: the one trained on motion would fail on them.
    """
    short = 8 if config.weights in ("demo", "random") else config.window_frames  # all frames are the same
    return replace(config, frames="middle", rgb=True, flow="none", window_frames=short)
