"""``fmn tune``: hyperparameters of FMN, selected on the validation split."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from dataset_tools.core.command import DryRunOption
from dataset_tools.core.console import Terminal
from dataset_tools.core.count_of import count_of
from fmn.cli.options import OutOption, TrainingOptions, short, show_failures

if TYPE_CHECKING:
    from fmn.studies.tune import Tuning


def tune(
    terminal: Terminal,
    budget: Annotated[int, typer.Option("--budget", min=4, help="Maximum number of configurations to try.")] = 160,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Training runs to average each configuration over.")] = 2,
    out: OutOption = None,
    dry_run: DryRunOption = False,
    *,
    options: TrainingOptions,
) -> None:
    """Tune T1, T2, margin, capacity and temperature on the validation split (fold 0).

    Example: fmn tune manifests/train.jsonl --budget 160
    """
    folder = out or options.default_folder(f"tuning-{options.preset}")
    config = options.config()
    if dry_run:
        from fmn.studies.tune import FORMAT, TUNED_FILE, most_trainings
        from fmn.studies.validation_harness import check_study
        from fmn.training.result_files import check_result_files

        check_result_files(folder, [TUNED_FILE], FORMAT)
        check_study(options.manifest, config, options.root, options.device)
        most = most_trainings(config, seeds, budget)
        terminal.closing(
            "dry run", f"would try at most {budget} configurations with at most {most} training runs", short(folder)
        )
        terminal.result({"dry_run": True, "trainings": most, "trials": budget})
        return
    from fmn.studies.tune import tune as run_tuning
    from fmn.studies.tuning_table import tuning_table

    found = run_tuning(
        options.manifest,
        config,
        folder,
        budget=budget,
        seeds=seeds,
        **options.compute,
        progress=terminal.progress,
        warn=terminal.warn,
    )
    terminal.say(tuning_table(found))
    outcome = "the defaults are kept" if found.is_default else "better than the defaults, also when retrained"
    terminal.closing(
        "tune",
        f"{count_of(len(found.trials), 'configuration')} from {count_of(found.trainings, 'training run')}: {outcome}",
        short(found.path),
    )
    show_failures(terminal, found.failures)
    terminal.result(found.as_dict())
    if not found.is_default:
        terminal.next(training_with(found, options))


def training_with(found: Tuning, options: TrainingOptions) -> str:
    """The command that trains with the tuned values and the options used for tuning, in a run of its own."""
    from fmn.training.run_folder import workspace_words

    typed = ["fmn", "train", str(short(options.manifest))]
    if options.config_file is None:
        typed += ["--config", str(short(found.path))]
    else:  # the tuned values override the file
        values = (part for name, value in found.values.items() for part in ("--set", f"{name}={value}"))
        typed += ["--config", str(options.config_file), *values]
    run = options.default_folder(f"fmn-{options.preset}-tuned")  # that without the values has the default name
    typed += [*options.repeated(beside=found.values), "--run", str(short(run))]
    return shlex.join(typed + workspace_words(options.manifest, options.root))
