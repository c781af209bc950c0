"""I3D against closed forms: padding, convolution and pooling by hand, the published layout counted independently."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from fmn.features.i3d import I3D, SameMaxPool3d, Unit3D, same_padding

# The layout as the paper's figure 3 and the checkpoint's file have it, written down a second time on purpose:
# name -> (in, b0, b1a, b1b, b2a, b2b, b3b).
INCEPTION = {
    "Mixed_3b": (192, 64, 96, 128, 16, 32, 32),
    "Mixed_3c": (256, 128, 128, 192, 32, 96, 64),
    "Mixed_4b": (480, 192, 96, 208, 16, 48, 64),
    "Mixed_4c": (512, 160, 112, 224, 24, 64, 64),
    "Mixed_4d": (512, 128, 128, 256, 24, 64, 64),
    "Mixed_4e": (512, 112, 144, 288, 32, 64, 64),
    "Mixed_4f": (528, 256, 160, 320, 32, 128, 128),
    "Mixed_5b": (832, 256, 160, 320, 32, 128, 128),
    "Mixed_5c": (832, 384, 192, 384, 48, 128, 128),
}


def published_shapes(in_channels: int, classes: int = 400) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the published checkpoints, without batch counters (which they lack)."""
    units: dict[str, tuple[int, ...]] = {
        "Conv3d_1a_7x7": (64, in_channels, 7, 7, 7),
        "Conv3d_2b_1x1": (64, 64, 1, 1, 1),
        "Conv3d_2c_3x3": (192, 64, 3, 3, 3),
    }
    for name, (c, b0, b1a, b1b, b2a, b2b, b3b) in INCEPTION.items():
        units |= {
            f"{name}.b0": (b0, c, 1, 1, 1),
            f"{name}.b1a": (b1a, c, 1, 1, 1),
            f"{name}.b1b": (b1b, b1a, 3, 3, 3),
            f"{name}.b2a": (b2a, c, 1, 1, 1),
            f"{name}.b2b": (b2b, b2a, 3, 3, 3),
            f"{name}.b3b": (b3b, c, 1, 1, 1),
        }
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in units.items():
        shapes[f"{name}.conv3d.weight"] = shape
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.bn.{part}"] = shape[:1]
    return shapes | {"logits.conv3d.weight": (classes, 1024, 1, 1, 1), "logits.conv3d.bias": (classes,)}


@pytest.mark.parametrize("kernel", [1, 2, 3, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 5, 7, 8, 16, 111, 112, 224])
def test_same_padding_gives_the_rounded_up_share_of_the_places(size: int, kernel: int, stride: int) -> None:
    before, after = same_padding(size, kernel, stride)
    assert after - before in (0, 1)
    assert before >= 0
    assert (size + before + after - kernel) // stride + 1 == math.ceil(size / stride) or kernel < stride
    # TensorFlow's own words: total = max(k - s, 0) if size divides by s, else max(k - size mod s, 0).
    assert before + after == max(kernel - (stride if size % stride == 0 else size % stride), 0)


def padded_by_hand(x: NDArray[np.float64], kernel: int, stride: int, value: float) -> NDArray[np.float64]:
    pads = [(0, 0)]
    for size in x.shape[1:]:
        total = max(kernel - (stride if size % stride == 0 else size % stride), 0)
        pads.append((total // 2, total - total // 2))
    return np.pad(x, pads, constant_values=value)


@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (3, 1), (1, 1)])
@pytest.mark.parametrize("size", [(4, 8, 9), (5, 7, 8)])
def test_a_unit_is_convolution_norm_and_rectifier_by_hand(kernel: int, stride: int, size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    unit = Unit3D(2, 3, (kernel,) * 3, (stride,) * 3).eval()
    for tensor, low, high in ((unit.bn.weight, 0.5, 2), (unit.bn.bias, -1, 1), (unit.bn.running_mean, -1, 1)):
        torch.nn.init.uniform_(tensor, low, high)  # type: ignore[arg-type]
    torch.nn.init.uniform_(unit.bn.running_var, 0.5, 2)  # type: ignore[arg-type]
    x = torch.randn(1, 2, *size)
    padded = padded_by_hand(x[0].double().numpy(), kernel, stride, 0.0)
    weight = unit.conv3d.weight.detach().double().numpy()
    out = [math.ceil(n / stride) for n in size]
    expected = np.zeros((3, *out))
    for t, h, w in itertools.product(*map(range, out)):
        t0, h0, w0 = t * stride, h * stride, w * stride
        patch = padded[:, t0 : t0 + kernel, h0 : h0 + kernel, w0 : w0 + kernel]
        expected[:, t, h, w] = (weight * patch).sum(axis=(1, 2, 3, 4))
    norm = {
        name: value.double().numpy()[:, None, None, None] for name, value in unit.bn.state_dict().items() if value.dim()
    }
    expected = (expected - norm["running_mean"]) / np.sqrt(norm["running_var"] + 0.001)
    expected = np.maximum(expected * norm["weight"] + norm["bias"], 0)
    with torch.no_grad():
        assert np.allclose(unit(x)[0].numpy(), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("kernel", "stride"),
    [((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (2, 2, 2)), ((2, 2, 2), (2, 2, 2)), ((3, 3, 3), (1, 1, 1))],
)
@pytest.mark.parametrize("size", [(4, 6, 8), (5, 7, 9), (2, 7, 6), (1, 1, 2)])
def test_pooling_is_the_maximum_of_what_lies_inside(
    kernel: tuple[int, int, int], stride: tuple[int, int, int], size: tuple[int, ...]
) -> None:
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1)) - 5  # all negative: zero padding would win
    pooled = SameMaxPool3d(kernel, stride)(x)
    assert pooled.shape[2:] == tuple(math.ceil(n / s) for n, s in zip(size, stride, strict=True))
    for place in itertools.product(*map(range, pooled.shape[2:])):
        box = []
        for at, k, s, n in zip(place, kernel, stride, size, strict=True):
            before = max(k - (s if n % s == 0 else n % s), 0) // 2
            box.append(slice(max(0, at * s - before), at * s - before + k))
        assert torch.equal(pooled[(..., *place)], x[(..., *box)].amax(dim=(2, 3, 4)))


