from __future__ import annotations

from dataclasses import replace

import torch
from torch.nn.functional import normalize

from fmn.features.config import VideoFeatureConfig
from fmn.features.i3d import I3D
from fmn.features.initial import initialise, moving_noise


def random_i3d(config: VideoFeatureConfig, stream: str = "rgb") -> I3D:
    network = I3D(3 if stream == "rgb" else 2, classes=0, width=config.width)
    initialise(network, stream, config)
    return network.eval()


def test_the_seed_decides_the_weights(tiny: VideoFeatureConfig) -> None:
    first, again, other = (random_i3d(replace(tiny, seed=seed)).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["Mixed_5c.b0.conv3d.weight"], other["Mixed_5c.b0.conv3d.weight"])


def test_the_streams_are_not_copies_of_each_other(tiny: VideoFeatureConfig) -> None:
    rgb, flow = random_i3d(tiny).state_dict(), random_i3d(tiny, "flow").state_dict()
    assert not torch.equal(rgb["Mixed_5c.b0.conv3d.weight"], flow["Mixed_5c.b0.conv3d.weight"])


def test_features_neither_vanish_nor_explode_and_keep_clips_apart(tiny: VideoFeatureConfig) -> None:
    clips = moving_noise("rgb", 16, 64, torch.Generator().manual_seed(99))
    set_up = random_i3d(tiny)
    identity = random_i3d(tiny)
    for module in identity.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.reset_running_stats()

    def alike(network: I3D) -> float:
        with torch.inference_mode():
            features = network.features(clips)
        assert torch.isfinite(features).all()
        cosines = normalize(features) @ normalize(features).T
        return float(cosines[~torch.eye(len(clips), dtype=torch.bool)].mean())

    with torch.inference_mode():
        size = set_up.features(clips).square().mean().sqrt()
    assert 0.1 < size < 3
    assert alike(set_up) < alike(identity) - 0.02


def test_later_training_runs_with_the_usual_momentum(tiny: VideoFeatureConfig) -> None:
    norms = [module for module in random_i3d(tiny).modules() if isinstance(module, torch.nn.BatchNorm3d)]
    assert {norm.momentum for norm in norms} == {0.01}


def test_noise_is_smooth_moving_and_in_range() -> None:
    noise = moving_noise("flow", 16, 64, torch.Generator().manual_seed(0))
    assert noise.shape == (8, 2, 16, 64, 64)
    assert noise.abs().max() <= 1
    assert 0.08 < noise.std() < 0.12
    assert noise.diff(dim=-1).abs().mean() < noise.std() / 4
    assert noise.diff(dim=2).abs().mean() > 0
