"""``fmn-data clean``: garbage collection of a workspace."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from dataset_tools.core.command import DryRunOption
from dataset_tools.core.console import Terminal
from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace

if TYPE_CHECKING:
    from dataset_tools.build.unnamed_files import UnnamedFile


def clean(
    terminal: Terminal,
    workspace: Workspace,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            help="Remove only files of this kind: clips, speech, shown, standin, features, partial. Repeatable"
            " (default: all kinds).",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Remove files that no manifest refers to: rejected clips, older builds, their caches. Lists them and asks first.

    Recordings, annotations, manifests, runs and files not created by the toolkit are never removed.

    Example: fmn-data clean --dry-run
    """
    from dataset_tools.build.unnamed_files import KINDS, remove_unnamed, unnamed_files

    found = unnamed_files(workspace, kind or ())
    counts = _counts(found)
    for name, (files, size_bytes) in counts.items():
        terminal.say(
            f"  {name:<9} {files:>7} {'files' if files != 1 else 'file '} {_size(size_bytes):>9}   {KINDS[name]}"
        )
    if not dry_run and found:
        if not yes:
            _ask(terminal, len(found))
        found = remove_unnamed(workspace, kind or (), progress=terminal.progress)
        counts = _counts(found)
    size_bytes = sum(size for _, size in counts.values())
    would = " would be removed" if dry_run else " removed"
    terminal.closing(
        "clean", f"{count_of(len(found), 'file')}, {_size(size_bytes)}{would}" if found else "nothing to remove"
    )
    kinds = {name: {"files": files, "bytes": size} for name, (files, size) in counts.items()}
    terminal.result({"dry_run": dry_run, "files": len(found), "bytes": size_bytes, "kinds": kinds})


def _ask(terminal: Terminal, files: int) -> None:
    """Aborts the command unless the user confirms.

    Raises:
        InputError: there is no terminal to prompt on.
    """
    if not terminal.can_ask():
        raise InputError(
            f"{count_of(files, 'file')} would be removed, and there is no terminal to confirm this",
            expected="--yes",
            next_step="check with --dry-run, then add --yes",
        )
    typer.confirm("Remove them?", abort=True)


def _counts(found: Sequence[UnnamedFile]) -> dict[str, tuple[int, int]]:
    """Files and bytes by kind."""
    counts: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for file in found:
        files, size_bytes = counts[file.kind]
        counts[file.kind] = (files + 1, size_bytes + file.size_bytes)
    return dict(counts)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"
