"""Pending decisions, annotations/label-studio/unread.json: how many the last pull could not fetch or read."""

from __future__ import annotations

from pathlib import Path

import msgspec

from dataset_tools.core.count_of import count_of
from dataset_tools.core.files import write_bytes
from dataset_tools.core.workspace import Workspace


def remember_unread(workspace: Workspace, project: str, count: int) -> None:
    """Stores the number of decisions that a pull could not fetch or read, by address of the project."""
    before = _read(workspace)
    counts = {**before, project: count} if count else {name: n for name, n in before.items() if name != project}
    if counts != before:
        write_bytes(_path(workspace), msgspec.json.encode(dict(sorted(counts.items()))) + b"\n")


def unread_warning(workspace: Workspace) -> str | None:
    """Warning for commands that use the decisions of a workspace; None if the last pulls fetched all of them."""
    counts = _read(workspace)
    if not counts:
        return None
    unread = count_of(sum(counts.values()), "decision in Label Studio is", "decisions in Label Studio are")
    return f"{unread} not in this workspace, as of the last pull ({', '.join(counts)}): run fmn-data annotate pull"


def _path(workspace: Workspace) -> Path:
    return workspace.annotations / "label-studio" / "unread.json"


def _read(workspace: Workspace) -> dict[str, int]:
    try:
        return msgspec.json.decode(_path(workspace).read_bytes(), type=dict[str, int])
    except (FileNotFoundError, ValueError, RecursionError):
        return {}  # only a cache: the next pull counts again
