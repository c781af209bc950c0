"""Checks of a manifest of pairs: its rows agree about items and classes, and none is of the same pair as another."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.errors import ManifestError
from dataset_tools.core.unicode_names import composed
from dataset_tools.manifests import ClassLabel, ClipRow, SplitPairRow, UtteranceRow, read_rows

Noted = TypeVar("Noted", ClipRow, UtteranceRow, ClassLabel)


def keep_consistent(known: dict[str, Noted], item: Noted, kind: str, where: str) -> None:
    """Adds an item to the known ones; raises a ManifestError if it differs from an earlier row of the same id."""
    if known.setdefault(item.id, item) != item:
        raise manifest_error(f"The {kind} {item.id!r} differs from the same {kind} in an earlier line", where)


def check_class_ids(classes: Iterable[str], manifest: Path) -> None:
    """Refuses ids that look the same, such as "café" with é as one character (NFC) and as two (NFD).

    Raises:
        ManifestError: there are such ids among ``classes``, some of which may be those of a run.
    """
    known: dict[str, str] = {}
    for name in sorted(classes):
        other = known.setdefault(composed(name), name)
        if other != name:
            raise ManifestError(
                f"The ids of two classes look the same, {name!r}, but are encoded differently: {other!a} and {name!a}",
                where=manifest,
                expected="one id per class, composed (Unicode NFC)",
                next_step="write the same id in the rows of both",
            )


def check_pairs(pairs: NDArray[np.int64], manifest: Path) -> None:
    """Refuses rows of the same pair, which would be trained on more often than the others."""
    _, first, which = np.unique(pairs @ (pairs[:, 1].max() + 1, 1), return_index=True, return_inverse=True)
    if len(first) == len(pairs):
        return
    earlier = first[which]
    second = int(np.flatnonzero(earlier != np.arange(len(pairs)))[0])
    wanted = (int(earlier[second]), second)
    one, other = (row for index, row in enumerate(read_rows(manifest, SplitPairRow)) if index in wanted)
    raise ManifestError(
        f"The pair of clip {other.clip.id!r} and utterance {other.utterance.id!r} is listed twice, "
        f"as {one.id!r} and {other.id!r}",
        where=manifest,
        expected="each pair once",
        next_step="remove one of the rows",
    )


def manifest_error(found: str, where: str) -> ManifestError:
    """The error of a row that a manifest of `fmn-data pairs` cannot have."""
    return ManifestError(found, where=where, next_step="rewrite the manifest with fmn-data pairs")
