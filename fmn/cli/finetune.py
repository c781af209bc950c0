"""fmn finetune: the video backbone on the actions of training clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.core.console import DebugOption, DryRunOption, JsonOption, VerboseOption, running
from fmn.cli.options import (
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
        from fmn.training.run_folder import default_run

        folder = out or default_run(manifest, root, f"finetune-{preset}" + ("-refit" if refit else ""))
        changes = changes_of(None, settings, threads=threads)
        config = config_of(folder, "fmn", preset, "working", changes, resume=False)
        if dry_run:
            from fmn.data.items import load_items
            from fmn.training.finetune import labelled_parts

            fitted, held = labelled_parts(load_items(manifest, root), refit=refit)
            plan = f"would train {' and '.join(config.video.streams)} on {len(fitted)} clips and look at {len(held)}"
            terminal.closing("dry run", plan, folder)
            terminal.result({"dry_run": True, "clips": len(fitted), "validation": len(held)})
            return
        from fmn.data.loading import default_jobs, find_device
        from fmn.features.backbone_training import TrainingRecipe
        from fmn.torch_threads import threads as torch_threads
        from fmn.training.finetune import finetune as run_finetuning

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
