"""The features of clips that a GPU computes are the CPU's."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fmn.config import preset
from fmn.data.items import load_items
from fmn.features.config import VideoFeatureConfig
from fmn.features.extract import extract_video
from fmn.features.media import Media

pytestmark = pytest.mark.gpu

BOUNDS = {"float32": 1e-4, "tf32": 2e-2}  # in shares of the largest value; see test_agreement


def config_of(name: str, device: torch.device) -> VideoFeatureConfig:
    """The demo's network as shipped; the paper's and pytorchvideo's with random weights, tiny in a rehearsal."""
    if name == "demo":
        return preset("demo").video
    paper = replace(preset("paper").video, weights="random")
    if name == "i3d_r50":
        return replace(paper, backbone="i3d_r50", flow="none", windows=1, resize_px=64, crop_px=64, window_frames=16)
    if device.type == "cpu":
        return replace(paper, width=0.0625, resize_px=64, crop_px=64, window_frames=16)
    return replace(paper, windows=1)


@pytest.mark.parametrize("name", ["demo", "paper", "i3d_r50"])
def test_features_agree(
    name: str,
    small: Path,
    set_tf32: Callable[[bool], None],
    device: torch.device,
    tmp_path: Path,
    record: Callable[..., None],
) -> None:
    config = config_of(name, device)
    clips = 2 if device.type == "cpu" else 24 if name == "demo" else 3
    media: list[Media] = load_items(small / "manifests" / "train.jsonl").clip_media()[:clips]
    found, seconds = {}, {}
    for precision, place in (("cpu", "cpu"), ("float32", str(device)), ("tf32", str(device))):
        set_tf32(precision == "tf32")
        started = time.perf_counter()
        features = extract_video(media, config, cache=tmp_path / precision, device=place, jobs=4)
        seconds[precision] = time.perf_counter() - started
        assert not features.failures
        found[precision] = np.stack([features.values[item.sha256] for item in media]).astype(np.float64)
    largest = np.abs(found["cpu"]).max()
    differences = {name: float(np.abs(found[name] - found["cpu"]).max() / largest) for name in BOUNDS}
    record(clips=len(media), differences=differences, bounds=BOUNDS, seconds=seconds)
    assert found["cpu"].std(axis=0).max() > 0
    for precision, bound in BOUNDS.items():
        assert differences[precision] <= bound
