"""fmn plot: pictures of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.core.console import DebugOption, JsonOption, VerboseOption, running
from fmn.cli.options import (
    DeviceOption,
    JobsOption,
    RootOption,
    RunArgument,
    short,
    show_failures,
)


def plot(
    run: RunArgument = None,
    manifest: Annotated[
        Path | None,
        typer.Option("--manifest", help="What is retrieved (default: the test.jsonl beside the training manifest)."),
    ] = None,
    device: DeviceOption = "auto",
    jobs: JobsOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    debug: DebugOption = False,
) -> None:
    """Draws a run: training, recall against chance and ceiling, confused classes, what the memories hold.

    Example: fmn plot runs/fmn-demo
    """
    with running(as_json=as_json, verbose=verbose, debug=debug) as terminal:
        from fmn.evaluation.plots import plot_run
        from fmn.training.run_folder import latest_run, manifest_for

        folder = run or latest_run(root or Path())
        chosen = manifest or manifest_for(folder, "test.jsonl")
        found = plot_run(folder, chosen, root=root, device=device, jobs=jobs, progress=terminal.progress)
        for note in found.notes:
            terminal.warn(note)
        names = ", ".join(path.name for path in found.files)
        terminal.closing("plot", names, short(found.files[0].parent))
        show_failures(terminal, found.failures)
        terminal.result(found.as_dict())
