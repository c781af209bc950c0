"""``fmn serve``: search, exploration and error analysis in the browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from dataset_tools.core.command import AddressOptions
from dataset_tools.core.console import Terminal
from fmn.cli.options import AllOption, RunOptions, show_failures


def serve(
    terminal: Terminal,
    options: RunOptions,
    where: AddressOptions,
    everything: AllOption = False,
    voices: Annotated[str, typer.Option("--voices", help="Speech engine that synthesizes typed queries.")] = "espeak",
) -> None:
    """Open a page in the browser to search by voice, clip or sentence, and to analyze retrieval errors.

    Example: fmn serve runs/fmn-demo
    """
    from fmn.search.search_results import GallerySource
    from fmn.serve.server import serve as serve_run

    def announce(address: str, failures: Mapping[str, str]) -> None:
        show_failures(terminal, failures)
        terminal.result({"address": address, "failures": dict(failures)})
        terminal.say(f"  the page is open: {address}\n  anyone with this address can search; Ctrl+C stops the server")

    serve_run(
        options.folder(),
        GallerySource(options.manifest_or("test.jsonl"), everything, options.root),
        where.address(),
        announce=announce,
        voices=voices,
        device=options.device,
        jobs=options.jobs,
        progress=terminal.progress,
    )
