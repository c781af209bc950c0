"""Files that links in a workspace lead to: they still hold a voice after the links are removed or replaced."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from dataset_tools.core.workspace import Workspace
from dataset_tools.withdrawal.forgetting import Trace
from dataset_tools.withdrawal.recorded_voice import RecordedVoice

_RECORDS = ("manifests/split.json", "manifests/build.json")  # have no rows, so they may be no trace


def linked_files(workspace: Workspace, voice: RecordedVoice, traces: Iterable[Trace]) -> list[Path]:
    """Returns the existing targets of links that `forget_voice` removes or replaces; to be called before it.

    They are not removed: they may be files of the user, or shared with other data sets.
    """
    return sorted({path.resolve() for path in _links(workspace, voice, traces) if path.exists()})


def shown_path(workspace: Workspace, path: Path) -> str:
    """Returns a resolved path relative to the workspace, or absolute if it is elsewhere."""
    root = workspace.root.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _links(workspace: Workspace, voice: RecordedVoice, traces: Iterable[Trace]) -> Iterator[Path]:
    for trace in traces:
        changed = (trace.where,) if trace.rows else ()
        yield from (path for name in (*trace.paths, *changed) if (path := workspace.root / name).is_symlink())
    for path in (workspace.root / name for name in _RECORDS):
        if path.is_symlink() and path.is_file() and voice.is_named_in(path.read_bytes()):
            yield path
