"""``fmn noise``: the effect of wrong training pairs on FMN and its baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.core.command import DryRunOption
from dataset_tools.core.console import SOME_FAILED_EXIT_CODE, Terminal
from dataset_tools.core.count_of import count_of
from fmn.cli.compare import ComparisonOptions
from fmn.cli.options import LabelsOption, OutOption, listed, short, show_failures


def noise(
    terminal: Terminal,
    options: ComparisonOptions,
    test: Annotated[
        Path | None, typer.Argument(help="Test manifest (default: test.jsonl next to TRAIN).", metavar="TEST")
    ] = None,
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
    from fmn.comparison.comparison_plan import plan_comparison
    from fmn.studies.noise import check_noise_files, check_rates, study_noise
    from fmn.studies.noise_figures import noise_rich

    percents = _percents(rates)
    planned = plan_comparison(
        options.manifest,
        test or options.manifest.parent / "test.jsonl",
        out or options.default_folder(f"noise-{options.preset}"),
        models=listed(models, "--models"),
        preset_name=options.preset,
        changes={"training.labels": "pairs"} | options.changes() | ({"training.labels": labels} if labels else {}),
        budget=budget,
        seeds=seeds,
        root=options.root,
        device=options.device,
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
    found = study_noise(planned, percents, jobs=options.jobs, progress=terminal.progress)
    for table in noise_rich(found.values):
        terminal.say(table)
    for note in dict.fromkeys(note for rate in found.values["rates"] for note in rate["notes"]):
        terminal.warn(note)
    terminal.closing(
        "noise", f"{len(percents)} rate{'s' * (len(percents) > 1)}; curves: noise.png", short(planned.folder)
    )
    show_failures(terminal, found.left_out)
    if found.failed:
        terminal.exit_code = SOME_FAILED_EXIT_CODE
        reasons = "".join(f"\n  {name}: {reason}" for name, reason in found.failed.items())
        terminal.warn(f"Failed systems (run the same command again to retry):{reasons}")
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
