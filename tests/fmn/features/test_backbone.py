from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import normalize

from dataset_tools.core.errors import InputError
from fmn.features.backbone import Backbone, initialize, load_networks, moving_noise, scaling
from fmn.features.config import VideoFeatureConfig
from fmn.features.i3d import I3D
from fmn.features.media import Media
from fmn.features.windows import ClipWindows, read_windows


def states(config: VideoFeatureConfig, seed: int = 0) -> dict[str, dict[str, torch.Tensor]]:
    """State dicts of both streams in the published layout, head included, batch counters absent."""
    torch.manual_seed(seed)
    found = {}
    for stream, channels in (("rgb", 3), ("flow", 2)):
        network = I3D(channels, classes=6, width=config.width)
        found[stream] = {k: v for k, v in network.state_dict().items() if "num_batches" not in k}
    return found


def windows(count: int, config: VideoFeatureConfig, seed: int = 0) -> ClipWindows:
    rng = np.random.default_rng(seed)
    shape = (count, config.window_frames, config.crop_px, config.crop_px)
    return ClipWindows(
        rng.integers(0, 256, (*shape, 3), dtype=np.uint8), rng.integers(-127, 128, (*shape, 2), dtype=np.int8)
    )


def test_bytes_become_minus_one_to_one(tiny: VideoFeatureConfig) -> None:
    scale = scaling(tiny)
    rgb = scale["rgb"](torch.tensor([0, 255, 51], dtype=torch.uint8).reshape(1, 1, 1, 1, 3))
    assert rgb.shape == (1, 3, 1, 1, 1)
    assert rgb.flatten().tolist() == pytest.approx([-1, 1, -0.6])
    flow = scale["flow"](torch.tensor([-127, 127], dtype=torch.int8).reshape(1, 1, 1, 1, 2))
    assert flow.flatten().tolist() == [-1, 1]


def test_pixels_of_the_resnet_are_normalized_as_its_model_zoo_says() -> None:
    config = VideoFeatureConfig(backbone="i3d_r50", flow="none", weights="random")
    rgb = scaling(config)["rgb"](torch.tensor([0, 255, 51], dtype=torch.uint8).reshape(1, 1, 1, 1, 3))
    assert rgb.flatten().tolist() == pytest.approx([(x - 0.45) / 0.225 for x in (0, 1, 0.2)])


def test_a_feature_is_the_mean_over_windows_rgb_before_flow(
    tiny: VideoFeatureConfig, features_of: Callable[..., list[Any]]
) -> None:
    clip = windows(3, tiny)
    networks = load_networks(tiny)
    scale = scaling(tiny)
    expected = []
    with torch.inference_mode():
        for stream, pixels in (("rgb", clip.rgb), ("flow", clip.flow)):
            assert pixels is not None
            network = networks[stream].eval()
            each = [network.features(scale[stream](torch.from_numpy(pixels[i : i + 1]))) for i in range(3)]
            expected.append(torch.cat(each).mean(dim=0))
    found = features_of(Backbone(tiny), [clip])[0]
    assert found.shape == (tiny.dim,)
    assert found.dtype == np.float32
    assert np.allclose(found, torch.cat(expected).numpy(), atol=1e-4, rtol=1e-4)


def test_neighbors_and_grouping_change_no_bit(tiny: VideoFeatureConfig, features_of: Callable[..., list[Any]]) -> None:
    backbone = Backbone(tiny)
    clips = [windows(count, tiny, seed) for seed, count in enumerate((1, 2, 1, 5, 2))]
    together = features_of(backbone, clips)
    alone = [features_of(backbone, [clip])[0] for clip in clips]
    backwards = features_of(backbone, clips[::-1])[::-1]
    for a, b, c in zip(together, alone, backwards, strict=True):
        assert np.array_equal(a, b)
        assert np.array_equal(a, c)


def test_weights_come_from_a_folder_of_published_files(tiny: VideoFeatureConfig, tmp_path: Path) -> None:
    made = states(tiny)
    torch.save(made["rgb"], tmp_path / "rgb_imagenet.pt")
    torch.save(made["flow"], tmp_path / "flow_imagenet.pt")
    networks = load_networks(replace(tiny, weights=str(tmp_path)))
    for stream, state in made.items():
        loaded = networks[stream].state_dict()
        assert all(torch.equal(loaded[name], value) for name, value in state.items() if not name.startswith("logits"))


