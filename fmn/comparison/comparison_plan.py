"""Comparison plan: systems, configurations to try on the validation split, seeds, folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dataset_tools.core.errors import InputError, ToolkitError
from dataset_tools.core.files import sha256_of
from fmn.comparison.comparison_runs import RunResult, Task
from fmn.config import Config, PresetName, preset, with_values
from fmn.config_sections import REFUSAL, decisive
from fmn.data.items import load_items, manifest_changed, train_val_split
from fmn.data.loading import device_named
from fmn.features.encoders.registry import check_encoders
from fmn.models.memory_capacity import with_capacity
from fmn.models.system_interface import Changes, System
from fmn.systems import find_system, system_names
from fmn.training.run_state import check_patience

ORDER = (
    # the systems of the paper's Table 2, in its order, and their variants
    *("cca", "kcca", "dcca", "musimnet", "musimnet_ce", "musicnn", "vmnet", "vmnet_ce"),
    *("mms", "mms_classes", "mms_classes_ce", "amm", "amm_classes", "amm_classes_ce"),
    *("clip_towers", "two_classifiers", "zero_shot"),
    *("fmn_as_published", "fmn_no_memory", "class_towers", "fmn"),
)
TRIVIAL = ("one_frame", "mean_colour", "lengths", "file_size")
REFERENCE = "fmn"  # the system that all others are compared with
DEFAULT_BUDGET = 4
DEFAULT_SEEDS = 5


@dataclass(frozen=True)
class Candidate:
    """A configuration of a system to be tried on fold 0.

    Attributes:
        changes: changes of the system's adapted configuration, by dotted name.
        config: the complete configuration, with the first seed.
        folder: folder of its runs, one for each seed.
        trained_on, tested_on: digests of the features of both manifests, once they are known.
    """

    changes: Changes
    config: Config
    folder: Path
    trained_on: str = ""
    tested_on: str = ""

    def refitted(self, epochs: int) -> Candidate:
        """The candidate to be tested: trained on all folds, for the number of epochs that fold 0 selected."""
        training = replace(self.config.training, refit=True, epochs=epochs, patience=None)
        folder = self.folder.with_name(f"{self.folder.name}-refit{epochs}")
        return replace(self, config=replace(self.config, training=training), folder=folder)

    def on_features(self, trained_on: str, tested_on: str) -> Candidate:
        """The candidate with feature digests set (`fmn.data.loading.FeatureDataset.digest`).

        The folder's name includes the digest of the training features, so that rewritten features or repaired items
        lead to new runs; the scores of a run record the digest of the test features.
        """
        name = f"{self.folder.name}-{trained_on}"
        return replace(self, folder=self.folder.with_name(name), trained_on=trained_on, tested_on=tested_on)

    def task(self, comparison: Comparison, seed: int, *, is_tested: bool) -> Task:
        """The run with this seed."""
        config = replace(self.config, training=replace(self.config.training, seed=seed))
        return Task(
            system=config.system,
            config=config,
            run=self.folder / str(seed),
            train=comparison.train,
            test=comparison.test if is_tested else None,
            train_sha256=comparison.train_sha256,
            test_sha256=comparison.test_sha256,
            trained_on=self.trained_on,
            tested_on=self.tested_on,
            root=comparison.root,
            device=comparison.device,
        )


@dataclass(frozen=True)
class Comparison:
    """Plan of a comparison.

    Attributes:
        train, test: the manifests. train_sha256, test_sha256: SHA-256 of their contents.
        folder: output folder for runs and tables.
        preset: the preset that every system starts from. changes: values changed in all of them.
        candidates: by system, the configurations to try.
        left_out: systems that cannot be trained with the changes, with the reason; only if the user named none.
        are_named: whether the user named the systems: then a system that does not suit the features fails, otherwise
            it is skipped.
        seeds: the seeds.
        root: the workspace, or None for the default. device: torch device name.
    """

    train: Path
    test: Path
    train_sha256: str
    test_sha256: str
    folder: Path
    preset: PresetName
    changes: Changes
    candidates: Mapping[str, tuple[Candidate, ...]]
    left_out: Mapping[str, str]
    are_named: bool
    seeds: tuple[int, ...]
    root: Path | None
    device: str

    @property
    def runs(self) -> int:
        """Maximum number of runs: candidates on fold 0, plus the refitted winners with every seed."""
        return sum(len(tried) + len(self.seeds) for tried in self.candidates.values())

    def require_unchanged(self) -> None:
        """Checks that the manifests are those of the plan.

        Raises:
            StoppedError: one of them is not.
        """
        for manifest, sha256 in ((self.train, self.train_sha256), (self.test, self.test_sha256)):
            if sha256_of(manifest) != sha256:
                raise manifest_changed(manifest)


@dataclass
class Entry:
    """State and outcome of a system in a comparison.

    Attributes:
        system: the system.
        candidates: the configurations to try. tried: their results, in the same order.
        winner: index of the candidate that fold 0 selected.
        tested: results of the winner, trained on all folds, by seed.
        error: why there are no results; None if there are.
    """

    system: System
    candidates: tuple[Candidate, ...]
    tried: list[RunResult] = field(default_factory=list)
    winner: int = 0
    tested: list[RunResult] = field(default_factory=list)
    error: ToolkitError | None = None


def plan_comparison(
    train: Path | str,
    test: Path | str,
    folder: Path | str,
    *,
    models: Sequence[str] | None = None,
    preset_name: PresetName = "demo",
    changes: Changes | None = None,
    budget: int = DEFAULT_BUDGET,
    seeds: int = DEFAULT_SEEDS,
    root: Path | str | None = None,
    device: str = "auto",
) -> Comparison:
    """Plans the work of `fmn.comparison.compare.compare`; writes nothing.

    Args:
        train: the training manifest.
        test: the test manifest.
        folder: output folder for runs and tables.
        models: names of systems; None: all of them.
        preset_name: the preset that every system adapts.
        changes: values changed in every system's adapted configuration, by dotted name.
        budget: maximum number of configurations tried for each system on fold 0, including the unchanged one; limited
            by the shortest grid, so that every system with something to tune gets the same number.
        seeds: number of seeds.
        root: the workspace, if it is not the parent of the manifest's folder.
        device: ``auto``, or a torch device name; the device need not exist on this machine.

    Raises:
        InputError: a manifest is missing, a system is unknown, the changes are invalid for a system (unless ``models``
            is None: a system that cannot be trained with what fmn can is then left out), or there is no fold 0, but
            there are configurations to try or training.patience.
    """
    train, test, folder, root = Path(train), Path(test), Path(folder), None if root is None else Path(root)
    changes = dict(changes or {})
    models = _checked_models((train, test), models, changes, budget, seeds)
    items = load_items(train, root).required_to_train()
    grids, left_out = _grids(models, preset_name, changes, len(items.classes))
    # The same number for all systems with something to tune, even if their grids differ in length.
    trials = min([budget, *(len(grid) for grid in grids.values() if len(grid) > 1)])
    if any(len(grid[:trials]) > 1 for grid in grids.values()) and not train_val_split(items).validates:
        raise InputError(
            "There is no fold 0 to select configurations on",
            where=train,
            expected="a training manifest with a fold 0, or no configurations to select from",
            next_step="write it with fmn-data pairs --split items (or person, or mpii), or use --budget 1",
        )
    for grid in grids.values():
        for _, config in grid[:trials]:
            check_patience(config, items)
    candidates = {
        name: tuple(
            Candidate(each, config, folder / name / f"{number}-{_digest(config, items.manifest_sha256)}")
            for number, (each, config) in enumerate(grid[:trials])
        )
        for name, grid in grids.items()
    }
    first = next(iter(candidates.values()))[0].config.training.seed
    return Comparison(
        train=train,
        test=test,
        train_sha256=items.manifest_sha256,
        test_sha256=sha256_of(test),
        folder=folder,
        preset=preset_name,
        changes=changes,
        candidates=candidates,
        left_out=left_out,
        are_named=bool(models),
        seeds=tuple(range(first, first + seeds)),
        root=root,
        device=str(device_named(device)),
    )


def _checked_models(
    manifests: Sequence[Path], models: Sequence[str] | None, changes: Changes, budget: int, seeds: int
) -> Sequence[str] | None:
    """Returns the current names of ``models``, after the checks of `plan_comparison` that need no item."""
    for path in manifests:
        if not path.is_file():
            raise InputError(
                "There is no such manifest", where=path, expected="a manifest of pairs", next_step="run fmn-data pairs"
            )
    if min(budget, seeds) < 1:
        raise InputError(
            f"The budget is {budget}, the number of seeds is {seeds}",
            expected="at least 1 of each",
            next_step="choose a larger --budget or --seeds",
        )
    if changes.get("training.refit"):
        raise InputError(
            "The configuration trains on fold 0 (training.refit)",
            expected="a fold 0 that is not trained on: it selects the configuration of every system",
            next_step="leave training.refit out",
        )
    models = models and [find_system(name).name for name in models]
    only = changes.get("system")
    if only is not None and {*(models or system_names())} != {str(only)}:
        raise InputError(
            f"The configuration is for one system, {only}, and would replace those of all others",
            expected="values that all systems share, such as the tuned.json of fmn tune",
            next_step=f"leave out `system` and the values meant for this system only; or use --models {only}",
        )
    return models


def _grids(
    models: Sequence[str] | None, preset_name: PresetName, changes: Changes, classes: int
) -> tuple[dict[str, list[tuple[Changes, Config]]], dict[str, str]]:
    """Returns the whole grid of each system: changes, and the configuration with them; and why systems are left out.

    Without ``models``, all systems that can be trained with the changes; joint ones only with a joint encoder.

    Raises:
        InputError: the changes name an unknown encoder, or are invalid for the reference or a system of ``models``.
    """
    grids: dict[str, list[tuple[Changes, Config]]] = {}
    left_out: dict[str, str] = {}
    if not models:
        _base(find_system(REFERENCE), preset_name, changes)  # what it refuses is wrong, whatever the system
    for name in in_order(models or system_names()):
        system = find_system(name)
        try:
            base = _base(system, preset_name, changes)
        except InputError as error:
            if models:
                raise
            if not system.joint:
                left_out[name] = error.found.removeprefix(REFUSAL)
            continue
        tried = [(each, system.complete(with_values(base, each))) for each in system.grid(base)]
        grids[name] = [(each, with_capacity(config, classes)) for each, config in tried]
    return grids, left_out


def _base(system: System, preset_name: PresetName, changes: Changes) -> Config:
    """The system's complete configuration, before tuning."""
    adapted = system.adapt(preset(preset_name))
    config = with_values(adapted, {"system": system.name, **changes})
    check_encoders(config.video.encoder, config.audio.encoder)
    return system.complete(config)


def _digest(config: Config, train_sha256: str) -> str:
    """Digest, eight hexadecimal digits, of everything a run depends on except its seed."""
    values = decisive(replace(config, training=replace(config.training, seed=0)), of_run=True)
    text = json.dumps([values, train_sha256], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def in_order(names: Sequence[str]) -> list[str]:
    """Sorts ``names``, without duplicates: paper's systems, modern ones, others in the given order, trivial ones."""
    order = {name: place for place, name in enumerate(ORDER)} | {name: 1000 + n for n, name in enumerate(TRIVIAL)}
    return sorted(dict.fromkeys(names), key=lambda name: order.get(name, 500))


def describe(changes: Changes) -> str:
    """Formats changes of a configuration: ``learning_rate=0.001``, or ``as it is``."""
    shown = (f"{name.rpartition('.')[2]}={_short(value)}" for name, value in changes.items())
    return ", ".join(shown) or "as it is"


def left_out_note(name: str, reason: str) -> str:
    """Says that a system is not part of the comparison."""
    return f"{name} is left out. {reason}."


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
