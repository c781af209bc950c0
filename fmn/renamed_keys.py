"""Deprecated configuration keys, values and tensor names, read as the new ones for one minor version.

Runs trained by an earlier version are read silently; in user input (``--set``, ``--config``) they cause a notice.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

KEYS = {  # old → new, by dotted name
    "model.common_dim": "model.embed_dim",
    "model.head_units": "model.head_hidden_size",
    "model.lstm_units": "model.hidden_size",
    "training.augment.time_mask_share": "training.augment.time_mask_fraction",
    "training.clip_norm": "training.max_grad_norm",
    "training.epoch_pairs": "training.pairs_per_epoch",
    "training.softness": "training.triplet_temperature",
}
VALUES = {  # by new key: old → new value
    "system": {"fmn_printed": "fmn_as_published"},
    "training.triplet": {"printed": "as_published", "soft": "softmax", "working": "standard"},
}


TENSOR_NAMES = {"normalise": "normalize", "optimiser": "optimizer", "standardised": "standardized"}
"""Parts of the names of tensors in checkpoints and states: old → new."""


def new_tensor_name(name: str) -> str:
    """Returns the current name of a tensor in a checkpoint: ``standardised.mean`` → ``standardized.mean``."""
    return ".".join(TENSOR_NAMES.get(part, part) for part in name.split("."))


def new_system_name(name: str, *, notice: bool = False) -> str:
    """Returns the current name of a system; ``notice``: whether to print one to stderr if it differs."""
    new = VALUES["system"].get(name, name)
    _print_notice(notice and new != name, f"the system {name}", new)
    return new


def earlier_run_name(name: str) -> str:
    """Returns the name that the default folder of a run had in earlier versions."""
    return name.replace("as_published", "printed").replace("as-published", "printed")


def with_new_keys(values: Mapping[str, Any], *, notice: bool = False, path: str = "") -> dict[str, Any]:
    """Returns ``values`` with deprecated keys and values replaced by the new ones, also in nested sections.

    Args:
        values: by key or by dotted name; if both an old and a new key are present, both are kept.
        notice: whether to print a notice for each to stderr.
        path: dotted name of the section that ``values`` belong to, with a trailing dot.
    """
    renamed: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{path}{key}"
        new = KEYS.get(name, name)
        if new != name and new.removeprefix(path) not in values:
            key = new.removeprefix(path)
            _print_notice(notice, name, new)
        if isinstance(value, Mapping):
            value = with_new_keys(value, notice=notice, path=f"{new}.")
        elif isinstance(value, str) and value in VALUES.get(new, {}):
            _print_notice(notice, f"{new}={value}", f"{new}={VALUES[new][value]}")
            value = VALUES[new][value]
        renamed[key] = value
    return renamed


def _print_notice(notice: bool, old: str, new: str) -> None:
    if notice:
        print(f"{old} is now {new}; the old name will be removed in the next minor version", file=sys.stderr)
