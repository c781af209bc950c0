"""``fmn learn``: few-shot learning of new classes, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.core.command import DryRunOption
from dataset_tools.core.console import Terminal
from dataset_tools.core.count_of import count_of
from fmn.cli.dry_run import show_dry_run
from fmn.cli.options import ComputeOptions, short


def learn(
    terminal: Terminal,
    run: Annotated[Path, typer.Argument(help="Folder of a trained run of fmn.", metavar="RUN")],
    pairs: Annotated[
        Path,
        typer.Argument(help="Manifest of pairs of new classes, with rows like those of train.jsonl.", metavar="PAIRS"),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Learn in a copy of the run, in this folder next to RUN (default: in RUN itself).",
            file_okay=False,
        ),
    ] = None,
    skip_known: Annotated[
        bool, typer.Option("--skip-known", help="Skip pairs of classes that the run was trained on.")
    ] = False,
    dry_run: DryRunOption = False,
    *,
    options: ComputeOptions,
) -> None:
    """Learn new classes from a few pairs, without training; eval, search and predict then include them.

    Example: fmn learn runs/fmn-demo manifests/new.jsonl --out runs/fmn-more
    """
    from fmn.evaluation.learn_classes import learn_classes, plan_learning

    if dry_run:
        planned, result = plan_learning(
            run, pairs, out=out, skip_known=skip_known, **options.compute, progress=terminal.progress
        )
        doing = f"learn {', '.join(result.classes)}: {count_of(result.added, 'new item')} among"
        show_dry_run(terminal, planned, doing, result=result.as_dict())
        return
    found = learn_classes(run, pairs, out=out, skip_known=skip_known, **options.compute, progress=terminal.progress)
    items = f"{count_of(found.clips, 'clip')} and {count_of(found.utterances, 'utterance')}"
    terminal.closing(
        "learn",
        f"{', '.join(found.classes)}: {items}, {found.added} of them new",
        short(found.run),
    )
    if found.earlier_results is not None:
        terminal.say(f"  results without these classes were moved to {short(found.earlier_results)}")
    terminal.result(found.as_dict())
    terminal.next("fmn eval", short(found.run))
