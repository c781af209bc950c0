"""``fmn finetune``: fine-tuning of the video backbone on the actions of the training clips."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from dataset_tools.core.command import DryRunOption
from dataset_tools.core.console import Terminal
from dataset_tools.core.count_of import count_of
from fmn.cli.options import OutOption, RefitOption, TrainingOptions, short, show_failures

if TYPE_CHECKING:
    from fmn.training.finetune import FineTuning

EPOCHS = 12
USED = ("training.seed", "training.threads")
OWN_OPTIONS = {
    "training.batch_size": "--batch",
    "training.epochs": "--epochs",
    "training.learning_rate": "--learning-rate",
    "training.refit": "--refit",
}


@dataclass(frozen=True)
class FinetuningOptions(TrainingOptions):
    """The options of training, with their own default for epochs, since presets do not set those of fine-tuning."""

    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Number of epochs.")] = EPOCHS


def finetune(
    terminal: Terminal,
    batch: Annotated[int, typer.Option("--batch", min=2, help="Batch size in clips.")] = 16,
    learning_rate: Annotated[float, typer.Option("--learning-rate", min=0, help="Peak learning rate of AdamW.")] = 1e-3,
    refit: RefitOption = False,
    out: OutOption = None,
    dry_run: DryRunOption = False,
    *,
    options: FinetuningOptions,
) -> None:
    """Fine-tune the video backbone to classify the actions of the training clips.

    The validation split (fold 0) is held out unless --refit is given. Of --config, only the section video, the seed and
    the number of threads are used.

    Example: fmn finetune manifests/train.jsonl --preset paper --device cuda
    """
    _check_used(options)
    folder = out or options.default_folder(f"finetune-{options.preset}" + ("-refit" if refit else ""))
    config = options.config()
    from fmn.features.backbone_training import TrainingRecipe

    training = config.training
    recipe = TrainingRecipe(epochs=training.epochs, batch=batch, learning_rate=learning_rate, seed=training.seed)
    if dry_run:
        from fmn.data.loading import device_named
        from fmn.training.finetune import plan_finetuning

        device_named(options.device)
        fitted, held = plan_finetuning(options.manifest, config.video, recipe, folder, refit=refit, root=options.root)
        streams = " and ".join(config.video.streams)
        plan = f"would train {streams} on {count_of(len(fitted), 'clip')} and validate on {len(held)}"
        terminal.closing("dry run", plan, short(folder))
        terminal.result({"dry_run": True, "clips": len(fitted), "validation": len(held)})
        return
    from fmn.data.loading import find_device
    from fmn.torch_threads import threads as torch_threads
    from fmn.training.finetune import finetune as run_finetuning
    from fmn.training.run_folder import workspace_words

    with torch_threads(training.threads):
        found = run_finetuning(
            options.manifest,
            config.video,
            recipe,
            folder,
            refit=refit,
            root=options.root,
            device=str(find_device(options.device)),
            jobs=options.jobs,
            progress=terminal.progress,
        )
    _show_finetuning(terminal, found)
    weights = f"video.weights={short(found.weights)}"
    run = options.default_folder(f"fmn-{options.preset}-finetuned")  # that with other weights has the default name
    typed = ["--config", str(short(options.config_file))] if options.config_file is not None else []
    typed += replace(options, epochs=None).repeated(beside={"video.weights": weights})  # those are of fine-tuning
    typed += ["--set", weights, "--run", str(short(run)), *workspace_words(options.manifest, options.root)]
    terminal.next("fmn train", short(options.manifest), *typed)


def _show_finetuning(terminal: Terminal, found: FineTuning) -> None:
    for note in found.notes:
        terminal.warn(note)
    for stream, losses in found.losses.items():
        percent = found.accuracy[stream]
        validation = count_of(found.validation, "clip")
        accuracy = "" if percent is None else f", accuracy {percent:.1f} % on {validation} of fold 0"
        terminal.say(f"  {stream}: loss {losses[0]:.3f} → {losses[-1]:.3f}{accuracy}")
    clips = f"{count_of(found.clips, 'clip')} of {count_of(len(found.actions), 'action')}"
    terminal.closing("finetune", clips, short(found.weights))
    show_failures(terminal, found.failures)
    terminal.result(found.as_dict())


def _check_used(options: FinetuningOptions) -> None:
    """Checks that every configuration value that is set by an option affects fine-tuning.

    Raises:
        InputError: one does not.
    """
    from dataset_tools.core.errors import InputError
    from fmn.cli.options import features_in, settings_of

    given = dict.fromkeys(settings_of(options.settings or [], notice=False), "--set")
    given |= dict.fromkeys(features_in(options.features) if options.features else (), "--features")
    given |= {"audio.encoder": "--speech-encoder"} if options.speech_encoder is not None else {}
    for name, option in given.items():
        if not name.startswith("video.") and name not in USED:
            instead = OWN_OPTIONS.get(name) if option == "--set" else None
            raise InputError(
                f"{name} does not affect fine-tuning",
                where=option,
                expected=f"values of the section video, {' or '.join(USED)}",
                next_step=f"use {instead}" if instead else f"omit {option}" + (f" {name}" if option == "--set" else ""),
            )
