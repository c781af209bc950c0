"""The manifests of a run: the one that it was trained on, and the test.jsonl next to it."""

from __future__ import annotations

from pathlib import Path

from dataset_tools.core.files import sha256_of
from fmn.training.run_folder import manifest_for
from fmn.training.run_state import RunState, read_run_state, training_manifest

TEST = "test.jsonl"


def own_training_manifest(run: Path) -> Path:
    """Returns the manifest that a run was trained on, whatever its name.

    Raises:
        InputError: there is no such run, its training manifest is unknown, or the manifest is missing.
    """
    state = read_run_state(run)
    return manifest_for(run, "train.jsonl" if state is None else training_manifest(run, state).name)


def own_test_manifest(run: Path) -> Path | None:
    """Returns the test.jsonl next to a run's training manifest, which may be missing; None if that is unknown."""
    state = read_run_state(run)
    return None if state is None else training_manifest(run, state).with_name(TEST)


def unchanged_manifest(run: Path, state: RunState) -> Path | None:
    """Returns the training manifest of a run; None if it is missing or has changed since."""
    manifest = training_manifest(run, state)
    return manifest if manifest.is_file() and sha256_of(manifest) == state.manifest_sha256 else None
