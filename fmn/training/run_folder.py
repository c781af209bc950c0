"""Locations of runs: default folder, latest run, manifests of a run."""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path

from dataset_tools.core.errors import InputError
from dataset_tools.manifests import SplitPairRow, read_rows, workspace_of
from fmn.renamed_keys import earlier_run_name
from fmn.training.checkpoint import CHECKPOINT_FILE, load_config
from fmn.training.run_state import read_run_state, training_manifest


def default_run(manifest: Path, root: Path | None, name: str) -> Path:
    """The folder of the run called ``name``: runs/NAME in the manifest's workspace.

    A run of an earlier version that has its earlier name is found under that, and resumed.
    """
    folder = workspace_of(manifest, root) / "runs" / name
    earlier = folder.with_name(earlier_run_name(name))
    return earlier if earlier.is_dir() and not folder.exists() else folder


def workspace_words(manifest: Path, root: Path | None) -> list[str]:
    """``--workspace`` as arguments of the next command, if the place of the manifest does not tell the workspace."""
    return [] if root is None or workspace_of(manifest) == root.resolve() else ["--workspace", str(root)]


def latest_run(workspace: Path) -> Path:
    """Returns the run in the workspace with the newest checkpoint.

    Raises:
        InputError: there is none.
    """
    found = sorted((workspace / "runs").glob(f"*/{CHECKPOINT_FILE}"), key=lambda path: path.stat().st_mtime_ns)
    if not found:
        raise InputError(
            "There is no trained run",
            where=workspace / "runs",
            expected=f"a folder with a {CHECKPOINT_FILE}",
            next_step="train first: fmn train manifests/train.jsonl; or specify the run's folder",
        )
    return found[-1].parent


def manifest_for(run: Path, name: str, root: Path | None = None) -> Path:
    """Returns the manifest ``name`` (``test.jsonl``, ``train.jsonl``) for a run.

    It is the one next to the run's training manifest, unless that is of other data than the workspace ``root``
    (`belongs_to`): then it is the one in ``root``.

    Raises:
        InputError: there is no such run, its training manifest is unknown, or the manifest is missing.
    """
    load_config(run)
    state = read_run_state(run)
    if root is not None and (state is None or not belongs_to(training_manifest(run, state), root)):
        manifest = root / "manifests" / name
        if not manifest.is_file():
            raise InputError(
                f"The workspace has no {name}, and the run was trained on data outside it",
                where=manifest,
                expected="the manifests of a data set in --workspace",
                next_step=f"check the path, or write it with: fmn-data pairs --workspace {shlex.quote(str(root))}",
            )
        return manifest
    if state is None:
        raise InputError(
            "The run has no record of its training manifest",
            where=run,
            expected="a run written by fmn train",
            next_step="specify the manifest with --manifest; or, if training was interrupted, run fmn train again",
        )
    manifest = training_manifest(run, state).with_name(name)
    if not manifest.is_file():
        raise InputError(
            "The manifest next to the run's training manifest is missing",
            where=manifest,
            expected=f"{name} next to the training manifest",
            next_step="specify the manifest with --manifest",
        )
    return manifest


def belongs_to(manifest: Path, root: Path) -> bool:
    """Whether a manifest is of the workspace ``root``: next to its media, or kept apart from them, anywhere.

    A manifest with media of its own, as in a workspace within ``root``, is not.
    """
    own, is_within = workspace_of(manifest), manifest.resolve().is_relative_to(root.resolve())
    path = _first_clip(manifest)
    if own == root.resolve() or path is None:
        return is_within
    return not (own / path).is_file() and (is_within or (root / path).is_file())


def _first_clip(manifest: Path) -> str | None:
    """The path of the first clip; None if there is none, or the manifest is damaged, which its readers report."""
    with suppress(InputError):
        return next((row.clip.path for row in read_rows(manifest, SplitPairRow, missing_ok=True)), None)
    return None
