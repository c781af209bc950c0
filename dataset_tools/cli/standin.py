"""``fmn-data standin``: the synthetic (stand-in) corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dataset_tools.cli.options import SeedOption
from dataset_tools.core.command import DEFAULT_JOBS, DryRunOption, JobsOption
from dataset_tools.core.console import Terminal


def standin(
    terminal: Terminal,
    folder: Annotated[Path, typer.Argument(help="Folder for the corpus.")],
    seed: SeedOption = 0,
    per_class: Annotated[int, typer.Option("--per-class", min=1, help="Annotated intervals per class.")] = 50,
    difficulty: Annotated[
        Literal["easy", "standard", "hard"], typer.Option(help="How hard the classes are to tell apart.")
    ] = "standard",
    jobs: JobsOption = DEFAULT_JOBS,
    dry_run: DryRunOption = False,
) -> None:
    """Write the synthetic (stand-in) corpus: rendered kitchen scenes in MPII Cooking 2's layout.

    Example: fmn-data standin standin/ --per-class 20
    """
    from dataset_tools.corpora.standin.standin_corpus import write_standin

    summary = write_standin(
        folder,
        seed=seed,
        per_class=per_class,
        difficulty=difficulty,
        jobs=jobs,
        dry_run=dry_run,
        progress=terminal.progress,
    )
    terminal.closing("standin", summary.text(), folder)
    terminal.result({"dry_run": dry_run, "standin": summary.as_dict()})
