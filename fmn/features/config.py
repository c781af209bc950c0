"""Feature configuration of video and audio, its digests and notes.

Two configurations that compare equal give equal features; the digest is what the feature cache is keyed by.
Both are plain data (`dataclasses.asdict` makes JSON of them), and importing this module loads nothing heavy.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal

from msgspec import Meta

from dataset_tools.core.errors import InputError
from fmn.config_sections import check

FlowMethod = Literal["dis", "dis_fast", "tvl1"]
VideoKind = Literal["backbone", "encoder", "features", "mean_colour", "duration", "file_size"]
AudioKind = Literal["mfcc", "log_mel", "encoder", "features", "duration", "file_size"]

Pooling = Literal["mean", "max", "none"]
WHOLE_CLIPS = "features are of whole clips, and frames is 'middle' (the system one_frame cannot use them)"

I3D_CHANNELS = 1024  # of one stream of the full-width Inception-v1 I3D, after global average pooling
RESNET_CHANNELS = 2048  # of pytorchvideo's I3D ResNet-50, before its head
TRIVIAL_DIMS = {"mean_colour": 6, "duration": 1, "file_size": 1}  # what fmn/features/simple_features.py measures

RANDOM_WEIGHTS_NOTE = (
    "The video features come from an untrained network (weights='random'): they see little, and results with them say "
    "next to nothing about the method. Train a backbone with python -m fmn.features.pretrain, or name weights."
)
DEMO_WEIGHTS_NOTE = (
    "The video features come from the small demo network that ships with this package, trained on what is done to "
    "which thing in rendered stand-in clips, not from the I3D trained on Kinetics as in the paper."
)


@dataclass(frozen=True, kw_only=True)
class VideoFeatureConfig:
    """How a clip becomes one vector (paper, section 3.1). The defaults are the paper's setting.

    A clip is read at ``sample_fps``, its short side brought to ``resize_px``, optical flow is estimated between
    neighboring samples, and the center ``crop_px`` × ``crop_px`` is kept. At most ``windows`` windows of
    ``window_frames`` samples, spread evenly over the clip, go through the backbone; their features are averaged.

    Attributes:
        kind: ``backbone`` (all of the above); ``encoder`` or ``features``, which follow from naming them; or what
            simple baselines use (fmn/features/simple_features.py), for which nothing else here counts:
            ``mean_colour``, ``duration`` or ``file_size`` of the clip.
        backbone: ``i3d`` (two-stream Inception-v1 I3D) or ``i3d_r50`` (pytorchvideo's, RGB only).
        width: factor on every channel count of the Inception-v1 I3D; 1.0 is the published network.
        weights: ``random`` (untrained), ``demo`` (shipped), ``published`` (what fmn weights download fetched), or the
            path of a file with both streams (.safetensors) or of a folder with one file a stream.
        seed: of the random weights; of no effect on any others.
        sample_fps: samples per second of video; a clip of fewer frames a second gives all its frames.
        window_frames: samples in a window. A shorter clip is repeated from its start until a window is full.
        windows: the most windows of a clip.
        frames: ``all`` of them, or the ``middle`` one of the clip, repeated: what can be known without seeing motion.
        resize_px: side of the frames before the crop.
        resize: ``short_side`` keeps the aspect ratio; ``square`` does not (section 3.1: 256 × 256).
        crop_px: side of the square that the network sees.
        rgb: whether there is an RGB stream.
        flow: ``dis`` (OpenCV, everywhere), ``dis_fast`` (coarser, four times as fast), ``tvl1`` (what the published
            weights were trained on; needs OpenCV's contrib modules) or ``none`` (no flow stream).
        flow_bound_px: flow is clipped to ±this many pixels (of the resized frame) a sample and scaled to [-1, 1].
        encoder: a pretrained encoder in place of the backbone (``timm:NAME``; docs/encoders.md). It sees the windows
            above, RGB only, in its own size and, where it has one, its own number of frames.
        features: a folder or a file of the user's own features in place of the backbone (docs/encoders.md).
        pooling: how windows (frames, of an encoder of pictures; rows, of the user's own features) become one vector;
            with ``none`` they stay a sequence: systems attend to each (``model.step_attention``), or take their mean.
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
    encoder: str = ""
    features: str = ""
    pooling: Pooling = "mean"

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
            "the demo weights are of the backbone i3d" if resnet and self.weights == "demo" else None,
            _named_once(self),
            WHOLE_CLIPS if self.kind == "features" and self.frames == "middle" else None,
        )

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams of the backbone, in the order their features are concatenated."""
        return (("rgb",) if self.rgb else ()) + (("flow",) if self.flow != "none" else ())

    @property
    def dim(self) -> int:
        """Length of a clip's feature: 1024 · width a stream (2048 in the paper), or 2048 of the ResNet.

        Raises:
            InputError: an encoder or features are named, which have their own (`fmn.features.media.FeatureSet.dim`).
        """
        if self.kind in ("encoder", "features"):
            raise InputError("The size of these features is known when they are loaded", where=self.kind)
        if self.kind != "backbone":
            return TRIVIAL_DIMS[self.kind]
        if self.backbone == "i3d_r50":
            return RESNET_CHANNELS
        return len(self.streams) * scaled_channels(I3D_CHANNELS, self.width)

    @property
    def note(self) -> str | None:
        """The caveat of results with these features; None if there is none."""
        if self.kind != "backbone":
            return None
        return {"random": RANDOM_WEIGHTS_NOTE, "demo": DEMO_WEIGHTS_NOTE}.get(self.weights)

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that name this configuration, the same in every run and on every machine."""
        return _digest(self)


@dataclass(frozen=True, kw_only=True)
class AudioFeatureConfig:
    """How an utterance becomes a sequence (paper, section 3.2): MFCC, their deltas, normalized over the utterance.

    The paper names MFCC and none of its numbers: these are the usual ones of speech recognition.

    Attributes:
        kind: ``mfcc``; ``log_mel``, the input of MusiCNN (fmn/features/log_mel.py), for which only the sample rate,
            ``n_mels``, ``window_ms`` and ``hop_ms`` count; ``encoder`` or ``features``, which follow from naming them;
            or what sanity-check baselines use: ``duration`` or ``file_size`` of the utterance.
        sample_rate_hz: what audio is resampled to.
        n_mfcc: coefficients kept, the zeroth included.
        n_mels: filters of the mel bank.
        window_ms: length of the analysis window.
        hop_ms: from one window to the next.
        deltas: how many orders of time differences follow the coefficients (0, 1 or 2).
        delta_frames: frames a difference is taken over, odd.
        cmvn: whether each coefficient has mean 0 and variance 1 over the utterance.
        encoder: a pretrained encoder in place of MFCC (``hubert_base``; docs/encoders.md), of whose sequence only
            ``cmvn`` counts here; one vector of the whole utterance stays as it is.
        features: a folder or a file of the user's own features in place of MFCC, used as they are.
        layer: which of its transformer layers is read, from 1; the ``last``; the ``mean`` of all; or ``learned``: all
            are kept, side by side, and mixed with weights that are learned with the model (SUPERB, Yang et al. 2021).
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
    encoder: str = ""
    features: str = ""
    layer: Annotated[int, Meta(ge=1, le=1000)] | Literal["last", "mean", "learned"] = "last"

    def __post_init__(self) -> None:
        _imply_kind(self, "mfcc")
        check(
            self,
            _at_least("n_mels", self.n_mels, "n_mfcc", self.n_mfcc),
            _at_least("window_ms", self.window_ms, "hop_ms", self.hop_ms),
            None if self.delta_frames % 2 else f"delta_frames is {self.delta_frames}, expected an odd number",
            _named_once(self),
            f"layer is {self.layer!r}, and there is no encoder" if self._layer_of_nothing else None,
        )

    @property
    def _layer_of_nothing(self) -> bool:
        """A layer is asked for where there are none; exported features may hold all layers."""
        return self.layer != "last" and not self.encoder and not (self.layer == "learned" and self.features)

    @property
    def learns_layers(self) -> bool:
        """Whether a frame holds all layers of an encoder; the band is then the size of one."""
        return self.layer == "learned" and self.kind in ("encoder", "features")

    @property
    def dim(self) -> int:
        """Values a frame of the sequence has.

        Raises:
            InputError: as of `VideoFeatureConfig.dim`.
        """
        if self.kind in ("encoder", "features"):
            raise InputError("The size of these features is known when they are loaded", where=self.kind)
        if self.kind in TRIVIAL_DIMS:
            return TRIVIAL_DIMS[self.kind]
        return self.n_mels if self.kind == "log_mel" else self.n_mfcc * (1 + self.deltas)

    @property
    def band(self) -> int | None:
        """Neighboring values of a frame that belong together: the coefficients of one order; None: all of them."""
        return self.n_mfcc if self.kind == "mfcc" else None

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that name this configuration, the same in every run and on every machine."""
        return _digest(self)


def scaled_channels(channels: int, width: float) -> int:
    """``channels`` of the full-width I3D at ``width``: rounded, at least one."""
    return max(1, round(channels * width))


def decisive(config: VideoFeatureConfig | AudioFeatureConfig) -> dict[str, Any]:
    """What decides a feature, as plain data; fields that came later count where they are not at their defaults."""
    later = {"encoder": "", "features": "", "pooling": "mean", "layer": "last"}
    return {name: value for name, value in asdict(config).items() if name not in later or value != later[name]}


def _digest(config: VideoFeatureConfig | AudioFeatureConfig) -> str:
    text = json.dumps({type(config).__name__: decisive(config)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _imply_kind(config: VideoFeatureConfig | AudioFeatureConfig, default: str) -> None:
    """Naming an encoder or features decides the kind; simple baselines keep theirs."""
    named = next((kind for kind in ("encoder", "features") if getattr(config, kind)), None)
    if named and config.kind in (default, "encoder", "features"):
        object.__setattr__(config, "kind", named)


def _named_once(config: VideoFeatureConfig | AudioFeatureConfig) -> str | None:
    if config.encoder and config.features:
        return "encoder and features are both named, expected one of them"
    if config.kind in ("encoder", "features") and not getattr(config, config.kind):
        return f"kind is {config.kind!r}, and {config.kind} names none"
    return None


def _at_least(name: str, value: float, other: str, least: float) -> str | None:
    return None if value >= least else f"{name} is {value}, expected at least {least:g} ({other})"


PAPER_VIDEO = VideoFeatureConfig()
PAPER_AUDIO = AudioFeatureConfig()

# Small enough for two cores without a GPU. The whole frame is squeezed in, because at this size a crop would cut off
# hands at work; 12 samples a second keep their strokes apart; ±10 px at a side of 120 is about ±20 px at 256.
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
    """``config`` with nothing but the middle frame of a clip, repeated; there is no flow in it.

    The demo has a network of its own for that, trained on single frames: the one that knows motion would be lost there.
    """
    short = 8 if config.weights in ("demo", "random") else config.window_frames  # all its frames are one
    return replace(config, frames="middle", rgb=True, flow="none", window_frames=short)
