"""The commands that train more than one network: fmn ablate, tune, newclasses; and those beside training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.terminal import DebugOption, DryRunOption, JsonOption, VerboseOption, running
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


COMMANDS = (ablate,)
