"""The manifests of a run: the one that it was trained on, and the test.jsonl next to it."""

from __future__ import annotations

import json
from pathlib import Path

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of
from dataset_tools.manifests import workspace_of
from fmn.data.items import Items, load_items
from fmn.training.run_folder import belongs_to, manifest_for
from fmn.training.run_state import RunState, read_run_state, training_manifest

TEST = "test.jsonl"
METRICS_FILE = "metrics.json"


def own_training_manifest(run: Path, root: Path | None = None) -> Path:
    """Returns the manifest that a run was trained on, whatever its name; in another ``root``, the train.jsonl.

    Raises:
        InputError: there is no such run, its training manifest is unknown, or the manifest is missing.
    """
    state = read_run_state(run)
    own = None if state is None else training_manifest(run, state)
    is_own = own is not None and (root is None or belongs_to(own, root))
    return manifest_for(run, own.name if own is not None and is_own else "train.jsonl", root)


def own_test_manifest(run: Path) -> Path | None:
    """Returns the test.jsonl next to a run's training manifest, which may be missing; None if that is unknown."""
    state = read_run_state(run)
    return None if state is None else training_manifest(run, state).with_name(TEST)


def result_suffix(run: Path, manifest: Path) -> str:
    """Returns the suffix of the names of a run's results on a manifest: none for its own test.jsonl, else -NAME.

    Its own is the one next to its training manifest. If there is none, for instance because the manifests were moved,
    it is any test.jsonl of that workspace, or of another place unless metrics.json is of other content.
    """
    own = own_test_manifest(run)
    if own is not None and own.is_file():
        is_own = manifest.resolve() == own.resolve()
    else:
        is_there = own is not None and workspace_of(manifest) == workspace_of(own)
        is_own = manifest.name == TEST and (is_there or _measured_on(run) in (None, sha256_of(manifest)))
    return "" if is_own else f"-{manifest.stem}"


def _measured_on(run: Path) -> str | None:
    """The SHA-256 of the manifest that metrics.json is of; None if it does not say, or there is none."""
    try:
        found = json.loads((run / METRICS_FILE).read_bytes())["manifest"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return str(found)


def training_items(run: Path, root: Path | None, used: Path) -> tuple[RunState, Items]:
    """Loads the state of a run and the items of the manifest that it was trained on.

    With another manifest, indices of classes and slots would be mapped to wrong names. ``root`` is the workspace of the
    manifest ``used`` (`root_of_training`).

    Raises:
        InputError: the manifest is missing, or has changed.
    """
    state = read_run_state(run)
    if state is None or (manifest := unchanged_manifest(run, state)) is None:
        named = "" if state is None else f": {training_manifest(run, state)}"
        raise InputError(
            f"The training manifest of the run is missing or has changed{named}",
            where=run,
            expected="the manifest as it was when the run was trained",
            next_step="restore the manifest, or train again",
        )
    return state, load_items(manifest, root_of_training(manifest, root, used))


def root_of_training(manifest: Path, root: Path | None, used: Path) -> Path | None:
    """Returns the workspace to load a run's training manifest with, if ``used`` is loaded with the workspace ``root``.

    None is the parent of its folder: ``root`` may be that of other data.
    """
    if root is None or belongs_to(manifest, root) or manifest.parent == used.resolve().parent:
        return root
    return None


def unchanged_manifest(run: Path, state: RunState) -> Path | None:
    """Returns the training manifest of a run; None if it is missing or has changed since."""
    manifest = training_manifest(run, state)
    return manifest if manifest.is_file() and sha256_of(manifest) == state.manifest_sha256 else None
