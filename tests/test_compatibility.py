"""Workspaces and runs written by version 0.1.0 (commit db5e539) still load, and score as they did."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from dataset_tools.build_record import read_build
from dataset_tools.core.errors import InputError
from dataset_tools.core.jsonl import Row
from dataset_tools.core.ledger import read_ledger
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, PairRow, SplitPairRow, UtteranceRow, read_rows
from dataset_tools.pairs.split_record import read_split
from fmn.data.batches import ItemTensors
from fmn.models.retrieval_model import encode_all_clips, encode_all_utterances, score_matrix
from fmn.training.checkpoint import load_config, load_run, load_state
from fmn.training.run_folder import manifest_for
from fmn.training.run_state import read_run_state, training_manifest

OLD = Path(__file__).parent / "fixtures" / "workspace_0_1_0"
SCORES = json.loads((OLD / "scores.json").read_text())


@pytest.mark.parametrize(
    ("name", "row_type", "count"),
    [
        ("clips", ClipRow, 12),
        ("utterances", UtteranceRow, 12),
        ("pairs", PairRow, 48),
        ("train", SplitPairRow, 27),
        ("test", SplitPairRow, 3),
    ],
)
def test_manifests(name: str, row_type: type[Row], count: int) -> None:
    assert len(list(read_rows(OLD / "manifests" / f"{name}.jsonl", row_type))) == count


def test_ledger_build_and_split() -> None:
    rows = read_ledger(OLD / "ledger.jsonl")
    assert sum(row.status == "ok" and row.id.startswith("clip/") for row in rows.values()) == 12
    assert read_build(Workspace(OLD)) is not None
    assert read_split(Workspace(OLD)) is not None


@pytest.mark.parametrize("system", sorted(SCORES))
def test_runs_score_as_they_did(system: str) -> None:
    loaded = load_run(OLD / "runs" / system, torch.device("cpu"))
    assert loaded.config.system == system
    random = np.random.default_rng(0)
    video = [random.normal(size=loaded.about.video_dim).astype(np.float32) for _ in range(4)]
    audio = [random.normal(size=(frames, loaded.about.audio_dim)).astype(np.float32) for frames in (20, 35, 50)]
    data = ItemTensors(video, audio, np.zeros(4, int), np.zeros(3, int), torch.device("cpu"))
    clips = encode_all_clips(loaded.model, data, np.arange(4))
    utterances = encode_all_utterances(loaded.model, data, np.arange(3))
    scores = score_matrix(loaded.model, clips, utterances)
    torch.testing.assert_close(scores, torch.tensor(SCORES[system]), rtol=1e-4, atol=1e-5)


def test_configurations_keep_their_values() -> None:
    config = load_config(OLD / "runs" / "fmn")
    assert (config.memory.capacity, config.training.epochs, config.training.seed) == (10, 1, 0)


def test_the_optimizer_of_an_old_run_resumes() -> None:
    run = OLD / "runs" / "fmn"
    model = load_run(run, torch.device("cpu")).model
    optimizer = torch.optim.Adam(model.parameters())
    load_state(run, model, optimizer, torch.device("cpu"))
    found = {str(index): entries["exp_avg"] for index, entries in optimizer.state_dict()["state"].items()}
    with safe_open(run / "state.safetensors", framework="pt") as file:
        saved = {index: file.get_tensor(f"optimiser.{index}.exp_avg") for index in found}
    assert all(torch.equal(found[index], saved[index]) for index in saved)
    assert sum(average.abs().sum() for average in saved.values()) > 0


def test_a_run_of_a_copied_workspace_uses_the_manifests_of_the_copy(tmp_path: Path) -> None:
    copy, original = (Path(shutil.copytree(OLD, tmp_path / name)) for name in ("copy", "original"))
    run = copy / "runs" / "fmn"
    state = read_run_state(run)
    assert state is not None
    own, recorded = (place / "manifests" / "train.jsonl" for place in (copy, original))
    state.manifest = str(recorded)  # version 0.1.0 wrote the place of the time
    assert training_manifest(run, state) == own
    own.write_text("of another content\n")
    assert training_manifest(run, state) == recorded
    recorded.unlink()
    assert training_manifest(run, state) == own
    assert manifest_for(run, "test.jsonl") == own.with_name("test.jsonl")
    shutil.rmtree(own.parent)
    with pytest.raises(InputError) as caught:
        manifest_for(run, "test.jsonl")
    assert "--manifest" in str(caught.value)


def test_the_state_of_training_is_read() -> None:
    state = read_run_state(OLD / "runs" / "fmn")
    assert state is not None
    assert (state.epoch, state.pairs, state.finished) == (1, 12, True)
