"""Training state of a run, and the check whether a previous run can be resumed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of
from dataset_tools.manifests import ClipRow, UtteranceRow
from fmn.config import Config, as_dict
from fmn.data.items import Items, train_val_split
from fmn.metrics.directions import DIRECTIONS
from fmn.models.memory_capacity import PAPER_CAPACITY
from fmn.training.checkpoint import (
    CONFIG_FILE,
    STATE_FILE,
    checkpoint_epoch,
    load_config,
    read_state,
    require_checkpoint,
)

Figures = dict[str, float]


@dataclass(kw_only=True)
class RunState:
    """The state of a run after its last complete epoch, as in state.json.

    Attributes:
        manifest: path of the training manifest, relative to the run if both are in the same workspace
            (`training_manifest` resolves it). manifest_sha256: SHA-256 of its content.
        fitted_clips, fitted_utterances: ids of the items that weights are fitted to.
        fitted_sha256: their `items_digest`; empty in runs of earlier versions.
        validated_clips, validated_utterances: ids of the other items that are validated on; None in runs of earlier
            versions.
        pairs: number of pairs they form. classes: number of classes in the manifest.
        parameters: number of learned parameters. processes: number of training processes.
        failures: items without features, with the reason. features: digests that identify the features, video and
            audio; empty in runs of earlier versions. own_features: digests of the user's own features, video and audio,
            by name (`fmn.training.own_features`).
        notes: caveats to show with the run's results.
        slots_by_classes: whether the number of slots, if left out, depends on that of the classes; it was 50 in earlier
            versions, whose runs lack this.
        epoch: epochs trained. finished: whether training has ended.
        seconds: wall time. cpu_seconds: CPU time of all cores, which other programs on the machine affect less.
        best: the figures of the epoch whose weights are in the checkpoint.
        history: the figures of every epoch.
    """

    manifest: str
    manifest_sha256: str
    fitted_clips: list[str]
    fitted_utterances: list[str]
    pairs: int
    classes: int
    parameters: int
    fitted_sha256: str = ""
    validated_clips: list[str] | None = None
    validated_utterances: list[str] | None = None
    processes: int = 1
    failures: dict[str, str] = field(default_factory=dict)
    features: list[str] = field(default_factory=list)
    own_features: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    slots_by_classes: bool = False
    epoch: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    finished: bool = False
    best: Figures = field(default_factory=dict)
    history: list[Figures] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        return int(self.best.get("epoch", 0))

    def add(self, figures: Figures, *, seconds: float, cpu_seconds: float) -> None:
        """Records the figures of one more epoch; the best is the best validated one, or the last without validation."""
        self.epoch += 1
        self.seconds += seconds
        self.cpu_seconds += cpu_seconds
        entry = {"epoch": self.epoch} | figures
        self.history.append(entry)
        new, old = validation_score(entry), validation_score(self.best)
        if old is None or (new is not None and new > old):
            self.best = entry

    def patience_is_over(self, patience: int | None) -> bool:
        """Whether the last epoch was validated, and ``patience`` epochs have passed without an improvement."""
        if patience is None or not self.history or validation_score(self.history[-1]) is None:
            return False
        return self.epoch - self.best_epoch >= patience

    def ended(self, config: Config) -> bool:
        """Whether training is complete; a closed-form system, without parameters, takes one epoch.

        Earlier versions ended a run by patience at any epoch, not only at a validated one.
        """
        patience = config.training.patience
        is_out_of_patience = patience is not None and bool(self.history) and self.epoch - self.best_epoch >= patience
        return self.finished and (self.parameters == 0 or self.epoch >= config.training.epochs or is_out_of_patience)

    def line(self, epochs: int) -> str:
        """Text next to a progress bar."""
        if not self.history:
            return f"epoch 1/{epochs}"
        last = self.history[-1]
        text = f"epoch {self.epoch}/{epochs}  loss {last['loss']:.3f}  {last['pairs_per_s']:,.0f} pairs/s"
        validated = next((entry for entry in reversed(self.history) if validation_score(entry) is not None), None)
        if validated:
            hits = "/".join(f"{validated[f'{direction}_hit@1']:.0f}" for direction in DIRECTIONS)
            text += f"  validation hit@1 {hits}, best epoch {self.best_epoch}"
        return text


def items_digest(clips: Iterable[ClipRow], utterances: Iterable[UtteranceRow]) -> str:
    """Returns a SHA-256 digest of the ids, classes and contents of items."""
    digest = hashlib.sha256()
    for rows in (clips, utterances):
        digest.update(json.dumps(sorted((row.id, row.class_id, row.sha256) for row in rows)).encode())
    return digest.hexdigest()


def validation_score(figures: Mapping[str, float]) -> float | None:
    """Score that selects the best epoch: mean average precision over both directions; None without validation.

    Hit@1 of a few dozen queries changes in steps that are larger than the differences between epochs.
    """
    found = [figures[name] for direction in DIRECTIONS if (name := f"{direction}_map") in figures]
    return sum(found) / len(found) if found else None


def read_run_state(run: Path) -> RunState | None:
    """Reads the state of the run in the folder ``run``; None if it has none yet.

    Raises:
        InputError: it cannot be read.
    """
    values = read_state(run)
    try:
        if values is None:
            return None
        msgspec.convert(values, RunState)  # only checks the types; the values are used as they were written
        return RunState(**values)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The state of the run cannot be read: {error}",
            where=run,
            next_step="train again with another --run",
        ) from error


def written_manifest(run: Path, manifest: Path, workspace: Path) -> str:
    """Path of ``manifest`` for state.json: relative to the run within a workspace, so that a copied workspace works."""
    whole, folder = manifest.resolve(), run.resolve()
    if whole.is_relative_to(workspace.resolve()) and folder.is_relative_to(workspace.resolve()):
        return Path(os.path.relpath(whole, folder)).as_posix()
    return str(whole)


def training_manifest(run: Path, state: RunState) -> Path:
    """Resolves the path of a run's training manifest; the file may be missing.

    Version 0.1.0 recorded an absolute path. If the workspace was copied or moved since, the manifest of that name in
    the run's own workspace is used if it has the same content, or if there is no file at the recorded path.
    """
    recorded = Path(state.manifest)
    if not recorded.is_absolute():
        return Path(os.path.normpath(run.resolve() / recorded))
    for folder in run.resolve().parents:
        own = folder.parent / "manifests" / recorded.name
        if folder.name == "runs" and own.is_file():
            is_same = sha256_of(own) == state.manifest_sha256
            return own if is_same or not recorded.is_file() else recorded
    return recorded


def check_unchanged(manifest: Path, sha256: str) -> None:
    """Checks that a manifest, which a command reads more than once, is still the one that it read first.

    Raises:
        InputError: it is not.
    """
    if sha256_of(manifest) != sha256:
        raise InputError(
            "The training manifest changed while the command was running",
            where=manifest,
            expected="the same manifest from the beginning to the end",
            next_step="run the same command again, which takes the present one; or restore it first",
        )


def earlier_state(run: Path, config: Config, manifest: Path, *, resume: bool, processes: int = 1) -> RunState | None:
    """Returns the state of an existing run to resume; None to start training.

    Raises:
        InputError: the run has another configuration (except for the number of epochs), another manifest or another
            number of processes, or lost its checkpoint or its state; there is no run, and ``resume`` requires one; or
            the folder is not that of a run.
    """
    state = read_run_state(run) if (run / CONFIG_FILE).is_file() else None
    if state is None:
        if checkpoint_epoch(run) > 1:  # the first epoch is saved before its state: killed in between, it is repeated
            raise InputError(
                "The folder has the checkpoint of a trained run, but not its training state; training would replace it",
                where=run,
                expected=f"{CONFIG_FILE} and {STATE_FILE} next to the checkpoint, to continue the run",
                next_step="copy these files from where the run was trained, or specify another folder with --run",
            )
        if resume:
            raise InputError(
                "There is no run to resume",
                where=run,
                expected="an interrupted run",
                next_step="leave out --resume to start a new run, or specify another folder with --run",
            )
        _refuse_other_folder(run)
        return None
    elsewhere = "specify another folder with --run" + (" and leave out --resume" if resume else "")
    differences = _differences(as_dict(load_config(run)), as_dict(config))
    differences.pop("training.epochs", None)
    if differences:
        listed = "; ".join(f"{name} was {old!r}, is {new!r}" for name, (old, new) in differences.items())
        raise InputError(
            f"The run was started with another configuration: {listed}",
            where=run,
            expected="the same configuration (the number of epochs may change)",
            next_step=f"{elsewhere}, or use the same options",
        )
    if state.processes != processes:
        raise InputError(
            f"The run was started with {count_of(state.processes, 'process', 'processes')}, whose number multiplies "
            "the batch size",
            where=run,
            expected=f"{count_of(state.processes, 'process', 'processes')}, not {processes}",
            next_step=f"use --processes {state.processes}, or {elsewhere}",
        )
    if state.manifest_sha256 != sha256_of(manifest):
        raise InputError(
            f"The run was started on another manifest, or this one has changed since: {manifest}",
            where=run,
            expected=f"the manifest that the run was started on (as seen from its folder: {state.manifest})",
            next_step=elsewhere,
        )
    if state.best:
        require_checkpoint(run)
    return state


def _refuse_other_folder(folder: Path) -> None:
    """Refuses a folder whose config.json training would replace, although it is not that of a run."""
    try:
        if (folder / CONFIG_FILE).exists():
            load_config(folder)
    except InputError as error:
        raise InputError(
            f"The {CONFIG_FILE} in this folder is not that of a run, and would be replaced: {error.found}",
            where=folder / CONFIG_FILE,
            expected="a new folder, or that of a run",
            next_step="specify another folder with --run",
        ) from error


def check_not_extended(run: Path, epochs: int, config: Config) -> None:
    """Checks that a run of a comparison or a study, trained for ``epochs``, was not trained further than it asks for.

    Raises:
        InputError: it was.
    """
    if epochs > config.training.epochs:
        raise InputError(
            f"The run was trained further since: for {epochs} epochs, not for {config.training.epochs}",
            where=run,
            expected="the run as it was trained here",
            next_step="move its folder elsewhere, and run the same command again: it trains the run again",
        )


def check_patience(config: Config, items: Items) -> None:
    """Checks that early stopping, if configured, has a fold 0 to stop on.

    Raises:
        InputError: it has none.
    """
    patience, refit = config.training.patience, config.training.refit
    if patience is not None and not train_val_split(items).validates:
        raise InputError(
            f"Nothing is validated, so training cannot stop early (training.patience={patience})",
            where="training.refit" if refit else items.manifest,
            expected="a fold 0 that is not trained on",
            next_step="leave training.patience out, and set the number of epochs with --epochs",
        )


def with_earlier_capacity(config: Config, run: Path) -> Config:
    """Returns ``config``, with 50 slots if their number is left out and the run is of an earlier version and has 50.

    That was the default of earlier versions, whatever the number of classes.
    """
    state = read_run_state(run) if (run / CONFIG_FILE).is_file() else None
    if config.memory.capacity is not None or state is None or state.slots_by_classes:
        return config
    if load_config(run).memory.capacity != PAPER_CAPACITY:
        return config
    return replace(config, memory=replace(config.memory, capacity=PAPER_CAPACITY))


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> dict[str, tuple[Any, Any]]:
    """Differing values of two nested dictionaries, by dotted name."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in sorted(old.keys() | new.keys()):
        left, right = old.get(key), new.get(key)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            found |= _differences(left, right, f"{path}{key}.")
        elif left != right:
            found[path + key] = (left, right)
    return found
