"""Shipped inputs: the folder annotations/ of a checkout, also packed into the wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent.parent


def shipped_file(name: str) -> Path:
    """Path of a shipped input, such as ``classes.yaml``, in an installed wheel or in a checkout."""
    in_wheel = _PACKAGE / "annotations"
    return (in_wheel if in_wheel.is_dir() else _PACKAGE.parent / "annotations") / name
