"""The commands that train more than one network: fmn ablate, tune, newclasses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataset_tools.core.console import (
    DebugOption,
    DryRunOption,
    JsonOption,
    Terminal,
    VerboseOption,
    running,
)
from fmn.cli.options import (
    ConfigOption,
    DeviceOption,
    JobsOption,
    OutOption,
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
    from fmn.studies.tune import Tuning

EpochsOption = Annotated[
    int | None, typer.Option("--epochs", min=1, help="The most epochs of a training (default: the preset's).")
]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="The first seed (default: 0).")]


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
        from fmn.studies.variants import variants_of
        from fmn.training.run_folder import default_run

        folder = out or default_run(manifest, root, f"ablation-{preset}")
        changes = changes_of(config_file, settings, epochs=epochs, seed=seed, threads=threads)
        config = config_of(folder, "fmn", preset, "working", changes, resume=False)
        groups = _listed(only)
        variants = variants_of(config, groups)
        from fmn.studies.ablate import ablate as run_ablation
        from fmn.studies.ablate import trainings_of

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
        from fmn.studies.ablation_table import ablation_table

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
        from fmn.training.run_folder import default_run

        folder = out or default_run(manifest, root, f"tuning-{preset}")
        changes = changes_of(config_file, settings, epochs=epochs, seed=seed, threads=threads)
        config = config_of(folder, "fmn", preset, "working", changes, resume=False)
        if dry_run:
            from fmn.studies.tune import triplet_values

            most = seeds * (len(triplet_values(config)[1]) + 1)
            terminal.closing("dry run", f"would try at most {budget} values with at most {most} trainings", folder)
            terminal.result({"dry_run": True, "trainings": most, "trials": budget})
            return
        from fmn.studies.tune import tune as run_tuning

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


def newclasses(
    manifest: TrainArgument = Path("manifests/train.jsonl"),
    held_out: Annotated[int, typer.Option("--held-out", min=1, help="Classes that are held out of training.")] = 4,
    classes: Annotated[str, typer.Option("--classes", help="Their ids instead, with commas.")] = "",
    pairs: Annotated[str, typer.Option("--pairs", help="Pairs of each that are written later, with commas.")] = "1,5",
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Trainings, each without other classes.")] = 3,
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
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    debug: DebugOption = False,
) -> None:
    """Holds classes out of training, writes a few of their pairs to the memories, and looks what that gives.

    Example: fmn newclasses manifests/train.jsonl --held-out 4 --pairs 1,5
    """
    with running(as_json=as_json, verbose=verbose, debug=debug) as terminal:
        from fmn.studies.new_classes import learn_new_classes
        from fmn.studies.new_classes_table import new_classes_table
        from fmn.training.run_folder import default_run

        folder = out or default_run(manifest, root, f"newclasses-{preset}")
        changes = changes_of(config_file, settings, epochs=epochs, seed=seed, threads=threads)
        config = config_of(folder, "fmn", preset, "working", changes, resume=False)
        found = learn_new_classes(
            manifest,
            config,
            folder,
            held_out=held_out,
            classes=_listed(classes),
            pairs=_counts(pairs),
            seeds=seeds,
            root=root,
            device=device,
            jobs=jobs,
            progress=terminal.progress,
        )
        corpus = "  [bold yellow](stand-in corpus)[/]" if found.values["stand_in"] else ""
        terminal.say(new_classes_table(found.values, title=f"class hit on fold 0 of {short(manifest)}{corpus}"))
        terminal.closing("newclasses", f"{seeds} trainings; the other metrics: newclasses.md", short(folder))
        show_failures(terminal, found.failures)
        terminal.result(found.as_dict())


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _counts(text: str) -> list[int]:
    """Numbers above 0 with commas between them."""
    from dataset_tools.core.errors import InputError

    parts = _listed(text)
    if not parts or not all(part.isdecimal() and int(part) for part in parts):
        raise InputError(f"{text!r} are no numbers of pairs", where="--pairs", expected="numbers above 0, such as 1,5")
    return [int(part) for part in parts]


COMMANDS = (ablate, tune, newclasses)
