"""Random weights that at least keep clips apart: He's scale, and batch norm set on made-up clips.

With identity batch norm, activations of an untrained ReLU network share one large common direction, so that all clips
look alike. Here every channel is centred and scaled on moving noise: no data is involved, and a seed decides it all.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from fmn.features.config import VideoFeatureConfig
from fmn.features.i3d import I3D
from fmn.features.resnet import I3DResNet50
from fmn.features.workers import one_thread_each

_CLIPS, _FRAMES, _SIDE_PX = 8, 16, 64


def initialise(network: I3D | I3DResNet50, stream: str, config: VideoFeatureConfig) -> None:
    """Fills a network in place; the same seed and stream give the same weights.

    Args:
        network: a backbone, in training mode.
        stream: ``rgb`` or ``flow``.
        config: its seed decides.
    """
    name = hashlib.sha256(f"{config.seed} {stream}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(name[:8], "big") >> 1)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_parameters()
        norm.momentum = None  # statistics of this one batch, not a running mixture with the initial ones
    with torch.no_grad(), one_thread_each():
        network.features(moving_noise(stream, _FRAMES, _SIDE_PX, generator))
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum


def moving_noise(stream: str, frames: int, side_px: int, generator: torch.Generator) -> Tensor:
    """Made-up clips: smooth random pictures that drift, in the range of the stream.

    Returns:
        [8, C, frames, side_px, side_px], standard deviation about 0.5 (RGB) or 0.1 (flow, mostly still).
    """
    channels, scale = (3, 0.5) if stream == "rgb" else (2, 0.1)
    total = torch.zeros(_CLIPS, channels, frames, side_px, side_px)
    for cells in (2, 4, 8, 16):  # as much at each scale, which is roughly how pictures are
        coarse = torch.randn(_CLIPS, channels, max(2, frames // 4), cells, cells, generator=generator)
        total += interpolate(coarse, size=(frames, side_px, side_px), mode="trilinear", align_corners=True)
    return (total / total.std() * scale).clamp(-1, 1)
