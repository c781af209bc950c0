"""``fmn plot``: plots of a run."""

from __future__ import annotations

from dataset_tools.core.console import Terminal
from fmn.cli.options import RunOptions, short, show_failures


def plot(terminal: Terminal, options: RunOptions) -> None:
    """Plot a run: training curves, recall against chance and ceiling, confusion matrix, memory contents.

    Example: fmn plot runs/fmn-demo
    """
    from fmn.evaluation.plots import plot_run

    found = plot_run(
        options.folder(),
        options.manifest_or("test.jsonl"),
        **options.compute,
        progress=terminal.progress,
    )
    for note in found.notes:
        terminal.warn(note)
    names = ", ".join(path.name for path in found.files)
    terminal.closing("plot", names, short(found.files[0].parent))
    show_failures(terminal, found.failures)
    terminal.result(found.as_dict())
