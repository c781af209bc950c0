"""A run finds the manifests that it was trained on, also after its workspace was moved."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dataset_tools.core.errors import InputError
from fmn.config import Config, with_values
from fmn.evaluation.evaluate import evaluate
from fmn.training.checkpoint import load_config, save_config
from fmn.training.run_folder import manifest_for
from fmn.training.run_state import read_run_state, training_manifest
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
    (moved / "runs").rename(tmp_path / "other disk")
    (moved / "runs").symlink_to(tmp_path / "other disk")
    linked = moved / "runs" / "study" / "one"
    assert manifest_for(linked, "test.jsonl") == moved / "manifests" / "test.jsonl"
    state = read_run_state(linked)
    assert state is not None
    absolute = replace(state, manifest=str(place / "manifests" / "train.jsonl"))  # what a run behind a link records
    assert training_manifest(linked, absolute) == moved / "manifests" / "train.jsonl"
    with pytest.raises(InputError) as caught:
        manifest_for(outside, "test.jsonl")
    assert caught.value.where == str(place / "manifests" / "test.jsonl")


@pytest.mark.parametrize("content", ["", '{"system": "fm'])
def test_whoever_has_a_damaged_config_json_can_do_what_the_message_says(
    workspace: Path, small: Config, tmp_path: Path, content: str
) -> None:
    """Training into the same folder is refused again, unless the folder is removed."""
    manifest, run, config = (
        workspace / "manifests" / "train.jsonl",
        tmp_path / "one",
        with_values(small, {"training.epochs": 1}),
    )
    train(manifest, config, run)
    (run / "config.json").write_text(content)
    for use in (lambda: load_config(run), lambda: train(manifest, config, run)):
        with pytest.raises(InputError, match="not valid JSON") as caught:
            use()
        assert caught.value.next_step == (
            "restore the file; or train again with another --run, or into this folder after removing it"
        )
    shutil.rmtree(run)
    assert train(manifest, config, run).epochs == 1


def test_a_trained_run_is_kept_if_its_training_state_is_damaged(run: Path, workspace: Path) -> None:
    """The message used to advise to remove the whole folder."""
    test = workspace / "manifests" / "test.jsonl"
    (run / "state.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be read") as caught:
        evaluate(run, test, device="cpu")
    assert caught.value.where == str(run / "state.safetensors")
    assert "remove it, which keeps the trained weights, and name" in str(caught.value.next_step)
    (run / "state.safetensors").unlink()
    assert evaluate(run, test, device="cpu").clips == 12


@pytest.mark.parametrize("content", ["not JSON", '{"model_type": "bert"}'])
def test_the_config_json_of_something_else_is_not_replaced(
    workspace: Path, small: Config, tmp_path: Path, content: str
) -> None:
    """Such as that of a model of Hugging Face. The config.json of a run that was killed at once is replaced."""
    run = tmp_path / "bert"
    run.mkdir()
    (run / "config.json").write_text(content)
    with pytest.raises(InputError, match="not that of a run") as caught:
        train(workspace / "manifests" / "train.jsonl", small, run)
    assert caught.value.where == str(run / "config.json")
    assert [(path.name, path.read_text()) for path in run.iterdir() if path.suffix == ".json"] == [
        ("config.json", content)
    ]
    save_config(run, small)
    train(workspace / "manifests" / "train.jsonl", with_values(small, {"training.epochs": 1}), run)
    assert load_config(run).training.epochs == 1
