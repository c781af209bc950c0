"""Training of a system on a manifest, with resuming of interrupted runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dataset_tools.core.errors import InputError
from dataset_tools.core.progress import Progress, Warn, silent
from dataset_tools.core.seeds import training_seed
from dataset_tools.core.unicode_names import require_unicode
from fmn.config import Config
from fmn.data.items import Items, TrainValSplit, load_items, train_val_split
from fmn.data.loading import FeatureDataset, load_features
from fmn.data.outdated_pairs import outdated_pairs
from fmn.data.pseudo_labels import spoken_pairs, with_pseudo_labels
from fmn.features.media import reasons
from fmn.metrics.directions import DIRECTIONS
from fmn.models.memory_capacity import PAPER_CAPACITY, capacity_note, with_capacity
from fmn.models.retrieval_model import fit_generator
from fmn.random_state import isolated_random_state
from fmn.systems import find_system
from fmn.torch_threads import threads
from fmn.training.checkpoint import About, load_run, load_state, save_checkpoint, save_config, save_state
from fmn.training.distributed import ALONE, Processes
from fmn.training.learned_classes import NEW_CLASSES_FILE
from fmn.training.own_features import check_same_features, shortened
from fmn.training.result_files import set_aside_results
from fmn.training.run_lock import run_lock
from fmn.training.run_state import (
    RunState,
    check_patience,
    earlier_state,
    items_digest,
    with_earlier_capacity,
    written_manifest,
)
from fmn.training.stop_messages import translate_errors
from fmn.training.trainer import TrainingLoop

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


@dataclass(frozen=True)
class RunSummary:
    """Result of `train`.

    Attributes:
        run: the run's folder.
        system: the system's name.
        epochs: epochs trained in total.
        best_epoch: the epoch whose weights are in the checkpoint.
        validation: class hit@1 and mean average precision on fold 0 at that epoch, percent; empty without fold 0.
        clips, utterances, pairs, classes: how many it was trained on.
        parameters: number of learned parameters.
        seconds: training time over all calls.
        already_finished: whether there was nothing left to do.
        failures: items without features, with the reason.
        notes: caveats to show with the run's results.
        earlier_results: folder to which results of the weights before were moved; None if there were none.
    """

    run: Path
    system: str
    epochs: int
    best_epoch: int
    validation: dict[str, float]
    clips: int
    utterances: int
    pairs: int
    classes: int
    parameters: int
    seconds: float
    already_finished: bool
    failures: dict[str, str]
    notes: tuple[str, ...]
    earlier_results: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}


@dataclass(frozen=True, eq=False)
class TrainingPlan:
    """What `train` trains on, before anything is computed.

    Attributes:
        config: the complete configuration.
        items: items of the manifest; with ``training.refit``, none are in fold 0; with ``training.labels=pairs``, the
            pairs are only those whose utterance was spoken for the clip.
    """

    config: Config
    items: Items

    @property
    def parts(self) -> TrainValSplit:
        """The training and validation items, provided that all have features."""
        return train_val_split(self.items)

    def earlier_state(self, run: Path, *, resume: bool = False, processes: int = 1) -> RunState | None:
        """State of the run to continue; None: training starts (`fmn.training.run_state.earlier_state`)."""
        return earlier_state(run, self.config, self.items.manifest, resume=resume, processes=processes)


def plan_training(manifest: Path, config: Config, root: Path | None = None, run: Path | None = None) -> TrainingPlan:
    """Completes the configuration and loads the items of the manifest; see `train` for arguments and errors."""
    require_unicode(run or manifest)
    config = find_system(config.system).complete(config)
    config = config if run is None else with_earlier_capacity(config, run)
    items = load_items(manifest, root).required_to_train()
    items = items.without_fold_0() if config.training.refit else items
    items = spoken_pairs(items) if config.training.labels == "pairs" else items
    plan = TrainingPlan(with_capacity(config, len(items.classes)), items)
    check_patience(config, plan.items)
    return plan


def train(
    manifest: Path | str,
    config: Config,
    run: Path | str,
    *,
    root: Path | str | None = None,
    device: str = "auto",
    jobs: int | None = None,
    resume: bool = False,
    progress: Progress = silent,
    warn: Warn | None = None,
    processes: Processes = ALONE,
) -> RunSummary:
    """Trains ``config.system`` on a manifest into the folder ``run``; resumes an interrupted run.

    The checkpoint holds the weights of the epoch with the best mean average precision on fold 0, averaged over both
    directions. Fold 0 is not trained on; its items are added to the memories at the very end. With ``training.refit``
    it is trained on like the others, and the checkpoint holds the weights of the last epoch. Calls in threads queue.

    Metrics, plots and predictions of a run that is trained further are moved to a folder earlier-results-N in it.

    Args:
        manifest: train.jsonl.
        config: the configuration; to resume a run, it may differ only in the number of epochs (an extended run has one
            validation more, that of its earlier last epoch).
        run: folder of the run, created if missing.
        root: the workspace, if it is not the parent of the manifest's folder.
        device: ``auto``, or a torch device name.
        jobs: workers for features; None: one per core.
        resume: raise an error if there is no run to resume.
        progress: progress callback.
        warn: called before anything is computed, if the data set was changed after the pairs of the manifest were made;
            None: this is not checked.
        processes: the processes that train this run, including this one (`fmn.training.distributed`). The first one
            writes the run; the others read its initial state, so they need the same folder or a copy.

    Raises:
        InputError: the manifest is invalid or a test manifest; or the run has another configuration, manifest or number
            of processes, or was started with other items or features.
        StoppedError: interrupted, or the device or the disk is full; the same call resumes.
        ToolkitError: the loss is not finite.
    """
    manifest, run, root = Path(manifest), Path(run), None if root is None else Path(root)
    plan = plan_training(manifest, config, root, run)
    config, items = plan.config, plan.items
    chosen = processes.device(device)
    with run_lock(run) if processes.is_first else nullcontext():
        state = plan.earlier_state(run, resume=resume, processes=processes.count)
        if state is not None and state.ended(config):
            return _summary(run, config, state, already_finished=True)
        if (run / NEW_CLASSES_FILE).is_file():
            raise InputError(
                "The run has learned new classes since it was trained, which belong to its current checkpoint",
                where=run / NEW_CLASSES_FILE,
                next_step="remove it to continue training, then run fmn learn again; or train into another --run",
            )
        if warn is not None and processes.is_first:
            for caveat in outdated_pairs(items):
                warn(caveat)
        with translate_errors(run):
            with processes.first_ahead():
                prepared = load_features(items, config, device=chosen, jobs=jobs, progress=progress)
            if state is not None:
                check_same_features(run, state, prepared)
            training = config.training
            if training.labels == "pairs":
                clusters = config.memory.capacity or PAPER_CAPACITY
                prepared = with_pseudo_labels(prepared, clusters, training.seed)
            with isolated_random_state(chosen, deterministic=training.deterministic), threads(training.threads):
                state, earlier = _train(prepared, config, run, state, progress, processes)
        return replace(_summary(run, config, state, already_finished=False), earlier_results=earlier)


def _train(
    prepared: FeatureDataset,
    config: Config,
    run: Path,
    state: RunState | None,
    progress: Progress,
    processes: Processes,
) -> tuple[RunState, Path | None]:
    """Trains to the end, from ``state`` or from scratch; returns also where results of earlier weights were moved."""
    items, data = prepared.items, prepared.data
    earlier: Path | None = None
    parts = train_val_split(items)
    torch.manual_seed(training_seed(config.training.seed, "weights"))
    audio_layers = data.audio_dim // data.audio_band if config.audio.learns_layers else 1
    model = find_system(config.system).model(config, data.video_dim, data.audio_dim, audio_layers).to(data.device)
    model.prepare(data, parts.train_clips, parts.train_utterances)
    loop = TrainingLoop(config, model, data, parts, processes)
    if state is None:
        learns = not find_system(config.system).joint
        state = _first_state(run, prepared, parts, loop, learns=learns)
    else:
        load_state(run, model, loop.optimizer, data.device)
        state.notes = list(dict.fromkeys([*state.notes, *_notes_of_precision(config, data.device)]))
    fitted = items.of_ids(set(state.fitted_clips), set(state.fitted_utterances))
    state.fitted_sha256 = items_digest(fitted.clips, fitted.utterances)  # also of a run of an earlier version
    state.features = list(prepared.sources)
    state.own_features = [shortened(own) for own in prepared.own] if any(prepared.own) else []
    state.failures = reasons(prepared.failures)
    state.finished = False
    if processes.is_first:
        save_config(run, config)
    with _events(run, state.epoch) if processes.is_first else nullcontext() as events:
        while state.epoch < loop.epochs and not state.patience_is_over(config.training.patience):
            _next_epoch(loop, state, events, progress)
            if not processes.is_first:
                continue
            if state.best_epoch == state.epoch:
                dims = (data.video_dim, data.audio_dim)
                about = About(config.system, items.classes, *dims, prepared.sources, state.epoch, audio_layers)
                earlier = set_aside_results(run) or earlier  # at once: until now, they are those of the checkpoint
                save_checkpoint(run, model, about)
            save_state(run, model, loop.optimizer, asdict(state))
    state.finished = True
    if not processes.is_first:
        return state, None
    if not parts.leaks:
        best = load_run(run, data.device)
        clips = np.union1d(parts.train_clips, parts.validation_clips)
        utterances = np.union1d(parts.train_utterances, parts.validation_utterances)
        best.model.fit_after_epoch(data, clips, utterances, fit_generator(config.training.seed, "all"))
        earlier = set_aside_results(run) or earlier
        save_checkpoint(run, best.model, best.about)
    save_state(run, model, loop.optimizer, asdict(state))
    return state, earlier


def _next_epoch(loop: TrainingLoop, state: RunState, events: SummaryWriter | None, progress: Progress) -> None:
    """Trains one epoch, validates if due, and records the figures in ``state`` and ``events``."""
    started, cpu_started = time.perf_counter(), time.process_time()
    epoch, before, total = state.epoch + 1, state.epoch * loop.pairs_per_epoch, loop.epochs * loop.pairs_per_epoch
    note = state.line(loop.epochs)
    figures = loop.run_epoch(epoch, lambda done: progress("train", before + done, total, note))
    if loop.validates(epoch):
        figures |= loop.validate()
    figures = loop.processes.of_first(figures)
    state.add(figures, seconds=time.perf_counter() - started, cpu_seconds=time.process_time() - cpu_started)
    if events is not None:
        for name, value in figures.items():
            events.add_scalar(name, value, epoch)
    progress("train", before + loop.pairs_per_epoch, total, state.line(loop.epochs))


def _first_state(
    run: Path, prepared: FeatureDataset, parts: TrainValSplit, loop: TrainingLoop, *, learns: bool
) -> RunState:
    """The state before the first epoch."""
    items = prepared.items
    validated = (  # if fold 0 leaks, some or all are among the fitted ones
        np.setdiff1d(parts.validation_clips, parts.train_clips),
        np.setdiff1d(parts.validation_utterances, parts.train_utterances),
    )
    notes = [*prepared.notes, *_notes_of_values(loop.config, len(items.classes))]
    notes += _notes_of_precision(loop.config, loop.data.device)
    if loop.config.training.refit:
        notes.append("Trained on all folds (--refit): no validation, the weights are those of the last epoch.")
    elif parts.caveat is not None:
        notes.append(parts.caveat)
    return RunState(
        manifest=written_manifest(run, items.manifest, items.workspace),
        manifest_sha256=items.manifest_sha256,
        fitted_clips=[items.clips[index].id for index in parts.train_clips if learns],
        fitted_utterances=[items.utterances[index].id for index in parts.train_utterances if learns],
        validated_clips=[items.clips[index].id for index in validated[0] if learns],
        validated_utterances=[items.utterances[index].id for index in validated[1] if learns],
        pairs=len(parts.train_pairs),
        classes=len(items.classes),
        parameters=loop.parameters,
        processes=loop.processes.count,
        notes=notes,
        slots_by_classes=True,
    )


def _notes_of_precision(config: Config, device: torch.device) -> list[str]:
    """The caveat of a precision that the device does not have, which may be another one when a run is resumed."""
    if config.training.amp == "off" or device.type == "cuda":
        return []
    return [f"training.amp=bf16 has no effect on the device {device.type}: computed in float32."]


def _notes_of_values(config: Config, classes: int) -> Iterator[str]:
    """Yields caveats of values that have no effect, or an unwanted one."""
    system = find_system(config.system)
    if unread := system.unread(config, classes):
        yield f"Not used by {config.system}: {', '.join(f'{name}={value}' for name, value in unread.items())}."
    too_few = capacity_note(config, classes)
    if too_few is not None and not system.ignores("memory.capacity", config):
        yield too_few


def _summary(run: Path, config: Config, state: RunState, *, already_finished: bool) -> RunSummary:
    return RunSummary(
        run=run,
        system=config.system,
        epochs=state.epoch,
        best_epoch=state.best_epoch,
        validation={name: value for name, value in state.best.items() if name.startswith(DIRECTIONS)},
        clips=len(state.fitted_clips),
        utterances=len(state.fitted_utterances),
        pairs=state.pairs,
        classes=state.classes,
        parameters=state.parameters,
        seconds=state.seconds,
        already_finished=already_finished,
        failures=state.failures,
        notes=tuple(state.notes),
    )


@contextmanager
def _events(run: Path, epoch: int) -> Iterator[SummaryWriter]:
    """TensorBoard writer of the run; purges events that an interrupted call wrote after ``epoch``."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(run, purge_step=epoch + 1)
    try:
        yield writer
    finally:
        writer.close()
