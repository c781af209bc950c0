"""``fmn noise``: the effect of wrong training pairs on FMN and its baselines."""

from __future__ import annotations

from typing import Annotated

import typer

from dataset_tools.core.command import DryRunOption
from dataset_tools.core.console import Terminal
from dataset_tools.core.count_of import count_of
from fmn.cli.compare import ComparisonOptions, show_left_out_and_failed
from fmn.cli.options import LabelsOption, OutOption, listed, short


def noise(
    terminal: Terminal,
    options: ComparisonOptions,
    rates: Annotated[
        str,
        typer.Option("--rates", metavar="P,P,…", help="Percentages of wrong training pairs, whole numbers below 100."),
    ] = "0,10,20,30,40",
    models: Annotated[
        str, typer.Option("--models", metavar="A,B,…", help="Systems to train.")
    ] = "fmn,class_towers,two_classifiers,kcca,clip_towers",
    labels: LabelsOption = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Training runs per system and rate, each with its own seed.")
    ] = 3,
    budget: Annotated[
        int, typer.Option("--budget", min=1, help="Maximum number of configurations per system to try on fold 0.")
    ] = 1,
    out: OutOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Measure the effect of label noise: train FMN and baselines with some of the training pairs wrong.

    By default, training uses no class labels, only the pairs (see --labels).

    Example: fmn noise manifests/train.jsonl --rates 0,20,40
    """
    from fmn.comparison.compare import load_both
    from fmn.studies.noise import check_noise_files, check_rates, study_noise
    from fmn.studies.noise_figures import noise_rich

    percents = _percents(rates)
    planned = options.plan(
        out or options.default_folder(f"noise-{options.preset}"),
        models=listed(models, "--models"),
        changes={"training.labels": "pairs"} | options.changes() | ({"training.labels": labels} if labels else {}),
        budget=budget,
        seeds=seeds,
    )
    check_noise_files(planned.folder, percents)
    check_rates(options.manifest, percents, planned.seeds[0], options.root)
    if dry_run:
        load_both(planned)
        runs = planned.runs * len(percents)
        systems = ", ".join(planned.candidates)
        terminal.closing("dry run", f"would do up to {count_of(runs, 'run')} of {systems}", short(planned.folder))
        terminal.result({"dry_run": True, "runs": runs, "rates": percents, "systems": list(planned.candidates)})
        return
    found = study_noise(planned, percents, jobs=options.jobs, progress=terminal.progress, warn=terminal.warn)
    for table in noise_rich(found.values):
        terminal.say(table)
    for note in dict.fromkeys(note for rate in found.values["rates"] for note in rate["notes"]):
        terminal.warn(note)
    terminal.closing(
        "noise", f"{len(percents)} rate{'s' * (len(percents) > 1)}; curves: noise.png", short(planned.folder)
    )
    show_left_out_and_failed(terminal, found.left_out, found.failed)
    terminal.result(found.values | {"left_out": found.left_out})


def _percents(text: str) -> list[int]:
    """Parses comma-separated whole numbers from 0 to 99."""
    from dataset_tools.core.errors import InputError

    parts = listed(text, "--rates")
    wrong = [part for part in parts if not part.isdecimal() or int(part) >= 100]
    if wrong:
        raise InputError(
            f"{wrong[0]!r} is not a rate",
            where="--rates",
            expected="whole percent from 0 to 99, separated by commas",
            next_step="specify rates, such as --rates 0,20,40",
        )
    return sorted({int(part) for part in parts})
