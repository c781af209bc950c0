from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from dataset_tools.core.errors import InputError
from fmn.features.config import VideoFeatureConfig
from fmn.features.encoder_facts import encoders_loaded_once, known_encoders
from fmn.features.extract import extract_video
from fmn.features.media import FeatureSet, Media

Clip = Callable[..., Media]


@pytest.fixture
def extract(timm: Any, tmp_path: Path) -> Callable[..., FeatureSet]:
    """Features by a tiny image model whose file of weights is written anew where a seed is given."""
    import torch

    file = tmp_path / "weights.safetensors"
    config = VideoFeatureConfig(encoder=f"timm:test_efficientnet@{file}", window_frames=8)

    def features(clips: list[Media], seed: int | None = None) -> FeatureSet:
        if seed is not None:
            torch.manual_seed(seed)
            save_file(timm.create_model("test_efficientnet", pretrained=False).state_dict(), file)
        return extract_video(clips, config, cache=tmp_path / "cache")

    return features


def test_other_weights_under_the_same_name_give_other_features(extract: Any, write_clip: Clip) -> None:
    clip = write_clip("one", frames=8)
    first, second, again = (extract([clip], seed) for seed in (0, 1, 0))
    assert first.source == again.source != second.source
    assert (first.computed, second.computed, again.computed) == (1, 1, 0)
    np.testing.assert_array_equal(first.values[clip.sha256], again.values[clip.sha256])
    assert np.abs(first.values[clip.sha256] - second.values[clip.sha256]).max() > 1e-4


def test_weights_that_change_during_a_command_are_refused_before_they_compute(extract: Any, write_clip: Clip) -> None:
    one, two = write_clip("one", frames=8), write_clip("two", frames=8, seed=1)
    with encoders_loaded_once():
        first = extract([one], 0)
        assert extract([one], 1).source == first.source  # cached: what the command began with
        with encoders_loaded_once(), pytest.raises(InputError, match="changed while the command was running"):
            extract([one, two])
        assert len(known_encoders()) == 1
    assert not known_encoders()
    assert extract([one, two]).computed == 2  # the next command takes the weights that are there
