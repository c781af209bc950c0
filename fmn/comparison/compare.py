"""Every system on the same manifests, features and splits, with the same tuning budget: the paper's Table 2, anew.

For each system as many configurations of its grid as the budget says are trained with the first seed; the one with the
best mean average precision on fold 0 is trained with every seed and scored on the test manifest. Runs lie under
``<folder>/<system>/<configuration>/<seed>``; what is finished is not done again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dataset_tools.core.errors import InputError, StoppedError, ToolkitError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.progress import Progress, silent
from fmn.comparison.comparison_runs import Outcome, Task, run_tasks
from fmn.comparison.results import Results, summarised
from fmn.config import Config, PresetName, as_dict, preset, with_values
from fmn.data.items import Items, load_items
from fmn.data.loading import featured, find_device
from fmn.models.registry import Changes, System, find_system, system_names

ORDER = (
    *("cca", "kcca", "dcca", "musimnet", "musicnn", "vmnet"),  # those of the paper's Table 2, in its order
    *("mms", "mms_classes", "amm", "amm_classes", "two_classifiers"),
    *("fmn_printed", "fmn_no_memory", "fmn"),
)
TRIVIAL = ("one_frame", "mean_colour", "lengths", "file_size")
DEFAULT_BUDGET = 4
DEFAULT_SEEDS = 5


@dataclass(frozen=True)
class Candidate:
    """A configuration of a system that is tried on fold 0.

    Attributes:
        changes: of the system's adapted configuration, by dotted name.
        config: the whole, with the first seed.
        folder: of its runs, one for each seed.
    """

    changes: Changes
    config: Config
    folder: Path

    def task(self, comparison: Comparison, seed: int, *, is_tested: bool) -> Task:
        """The run with this seed."""
        config = replace(self.config, training=replace(self.config.training, seed=seed))
        return Task(
            system=config.system,
            config=config,
            run=self.folder / str(seed),
            train=comparison.train,
            test=comparison.test if is_tested else None,
            test_sha256=comparison.test_sha256,
            root=comparison.root,
            device=comparison.device,
        )


@dataclass(frozen=True)
class Comparison:
    """What is compared with what.

    Attributes:
        train, test: the manifests. train_sha256, test_sha256: of their contents.
        folder: where runs and tables go.
        preset: the preset that every system starts from. changes: values changed in all of them.
        candidates: by system, the configurations that are tried.
        seeds: the seeds.
        root: the workspace, or null for the usual one. device: as torch names it.
    """

    train: Path
    test: Path
    train_sha256: str
    test_sha256: str
    folder: Path
    preset: PresetName
    changes: Changes
    candidates: Mapping[str, tuple[Candidate, ...]]
    seeds: tuple[int, ...]
    root: Path | None
    device: str

    @property
    def runs(self) -> int:
        """How many runs there are, at most: a winner's first seed is among those tried."""
        return sum(len(tried) + len(self.seeds) - 1 for tried in self.candidates.values())


@dataclass
class Entry:
    """What became of a system.

    Attributes:
        system: the system.
        candidates: what was tried. tried: what came out of it, in the same order.
        winner: number of the one that fold 0 chose.
        tested: outcomes of the winner, by seed.
        error: why there are no results; null when there are.
    """

    system: System
    candidates: tuple[Candidate, ...]
    tried: list[Outcome] = field(default_factory=list)
    winner: int = 0
    tested: list[Outcome] = field(default_factory=list)
    error: ToolkitError | None = None


def plan(
    train: Path,
    test: Path,
    folder: Path,
    *,
    models: Sequence[str] | None = None,
    preset_name: PresetName = "demo",
    changes: Changes | None = None,
    budget: int = DEFAULT_BUDGET,
    seeds: int = DEFAULT_SEEDS,
    root: Path | None = None,
    device: str = "auto",
) -> Comparison:
    """What `compare` will do; nothing is written.

    Args:
        train: the training manifest.
        test: the test manifest.
        folder: where runs and tables go.
        models: names of systems; null: all of them.
        preset_name: the preset that every system adapts.
        changes: values changed in every system's adapted configuration, by dotted name.
        budget: configurations tried for each system on fold 0, the unchanged one included.
        seeds: how many.
        root: the workspace, when it is not the parent of the manifest's folder.
        device: ``auto``, or as torch names it.

    Raises:
        InputError: a manifest is missing, a system is unknown, or the changes do not fit a system.
    """
    for path in (train, test):
        if not path.is_file():
            raise InputError(
                "There is no such manifest", where=path, expected="a manifest of pairs", next_step="run fmn-data pairs"
            )
    if min(budget, seeds) < 1:
        raise InputError(f"The budget is {budget}, the number of seeds is {seeds}", expected="at least 1 of each")
    if (changes or {}).get("training.refit"):
        raise InputError(
            "The configuration trains on fold 0 (training.refit)",
            expected="fold 0 apart: it chooses the configuration of every system",
            next_step="leave training.refit out",
        )
    train_sha256 = sha256_of(train)
    candidates: dict[str, tuple[Candidate, ...]] = {}
    for name in in_order(models or system_names()):
        system = find_system(name)
        base = with_values(system.adapt(preset(preset_name)), {"system": name, **(changes or {})})
        base = system.complete(base)
        grid = list(system.grid(base))[:budget]
        configs = [system.complete(with_values(base, each)) for each in grid]
        candidates[name] = tuple(
            Candidate(each, config, folder / name / f"{number}-{_digest(config, train_sha256)}")
            for number, (each, config) in enumerate(zip(grid, configs, strict=True))
        )
    first = next(iter(candidates.values()))[0].config.training.seed
    return Comparison(
        train=train,
        test=test,
        train_sha256=train_sha256,
        test_sha256=sha256_of(test),
        folder=folder,
        preset=preset_name,
        changes=dict(changes or {}),
        candidates=candidates,
        seeds=tuple(range(first, first + seeds)),
        root=root,
        device=str(find_device(device)),
    )


