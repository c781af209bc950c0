from __future__ import annotations

import numpy as np
import pytest
import torch

from dataset_tools.core import torch_compat
from fmn.features.backbone import Backbone, load_networks
from fmn.features.config import VideoFeatureConfig
from fmn.features.resnet import I3DResNet50
from fmn.features.windows import ClipWindows

CONFIG = VideoFeatureConfig(
    backbone="i3d_r50", flow="none", weights="random", sample_fps=3.75, window_frames=8, resize_px=40, crop_px=32
)


@pytest.fixture(scope="module")
def network() -> I3DResNet50:
    torch.manual_seed(0)
    return I3DResNet50().eval()


def test_names_and_values_are_those_of_pytorchvideo_without_the_head(network: I3DResNet50) -> None:
    whole = torch_compat.pytorchvideo_resnet().i3d_r50(pretrained=False).eval()
    body = {name: value for name, value in whole.state_dict().items() if not name.startswith("blocks.6.")}
    network.load_state_dict(body)
    whole.blocks[-1] = torch.nn.Identity()
    clips = torch.randn(1, 3, 8, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = whole(clips)
        found = network.features(clips)
    assert expected.shape[1] == found.shape[1] == 2048
    assert torch.allclose(found, expected.mean(dim=(2, 3, 4)), atol=1e-6)


def test_it_has_the_parameters_of_a_resnet_50_inflated(network: I3DResNet50) -> None:
    # pytorchvideo's 28,043,472 less the classifier of 2048 × 400 weights and 400 biases.
    assert sum(value.numel() for value in network.parameters()) == 28_043_472 - 2048 * 400 - 400


def test_it_describes_clips() -> None:
    rng = np.random.default_rng(0)
    clip = ClipWindows(rng.integers(0, 256, (1, 8, 32, 32, 3), dtype=np.uint8), None)
    feature = Backbone(CONFIG).window_features(clip)[0]
    assert feature.shape == (2048,)
    assert np.isfinite(feature).all()


def test_a_file_of_the_model_zoo_is_read(network: I3DResNet50, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("weights") / "I3D_8x8_R50.pyth"
    head = {"blocks.6.proj.weight": torch.zeros(400, 2048), "blocks.6.proj.bias": torch.zeros(400)}
    torch.save({"model_state": {**network.state_dict(), **head}}, path)
    networks = load_networks(
        VideoFeatureConfig(backbone="i3d_r50", flow="none", weights=str(path), window_frames=8, crop_px=32)
    )
    name = "blocks.4.res_blocks.0.branch2.conv_a.weight"
    assert torch.equal(networks["rgb"].state_dict()[name], network.state_dict()[name])
