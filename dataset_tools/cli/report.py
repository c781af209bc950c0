"""``fmn-data report``: a data set as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.cli.options import (
    DEFAULT_JOBS,
    HERE,
    ClassFileOption,
    JobsOption,
    class_file_of,
    say_standin,
)
from dataset_tools.core.console import DebugOption, JsonOption, VerboseOption, WorkspaceOption, running
from dataset_tools.core.workspace import Workspace


def report(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to write to (default: report/ in the workspace).")
    ] = None,
    class_file: ClassFileOption = None,
    jobs: JobsOption = DEFAULT_JOBS,
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    debug: DebugOption = False,
) -> None:
    """Writes one HTML page: counts, lengths, shortfalls, failures, pictures of every class, every utterance to hear.

    Example: fmn-data report, then open report/index.html
    """
    with running(as_json=as_json, verbose=verbose, debug=debug) as terminal:
        from dataset_tools.report.page import write_report

        place = Workspace(workspace)
        summary = write_report(
            place, class_file_of(class_file, place, None), output, jobs=jobs, progress=terminal.progress
        )
        say_standin(terminal, summary.is_standin)
        terminal.closing("report", f"{summary.clips} clips, {summary.utterances} utterances", summary.page)
        for path in summary.missing[:3]:
            terminal.warn(f"missing: {path}" + (" and others" if len(summary.missing) > 3 else ""))
        terminal.result(summary.as_dict())
