"""The video backbone: its streams, their weights, and clip features from windows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import as_file, files
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of
from fmn.config_sections import decisive
from fmn.features import resnet, weights
from fmn.features.config import FLOW_STEPS, VideoFeatureConfig
from fmn.features.encoders.libraries import no_weights_at
from fmn.features.i3d import I3D
from fmn.features.library_versions import av_version, opencv_version
from fmn.torch_threads import threads

if TYPE_CHECKING:
    from fmn.features.windows import ClipWindows

Network = I3D | resnet.I3DResNet50

DEMO_FILES = {"all": "weights_demo.safetensors", "middle": "weights_demo_one_frame.safetensors"}  # by config.frames
METADATA_KEY = "fmn"  # in a .safetensors file: training data and settings, by stream
CONTENTS = "contents"  # there: SHA-256 of every training clip, if features of these clips may be requested later
_CLIPS, _FRAMES, _SIDE_PX = 8, 16, 64  # of the synthetic clips that calibrate random weights
_BATCH_WINDOWS = 4
_BATCH_PIXELS = 4 * 24 * 112 * 112  # limits memory: larger windows make smaller batches


class Backbone:
    """The networks of a configuration on a device, which compute the features of clips.

    Windows are processed in batches of one fixed size, the last one zero-padded: the features of a window depend
    neither on its neighbors nor on how clips are batched.

    Attributes:
        source: digest of everything that determines the values: configuration, weights, library versions.
        batch: windows per batch.
        trained_on: SHA-256 of the training clips recorded in the file of weights (see `fmn.training.finetune`).
    """

    def __init__(self, config: VideoFeatureConfig, device: str = "cpu") -> None:
        """Builds the networks and loads their weights.

        Raises:
            InputError: the weights are missing or do not match the network.
            StoppedError: the device cannot be used.
        """
        self.config = config
        self.device = torch.device(device)
        self.source = source_of(config)
        self.trained_on = clips_trained_on(config)
        networks = load_networks(config)
        for network in networks.values():
            network.eval().to(self.device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self._networks = networks
        self._scale = scaling(config)
        self.batch = max(1, min(_BATCH_WINDOWS, _BATCH_PIXELS // (config.window_frames * config.crop_px**2)))

    @threads(1)  # of this thread; see `fmn.features.extract._isolated`
    @torch.inference_mode()
    def window_features(self, windows: ClipWindows) -> NDArray[np.float32]:
        """At most ``batch`` windows, possibly of several clips -> [windows, dim], RGB before flow."""
        count = len(windows.rgb)
        streams = []
        for stream, network in self._networks.items():
            pixels: NDArray[np.uint8] | NDArray[np.int8] | None = windows.rgb if stream == "rgb" else windows.flow
            assert pixels is not None
            filled = np.zeros((self.batch, *pixels.shape[1:]), pixels.dtype)
            filled[:count] = pixels
            on_device = torch.from_numpy(filled).to(self.device)
            streams.append(network.features(self._scale[stream](on_device))[:count])
        features: NDArray[np.float32] = torch.cat(streams, dim=1).cpu().numpy()
        return features


def scaling(config: VideoFeatureConfig) -> dict[str, Callable[[Tensor], Tensor]]:
    """Returns for each stream the conversion of bytes [B, T, H, W, C] to network inputs [B, C, T, H, W] float32."""

    def channels_first(pixels: Tensor) -> Tensor:
        return pixels.permute(0, 4, 1, 2, 3).float()  # keeps the channels-last memory layout, which is faster

    def rgb(pixels: Tensor) -> Tensor:
        if config.backbone == "i3d_r50":
            return (channels_first(pixels) / 255 - resnet.MEAN) / resnet.STD
        return channels_first(pixels) / 127.5 - 1

    return {"rgb": rgb, "flow": lambda steps: channels_first(steps) / FLOW_STEPS}


def load_networks(config: VideoFeatureConfig) -> dict[str, Network]:
    """Builds the networks of a configuration by stream, on the CPU.

    Raises:
        InputError: the weights are missing, are not the published ones, or do not match the network.
    """
    networks: dict[str, Network]
    if config.backbone == "i3d_r50":
        networks = {"rgb": resnet.I3DResNet50()}
    else:
        networks = {
            stream: I3D(3 if stream == "rgb" else 2, classes=0, width=config.width) for stream in config.streams
        }
    if config.weights == "random":
        for stream, network in networks.items():
            initialize(network, stream, config)
        return networks
    with _files(config) as sources:
        for stream, network in networks.items():
            path, prefix = sources[stream]
            head = ("blocks.6.",) if isinstance(network, resnet.I3DResNet50) else ("logits.",)
            weights.load_state(
                network, weights.read_state(path, prefix), where=f"{path} ({stream} stream)", ignore=head
            )
    return networks


def initialize(network: Network, stream: str, config: VideoFeatureConfig) -> None:
    """Initializes a network in place with random weights: He initialization, batch norm calibrated on noise.

    With identity batch norm, activations of an untrained ReLU network share one large common direction, so that all
    clips get similar features. Here every channel is centered and scaled on synthetic clips: the result depends only on
    the seed and the stream, not on data.

    Args:
        network: a backbone, in training mode.
        stream: ``rgb`` or ``flow``.
        config: its seed is used.
    """
    name = hashlib.sha256(f"{config.seed} {stream}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(name[:8], "big") >> 1)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_parameters()
        norm.momentum = None  # statistics of this one batch only, without those of the initialization
    with torch.no_grad(), threads(1):
        network.features(moving_noise(stream, _FRAMES, _SIDE_PX, generator))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def moving_noise(stream: str, frames: int, side_px: int, generator: torch.Generator) -> Tensor:
    """Generates synthetic clips: smooth noise that drifts, in the value range of the stream.

    Returns:
        [8, C, frames, side_px, side_px], standard deviation about 0.5 (RGB) or 0.1 (flow, mostly still).
    """
    channels, scale = (3, 0.5) if stream == "rgb" else (2, 0.1)
    total = torch.zeros(_CLIPS, channels, frames, side_px, side_px)
    for cells in (2, 4, 8, 16):  # equal power at each scale, roughly as in natural images
        coarse = torch.randn(_CLIPS, channels, max(2, frames // 4), cells, cells, generator=generator)
        total += interpolate(coarse, size=(frames, side_px, side_px), mode="trilinear", align_corners=True)
    return (total / total.std() * scale).clamp(-1, 1)


@contextmanager
def _files(config: VideoFeatureConfig) -> Iterator[Mapping[str, tuple[Path, str]]]:
    """Gives the file of weights of each stream, and the prefix of its parameter names there."""
    if config.weights != "demo":
        yield _own_files(config)
        return
    with as_file(files("fmn.features") / DEMO_FILES[config.frames]) as file:
        if not file.is_file():
            raise InputError(
                "This copy of the package does not contain the demo weights",
                where=file,
                expected="a complete installation",
                next_step="install the package again, or specify weights with --set video.weights=FILE",
            )
        yield {stream: (file, f"{stream}.") for stream in config.streams}


def _own_files(config: VideoFeatureConfig) -> Mapping[str, tuple[Path, str]]:
    """Published files, or those that the configuration names."""
    if config.weights == "published":
        return {stream: (weights.published_file(config.backbone, stream), "") for stream in config.streams}
    path = Path(config.weights).expanduser()
    if path.is_dir():
        return {stream: (_in_folder(path, stream), "") for stream in config.streams}
    if path.suffix == ".safetensors" and config.backbone == "i3d":
        return {stream: (path, f"{stream}.") for stream in config.streams}
    if len(config.streams) > 1:
        raise InputError(
            "One file of weights is given for two streams",
            where=path,
            expected="a folder with one file per stream (rgb*, flow*), or one .safetensors file made by fmn finetune",
            next_step="put both files into a folder and pass the folder, or set flow='none'",
        )
    return {config.streams[0]: (path, "")}


def _in_folder(folder: Path, stream: str) -> Path:
    candidates = sorted(path for path in folder.glob(f"{stream}*") if path.suffix in weights.STATE_SUFFIXES)
    if len(candidates) != 1:
        raise InputError(
            f"The folder contains {len(candidates)} files of weights for the {stream} stream",
            where=folder,
            expected=f"one file {stream}* ending in {', '.join(weights.STATE_SUFFIXES)}",
            next_step="put the published file there under its own name, or choose another folder",
        )
    return candidates[0]


def clips_trained_on(config: VideoFeatureConfig) -> frozenset[str]:
    """Reads the SHA-256 of the training clips from the metadata of a .safetensors file; other formats have none.

    Raises:
        InputError: the metadata cannot be read.
    """
    path = Path(config.weights).expanduser()
    if path.suffix != ".safetensors" or not path.is_file():
        return frozenset()
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            metadata = msgspec.json.decode(
                (file.metadata() or {}).get(METADATA_KEY, "{}"), type=dict[str, dict[str, Any]]
            )
        contents = [metadata.get(stream, {}).get(CONTENTS, []) for stream in config.streams]
        return frozenset(chain.from_iterable(msgspec.convert(contents, list[list[str]])))
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"The metadata of the weights cannot be read: {error}",
            where=path,
            expected="a .safetensors file written by fmn, or one without fmn's metadata",
            next_step="download or create the file again, or choose other weights",
        ) from error


def _sha256_of(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise InputError(
            f"The weights cannot be read: {error.strerror}",
            where=path,
            next_step="check video.weights and the permissions of the file",
        ) from error


def source_of(config: VideoFeatureConfig) -> str:
    """Returns a digest of everything that determines a feature; a file of weights enters by content, not by path.

    Raises:
        InputError: the weights are missing, cannot be read, or are not the published ones.
    """
    origin = f"random, seed {config.seed}"
    if config.weights != "random":
        with _files(config) as sources:
            for path, _ in sources.values():
                if not path.is_file():
                    raise no_weights_at(path)
            origin = " ".join(_sha256_of(path) for path, _ in sources.values())
    settings = decisive(config) | {"weights": origin, "seed": None}
    del settings["kind"]  # constant: only one kind uses a backbone
    versions = {"torch": torch.__version__, "opencv": opencv_version(), "av": av_version()}
    text = json.dumps({"kind": "video/1", "config": settings, "versions": versions}, sort_keys=True)
    return "video-" + hashlib.sha256(text.encode()).hexdigest()[:16]
