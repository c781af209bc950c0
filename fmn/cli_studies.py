"""The commands that train more than one network: fmn ablate, tune, newclasses; and those beside training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataset_tools.terminal import DebugOption, DryRunOption, JsonOption, Terminal, VerboseOption, running
from fmn.cli_common import (
    ConfigOption,
    DeviceOption,
    JobsOption,
    PresetOption,
    RootOption,
    SettingsOption,
    ThreadsOption,
    TrainArgument,
    changes_of,
    config_of,
    short,
    show_failures,
)

if TYPE_CHECKING:
    from fmn.tune import Tuning

EpochsOption = Annotated[
    int | None, typer.Option("--epochs", min=1, help="The most epochs of a training (default: the preset's).")
]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="The first seed (default: 0).")]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Folder for tables and runs (default: one under runs/).", file_okay=False)
]


def ablate(
    manifest: TrainArgument = Path("manifests/train.jsonl"),
    only: Annotated[str, typer.Option("--only", help="Groups to compare, with commas (default: all).")] = "",
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Trainings of each kind.")] = 3,
    preset: PresetOption = "demo",
    epochs: EpochsOption = None,
    seed: SeedOption = None,
    out: OutOption = None,
    config_file: ConfigOption = None,
    settings: SettingsOption = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "auto",
    jobs: JobsOption = None,
    root: RootOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    debug: DebugOption = False,
) -> None:
    """Compares every choice of the model with its alternatives, on fold 0 of the training part.

    Example: fmn ablate manifests/train.jsonl --only score,space,capacity --seeds 3
    """
    with running(as_json=as_json, verbose=verbose, debug=debug) as terminal:
        from fmn.runs import default_run
        from fmn.variants import variants_of

        folder = out or default_run(manifest, root, f"ablation-{preset}")
        changes = changes_of(config_file, settings, epochs=epochs, seed=seed, threads=threads)
        config = config_of(folder, "fmn", preset, "working", changes, resume=False)
        groups = [name.strip() for name in only.split(",") if name.strip()]
        variants = variants_of(config, groups)
        from fmn.ablate import ablate as run_ablation
        from fmn.ablate import trainings_of

        if dry_run:
            each = trainings_of(config, variants)
            terminal.closing(
                "dry run", f"would train {seeds} × {each} networks, and score {len(variants)} variants of each", folder
            )
            terminal.result({"dry_run": True, "trainings": seeds * each, "variants": len(variants)})
            return
        found = run_ablation(
            manifest,
            config,
            folder,
            only=groups,
            seeds=seeds,
            root=root,
            device=device,
            jobs=jobs,
            progress=terminal.progress,
        )
        from fmn.ablation_table import ablation_table

        corpus = "  [bold yellow](stand-in corpus)[/]" if found.values["stand_in"] else ""
        terminal.say(ablation_table(found.values, title=f"class hit on fold 0 of {short(manifest)}{corpus}"))
        again = f", {found.reused} of them there already" if found.reused else ""
        terminal.closing(
            "ablate",
            f"{len(variants)} variants from {found.trainings} trainings{again}; the other metrics: ablation.md",
            short(folder),
        )
        show_failures(terminal, found.failures)
        terminal.result(found.as_dict())


def tune(
    manifest: TrainArgument = Path("manifests/train.jsonl"),
    budget: Annotated[int, typer.Option("--budget", min=4, help="The most values to try.")] = 160,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Trainings that each try is averaged over.")] = 2,
    preset: PresetOption = "demo",
    epochs: EpochsOption = None,
    seed: SeedOption = None,
    out: OutOption = None,
    config_file: ConfigOption = None,
    settings: SettingsOption = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "auto",
    jobs: JobsOption = None,
    root: RootOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    debug: DebugOption = False,
) -> None:
    """Finds T1, T2, margin, capacity and temperature on fold 0; the test part is never looked at.

    Example: fmn tune manifests/train.jsonl --budget 160
    """
    with running(as_json=as_json, verbose=verbose, debug=debug) as terminal:
        from fmn.runs import default_run

        folder = out or default_run(manifest, root, f"tuning-{preset}")
        changes = changes_of(config_file, settings, epochs=epochs, seed=seed, threads=threads)
        config = config_of(folder, "fmn", preset, "working", changes, resume=False)
        if dry_run:
            from fmn.tune import MARGINS

            most = seeds * (len({*MARGINS, config.training.margin}) + 1)
            terminal.closing("dry run", f"would try at most {budget} values with at most {most} trainings", folder)
            terminal.result({"dry_run": True, "trainings": most, "trials": budget})
            return
        from fmn.tune import tune as run_tuning

        found = run_tuning(
            manifest,
            config,
            folder,
            budget=budget,
            seeds=seeds,
            root=root,
            device=device,
            jobs=jobs,
            progress=terminal.progress,
        )
        _show_tuning(terminal, found, manifest)


def _show_tuning(terminal: Terminal, found: Tuning, manifest: Path) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        title="tried on fold 0, percent",
        title_justify="left",
        caption="\n".join(found.notes),
        caption_justify="left",
        box=SIMPLE_HEAD,
    )
    names = list(found.values)
    for name in (*(name.partition(".")[2] for name in names), "mAP", "a→v hit@1", "v→a hit@1", ""):
        table.add_column(name, justify="right")
    for trial in found.trials:
        remarks = [
            text
            for text, is_meant in (
                ("default", trial is found.default),
                ("best", trial is found.best),
                ("trained with", trial.retrained),
            )
            if is_meant
        ]
        table.add_row(
            *(str(trial.values[name]) for name in names),
            f"{trial.map:.1f}",
            f"{trial.audio_to_video:.1f}",
            f"{trial.video_to_audio:.1f}",
            ", ".join(remarks),
            style="bold" if remarks else None,
        )
    terminal.say(table)
    outcome = "the defaults stay" if found.is_default else "better than the defaults, also when trained with"
    terminal.closing(
        "tune", f"{len(found.trials)} values from {found.trainings} trainings: {outcome}", short(found.path)
    )
    show_failures(terminal, found.failures)
    terminal.result(found.as_dict())
    if not found.is_default:
        terminal.next(f"fmn train {short(manifest)} --config {short(found.path)}")


def finetune(
    manifest: TrainArgument = Path("manifests/train.jsonl"),
    preset: PresetOption = "demo",
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Passes over the clips.")] = 12,
    batch: Annotated[int, typer.Option("--batch", min=2, help="Clips a step.")] = 16,
    learning_rate: Annotated[float, typer.Option("--learning-rate", min=0, help="Of AdamW, at its height.")] = 1e-3,
    refit: Annotated[bool, typer.Option("--refit", help="Train on fold 0, too: once everything is chosen.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")] = 0,
    out: OutOption = None,
    settings: SettingsOption = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "auto",
    jobs: JobsOption = None,
    root: RootOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    debug: DebugOption = False,
) -> None:
    """Trains the video backbone on the actions of the training clips; fold 0 is left out till the final --refit.

    Example: fmn finetune manifests/train.jsonl --preset paper --device cuda
    """
    with running(as_json=as_json, verbose=verbose, debug=debug) as terminal:
        from fmn.runs import default_run

        folder = out or default_run(manifest, root, f"finetune-{preset}" + ("-refit" if refit else ""))
        changes = changes_of(None, settings, threads=threads)
        config = config_of(folder, "fmn", preset, "working", changes, resume=False)
        if dry_run:
            from fmn.finetune import labelled_parts
            from fmn.items import load_items

            fitted, held = labelled_parts(load_items(manifest, root), refit=refit)
            plan = f"would train {' and '.join(config.video.streams)} on {len(fitted)} clips and look at {len(held)}"
            terminal.closing("dry run", plan, folder)
            terminal.result({"dry_run": True, "clips": len(fitted), "validation": len(held)})
            return
        from fmn.data import default_jobs, find_device
        from fmn.features.training import TrainingRecipe
        from fmn.finetune import finetune as run_finetuning
        from fmn.guards import threads as torch_threads

        recipe = TrainingRecipe(epochs=epochs, batch=batch, learning_rate=learning_rate, seed=seed)
        with torch_threads(config.training.threads):
            found = run_finetuning(
                manifest,
                config.video,
                recipe,
                folder,
                refit=refit,
                root=root,
                device=str(find_device(device)),
                jobs=jobs or default_jobs(),
                progress=terminal.progress,
            )
        for note in found.notes:
            terminal.warn(note)
        for stream, losses in found.losses.items():
            right = found.accuracy[stream]
            judged = (
                "" if right is None else f", the action of {right:.1f} % of {found.validation} clips of fold 0 right"
            )
            terminal.say(f"  {stream}: loss {losses[0]:.3f} → {losses[-1]:.3f}{judged}")
        terminal.closing("finetune", f"{found.clips} clips of {len(found.actions)} actions", short(found.weights))
        show_failures(terminal, found.failures)
        terminal.result(found.as_dict())
        terminal.next(f"fmn train {short(manifest)} --preset {preset} --set video.weights={short(found.weights)}")


COMMANDS = (ablate, tune, finetune)
