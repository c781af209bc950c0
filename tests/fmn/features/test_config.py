from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, fields, replace

import pytest

from dataset_tools.core.errors import InputError
from fmn.config_sections import decisive
from fmn.features.config import (
    DEMO_AUDIO,
    DEMO_VIDEO,
    PAPER_AUDIO,
    PAPER_VIDEO,
    AudioFeatureConfig,
    VideoFeatureConfig,
    one_frame,
)

NEW_KEY = "features would be computed again: is a key new? CONTRIBUTING.md, 'a configuration key'"


def test_the_paper_has_2048_numbers_a_clip() -> None:
    assert PAPER_VIDEO.dim == 1024 + 1024
    assert PAPER_VIDEO.streams == ("rgb", "flow")
    assert (PAPER_VIDEO.resize_px, PAPER_VIDEO.crop_px, PAPER_VIDEO.flow_bound_px) == (256, 224, 20.0)


def test_dims_follow_width_and_streams() -> None:
    assert replace(PAPER_VIDEO, width=0.25).dim == 512
    assert replace(PAPER_VIDEO, flow="none").dim == 1024
    assert VideoFeatureConfig(backbone="i3d_r50", flow="none").dim == 2048
    assert AudioFeatureConfig(n_mfcc=13, deltas=2).dim == 39
    assert AudioFeatureConfig(n_mfcc=13, deltas=0).dim == 13


def test_the_digest_changes_with_every_field_and_with_nothing_else() -> None:
    changed: dict[str, object] = {
        "backbone": "i3d_r50",
        "width": 0.5,
        "weights": "random",
        "seed": 1,
        "sample_fps": 8.0,
        "window_frames": 16,
        "windows": 2,
        "frames": "middle",
        "resize_px": 240,
        "resize": "square",
        "crop_px": 200,
        "flow": "tvl1",
        "flow_bound_px": 10.0,
        "kind": "duration",
        "encoder": "timm:resnet18",
        "pooling": "max",
        "features": "folder",
    }
    base = VideoFeatureConfig(flow="none")
    assert {*changed, "rgb"} == {field.name for field in fields(base)}
    assert replace(PAPER_VIDEO, rgb=False).digest != PAPER_VIDEO.digest
    digests = {base.digest} | {replace(base, **{name: value}).digest for name, value in changed.items()}
    assert len(digests) == 1 + len(changed)
    assert VideoFeatureConfig(flow="none").digest == base.digest
    assert AudioFeatureConfig(n_mfcc=13).digest != PAPER_AUDIO.digest


def test_the_digest_is_the_same_in_another_process() -> None:
    code = "from fmn.features.config import DEMO_AUDIO, DEMO_VIDEO; print(DEMO_VIDEO.digest, DEMO_AUDIO.digest)"
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"}
    )
    assert other.stdout.split() == [DEMO_VIDEO.digest, DEMO_AUDIO.digest]


def test_what_came_later_changes_no_digest_while_it_is_not_used() -> None:
    # Written down before there were encoders: features that were cached then are found again.
    one_window = replace(DEMO_VIDEO, windows=1)  # as the preset had it then
    assert (one_window.digest, PAPER_VIDEO.digest) == ("9d09acd6f60fd600", "a38e77a664cc1fdf"), NEW_KEY
    assert (DEMO_AUDIO.digest, PAPER_AUDIO.digest) == ("561d6ffd4c301ff6", "561d6ffd4c301ff6"), NEW_KEY
    assert one_frame(one_window).digest == "b0ade07c941134ac", NEW_KEY
    later = {"encoder", "features", "pooling", "layer"}
    assert not later & (decisive(DEMO_VIDEO).keys() | decisive(DEMO_AUDIO).keys())
    assert {field.name for field in fields(DEMO_VIDEO)} - later == decisive(DEMO_VIDEO).keys()
    assert {field.name for field in fields(DEMO_AUDIO)} - later == decisive(DEMO_AUDIO).keys()


def test_an_encoder_takes_the_place_of_the_backbone_and_of_mfcc_alone() -> None:
    assert replace(DEMO_VIDEO, encoder="timm:resnet18").kind == "encoder"
    assert replace(DEMO_AUDIO, encoder="hubert_base", layer=6).kind == "encoder"
    color = replace(replace(DEMO_VIDEO, encoder="timm:resnet18"), kind="mean_colour")  # as the baseline asks for it
    assert (color.kind, color.dim) == ("mean_colour", 6)
    assert replace(DEMO_AUDIO, kind="log_mel", encoder="hubert_base").dim == DEMO_AUDIO.n_mels
    with pytest.raises(InputError, match="before they are loaded"):
        _ = replace(DEMO_VIDEO, encoder="timm:resnet18").dim
    for config in (VideoFeatureConfig, AudioFeatureConfig):
        with pytest.raises(InputError, match="encoder is not set"):
            config(kind="encoder")
    with pytest.raises(InputError, match="layer is 6, but there is no encoder"):
        AudioFeatureConfig(layer=6)


@pytest.mark.parametrize(
    "config", [DEMO_VIDEO, PAPER_VIDEO, DEMO_AUDIO, PAPER_AUDIO, replace(DEMO_VIDEO, encoder="timm:resnet18")]
)
def test_a_configuration_survives_json(config: VideoFeatureConfig | AudioFeatureConfig) -> None:
    assert type(config)(**json.loads(json.dumps(asdict(config)))) == config


def test_all_problems_come_in_one_message() -> None:
    with pytest.raises(InputError) as caught:
        VideoFeatureConfig(flow="farneback", crop_px=300, windows=0, width=0.0)  # type: ignore[arg-type]
    for part in (
        "flow is 'farneback', expected one of 'dis', 'dis_fast', 'tvl1', 'none'",
        "resize_px is 256, expected at least 300 (crop_px)",
        "windows is 0: Expected `int` >= 1",
        "width is 0.0: Expected `float` >= 0.0625",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"backbone": "i3d_r50"}, "no flow stream"),
        ({"backbone": "i3d_r50", "flow": "none", "width": 0.5}, "one width"),
        ({"backbone": "i3d_r50", "flow": "none", "weights": "demo"}, "demo weights"),
        ({"weights": ""}, "weights is ''"),
    ],
)
def test_what_does_not_go_together_is_refused(values: dict[str, object], part: str) -> None:
    with pytest.raises(InputError, match=part):
        VideoFeatureConfig(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "values", [{"delta_frames": 4}, {"n_mels": 10}, {"window_ms": 5.0}, {"deltas": 3}, {"sample_rate_hz": 100}]
)
def test_audio_values_that_cannot_work_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(values))):
        AudioFeatureConfig(**values)  # type: ignore[arg-type]


def test_untrained_and_demo_networks_say_so() -> None:
    assert "untrained" in (replace(DEMO_VIDEO, weights="random").note or "")
    assert "stand-in" in (replace(DEMO_VIDEO, weights="demo").note or "")
    assert PAPER_VIDEO.note is None


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, fmn.features; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "torchaudio", "av", "cv2", "numpy", "soundfile"} & set(loaded)


def test_each_stream_can_be_left_out_but_not_both() -> None:
    assert PAPER_VIDEO.streams == ("rgb", "flow")
    assert (replace(PAPER_VIDEO, rgb=False).streams, replace(PAPER_VIDEO, rgb=False).dim) == (("flow",), 1024)
    with pytest.raises(InputError, match="no stream"):
        replace(PAPER_VIDEO, rgb=False, flow="none")
