"""A run finds the manifests that it was trained on, also after its workspace was moved."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dataset_tools.core.errors import InputError
from fmn.config import Config, with_values
from fmn.training.run_folder import manifest_for
from fmn.training.train import train

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")


def test_a_run_names_its_manifest_relative_to_itself_within_a_workspace(
    workspace: Path, small: Config, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    shutil.copytree(workspace, place)
    inside, outside = place / "runs" / "study" / "one", tmp_path / "run"
    for run in (inside, outside):
        train(place / "manifests" / "train.jsonl", with_values(small, {"training.epochs": 1}), run)
    moved = place.rename(tmp_path / "moved")
    assert manifest_for(moved / "runs" / "study" / "one", "test.jsonl") == moved / "manifests" / "test.jsonl"
    with pytest.raises(InputError) as caught:
        manifest_for(outside, "test.jsonl")
    assert caught.value.where == str(place / "manifests" / "test.jsonl")
