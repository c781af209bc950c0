"""Push of tasks to a file, which Label Studio imports, instead of a server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import write_bytes
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.label_studio.expected_tasks import expected_tasks
from dataset_tools.label_studio.labeled_tasks import is_ours

_OWN_FILES = ("classes.yaml", "instructions.html", "labeling.xml", "reviews.jsonl", "skips.jsonl")


def push_to_file(
    workspace: Workspace,
    path: Path,
    classes: ClassFile,
    *,
    media_url: str | None = None,
    ids: Sequence[str] | None = None,
    jobs: int = 1,
    dry_run: bool = False,
    progress: Progress = silent,
) -> int:
    """Writes all tasks, or those of ``ids``, to a JSON file that Label Studio imports, and the page to ``<name>.xml``.

    Returns:
        Number of tasks that were written, or would be without ``dry_run``.

    Raises:
        InputError: an input is wrong, ``path`` is an .xml file, or a file of something else would be replaced.
    """
    page = path.with_suffix(".xml")
    if path != page and path.exists() and not (path.is_file() and _are_tasks(path.read_bytes())):
        raise InputError(
            "Another file is where the tasks would be written",
            where=path,
            expected="a new file, or tasks that an earlier push --out wrote, without annotations",
            next_step="choose another name for --out",
        )
    if used := [file for file in (path, page) if _is_own_file(workspace, file)]:
        raise InputError(
            "Other commands would use this file as one of the workspace's own",
            where=used[0],
            expected="a name for the tasks, such as tasks.json, beside which the page can be written as tasks.xml",
            next_step="choose another name for --out",
        )
    if page == path or (page.exists() and not (page.is_file() and b'name="verdict"' in page.read_bytes())):
        raise InputError(
            "The page would replace the tasks" if page == path else "Another file is where the page would be written",
            where=page,
            expected="a name for the tasks, such as tasks.json, beside which the page can be written as tasks.xml",
            next_step="choose another name for --out",
        )
    expected = expected_tasks(
        workspace,
        classes,
        media_url=media_url,
        document_root=None,
        ids=ids,
        jobs=jobs,
        dry_run=dry_run,
        progress=progress,
    )
    if dry_run:
        return len(expected.tasks)
    write_bytes(page, expected.config.encode())
    tasks = [task.request() for task in expected.tasks]
    write_bytes(path, msgspec.json.format(msgspec.json.encode(tasks), indent=1))
    return len(tasks)


def _is_own_file(workspace: Workspace, path: Path) -> bool:
    """Whether commands read the file if it is there: push its page, builds the class file, and so on."""
    return path.resolve() in [(workspace.annotations / name).resolve() for name in _OWN_FILES]


def _are_tasks(content: bytes) -> bool:
    """Whether a file has nothing but tasks as `push_to_file` writes them; an export has decisions, too."""
    try:
        tasks = msgspec.json.decode(content, type=list[dict[str, Any]])
    except (ValueError, RecursionError):
        return False
    return all(is_ours(task) and task.keys() <= {"data", "predictions"} for task in tasks)
