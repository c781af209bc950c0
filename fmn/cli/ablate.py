"""``fmn ablate``: design choices of FMN, compared on the validation split."""

from __future__ import annotations

from typing import Annotated

import typer

from dataset_tools.core.command import DryRunOption
from dataset_tools.core.console import Terminal
from dataset_tools.core.count_of import count_of
from fmn.cli.options import OutOption, TrainingOptions, listed, short, show_failures, titled


def ablate(
    terminal: Terminal,
    only: Annotated[
        str, typer.Option("--only", help="Groups of variants to compare, comma-separated (default: all).")
    ] = "",
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Training runs per variant, each with its own seed.")
    ] = 3,
    out: OutOption = None,
    dry_run: DryRunOption = False,
    *,
    options: TrainingOptions,
) -> None:
    """Run the ablation study: compare design choices on the validation split (fold 0).

    Example: fmn ablate manifests/train.jsonl --only score,space,capacity --seeds 3
    """
    from fmn.studies.ablate import FILES, FORMAT, trainings_of
    from fmn.studies.ablate import ablate as run_ablation
    from fmn.studies.ablation_table import ablation_table
    from fmn.studies.validation_harness import check_study
    from fmn.studies.variants import check_groups, variants_of
    from fmn.training.result_files import check_result_files

    folder = out or options.default_folder(f"ablation-{options.preset}")
    config = options.config()
    groups = listed(only, "--only") if only else []
    check_groups(groups)
    if dry_run:
        check_result_files(folder, FILES, FORMAT)
        items, _ = check_study(options.manifest, config, options.root, options.device)
        variants = variants_of(config, groups, classes=len(items.classes))
        each = trainings_of(config, variants)
        terminal.closing(
            "dry run",
            f"would train {seeds} × {each} networks and evaluate {len(variants)} variants per seed",
            short(folder),
        )
        terminal.result({"dry_run": True, "trainings": seeds * each, "variants": len(variants)})
        return
    found = run_ablation(
        options.manifest,
        config,
        folder,
        only=groups,
        seeds=seeds,
        **options.compute,
        progress=terminal.progress,
        warn=terminal.warn,
    )
    title = titled(options.manifest, is_standin=found.values["stand_in"])
    terminal.say(ablation_table(found.values, title=f"class hit on fold 0 of {title}"))
    trainings = count_of(found.trainings, "training run") + (f", {found.reused} of them reused" if found.reused else "")
    terminal.closing(
        "ablate",
        f"{len(found.values['rows']) - 1} variants from {trainings}; the other metrics: ablation.md",
        short(folder),
    )
    show_failures(terminal, found.failures)
    terminal.result(found.as_dict())
