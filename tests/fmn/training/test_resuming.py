"""Runs that are stopped, resumed, repeated, or called again on other configurations, manifests and features."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from dataset_tools.core.errors import InputError, StoppedError, ToolkitError
from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from fmn.config import Config, with_values
from fmn.evaluation.evaluate import evaluate
from fmn.features.media import FeatureSet
from fmn.training.checkpoint import load_run
from fmn.training.run_state import read_run_state
from fmn.training.tensor_files import load_tensors, save_tensors
from fmn.training.train import train

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")

Files = dict[str, Tensor]


def manifest_of(workspace: Path) -> Path:
    return workspace / "manifests" / "train.jsonl"


def files_of(run: Path) -> tuple[Files, Files, dict[str, Any]]:
    state = json.loads((run / "state.json").read_text())
    state.pop("seconds")
    state.pop("cpu_seconds")
    for entry in [*state["history"], state["best"]]:
        entry.pop("pairs_per_s")
    return load_file(run / "checkpoint.safetensors"), load_file(run / "state.safetensors"), state


def assert_same(left: Path, right: Path) -> None:
    for mine, other in zip(files_of(left), files_of(right), strict=True):
        assert mine.keys() == other.keys()
        for name in mine:
            assert torch.equal(mine[name], other[name]) if isinstance(mine[name], Tensor) else mine[name] == other[name]
    assert (left / "checkpoint.safetensors").read_bytes() == (right / "checkpoint.safetensors").read_bytes()


def stopped_after(count: int) -> Callable[..., None]:
    """A progress that interrupts the call when it hears of training the ``count``-th time."""
    heard = 0

    def progress(stage: str, done: int, total: int, note: str = "") -> None:
        nonlocal heard
        heard += stage == "train"
        if heard == count:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("count", [3, 9, 10, 14, 27])  # within the 1st epoch, at its end, in the 2nd, at the very end
def test_a_run_that_was_stopped_ends_as_one_that_was_not(workspace: Path, small: Config, count: int) -> None:
    whole, stopped = workspace / "runs" / "whole", workspace / "runs" / "stopped"
    train(manifest_of(workspace), small, whole)
    with pytest.raises(StoppedError, match="Training was interrupted") as raised:
        train(manifest_of(workspace), small, stopped, progress=stopped_after(count))
    assert raised.value.exit_code == 3
    if count == 14:
        notes = [evaluate(run, workspace / "manifests" / "test.jsonl").notes for run in (stopped, whole)]
        told = "Training has not ended (1 of 3 epochs): the weights are those of epoch 1."
        assert [told in of_run for of_run in notes] == [True, False]
    torch.manual_seed(12345)  # whatever happened in between does not matter
    train(manifest_of(workspace), small, stopped)
    assert_same(whole, stopped)


def test_one_seed_gives_one_result_and_another_seed_another(workspace: Path, small: Config) -> None:
    first, again, other = (workspace / "runs" / name for name in ("first", "again", "other"))
    train(manifest_of(workspace), small, first)
    torch.rand(7)
    train(manifest_of(workspace), small, again)
    train(manifest_of(workspace), with_values(small, {"training.seed": 1}), other)
    assert_same(first, again)
    assert not torch.equal(files_of(first)[0]["map_video.weight"], files_of(other)[0]["map_video.weight"])
    assert (first / "config.json").read_bytes() == (again / "config.json").read_bytes()


def test_a_finished_run_is_left_as_it_is(workspace: Path, small: Config, made_features: dict[str, int]) -> None:
    run = workspace / "runs" / "one"
    first = train(manifest_of(workspace), small, run)
    before = {path: path.read_bytes() for path in run.iterdir()}
    calls = dict(made_features)
    again = train(manifest_of(workspace), small, run)
    assert again == replace(first, already_finished=True)
    assert made_features == calls  # nothing is extracted
    assert {path: path.read_bytes() for path in run.iterdir()} == before


@pytest.mark.parametrize("epochs", [3, 5])
def test_a_run_that_lost_its_checkpoint_is_neither_finished_nor_continued(
    workspace: Path, small: Config, epochs: int
) -> None:
    run, config = workspace / "runs" / "one", with_values(small, {"training.epochs": 3})
    train(manifest_of(workspace), config, run)
    checkpoint = run / "checkpoint.safetensors"
    whole = checkpoint.read_bytes()
    again = with_values(small, {"training.epochs": epochs})
    checkpoint.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read"):
        train(manifest_of(workspace), again, run)
    checkpoint.unlink()
    with pytest.raises(InputError, match="checkpoint of the run is missing") as refused:
        train(manifest_of(workspace), again, run)
    assert "remove the folder" in str(refused.value.next_step)  # the same command again would be refused again
    with pytest.raises(InputError, match="checkpoint of the run is missing"):
        load_run(run, torch.device("cpu"))
    checkpoint.write_bytes(whole)
    assert train(manifest_of(workspace), again, run).epochs == epochs


def test_a_trained_run_without_its_state_is_not_replaced(workspace: Path, small: Config) -> None:
    run = workspace / "runs" / "one"
    train(manifest_of(workspace), with_values(small, {"training.validate_every": 2, "training.epochs": 2}), run)
    state = (run / "state.safetensors").read_bytes()
    (run / "state.safetensors").unlink()  # as in a copy of what fmn eval needs
    checkpoint = (run / "checkpoint.safetensors").read_bytes()
    for resume in (False, True):
        with pytest.raises(InputError, match="not its training state"):
            train(manifest_of(workspace), small, run, resume=resume)
    assert (run / "checkpoint.safetensors").read_bytes() == checkpoint
    (run / "state.safetensors").write_bytes(state)
    assert train(manifest_of(workspace), with_values(small, {"training.validate_every": 2}), run).epochs == 3


def test_a_run_that_was_killed_after_its_first_checkpoint_begins_again(workspace: Path, small: Config) -> None:
    run, whole = workspace / "runs" / "one", workspace / "runs" / "whole"
    train(manifest_of(workspace), with_values(small, {"training.epochs": 1}), run)
    for name in ("state.safetensors", "state.json"):
        (run / name).unlink()
    train(manifest_of(workspace), small, run)
    train(manifest_of(workspace), small, whole)
    assert_same(run, whole)


def test_more_epochs_go_on_from_where_the_run_ended(workspace: Path, small: Config) -> None:
    long, longer = workspace / "runs" / "long", workspace / "runs" / "longer"
    more = with_values(small, {"training.epochs": 5})
    train(manifest_of(workspace), more, long)
    assert train(manifest_of(workspace), small, longer).earlier_results is None
    metrics = evaluate(longer, workspace / "manifests" / "test.jsonl").path.read_bytes()
    for name in ("metrics-other.json", "predictions.jsonl", "scores.safetensors", "plots/recall.png", "plots-other/a"):
        (longer / name).parent.mkdir(exist_ok=True)
        (longer / name).touch()
    with pytest.raises(StoppedError):
        train(manifest_of(workspace), more, longer, progress=stopped_after(1))
    assert (longer / "metrics.json").read_bytes() == metrics  # the checkpoint is still the same
    summary = train(manifest_of(workspace), more, longer, resume=True)
    assert summary.epochs == 5
    earlier = longer / "earlier-results-1"  # none of the weights before stay beside the new ones
    assert summary.earlier_results == earlier
    assert (earlier / "metrics.json").read_bytes() == metrics
    assert len([*earlier.rglob("*.*")]) == 5
    assert not [*longer.glob("metrics*"), *longer.glob("plots*"), *longer.glob("*s.jsonl"), *longer.glob("scores*")]
    assert_same(long, longer)


def test_another_configuration_or_manifest_is_refused(workspace: Path, small: Config) -> None:
    run, manifest = workspace / "runs" / "one", manifest_of(workspace)
    train(manifest, small, run)
    before = {path: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(InputError, match=r"memory.capacity was 10, is 11; training.seed was 0, is 2"):
        train(manifest, with_values(small, {"training.seed": 2, "memory.capacity": 11}), run)
    rows = list(read_rows(manifest, SplitPairRow))
    write_rows(manifest, rows[:-1])
    with pytest.raises(InputError, match="another manifest") as raised:
        train(manifest, small, run)
    assert str(raised.value.where) == str(run)  # which the user may not have named
    assert str(manifest) in raised.value.found
    assert {path: path.read_bytes() for path in run.iterdir()} == before


def test_resume_wants_a_run(workspace: Path, small: Config) -> None:
    with pytest.raises(InputError, match="no run to resume"):
        train(manifest_of(workspace), small, workspace / "runs" / "none", resume=True)


def test_items_without_features_take_no_part_and_are_named(
    workspace: Path, small: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fmn.data.loading

    real = fmn.data.loading.extract_video

    def failing(items: Any, *arguments: Any, **options: Any) -> FeatureSet:
        whole = real(items, *arguments, **options)
        lost = next(item.sha256 for item in items if item.name.startswith("s03-d01"))
        left = {key: value for key, value in whole.values.items() if key != lost}
        return FeatureSet(dim=whole.dim, values=left, failures={lost: ToolkitError("It is torn")})

    monkeypatch.setattr(fmn.data.loading, "extract_video", failing)
    summary = train(manifest_of(workspace), small, workspace / "runs" / "one")
    assert summary.failures == {"s03-d01_000001-000010": "It is torn"}
    assert (summary.clips, summary.pairs) == (15, 60)
    assert train(manifest_of(workspace), small, workspace / "runs" / "one").already_finished
    monkeypatch.setattr(fmn.data.loading, "extract_video", real)
    more = with_values(small, {"training.epochs": small.training.epochs + 1})
    with pytest.raises(InputError, match=r"that had no features .* such as s03-d01_000001-000010"):
        train(manifest_of(workspace), more, workspace / "runs" / "one")
    train(manifest_of(workspace), small, workspace / "runs" / "two")
    monkeypatch.setattr(fmn.data.loading, "extract_video", failing)
    with pytest.raises(
        InputError, match=r"no longer have features \(1\); the first, s03-d01_000001-000010: It is torn"
    ):
        train(manifest_of(workspace), more, workspace / "runs" / "two")


def test_a_run_does_not_resume_on_features_that_were_replaced(
    workspace: Path, small: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fmn.data.loading

    real = fmn.data.loading.extract_audio
    run, more = workspace / "runs" / "one", with_values(small, {"training.epochs": small.training.epochs + 1})
    train(manifest_of(workspace), small, run)
    digest = read_run_state(run).fitted_sha256
    with monkeypatch.context() as patch:
        patch.setattr(fmn.data.loading, "extract_audio", lambda *a, **o: replace(real(*a, **o), source="others"))
        assert train(manifest_of(workspace), small, run).already_finished
        for known in (["video", "audio"], []):  # runs of earlier versions noted neither in their state
            tensors, header = load_tensors(run / "state.safetensors", "fmn.state/1", torch.device("cpu"))
            state = json.loads(header["state"])
            assert state["features"] == ["video", "audio"] or not known
            header["state"] = json.dumps(state | {"features": known, "fitted_sha256": ""})
            save_tensors(run / "state.safetensors", tensors, header)
            with pytest.raises(InputError, match="The features differ from those that the run was trained on"):
                train(manifest_of(workspace), more, run)
    assert train(manifest_of(workspace), more, run).epochs == more.training.epochs
    assert read_run_state(run).fitted_sha256 == digest != ""


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from fmn.training import checkpoint, tensor_files
from fmn.training.run_lock import run_lock

def half(tensors, path, header):
    path.with_name(".tmpAb12Cd").write_bytes(b"half")  # safetensors writes to a file of its own first
    os.kill(os.getpid(), signal.SIGKILL)

tensor_files.save_file = half
with run_lock(Path(sys.argv[1])):
    tensor_files.save_tensors(Path(sys.argv[1]) / checkpoint.STATE_FILE, {"weights": torch.zeros(4)}, {})
"""


def test_what_a_kill_left_half_written_goes_when_the_run_goes_on(workspace: Path, small: Config) -> None:
    run = workspace / "runs" / "one"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(run)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(run.glob(".partial-*/.tmp*"))) == 1
    train(manifest_of(workspace), with_values(small, {"training.epochs": 1}), run)
    assert not list(run.rglob(".partial-*"))
    assert not list(run.rglob(".tmp*"))