def test_weights_come_from_one_safetensors_file_also_at_half_precision(
    tiny: VideoFeatureConfig, tmp_path: Path
) -> None:
    made = states(tiny)
    path = tmp_path / "both.safetensors"
    save_file({f"{stream}.{k}": v.half() for stream, state in made.items() for k, v in state.items()}, path)
    networks = load_networks(replace(tiny, weights=str(path)))
    weight = networks["flow"].state_dict()["Mixed_5c.b0.conv3d.weight"]
    assert weight.dtype == torch.float32
    assert torch.equal(weight, made["flow"]["Mixed_5c.b0.conv3d.weight"].half().float())


def test_the_source_names_weights_by_content_and_not_by_place(tiny: VideoFeatureConfig, tmp_path: Path) -> None:
    def source(folder: str, seed: int) -> str:
        (tmp_path / folder).mkdir()
        for stream, state in states(tiny, seed).items():
            save_file(state, tmp_path / folder / f"{stream}.safetensors")
        return Backbone(replace(tiny, weights=str(tmp_path / folder))).source

    assert source("a", 0) == source("b", 0) != source("c", 1)


def test_the_source_follows_configuration_and_seed(tiny: VideoFeatureConfig) -> None:
    sources = {Backbone(config).source for config in (tiny, replace(tiny, seed=1), replace(tiny, flow_bound_px=4.0))}
    assert len(sources) == 3
    assert Backbone(tiny).source in sources


def test_every_parameter_that_does_not_fit_is_named(tiny: VideoFeatureConfig, tmp_path: Path) -> None:
    made = states(tiny)
    del made["rgb"]["Mixed_3b.b0.conv3d.weight"]
    made["rgb"]["Mixed_9z.b0.conv3d.weight"] = torch.zeros(1)
    made["rgb"]["Conv3d_1a_7x7.bn.bias"] = torch.zeros(64)
    for stream, state in made.items():
        save_file(state, tmp_path / f"{stream}.safetensors")
    with pytest.raises(InputError) as caught:
        load_networks(replace(tiny, weights=str(tmp_path)))
    for part in (
        "3 parameters differ",
        "missing Mixed_3b.b0.conv3d.weight",
        "unexpected Mixed_9z.b0.conv3d.weight",
        "Conv3d_1a_7x7.bn.bias is [64], expected [4]",
        "(rgb stream)",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize("present", [[], ["rgb.pt"], ["rgb.pt", "rgb_old.pt", "flow.pt"]])
def test_a_folder_must_hold_one_file_a_stream(tiny: VideoFeatureConfig, tmp_path: Path, present: list[str]) -> None:
    made = states(tiny)
    for name in present:
        torch.save(made[name.split(".")[0].split("_")[0]], tmp_path / name)
    with pytest.raises(InputError, match=r"contains [02] files of weights for the (rgb|flow) stream"):
        load_networks(replace(tiny, weights=str(tmp_path)))


def test_one_file_is_not_enough_for_two_streams(tiny: VideoFeatureConfig, tmp_path: Path) -> None:
    path = tmp_path / "rgb_imagenet.pt"
    torch.save(states(tiny)["rgb"], path)
    with pytest.raises(InputError, match="two streams"):
        load_networks(replace(tiny, weights=str(path)))
    networks = load_networks(replace(tiny, weights=str(path), flow="none"))
    assert set(networks) == {"rgb"}
    torch.save(states(tiny)["flow"], path)
    assert set(load_networks(replace(tiny, weights=str(path), rgb=False))) == {"flow"}


def test_published_weights_that_are_not_here_name_address_and_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FMN_WEIGHTS", str(tmp_path))
    with pytest.raises(InputError) as caught:
        load_networks(VideoFeatureConfig())
    assert "fmn weights download" in str(caught.value)
    assert str(tmp_path / "rgb_imagenet.pt") in str(caught.value)


def test_real_windows_are_described(
    write_clip: Callable[..., Media], tiny: VideoFeatureConfig, features_of: Callable[..., list[Any]]
) -> None:
    backbone = Backbone(tiny)
    one, other = (read_windows(write_clip(f"clip{seed}", seed=seed).path, tiny) for seed in (0, 1))
    first, second = features_of(backbone, [one, other])
    assert np.isfinite(first).all()
    assert not np.allclose(first, second, atol=1e-3)


def random_i3d(config: VideoFeatureConfig, stream: str = "rgb") -> I3D:
    network = I3D(3 if stream == "rgb" else 2, classes=0, width=config.width)
    initialize(network, stream, config)
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
