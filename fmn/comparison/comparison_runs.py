"""Runs of a comparison: training and scoring on the test manifest; a failing run does not stop the others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from dataset_tools.core.errors import InputError, SampleError, StoppedError, ToolkitError
from dataset_tools.core.execution import run_each
from dataset_tools.core.files import clear_partial, sha256_of
from fmn.config import Config
from fmn.data.items import load_items, manifest_changed
from fmn.data.loading import features_digest, find_device, load_features
from fmn.evaluation.evaluate import all_scores, measure, write_metrics
from fmn.evaluation.run_manifests import METRICS_FILE
from fmn.features.encoder_facts import KnownEncoders, know_encoders, known_encoders
from fmn.torch_threads import threads
from fmn.training.checkpoint import CONFIG_FILE, load_run
from fmn.training.learned_classes import NEW_CLASSES_FILE
from fmn.training.memory_allocation import give_back_freed_memory, keep_freed_memory
from fmn.training.run_state import RunState, check_not_extended, read_run_state, validation_score
from fmn.training.tensor_files import save_tensors
from fmn.training.train import train

SCORES_FILE = "scores.safetensors"
SCORES_FORMAT = "fmn.scores/1"


@dataclass(frozen=True)
class Task:
    """A run to train and test.

    Attributes:
        system: the system's name. config: its configuration. run: folder of the run.
        train: the training manifest. test: the test manifest, or None to skip testing.
        train_sha256, test_sha256: their SHA-256. trained_on, tested_on: digests of the features of both
            (`fmn.data.loading.features_digest`). root: the workspace, or None.
        device: torch device name.
    """

    system: str
    config: Config
    run: Path
    train: Path
    test: Path | None
    train_sha256: str
    test_sha256: str
    trained_on: str
    tested_on: str
    root: Path | None
    device: str

    @property
    def test_digest(self) -> str:
        """Identifies the test data that scores depend on, besides the run."""
        return f"{self.test_sha256}-{self.tested_on}"


@dataclass(frozen=True)
class RunResult:
    """Outcome of a run.

    Attributes:
        task: the run.
        validation_score: mean average precision on fold 0, percent; −1 if there is none.
        parameters: parameters learned by gradients. seconds: wall time of training. cpu_seconds: CPU time of all
            cores. epochs: epochs trained. best_epoch: epoch of the saved weights.
        error: why it failed; None if it succeeded.
    """

    task: Task
    validation_score: float = -1.0
    parameters: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    epochs: int = 0
    best_epoch: int = 0
    error: ToolkitError | None = None


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of a run on test items.

    Attributes:
        values: [N, M] float32. clips: N ids. utterances: M ids.
    """

    values: NDArray[np.float32]
    clips: list[str]
    utterances: list[str]


def run_task(task: Task) -> RunResult:
    """Trains a run and scores the test manifest with it, skipping steps that are already done.

    Raises:
        StoppedError: interrupted.
    """
    keep_freed_memory()
    try:
        state = read_run_state(task.run)
        if state is not None and not _has_its_data(state, task):
            shutil.rmtree(task.run)  # features or pairs changed while an earlier call trained it
        elif state is not None:
            check_not_extended(task.run, state.epoch, task.config)  # before training, which would change it
        if not _is_trained(task):
            if sha256_of(task.train) != task.train_sha256:  # a run on it would be of no use
                raise manifest_changed(task.train)
            train(task.train, task.config, task.run, root=task.root, device=task.device, jobs=1)
        state = read_run_state(task.run)
        assert state is not None
        if not _has_its_data(state, task):
            raise _features_changed(task)
        if task.test is not None and read_scores(task.run, task.test_digest) is None:
            _score(task, task.test)
        found = validation_score(state.best)
        return RunResult(
            task=task,
            validation_score=-1.0 if found is None else found,
            parameters=state.parameters,
            seconds=state.seconds,
            cpu_seconds=state.cpu_seconds,
            epochs=state.epoch,
            best_epoch=state.best_epoch,
        )
    except StoppedError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise
        return RunResult(task, error=error)  # exhausted memory concerns only this system
    except ToolkitError as error:
        return RunResult(task, error=error)
    except Exception as error:  # one failing system never stops the others
        return RunResult(task, error=_failure(task, f"{type(error).__name__}: {error}"))
    finally:
        give_back_freed_memory()


