"""``fmn plot``: plots of a run."""

from __future__ import annotations

from dataset_tools.core.command import DryRunOption
from dataset_tools.core.console import Terminal
from fmn.cli.dry_run import show_dry_run
from fmn.cli.options import RunOptions, short, show_failures


def plot(terminal: Terminal, options: RunOptions, dry_run: DryRunOption = False) -> None:
    """Plot a run: training curves, recall against chance and ceiling, confusion matrix, memory contents.

    Example: fmn plot runs/fmn-demo
    """
    from fmn.evaluation.plots import plan_plots, plot_run

    what = options.folder(), options.manifest_or("test.jsonl")
    if dry_run:
        show_dry_run(terminal, plan_plots(*what, **options.compute, progress=terminal.progress), "plot")
        return
    found = plot_run(*what, **options.compute, progress=terminal.progress)
    for note in found.notes:
        terminal.warn(note)
    names = ", ".join(path.name for path in found.files)
    terminal.closing("plot", names, short(found.files[0].parent))
    show_failures(terminal, found.failures)
    terminal.result(found.as_dict())
