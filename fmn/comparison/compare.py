"""Comparison of all systems on the same data with the same tuning budget: the paper's Table 2.

For each system, the first configurations of its grid, up to the budget, are trained with the first seed; the one with
the best mean average precision on fold 0 is retrained with every seed, on all folds and for the number of epochs that
fold 0 selected, and scored on the test manifest: every system is finally trained on fold 0, too, whether by gradients
or in closed form. Runs are in ``<folder>/<system>/<configuration>-<features>/<seed>``; finished runs are not repeated
unless the features have changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from dataset_tools.core.errors import StoppedError, ToolkitError
from dataset_tools.core.progress import Progress, Warn, silent
from fmn.comparison.comparison_plan import Comparison, Entry, left_out_note
from fmn.comparison.comparison_runs import RunResult, Task, run_tasks
from fmn.comparison.results import Results, summarized
from fmn.config import as_dict
from fmn.data.items import Items, load_items, train_val_split
from fmn.data.known_items import known_items
from fmn.data.loading import find_device, load_features
from fmn.data.outdated_pairs import outdated_pairs
from fmn.features.encoder_facts import encoders_loaded_once
from fmn.features.extract import Networks
from fmn.features.media import reasons
from fmn.models.memory_capacity import capacity_note
from fmn.models.system_interface import not_joint
from fmn.systems import find_system
from fmn.training.run_lock import run_lock


@encoders_loaded_once()
def compare(
    comparison: Comparison,
    *,
    jobs: int = 1,
    progress: Progress = silent,
    warn: Warn | None = None,
) -> Results:
    """Trains and tests the missing runs and summarizes all of them; writes runs, but no tables.

    Args:
        comparison: from `fmn.comparison.comparison_plan.plan_comparison`.
        jobs: runs trained in parallel, and workers for features.
        progress: progress callback.
        warn: called before anything is computed, if the data set was changed after its training pairs were made; None:
            this is not checked.

    Raises:
        InputError: a manifest is invalid, or a file that it names or the device is missing.
        ToolkitError: no system has features.
        StoppedError: interrupted, another command uses the folder, a manifest was changed meanwhile, or the disk is
            full; the same call resumes.
    """
    find_device(comparison.device)
    train_items, test_items = load_both(comparison)
    comparison.require_unchanged()
    if warn is not None:
        for caveat in outdated_pairs(train_items):
            warn(caveat)
    folder = comparison.folder
    is_read_only = folder.is_dir() and not os.access(folder, os.W_OK)  # finished runs can be summarized there
    # Another call would miss the configurations that this one is training.
    with nullcontext() if is_read_only else run_lock(folder):
        return _compared(comparison, train_items, test_items, jobs, progress)


def _compared(comparison: Comparison, train_items: Items, test_items: Items, jobs: int, progress: Progress) -> Results:
    """`compare`, after its checks, on the items of both manifests."""
    entries = {name: Entry(find_system(name), tried) for name, tried in comparison.candidates.items()}
    notes, left_out = _extract(comparison, entries, (train_items, test_items), jobs, progress)
    notes += _shared(train_items, test_items)
    caveats = [train_val_split(train_items).caveat, *_of_capacity(entries, len(train_items.classes))]
    notes += tuple(dict.fromkeys(filter(None, caveats)))
    notes += tuple(left_out_note(name, reason) for name, reason in comparison.left_out.items())
    for name in [name for name, entry in entries.items() if entry.system.joint and not comparison.are_named]:
        if (error := entries[name].error) is not None:
            del entries[name]
            notes += (left_out_note(name, error.found),)
    comparison = replace(comparison, candidates={name: entry.candidates for name, entry in entries.items()})
    done = 0

    def run_all(tasks: Sequence[Task]) -> list[RunResult]:
        nonlocal done
        found: dict[Path, RunResult] = {}
        for outcome in run_tasks(tasks, jobs=jobs):
            found[outcome.task.run] = outcome
            done += 1
            progress("compare", done, comparison.runs, f"{outcome.task.system}, {outcome.task.run.parent.name}")
            if outcome.error is not None and entries[outcome.task.system].error is None:
                entries[outcome.task.system].error = outcome.error
        return [found[task.run] for task in tasks]

    first = comparison.seeds[0]
    active = [entry for entry in entries.values() if entry.error is None]
    tasks = [(entry, each.task(comparison, first, is_tested=False)) for entry in active for each in entry.candidates]
    for (entry, _), outcome in zip(tasks, run_all([task for _, task in tasks]), strict=True):
        entry.tried.append(outcome)
    tested: list[tuple[Entry, Task]] = []
    for entry in active:
        if any(outcome.error is None for outcome in entry.tried):
            entry.error = None  # a failed configuration only loses the selection
            entry.winner = max(range(len(entry.tried)), key=lambda number: entry.tried[number].validation_score)
            epochs = entry.tried[entry.winner].best_epoch
            winner = entry.candidates[entry.winner].refitted(epochs)
            tested += [(entry, winner.task(comparison, seed, is_tested=True)) for seed in comparison.seeds]
    for (entry, _), outcome in zip(tested, run_all([task for _, task in tested]), strict=True):
        entry.tested.append(outcome)
    comparison.require_unchanged()
    progress("compare", comparison.runs, comparison.runs)
    return replace(summarized(comparison, entries, test_items, notes), left_out=left_out)


def load_both(comparison: Comparison) -> tuple[Items, Items]:
    """Loads the items of the training manifest and of the test manifest.

    Raises:
        InputError: a manifest is invalid, or a file that it names is missing.
    """
    train, test = (load_items(manifest, comparison.root) for manifest in (comparison.train, comparison.test))
    for items in (train.required_to_train(), test):
        items.require_media()
    return train, test


def _extract(
    comparison: Comparison,
    entries: Mapping[str, Entry],
    manifests: tuple[Items, Items],
    jobs: int,
    progress: Progress,
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Fills the feature cache, once per kind of feature; systems whose kind cannot be computed get its error.

    Returns:
        Notes, and the items without features, with the reasons.

    Raises:
        ToolkitError: no system has features.
    """
    import torch

    known: dict[str, ToolkitError | None] = {}
    spaces: dict[str, str] = {}
    notes: dict[str, None] = {}
    digests: dict[str, list[str]] = {}
    left_out: dict[str, str] = {}
    for entry in entries.values():
        config = entry.candidates[0].config
        key = json.dumps([as_dict(config)["video"], as_dict(config)["audio"]], sort_keys=True)
        if key not in known:
            known[key] = None
            digests[key] = []
            networks: Networks = {}  # loaded once for both manifests
            device = torch.device(comparison.device)
            try:
                for items in manifests:
                    found = load_features(items, config, device=device, jobs=jobs, progress=progress, networks=networks)
                    notes |= dict.fromkeys(found.notes)
                    left_out |= reasons(found.failures)
                    digests[key].append(found.digest)
                    spaces[key] = found.data.space
            except StoppedError:
                raise
            except ToolkitError as error:
                known[key] = error
        entry.error = known[key]
        if entry.error is None:
            entry.candidates = tuple(each.on_features(*digests[key]) for each in entry.candidates)
            if entry.system.joint and not spaces[key]:
                entry.error = not_joint(config)
    errors = [error for error in known.values() if error is not None]
    if len(errors) == len(known):  # no system has features (for instance, a file is missing): keep earlier results
        raise errors[0]
    return tuple(notes), left_out


def _of_capacity(entries: Mapping[str, Entry], classes: int) -> list[str | None]:
    """Caveats of memories with fewer slots than classes."""
    first = ((entry.system, entry.candidates[0].config) for entry in entries.values())
    return [capacity_note(config, classes) for system, config in first if not system.ignores("memory.capacity", config)]


def _shared(train: Items, test: Items) -> tuple[str, ...]:
    """Returns a caveat if some test items are also in the training manifest, maybe under other ids."""
    known = (ids | sha256s for ids, sha256s in zip(train.ids, train.sha256s, strict=True))
    counts = known_items(test.clips, test.utterances, *known)
    if not counts:
        return ()
    return (f"{counts} to test on are in the training manifest, too: results on them are too high.",)
