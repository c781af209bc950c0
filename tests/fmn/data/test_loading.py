"""Caveats of features: the demo network was trained on rendered kitchens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fmn.config import DEMO, PRESETS
from fmn.data import loading
from fmn.data.items import load_items
from fmn.features.config import VideoFeatureConfig
from fmn.features.media import FeatureSet, Media


@pytest.mark.parametrize(
    ("weights", "built", "warned"),
    [
        ("demo", '{"stand_in": null}', True),
        ("demo", '{"stand_in": {"seed": 0}}', False),
        ("demo", "{}", False),  # of unknown footage
        ("demo", None, False),
        ("random", '{"stand_in": null}', False),
    ],
)
def test_recorded_footage_with_the_demo_network_gets_a_warning(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, weights: str, built: str | None, *, warned: bool
) -> None:
    def extract(media: list[Media], config: VideoFeatureConfig, **_: object) -> FeatureSet:
        values = {one.sha256: torch.zeros(4, 3).numpy() for one in media}
        return FeatureSet(3, values, note=getattr(config, "note", None))

    monkeypatch.setattr(loading, "extract_video", extract)
    monkeypatch.setattr(loading, "extract_audio", extract)
    if built is not None:
        (workspace / "manifests" / "build.json").write_text(built)
    config = replace(DEMO, video=replace(DEMO.video, weights=weights))
    items = load_items(workspace / "manifests" / "train.jsonl")
    notes = loading.load_features(items, config, device=torch.device("cpu")).notes
    assert any("--preset light" in note for note in notes) == warned
    assert "light" in PRESETS  # what the warning recommends exists