def test_pooling_on_the_cpu_does_not_depend_on_the_memory_layout() -> None:
    x = torch.randn(1, 4, 4, 9, 10, generator=torch.Generator().manual_seed(2))
    pool = SameMaxPool3d((3, 3, 3), (2, 2, 2))
    assert torch.equal(pool(x), pool(x.contiguous(memory_format=torch.channels_last_3d)))


@pytest.mark.parametrize("in_channels", [3, 2])
def test_names_and_shapes_are_those_of_the_published_checkpoints(in_channels: int) -> None:
    with torch.device("meta"):
        network = I3D(in_channels)
    own = {name: tuple(value.shape) for name, value in network.state_dict().items() if "num_batches" not in name}
    assert own == published_shapes(in_channels)


def test_the_full_network_has_12_3_million_parameters_layer_by_layer() -> None:
    with torch.device("meta"):
        network = I3D(3, classes=0)
    trained = sum(
        math.prod(shape)
        for name, shape in published_shapes(3).items()
        if "running" not in name and not name.startswith("logits")
    )
    assert sum(value.numel() for value in network.parameters()) == trained == 12_287_264


def test_shapes_through_the_network_are_those_of_the_paper() -> None:
    expected = {
        "Conv3d_1a_7x7": (64, 32, 112, 112),
        "MaxPool3d_2a_3x3": (64, 32, 56, 56),
        "Conv3d_2b_1x1": (64, 32, 56, 56),
        "Conv3d_2c_3x3": (192, 32, 56, 56),
        "MaxPool3d_3a_3x3": (192, 32, 28, 28),
        "Mixed_3b": (256, 32, 28, 28),
        "Mixed_3c": (480, 32, 28, 28),
        "MaxPool3d_4a_3x3": (480, 16, 14, 14),
        "Mixed_4b": (512, 16, 14, 14),
        "Mixed_4c": (512, 16, 14, 14),
        "Mixed_4d": (512, 16, 14, 14),
        "Mixed_4e": (528, 16, 14, 14),
        "Mixed_4f": (832, 16, 14, 14),
        "MaxPool3d_5a_2x2": (832, 8, 7, 7),
        "Mixed_5b": (832, 8, 7, 7),
        "Mixed_5c": (1024, 8, 7, 7),
    }
    with torch.device("meta"):
        network = I3D(3).eval()
        seen: dict[str, tuple[int, ...]] = {}
        for name in network.layers:
            getattr(network, name).register_forward_hook(
                lambda module, inputs, output, name=name: seen.update({name: tuple(output.shape[1:])})
            )
        clips = torch.empty(2, 3, 64, 224, 224)
        assert network.features(clips).shape == (2, 1024)
        assert seen == expected
        assert network(clips).shape == (2, 400)


@pytest.mark.parametrize("size", [(8, 32, 32), (9, 33, 47), (1, 17, 20)])
def test_any_size_of_clip_goes_through(size: tuple[int, int, int]) -> None:
    network = I3D(2, width=1 / 16, classes=5).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 2, *size)).shape == (1, 5)


def test_width_scales_every_channel_count() -> None:
    with torch.device("meta"):
        network = I3D(3, width=0.25, classes=0)
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    assert shapes["Conv3d_1a_7x7.conv3d.weight"] == (16, 3, 7, 7, 7)
    assert shapes["Mixed_5c.b1b.conv3d.weight"] == (96, 48, 3, 3, 3)
    assert "logits.conv3d.weight" not in shapes


def test_an_inception_block_puts_its_branches_in_the_published_order() -> None:
    """Each branch passes one constant of its own: what comes out tells where it went."""
    network = I3D(3, width=1 / 16, classes=0).eval()
    block = network.Mixed_3b
    for number, unit in enumerate((block.b0, block.b1b, block.b2b, block.b3b), start=1):
        torch.nn.init.zeros_(unit.conv3d.weight)
        torch.nn.init.constant_(unit.bn.bias, number)
    with torch.inference_mode():
        out = block(torch.rand(1, 12, 2, 4, 4))[0, :, 0, 0, 0]
    assert out.tolist() == [1.0] * 4 + [2.0] * 8 + [3.0] * 2 + [4.0] * 2


def test_features_are_the_mean_and_logits_a_linear_map_of_them() -> None:
    torch.manual_seed(0)
    network = I3D(3, width=1 / 16, classes=7).eval()
    clips = torch.randn(2, 3, 8, 32, 32)
    x: Tensor = clips
    with torch.inference_mode():
        for name in network.layers:
            x = getattr(network, name)(x)
        assert torch.allclose(network.features(clips), x.flatten(2).mean(dim=2), atol=1e-6)
        head = network.logits.conv3d
        assert head.bias is not None
        linear = network.features(clips) @ head.weight[:, :, 0, 0, 0].T + head.bias
        assert torch.allclose(network(clips), linear, atol=1e-5)