def run_tasks(tasks: Sequence[Task], *, jobs: int) -> Iterator[RunResult]:
    """Yields the results of tasks as they finish; with ``jobs`` = 1 in this process, otherwise in worker processes.

    A worker that dies (killed, out of memory) loses other runs, too: each of them is retried alone.

    Raises:
        StoppedError: workers cannot start, as in a script without ``if __name__ == "__main__":``; or interrupted.
    """
    if jobs == 1:
        yield from map(run_task, tasks)
        return
    known = known_encoders()
    for outcome in run_each(
        _run_in_worker, [(task, known) for task in tasks], jobs=jobs, key=lambda item: item[0].system
    ):
        task = outcome.item[0]
        yield outcome.result or RunResult(task, error=outcome.error and _failure(task, outcome.error.found))


def _run_in_worker(item: tuple[Task, KnownEncoders]) -> RunResult:
    """Runs a task with what the parent process knows about encoders."""
    task, known = item
    know_encoders(known)
    return run_task(task)


def read_scores(run: Path, test_digest: str) -> Scores | None:
    """Reads the scores of a run on the test data with this digest (`Task.test_digest`); None if there are none."""
    try:
        with safe_open(run / SCORES_FILE, framework="np") as file:
            header = file.metadata() or {}
            if header.get("format") != SCORES_FORMAT or header.get("test_digest") != test_digest:
                return None
            clips, utterances = (msgspec.json.decode(header[name], type=list[str]) for name in ("clips", "utterances"))
            values = file.get_tensor("scores")
            return Scores(values, clips, utterances) if values.shape == (len(clips), len(utterances)) else None
    except (SafetensorError, OSError, KeyError, ValueError, RecursionError):  # not written by `_score`
        return None


def _is_trained(task: Task) -> bool:
    if not (task.run / CONFIG_FILE).is_file():
        return False
    state = read_run_state(task.run)
    return state is not None and state.ended(task.config)


def _has_its_data(state: RunState, task: Task) -> bool:
    has_features = features_digest(state.features, state.failures) == task.trained_on
    return has_features and state.manifest_sha256 == task.train_sha256


def _features_changed(task: Task) -> InputError:
    return InputError(
        f"The features changed while the systems were trained: those of {task.system} differ from those at the start",
        where=task.run,
        expected="the same features for all systems, from the first to the last run",
        next_step="run the same command again: it retrains the system",
    )


def _score(task: Task, test: Path) -> None:
    """Writes the scores of the test items and, next to them, metrics.json."""
    if (task.run / NEW_CLASSES_FILE).is_file():
        raise InputError(
            "The run has learned new classes since it was trained, which change its scores",
            where=task.run / NEW_CLASSES_FILE,
            expected="the run as it was trained here",
            next_step="move this file elsewhere, and run the same command again; fmn learn --out learns into a copy",
        )
    device = find_device(task.device)
    loaded = load_run(task.run, device)
    items = load_items(test, task.root)
    if items.manifest_sha256 != task.test_sha256:
        raise manifest_changed(test)
    prepared = load_features(items, loaded.config, device=device, jobs=1)
    if prepared.digest != task.tested_on:
        raise _features_changed(task)
    with threads(loaded.config.training.threads):
        scores = all_scores(loaded, prepared)
    metrics = measure(scores, prepared.items)  # raises an error for NaN
    clear_partial(task.run)
    write_metrics(task.run / METRICS_FILE, metrics, items)
    header = {
        "format": SCORES_FORMAT,
        "test_digest": task.test_digest,
        "clips": json.dumps([row.id for row in prepared.items.clips]),
        "utterances": json.dumps([row.id for row in prepared.items.utterances]),
    }
    save_tensors(task.run / SCORES_FILE, {"scores": torch.from_numpy(scores)}, header)


def _failure(task: Task, found: str) -> SampleError:
    return SampleError(
        found,
        where=task.run,
        expected="a run that is trained and tested",
        next_step="run the same command again to retry; or leave the system out with --models",
    )
