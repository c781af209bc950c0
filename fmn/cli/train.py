"""``fmn train``: training of FMN or a baseline, by one process or several."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dataset_tools.core.command import DryRunOption
from dataset_tools.core.console import Terminal
from dataset_tools.core.count_of import count_of
from fmn.cli.options import FORMS, LabelsOption, RefitOption, TrainingOptions, short, show_failures

if TYPE_CHECKING:
    from fmn.config import Config
    from fmn.training.run_state import RunState
    from fmn.training.train import RunSummary, TrainingPlan


def train(
    terminal: Terminal,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", help="System to train: fmn (default) or a baseline (fmn compare --dry-run lists them)."
        ),
    ] = None,
    form: Annotated[
        Literal["standard", "as-published"] | None,
        typer.Option(
            "--form",
            help="Equations in their standard form (default, recommended), or exactly as published in the paper.",
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", help="Folder of the run (default: runs/MODEL-PRESET in the workspace).", file_okay=False),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Resume an existing run with its own configuration; --epochs can extend it."),
    ] = False,
    refit: RefitOption = False,
    labels: LabelsOption = None,
    processes: Annotated[
        int, typer.Option("--processes", help="Train with N processes, each on its own GPU; see docs/scale.md.", min=1)
    ] = 1,
    dry_run: DryRunOption = False,
    *,
    options: TrainingOptions,
) -> None:
    """Train a system on a manifest; an interrupted run resumes after its last complete epoch.

    Example: fmn train manifests/train.jsonl --preset demo --epochs 60
    """
    if model is not None:
        from fmn.systems import find_system

        model = find_system(model).name  # the current one
    suffixes = {"as-published": form == "as-published", "refit": refit, "pairs": labels == "pairs"}
    name = "-".join([model or "fmn", options.preset, *(suffix for suffix, applies in suffixes.items() if applies)])
    folder = run or options.default_folder(name)
    changes: dict[str, Any] = {"training.refit": True} if refit else {}
    if labels is not None:
        changes["training.labels"] = labels
    config = _configuration(folder, options, model, form, changes, resume=resume)
    if dry_run:
        from fmn.data.loading import device_named
        from fmn.data.outdated_pairs import outdated_pairs
        from fmn.training.train import plan_training

        device_named(options.device)
        plan = plan_training(options.manifest, config, options.root, folder)
        plan.items.require_media()
        for caveat in outdated_pairs(plan.items):
            terminal.warn(caveat)
        _show_plan(terminal, plan, folder, plan.earlier_state(folder, resume=resume, processes=processes))
        return
    from dataset_tools.core.progress import silent
    from fmn.training.distributed import is_started_among_others, joined_processes
    from fmn.training.memory_allocation import keep_freed_memory
    from fmn.training.process_launcher import run_processes
    from fmn.training.train import train as train_run

    if processes > 1 and not is_started_among_others():
        raise typer.Exit(run_processes(processes))
    keep_freed_memory()
    if is_started_among_others() and os.environ["RANK"] == "0":
        terminal.say(f"  waits for {os.environ['WORLD_SIZE']} processes (environment variable WORLD_SIZE)")
    with joined_processes() as joined:
        summary = train_run(
            options.manifest,
            config,
            folder,
            **options.compute,
            resume=resume,
            progress=terminal.progress if joined.is_first else silent,
            warn=terminal.warn,
            processes=joined,
        )
    if joined.is_first:
        _show_training(terminal, summary)


def _configuration(
    folder: Path,
    options: TrainingOptions,
    model: str | None,
    form: Literal["standard", "as-published"] | None,
    changes: dict[str, Any],
    *,
    resume: bool,
) -> Config:
    """Returns the configuration of the run: that of the run to resume, with the changes, or a new one."""
    from fmn.training.checkpoint import CONFIG_FILE, load_config

    if not resume or not (folder / CONFIG_FILE).is_file():  # training says that there is nothing to resume
        return options.config(model or "fmn", form, **changes)
    from fmn.cli.whole_configuration import check_resumed
    from fmn.config import with_values

    held, changes = load_config(folder), options.changes() | changes
    check_resumed(folder, held, model, options.selected_preset, form and FORMS[form], changes)
    return with_values(held, changes)


def _show_plan(terminal: Terminal, plan: TrainingPlan, run: Path, state: RunState | None) -> None:
    from fmn.config import as_dict
    from fmn.training.result_files import earlier_results

    name = plan.config.system
    trained = 0 if state is None else state.epoch
    to_come, pairs, parts = plan.config.training.epochs - trained, 0, plan.parts
    if state is not None and state.ended(plan.config):
        text = f"{name} is already finished, after {count_of(trained, 'epoch')}"
    elif to_come > 0:
        pairs = len(parts.train_pairs)
        what = f"resume {name} after epoch {trained}, and train it" if trained else f"train {name}"
        clips, utterances = len(parts.validation_clips), len(parts.validation_utterances)
        text = (
            f"would {what} for {count_of(to_come, 'epoch')} on {count_of(pairs, 'pair')} of "
            f"{count_of(len(parts.train_clips), 'clip')} and {count_of(len(parts.train_utterances), 'utterance')}, "
            + (f"and validate on {clips} and {utterances} of fold 0" if parts.validates else "without validation")
        )
    else:  # it was killed after its last epoch, or has more epochs than requested now
        text = f"would only finalize {name}, already trained for {count_of(trained, 'epoch')}"
    terminal.closing("dry run", text, short(run))
    if (earlier := earlier_results(run)) is not None and not (state is not None and state.ended(plan.config)):
        terminal.say(f"  results of the weights before would be moved to {short(earlier)}")
    values = as_dict(plan.config)
    terminal.result({"dry_run": True, "run": str(run), "config": values, "epochs": trained, "pairs": pairs})


def _show_training(terminal: Terminal, summary: RunSummary) -> None:
    for note in summary.notes:
        terminal.warn(note)
    hits = [f"{value:.1f}" for name, value in summary.validation.items() if name.endswith("hit@1")]
    validated = f", best epoch {summary.best_epoch}: validation hit@1 {' / '.join(hits)} %" if hits else ""
    how = "is already finished" if summary.already_finished else "trained"
    terminal.closing(
        "train",
        f"{summary.system} {how}: {count_of(summary.epochs, 'epoch')}, {count_of(summary.pairs, 'pair')} of "
        f"{count_of(summary.classes, 'class', 'classes')}, {summary.parameters:,} parameters{validated}",
        short(summary.run),
    )
    if summary.earlier_results is not None:
        terminal.say(f"  results of the weights before were moved to {short(summary.earlier_results)}")
    show_failures(terminal, summary.failures)
    if summary.already_finished and summary.failures:
        terminal.warn("To use items repaired since the run was trained, train into another --run")
    terminal.result(summary.as_dict())
    terminal.next("fmn eval", short(summary.run))
