"""``fmn-data verify``: check of a data set, also of one from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.core.command import DEFAULT_JOBS, JobsOption
from dataset_tools.core.console import SOME_FAILED_EXIT_CODE, Terminal
from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace


def verify(
    terminal: Terminal,
    workspace: Workspace,
    jobs: JobsOption = DEFAULT_JOBS,
    untrusted: Annotated[
        Path | None,
        typer.Option("--untrusted", help="Folder of a data set from elsewhere: check whether it is safe to use."),
    ] = None,
) -> None:
    """Verify manifests, file hashes and decoding, and check for leaks between train and test.

    Example: fmn-data verify
    """
    if untrusted is not None:
        _verify_untrusted(terminal, untrusted, jobs)
        return
    from dataset_tools.build.verify import verify_dataset

    report = verify_dataset(workspace, jobs=jobs, progress=terminal.progress)
    split = f", split `{report.split}`" if report.split else ""
    checked = f"{count_of(report.checked, 'file')} and {count_of(report.rows, 'row')}"
    terminal.closing("verify", f"{checked} checked{split}", workspace.root)
    for problem in report.problems:
        terminal.warn(problem)
    terminal.result(report.as_dict())
    if report.problems:
        terminal.exit_code = SOME_FAILED_EXIT_CODE


def _verify_untrusted(terminal: Terminal, folder: Path, jobs: int) -> None:
    from dataset_tools.build.untrusted import check_untrusted

    report = check_untrusted(folder, jobs=jobs, progress=terminal.progress)
    terminal.say(f"  {count_of(report.files, 'file')}: known kinds, bounded sizes, no links, no pickles")
    rows = count_of(report.rows, "row")
    terminal.say(f"  {rows}: names, paths and hashes" if report.rows else "  rows: not read")
    terminal.say(
        f"  {count_of(report.media, 'media file')}: hash, format, size and length"
        if report.media
        else "  media: not opened"
    )
    for problem in report.shown:
        terminal.warn(problem)
    terminal.result(report.as_dict())
    if report.problems:
        terminal.warn(f"not safe to use, {count_of(len(report.problems), 'problem')}: {folder}")
        terminal.exit_code = InputError.exit_code
    else:
        terminal.closing("untrusted", "safe to use", folder)
