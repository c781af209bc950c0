"""Comparison of features with those that a run was trained on, which may be the user's own files.

Files may be added to the user's own features, for instance for new classes. So a run records the digest of each file
that was there during training, and these alone must be unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dataset_tools.core.errors import InputError
from fmn.data.loading import OTHER_FEATURES, FeatureDataset
from fmn.features.feature_files import OWN
from fmn.training.checkpoint import load_run
from fmn.training.run_state import RunState

DIGITS = 16
"""Hexadecimal digits of a digest that are kept."""


def shortened(own: Mapping[str, str]) -> dict[str, str]:
    """The digests of own features as a run records them."""
    return {name: sha256[:DIGITS] for name, sha256 in own.items()}


def has_same_features(
    known: Sequence[str], state: RunState | None, sources: Sequence[str], own: Sequence[Mapping[str, str]]
) -> bool:
    """Whether features were computed like those of the training.

    Args:
        known: digests that identify the features of the training, video and audio.
        state: of the run.
        sources: digests that identify the features to be compared.
        own: their `FeatureSet.own`.
    """
    recorded = state.own_features if state is not None and state.own_features else ({}, {})
    parts = zip(known, sources, recorded, map(shortened, own), strict=True)
    return all(old == new or _is_extended(old, new, before, now) for old, new, before, now in parts)


def check_same_features(run: Path, state: RunState, prepared: FeatureDataset) -> None:
    """Checks that a resumed run has the features it was started with.

    Raises:
        InputError: other items have features, or the features were computed differently.
    """
    lost, gained = prepared.failures.keys() - state.failures.keys(), state.failures.keys() - prepared.failures.keys()
    if lost:
        name = min(lost)
        raise InputError(
            f"Items that the run was started with no longer have features ({len(lost)}); the first, {name}: "
            f"{prepared.failures[name].found}",
            where=run,
            expected="the items that the run was started with",
            next_step="restore the files (fmn-data verify names them), or train without them into another --run",
        )
    if gained:
        raise InputError(
            f"Items that had no features when the run was started have some now ({len(gained)}), such as {min(gained)}",
            where=run,
            expected="the items that the run was started with",
            next_step="train into another --run to use them, or remove this run",
        )
    known = tuple(state.features) or load_run(run, prepared.data.device).about.sources  # runs of earlier versions
    if not has_same_features(known, state, prepared.sources, prepared.own):
        raise InputError(
            f"The features differ from those that the run was trained on: {OTHER_FEATURES}",
            where=run,
            expected="the features that the run was trained on",
            next_step="train into another --run to use them, or remove this run",
        )


def _is_extended(old: str, new: str, before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Whether the files of ``now`` are those of ``before`` and others; some of ``before`` may have been removed."""
    prefix = len(OWN) + DIGITS  # the pooling follows, which must not differ
    kept = before.keys() & now.keys()
    return old[prefix:] == new[prefix:] and bool(kept) and all(before[name] == now[name] for name in kept)