def compare(comparison: Comparison, *, jobs: int = 1, progress: Progress = silent) -> Results:
    """Trains and tests what is not there yet, and summarises everything; writes runs, and no tables.

    Args:
        comparison: from `plan`.
        jobs: runs that are trained side by side, and workers for features.
        progress: told how far it is.

    Raises:
        InputError: a manifest is wrong.
        StoppedError: interrupted, or the disk is full; the same call goes on.
    """
    train_items = load_items(comparison.train, comparison.root)
    test_items = load_items(comparison.test, comparison.root)
    entries = {name: Entry(find_system(name), tried) for name, tried in comparison.candidates.items()}
    notes = _extract(comparison, entries, (train_items, test_items), jobs, progress)
    done = 0

    def ran(tasks: Sequence[Task]) -> list[Outcome]:
        nonlocal done
        found: dict[Path, Outcome] = {}
        for outcome in run_tasks(tasks, jobs=jobs):
            found[outcome.task.run] = outcome
            done += 1
            progress("compare", done, comparison.runs, f"{outcome.task.system}, {outcome.task.run.parent.name}")
            if outcome.error is not None and entries[outcome.task.system].error is None:
                entries[outcome.task.system].error = outcome.error
        return [found[task.run] for task in tasks]

    first = comparison.seeds[0]
    going = [entry for entry in entries.values() if entry.error is None]
    tasks = [(entry, each.task(comparison, first, is_tested=False)) for entry in going for each in entry.candidates]
    for (entry, _), outcome in zip(tasks, ran([task for _, task in tasks]), strict=True):
        entry.tried.append(outcome)
    tested: list[tuple[Entry, Task]] = []
    for entry in going:
        if any(outcome.error is None for outcome in entry.tried):
            entry.error = None  # a configuration that failed is one that lost
            entry.winner = max(range(len(entry.tried)), key=lambda number: entry.tried[number].quality)
            winner = entry.candidates[entry.winner]
            tested += [(entry, winner.task(comparison, seed, is_tested=True)) for seed in comparison.seeds]
    done -= len({entry.system.name for entry, _ in tested})  # the first seed of a winner is there already
    for (entry, _), outcome in zip(tested, ran([task for _, task in tested]), strict=True):
        entry.tested.append(outcome)
    progress("compare", comparison.runs, comparison.runs)
    return summarised(comparison, entries, test_items, notes)


def _extract(
    comparison: Comparison,
    entries: Mapping[str, Entry],
    manifests: tuple[Items, Items],
    jobs: int,
    progress: Progress,
) -> tuple[str, ...]:
    """Fills the feature cache, each kind of feature once; a kind that cannot be had fails the systems that need it."""
    import torch

    known: dict[str, ToolkitError | None] = {}
    notes: dict[str, None] = {}
    for entry in entries.values():
        config = entry.candidates[0].config
        key = json.dumps([as_dict(config)["video"], as_dict(config)["audio"]], sort_keys=True)
        if key not in known:
            known[key] = None
            try:
                for items in manifests:
                    found = featured(
                        items, config, device=torch.device(comparison.device), jobs=jobs, progress=progress
                    )
                    notes |= dict.fromkeys(found.notes)
            except StoppedError:
                raise
            except ToolkitError as error:
                known[key] = error
        entry.error = known[key]
    return tuple(notes)


def _digest(config: Config, train_sha256: str) -> str:
    """Eight digits that name what a run depends on but its seed."""
    values = as_dict(replace(config, training=replace(config.training, seed=0)))
    text = json.dumps([values, train_sha256], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def in_order(names: Sequence[str]) -> list[str]:
    """``names``, each once: the paper's, the modern ones, a user's own, the trivial ones; unknown ones keep theirs."""
    order = {name: place for place, name in enumerate(ORDER)} | {name: 1000 + n for n, name in enumerate(TRIVIAL)}
    return sorted(dict.fromkeys(names), key=lambda name: order.get(name, 500))


def describe(changes: Changes) -> str:
    """Changes of a configuration for people: ``learning_rate=0.001``, or ``as it is``."""
    shown = (f"{name.rpartition('.')[2]}={_short(value)}" for name, value in changes.items())
    return ", ".join(shown) or "as it is"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
