"""Removal of withdrawn speech from pulled and pushed tasks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from dataset_tools.core.files import write_bytes
from dataset_tools.core.workspace import Workspace
from dataset_tools.label_studio.push_plan import PresentTask
from dataset_tools.speech.recordings.withdrawn_recordings import ids_in

NO_SPEECH: Mapping[str, Any] = {"speech": "", "utterance_id": None, "utterance_sha256": None}
"""Data fields of a task that shows a clip without speech."""

_EXPORT = re.compile(r"\d{4}-\d\d-\d\dT[\d.-]+Z?_.+\.json|torn-.+\.txt")
"""Names of the files that a pull writes; other files in the folder are the user's own."""


def without_withdrawn(task: Mapping[str, Any], is_withdrawn: Callable[[str], bool]) -> dict[str, Any]:
    """Returns a task, as Label Studio lists or exports it, without its speech if the utterance was withdrawn."""
    data = task.get("data")
    if isinstance(data, dict) and is_withdrawn(str(data.get("utterance_id"))):
        return {**task, "data": {**data, **NO_SPEECH}}
    return dict(task)


def without_speech(present: PresentTask) -> PresentTask:
    """Returns a task on the server without its speech."""
    return replace(present, data={**present.data, **NO_SPEECH})


def kept_exports(workspace: Workspace, is_withdrawn: Callable[[str], bool]) -> Iterator[tuple[Path, int]]:
    """Yields the stored responses of Label Studio with withdrawn utterances, each with its number of such tasks."""
    for path in _exports(workspace):
        tasks = _tasks(path)
        count = sum(without_withdrawn(task, is_withdrawn) != task for task in tasks) if tasks is not None else 0
        if count or (tasks is None and any(map(is_withdrawn, ids_in(path.read_text("utf-8", "replace"))))):
            yield path, max(count, 1)


def clear_export(path: Path, is_withdrawn: Callable[[str], bool]) -> None:
    """Removes the utterances from such a file; a file with the torn line of a killed pull is deleted as a whole."""
    tasks = _tasks(path)
    if tasks is None:
        path.unlink()
        return
    cleared = [without_withdrawn(task, is_withdrawn) for task in tasks]
    write_bytes(path, msgspec.json.format(msgspec.json.encode(cleared), indent=1))


def _exports(workspace: Workspace) -> list[Path]:
    folder = workspace.annotations / "label-studio"
    return sorted(path for path in folder.glob("*") if _EXPORT.fullmatch(path.name) and path.is_file())


def _tasks(path: Path) -> list[dict[str, Any]] | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[dict[str, Any]])
    except (ValueError, RecursionError):
        return None
