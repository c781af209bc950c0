from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import filelock
import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import fmn.training.trainer
from dataset_tools.core.errors import InputError, StoppedError, ToolkitError
from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from fmn.config import Config, with_values
from fmn.data.batches import ItemTensors
from fmn.evaluation.evaluate import evaluate
from fmn.metrics.directions import DIRECTIONS
from fmn.systems import find_system
from fmn.training.checkpoint import load_run
from fmn.training.run_state import RunState, read_run_state
from fmn.training.stop_messages import translate_errors
from fmn.training.train import train
from fmn.training.trainer import TrainingLoop

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")


def manifest_of(workspace: Path) -> Path:
    return workspace / "manifests" / "train.jsonl"


def test_training_learns_the_classes_and_leaves_a_whole_run(
    workspace: Path, small: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)  # once an earlier test has imported the compiler, the first call imports it again
    for compiler in ("torch._dynamo", "torch._inductor"):  # importing it takes a second or two, and fails here
        monkeypatch.setitem(sys.modules, compiler, None)
    run = workspace / "runs" / "one"
    config = with_values(small, {"training.epochs": 25, "training.validate_every": 5})
    calls: list[tuple[str, int, int, str]] = []
    summary = train(
        manifest_of(workspace),
        config,
        run,
        progress=lambda *call: calls.append((*call, "")[:4]),  # type: ignore[arg-type]
    )
    assert (summary.clips, summary.utterances, summary.pairs, summary.classes) == (16, 16, 64, 4)
    assert summary.epochs == 25
    assert summary.best_epoch % 5 == 0
    assert not summary.already_finished
    assert {path.name.split(".")[0] for path in run.iterdir()} >= {"config", "checkpoint", "state", "events"}
    # 12 test items of 4 classes: chance is about 25 %.
    metrics = evaluate(run, workspace / "manifests" / "test.jsonl").metrics
    assert metrics["audio_to_video"]["class_hit"]["1"] > 60
    assert metrics["video_to_audio"]["class_hit"]["1"] > 60
    assert [call[:3] for call in calls if call[0] == "train"][-1] == ("train", 25 * 64, 25 * 64)
    assert "hit@1" in calls[-1][3]
    assert "epoch 25/25" in calls[-1][3]


def test_the_summary_says_what_the_best_epoch_was(workspace: Path, small: Config) -> None:
    run = workspace / "runs" / "one"
    summary = train(manifest_of(workspace), with_values(small, {"training.epochs": 6}), run)
    state = read_run_state(run)
    assert state is not None
    validation_score = {
        int(entry["epoch"]): entry["audio_to_video_map"] + entry["video_to_audio_map"] for entry in state.history
    }
    assert summary.best_epoch == min(validation_score, key=lambda epoch: (-validation_score[epoch], epoch))
    assert summary.validation["audio_to_video_map"] == state.history[summary.best_epoch - 1]["audio_to_video_map"]
    assert load_run(run, torch.device("cpu")).about.epoch == summary.best_epoch


def test_the_callers_random_state_is_left_alone(workspace: Path, small: Config) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    train(manifest_of(workspace), with_values(small, {"training.epochs": 1}), workspace / "runs" / "one")
    assert torch.equal(torch.rand(4), expected)


def test_two_commands_do_not_train_into_one_folder(workspace: Path, small: Config) -> None:
    run = workspace / "runs" / "one"
    run.mkdir(parents=True)
    with filelock.FileLock(run / ".lock"), pytest.raises(StoppedError, match="Another command is training"):
        train(manifest_of(workspace), small, run)


