"""``fmn index``: features and indexes of the galleries, before the first search."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dataset_tools.core.command import DryRunOption
from dataset_tools.core.console import Terminal
from dataset_tools.core.count_of import count_of
from fmn.cli.dry_run import show_dry_run
from fmn.cli.options import AllOption, RunOptions, short, show_failures


def index(
    terminal: Terminal,
    options: RunOptions,
    query: Annotated[
        Literal["speech", "clip"] | None,
        typer.Option("--query", help="Prepare only for queries of this kind: speech finds clips, clip finds speech."),
    ] = None,
    everything: AllOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Prepare fast searches: extract missing features, and build or update the index of a large gallery.

    `fmn search` and `fmn serve` do the same at their start. Galleries of 200,000 items or more get an index.

    Example: fmn index runs/fmn-demo --all
    """
    from fmn.search.prepare import planned_galleries, prepare_galleries
    from fmn.search.search_results import QUERY_KINDS, GallerySource

    found = prepare_galleries(
        options.folder(),
        GallerySource(options.manifest_or("test.jsonl"), everything, options.root),
        kinds=QUERY_KINDS if query is None else (query,),
        device=options.device,
        jobs=options.jobs,
        dry_run=dry_run,
        progress=terminal.progress,
    )
    galleries = [one.as_dict() for one in found]
    if dry_run:
        show_dry_run(terminal, planned_galleries(found), "prepare", galleries=galleries)
        return
    for one in found:
        items = count_of(one.items, "clip" if one.kind == "speech" else "utterance")
        how = "indexed" if one.index is not None else f"features extracted; every item is scored: {one.why}"
        terminal.closing("index", f"{items}, {how}", short(Path(one.index or one.manifest)))
        show_failures(terminal, one.failures)
    terminal.result({"galleries": galleries})
