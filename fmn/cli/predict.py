"""``fmn predict``: class predictions of a run, for annotators."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.core.command import DryRunOption
from dataset_tools.core.console import Terminal, workspace_option
from dataset_tools.core.count_of import count_of
from fmn.cli.dry_run import show_dry_run
from fmn.cli.options import RunOptions, short, show_failures


@dataclass(frozen=True)
class PredictionOptions(RunOptions):
    """A run, and the training manifest whose utterances are used for its predictions."""

    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest",
            help="Training manifest whose utterances are used (default: the run's; in another --workspace, its "
            "train.jsonl).",
        ),
    ] = None


def predict(
    terminal: Terminal,
    options: PredictionOptions,
    clips: Annotated[
        Path | None,
        typer.Option(
            "--clip-manifest", help="Manifest of the clips to classify (default: clips.jsonl next to the manifest)."
        ),
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Predict the class of every clip, with an uncertainty, for `fmn-data annotate push --from-run`.

    Example: fmn predict runs/fmn-demo
    """
    from dataset_tools.manifests import workspace_of
    from fmn.evaluation.predict import plan_prediction
    from fmn.evaluation.predict import predict as predict_run
    from fmn.evaluation.run_manifests import own_training_manifest

    folder = options.folder()
    manifest = options.manifest or own_training_manifest(folder, options.root)
    if dry_run:
        planned, unused = plan_prediction(folder, manifest, clips=clips, **options.compute, progress=terminal.progress)
        show_dry_run(terminal, planned, "predict classes from", "prediction", unused=unused)
        show_failures(terminal, unused)
        return
    found = predict_run(folder, manifest, clips=clips, **options.compute, progress=terminal.progress)
    agreeing = f"{count_of(found.clips, 'clip')}, {found.agreeing} of them classified correctly"
    terminal.closing("predict", agreeing, short(found.path))
    if found.fitted:
        trained = f"{found.fitted_agreeing} of the {found.fitted} that the run has learned from"
        others = found.clips - found.fitted
        other = f", and {found.agreeing - found.fitted_agreeing} of the {others} other clips" if others else ""
        terminal.say(f"  {trained}{other}")
    for note in found.notes:
        terminal.warn(note)
    show_failures(terminal, found.failures, lacking="prediction")
    show_failures(terminal, found.unused)
    terminal.result(found.as_dict())
    of = workspace_option(workspace_of(manifest, options.root))
    terminal.next(f"fmn-data annotate push{of} --from-run", short(folder))
