from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_rows import clip_row
from safetensors import safe_open
from safetensors.torch import save_file

from dataset_tools.manifests import write_rows
from fmn.features import pretrain as module
from fmn.features.backbone import Backbone
from fmn.features.config import DEMO_VIDEO, VideoFeatureConfig
from fmn.features.media import Media
from fmn.features.pretrain import labeled_clips, main
from fmn.features.windows import read_windows


@pytest.fixture
def workspace(tmp_path: Path, write_clip: Callable[..., Media]) -> Path:
    """A workspace of six clips of three classes, two actions."""
    root = tmp_path / "ws"
    (root / "clips").mkdir(parents=True)
    rows = []
    for number, class_id in enumerate(("cut_apple_knife", "wash_apple", "cut_lime_knife") * 2):
        clip = write_clip(f"clip{number}", seed=number)
        clip_id = f"s{10 + number}-d01_000001-000040"
        clip.path.rename(root / "clips" / f"{clip_id}.mp4")
        rows.append(clip_row(clip_id, class_id, fps=25.0, width=64, height=48, sha256=clip.sha256))
    write_rows(root / "manifests" / "clips.jsonl", rows)
    return root


@pytest.fixture
def tiny_demo(tiny: VideoFeatureConfig, monkeypatch: pytest.MonkeyPatch) -> VideoFeatureConfig:
    monkeypatch.setattr(module, "DEMO_VIDEO", tiny)
    return tiny


def test_labels_are_classes_or_actions(workspace: Path) -> None:
    manifest = workspace / "manifests" / "clips.jsonl"
    assert [clip.label for clip in labeled_clips([manifest], "action")] == ["cut", "wash", "cut"] * 2
    classes = [clip.label for clip in labeled_clips([manifest], "class")]
    assert classes == ["cut_apple_knife", "wash_apple", "cut_lime_knife"] * 2
    assert labeled_clips([manifest], "class")[0].media.path.is_file()


def test_the_file_is_what_the_backbone_starts_from(
    workspace: Path, tiny_demo: VideoFeatureConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "weights.safetensors"
    manifest = str(workspace / "manifests" / "clips.jsonl")
    options = ["--validation", manifest, "--epochs", "2", "--batch", "3", "--cache", str(tmp_path / "cache")]
    assert main([manifest, *options, "--out", str(out)]) == 0
    assert ", validation accuracy " in capsys.readouterr().out
    with safe_open(out, "pt") as file:
        said = json.loads(file.metadata()["fmn"])
        assert set(said) == {"rgb", "flow"}
        assert said["rgb"]["labels"] == ["cut_apple_knife", "cut_lime_knife", "wash_apple"]
        assert said["rgb"]["recipe"]["epochs"] == 2
        assert said["rgb"]["config"]["width"] == tiny_demo.width
        assert said["flow"]["clips"] == {"ws": 6}
        assert 0 <= said["flow"]["accuracy"] <= 100
        assert file.get_tensor("rgb.Conv3d_1a_7x7.conv3d.weight").dtype == torch.float16
        assert file.get_tensor("flow.Mixed_5c.b0.bn.running_var").dtype == torch.float32
    clip = labeled_clips([workspace / "manifests" / "clips.jsonl"], "class")[0].media
    windows = read_windows(clip.path, tiny_demo)
    feature = Backbone(replace(tiny_demo, weights=str(out))).window_features(windows)
    untrained = Backbone(tiny_demo).window_features(windows)
    assert np.isfinite(feature).all()
    assert not np.allclose(feature, untrained, atol=1e-2)


def test_the_same_command_writes_the_same_bytes(workspace: Path, tiny_demo: VideoFeatureConfig, tmp_path: Path) -> None:
    manifest = str(workspace / "manifests" / "clips.jsonl")
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for number, out in enumerate(files):
        options = ["--epochs", "1", "--label", "class", "--cache", str(tmp_path / "cache"), "--jobs", str(1 + number)]
        assert main([manifest, *options, "--out", str(out)]) == 0
    assert files[0].read_bytes() == files[1].read_bytes()


def test_one_stream_can_be_trained_beside_the_other(
    workspace: Path, tiny_demo: VideoFeatureConfig, tmp_path: Path
) -> None:
    manifest, both, parts = str(workspace / "manifests" / "clips.jsonl"), tmp_path / "a.safetensors", tmp_path / "b"
    options = ["--epochs", "1", "--cache", str(tmp_path / "cache")]
    assert main([manifest, *options, "--out", str(both)]) == 0
    for stream in ("flow", "rgb"):
        assert main([manifest, *options, "--streams", stream, "--out", str(parts)]) == 0
    with safe_open(both, "pt") as one, safe_open(parts, "pt") as other:
        assert set(one.keys()) == set(other.keys())
        assert all(torch.equal(one.get_tensor(name), other.get_tensor(name)) for name in one.keys())  # noqa: SIM118


def test_a_clip_that_cannot_be_decoded_ends_it_with_a_message(
    workspace: Path, tiny_demo: VideoFeatureConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    next((workspace / "clips").iterdir()).write_text("no video")
    manifest = str(workspace / "manifests" / "clips.jsonl")
    assert main([manifest, "--out", str(tmp_path / "w.safetensors"), "--cache", str(tmp_path / "cache")]) == 2
    assert "1 clip cannot be decoded" in capsys.readouterr().err
    assert not (tmp_path / "w.safetensors").exists()


@pytest.mark.parametrize("metadata", [None, {"fmn": "{}"}])
def test_a_file_of_something_else_is_not_replaced(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], metadata: dict[str, str] | None
) -> None:
    out = tmp_path / "w.safetensors"
    save_file({"theirs": torch.ones(1)}, out, metadata)
    before = out.read_bytes()
    options = ["--out", str(out), "--cache", str(tmp_path / "cache")]
    assert main([str(workspace / "manifests" / "clips.jsonl"), *options]) == 2
    assert "not a backbone that this command trained" in capsys.readouterr().err
    assert out.read_bytes() == before
    assert not (tmp_path / "cache").exists()  # it is refused before anything is decoded


def test_demo_weights_will_stay_under_five_megabytes() -> None:
    from fmn.features.i3d import I3D

    with torch.device("meta"):
        streams = [I3D(channels, classes=20, width=DEMO_VIDEO.width) for channels in (3, 2)]
    values = [value for stream in streams for value in stream.state_dict().values()]
    assert sum(value.numel() * (2 if value.dim() > 1 else 4) for value in values) < 4_900_000
