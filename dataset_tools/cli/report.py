"""``fmn-data report``: HTML report on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.cli.options import ClassFileOption, class_file_of, warn_synthetic
from dataset_tools.core.command import DEFAULT_JOBS, DryRunOption, JobsOption
from dataset_tools.core.console import Terminal
from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.core.workspace import Workspace


def report(
    terminal: Terminal,
    workspace: Workspace,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the report (default: report/ in the workspace).", file_okay=False),
    ] = None,
    class_file: ClassFileOption = None,
    jobs: JobsOption = DEFAULT_JOBS,
    dry_run: DryRunOption = False,
) -> None:
    """Write an HTML report: counts, durations, shortfalls, failures, thumbnails and audio of every class.

    Example: fmn-data report, then open report/index.html
    """
    from dataset_tools.build.inputs import is_class_file_of_build
    from dataset_tools.report.page import write_report

    classes = class_file_of(class_file, workspace)
    summary = write_report(workspace, classes, out, jobs=jobs, dry_run=dry_run, progress=terminal.progress)
    if not is_class_file_of_build(workspace, classes):
        terminal.warn(f"the data set was built with another class file than {classes.path}, or another version of it")
    warn_synthetic(terminal, summary.is_standin)
    shown = f"{count_of(summary.clips, 'clip')}, {count_of(summary.utterances, 'utterance')}"
    if dry_run:
        shown += f" would be shown, after drawing {count_of(summary.to_draw, 'thumbnail')}"
    terminal.closing("report", shown, summary.page)
    if summary.missing:
        terminal.warn(f"missing: {', '.join(first_of(summary.missing, 3))}")
    if summary.without_picture:
        name, reason = next(iter(summary.without_picture.items()))
        count = count_of(len(summary.without_picture), "clip has", "clips have")
        terminal.warn(f"{count} no thumbnail; the first, {name}: {reason}")
    terminal.result(summary.as_dict())
