"""Tier selection: which tier holds the labels, and which texts of other tiers are sentences."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from dataset_tools.core.count_of import first_of
from dataset_tools.core.errors import InputError
from dataset_tools.corpora.annotations.interval_list import SHOWN_PROBLEMS


def label_tier(path: Path, counts: Mapping[str, int], tier: str | None) -> str:
    """Returns the named tier, else the only one with annotations.

    Args:
        path: the annotation file, for messages.
        counts: number of annotations by tier.
        tier: the requested name, or None.

    Raises:
        InputError: there is no tier of this name, or none is named and there is not exactly one.
    """
    if tier is not None and tier in counts:
        return tier
    if tier is None and len(counts) == 1:
        return next(iter(counts))
    tiers = (
        ", ".join(first_of([f"{name[:60]!r} ({count})" for name, count in counts.items()], SHOWN_PROBLEMS)) or "none"
    )
    raise InputError(
        f"There are {len(counts)} tiers with annotations" if tier is None else f"There is no tier {tier!r}",
        where=path,
        expected=f"one that holds the labels; there are {tiers}",
        next_step="name it with --tier" if counts else "annotate the video first",
    )


def is_sentence(text: str) -> bool:
    """Whether a text in another tier counts as a sentence: several words, or Chinese characters."""
    return len(text.split()) > 1 or re.search("[\u3400-\u9fff]", text) is not None
