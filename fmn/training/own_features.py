"""Comparison of features with those that a run was trained on, which may be the user's own files.

Files may be added to the user's own features, for instance for new classes. So a run records the digest of each file
that was there during training, and these alone must be unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fmn.features.feature_files import OWN
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


def _is_extended(old: str, new: str, before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Whether the files of ``now`` are those of ``before`` and others; some of ``before`` may have been removed."""
    prefix = len(OWN) + DIGITS  # the pooling follows, which must not differ
    kept = before.keys() & now.keys()
    return old[prefix:] == new[prefix:] and bool(kept) and all(before[name] == now[name] for name in kept)