def test_a_loss_that_is_no_number_ends_training_and_keeps_what_was_before(
    workspace: Path, small: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = workspace / "runs" / "one"
    real = fmn.training.trainer.augmented
    batches = 0

    def breaking(*arguments: Any) -> Any:
        nonlocal batches
        batches += 1
        sequences = real(*arguments)
        return sequences._replace(frames=sequences.frames * float("nan")) if batches == 12 else sequences

    monkeypatch.setattr(fmn.training.trainer, "augmented", breaking)  # 8 batches an epoch: it happens in the second
    with pytest.raises(ToolkitError, match="NaN or infinite") as raised:
        train(manifest_of(workspace), small, run)
    assert raised.value.where == "epoch 2"
    assert "training.learning_rate" in str(raised.value.next_step)
    state = read_run_state(run)
    assert state is not None
    assert state.epoch == 1


def test_full_memory_is_explained(workspace: Path, small: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: ItemTensors, pairs: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(ItemTensors, "batch", full)
    with pytest.raises(StoppedError, match="Out of memory: CUDA out of memory") as raised:
        train(manifest_of(workspace), small, workspace / "runs" / "one")
    assert "training.batch_size=32" in str(raised.value.next_step)


def test_errors_of_libraries_of_a_gpu_are_explained(tmp_path: Path) -> None:
    full = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
    with pytest.raises(StoppedError, match=f"Out of memory: {re.escape(full)}"), translate_errors(tmp_path):
        raise RuntimeError(full)
    of_torch = (
        "histc_cuda does not have a deterministic implementation, but you set 'torch.use_deterministic_algorithms"
    )
    explained = "histc_cuda does not have a deterministic implementation on this device"
    with pytest.raises(InputError, match=explained), translate_errors(tmp_path):
        raise RuntimeError(of_torch)


def test_an_unforeseen_error_stays_what_it_is(workspace: Path, small: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: ItemTensors, pairs: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(ItemTensors, "batch", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        train(manifest_of(workspace), small, workspace / "runs" / "one")


def test_patience_ends_training_early_and_for_good(workspace: Path, small: Config) -> None:
    run = workspace / "runs" / "one"
    config = with_values(small, {"training.epochs": 60, "training.patience": 3})
    summary = train(manifest_of(workspace), config, run)
    assert summary.epochs == summary.best_epoch + 3 < 60
    assert train(manifest_of(workspace), config, run).already_finished


@pytest.mark.parametrize(("patience", "gap"), [(2, 5), (5, 5), (7, 10)])
def test_training_stops_at_a_validation(
    workspace: Path, small: Config, monkeypatch: pytest.MonkeyPatch, patience: int, gap: int
) -> None:
    def validate(self: TrainingLoop) -> dict[str, float]:
        names = (f"{direction}_{name}" for direction in DIRECTIONS for name in ("map", "hit@1"))
        return dict.fromkeys(names, next(scores))

    monkeypatch.setattr(TrainingLoop, "validate", validate)
    scores = iter([40.0, 50.0, 45.0, 45.0, 45.0])  # after epochs 5, 10, ...
    values = {"training.epochs": 40, "training.patience": patience, "training.validate_every": 5}
    run = workspace / "runs" / "one"
    summary = train(manifest_of(workspace), with_values(small, values), run)
    assert (summary.best_epoch, summary.epochs) == (10, 10 + gap)
    state = read_run_state(run)
    assert state is not None
    assert "audio_to_video_map" in state.history[-1]


def test_a_run_that_an_earlier_version_stopped_between_validations_is_finished(
    workspace: Path, small: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, scores = workspace / "runs" / "one", iter([50.0, 45.0])  # after the epochs 3 and 6
    values = {"training.epochs": 12, "training.patience": 4, "training.validate_every": 3}
    config = with_values(small, values)
    with monkeypatch.context() as patch:
        names = [f"{direction}_{name}" for direction in DIRECTIONS for name in ("map", "hit@1")]
        patch.setattr(TrainingLoop, "validate", lambda self: dict.fromkeys(names, next(scores)))
        patch.setattr(RunState, "patience_is_over", lambda self, patience: self.epoch - self.best_epoch >= patience)
        assert train(manifest_of(workspace), config, run).epochs == 7
    again = train(manifest_of(workspace), config, run)
    assert (again.already_finished, again.best_epoch, again.epochs) == (True, 3, 7)


def test_bfloat16_without_a_gpu_is_noted(workspace: Path, small: Config) -> None:
    config = with_values(small, {"training.amp": "bf16", "training.epochs": 1})
    summary = train(manifest_of(workspace), config, workspace / "runs" / "one", device="cpu")
    assert "training.amp=bf16 has no effect on the device cpu: computed in float32." in summary.notes


def test_bfloat16_is_noted_of_a_run_that_is_resumed_without_a_gpu(
    workspace: Path, small: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, run = with_values(small, {"training.amp": "bf16", "training.epochs": 1}), workspace / "runs" / "one"
    with monkeypatch.context() as patch:
        patch.setattr("fmn.training.train._notes_of_precision", lambda *_: [])  # as on a GPU
        assert not any("bf16" in note for note in train(manifest_of(workspace), config, run, device="cpu").notes)
    for _ in range(2):
        config = with_values(config, {"training.epochs": config.training.epochs + 1})
        notes = train(manifest_of(workspace), config, run, device="cpu").notes
        assert notes.count("training.amp=bf16 has no effect on the device cpu: computed in float32.") == 1


def test_nothing_is_validated_where_fold_0_has_no_class_of_both_kinds(workspace: Path, small: Config) -> None:
    """As if features of some of its few items could not be computed."""

    def is_left(row: SplitPairRow) -> bool:
        clip_of, utterance_of = (
            None if part.id[:3] != "s00" else int(row.label.id[-1]) for part in (row.clip, row.utterance)
        )
        return clip_of in (None, 0) and utterance_of in (None, 1)  # in fold 0: clips of class 0, utterances of 1

    rows = [row for row in read_rows(manifest_of(workspace), SplitPairRow) if is_left(row)]
    write_rows(manifest_of(workspace), rows)
    summary = train(manifest_of(workspace), small, workspace / "runs" / "one")
    assert (summary.validation, summary.best_epoch) == ({}, small.training.epochs)
    assert any("no fold 0 with clips and utterances of a class: no validation" in note for note in summary.notes)


def test_patience_without_validation_is_refused(workspace: Path, small: Config) -> None:
    manifest, run = manifest_of(workspace), workspace / "runs" / "one"
    patient = with_values(small, {"training.patience": 3})
    with pytest.raises(InputError, match=r"Nothing is validated.*training\.patience=3") as refused:
        train(manifest, with_values(patient, {"training.refit": True}), run)
    assert refused.value.where == "training.refit"
    rows = list(read_rows(manifest, SplitPairRow))
    write_rows(manifest, [msgspec.structs.replace(row, fold=row.fold or 1) for row in rows])
    with pytest.raises(InputError, match="Nothing is validated") as refused:
        train(manifest, patient, run)
    assert refused.value.where == str(manifest)
    assert not run.exists()


def test_fold_0_is_never_fitted(workspace: Path, small: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[tuple[int, int]] = set()
    real = ItemTensors.batch

    def watched(self: ItemTensors, pairs: np.ndarray) -> Any:
        seen.update(map(tuple, pairs.tolist()))
        return real(self, pairs)

    monkeypatch.setattr(ItemTensors, "batch", watched)
    train(manifest_of(workspace), small, workspace / "runs" / "one")
    # Ids sort by person, which is the fold: the items of fold 0 are the first four.
    assert {clip for clip, _ in seen} == set(range(4, 20))
    assert {utterance for _, utterance in seen} == set(range(4, 20))


def test_a_refit_trains_on_all_folds_to_the_end(
    workspace: Path, small: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[int] = set()
    real = ItemTensors.batch

    def watched(self: ItemTensors, pairs: np.ndarray) -> Any:
        seen.update(pairs[:, 0].tolist())
        return real(self, pairs)

    monkeypatch.setattr(ItemTensors, "batch", watched)
    config = with_values(small, {"training.refit": True})
    summary = train(manifest_of(workspace), config, workspace / "runs" / "one")
    assert seen == set(range(20))
    assert (summary.clips, summary.utterances) == (20, 20)
    assert (summary.epochs, summary.best_epoch, summary.validation) == (3, 3, {})
    assert any("Trained on all folds" in note for note in summary.notes)
    with pytest.raises(InputError, match="another configuration"):
        train(manifest_of(workspace), small, workspace / "runs" / "one")


def test_all_training_items_are_in_the_memory_at_the_end_and_no_others(workspace: Path, small: Config) -> None:
    run = workspace / "runs" / "one"
    config = with_values(small, {"memory.score_threshold": 0.0})
    train(manifest_of(workspace), config, run)
    counts = load_file(run / "checkpoint.safetensors")["memory.counts"]
    assert int(counts.sum()) == 20  # each of the 20 clips and utterances once
    last = load_file(run / "state.safetensors")["model.memory.counts"]
    assert int(last.sum()) == 16  # before the end: without fold 0


def test_without_fold_0_the_last_epoch_counts_and_it_is_said(workspace: Path, small: Config) -> None:
    manifest = manifest_of(workspace)
    write_rows(manifest, [msgspec.structs.replace(row, fold=None) for row in read_rows(manifest, SplitPairRow)])
    summary = train(manifest, small, workspace / "runs" / "one")
    assert (summary.best_epoch, summary.pairs, summary.validation) == (3, 100, {})
    assert any("no fold 0" in note for note in summary.notes)


def test_a_split_of_pairs_is_trained_and_called_leaking(workspace: Path, small: Config) -> None:
    manifest = manifest_of(workspace)
    rows = read_rows(manifest, SplitPairRow)
    write_rows(manifest, [msgspec.structs.replace(row, fold=n % 5) for n, row in enumerate(list(rows))])
    summary = train(manifest, small, workspace / "runs" / "one")
    assert (summary.pairs, summary.clips) == (80, 20)
    assert any("too high" in note for note in summary.notes)


def test_the_printed_form_trains_too(workspace: Path, small: Config) -> None:
    from fmn.config import as_published

    run = workspace / "runs" / "printed"
    config = with_values(as_published(small), {"memory.score_threshold": 0.0})
    train(manifest_of(workspace), config, run)
    tensors = load_file(run / "checkpoint.safetensors")
    assert tensors["memory.video_slots"].shape == (10, 12)  # raw features
    assert int(tensors["memory.counts"].sum()) > 0
    metrics = evaluate(run, workspace / "manifests" / "test.jsonl").metrics
    assert metrics["audio_to_video"]["queries"] == 12


def test_a_run_with_the_old_name_of_its_system_is_evaluated_and_resumed(workspace: Path, small: Config) -> None:
    config = with_values(find_system("fmn_as_published").adapt(small), {"system": "fmn_as_published"})
    whole, old = workspace / "runs" / "whole", workspace / "runs" / "old"
    train(manifest_of(workspace), config, whole)
    train(manifest_of(workspace), with_values(config, {"training.epochs": 2}), old)
    stored = (old / "config.json").read_text()
    assert stored.count('"fmn_as_published"') == 1
    (old / "config.json").write_text(stored.replace("fmn_as_published", "fmn_printed"))
    assert evaluate(old, workspace / "manifests" / "test.jsonl").metrics["audio_to_video"]["queries"] == 12
    assert train(manifest_of(workspace), config, old).epochs == config.training.epochs
    one, other = (load_run(run, torch.device("cpu")) for run in (whole, old))
    assert other.config == one.config
    other_state = other.model.state_dict()
    assert all(torch.equal(tensor, other_state[name]) for name, tensor in one.model.state_dict().items())


def test_training_and_using_a_run_take_the_threads_that_its_configuration_names(
    workspace: Path, small: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []
    encode = ItemTensors.utterances

    def noting(self: ItemTensors, indices: Any) -> Any:
        found.append(torch.get_num_threads())
        return encode(self, indices)

    monkeypatch.setattr(ItemTensors, "utterances", noting)
    run = workspace / "runs" / "one"
    train(manifest_of(workspace), with_values(small, {"training.threads": 3, "training.epochs": 1}), run)
    evaluate(run, workspace / "manifests" / "test.jsonl")
    assert set(found) == {3}
    assert torch.get_num_threads() == 1
