"""``fmn predict``: what a run takes each clip for, for reviewers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.core.console import Terminal
from fmn.cli.options import RunOptions, short, show_failures


@dataclass(frozen=True)
class PredictionOptions(RunOptions):
    """A run is asked about clips with the utterances of a training manifest."""

    manifest: Annotated[
        Path | None, typer.Option("--manifest", help="Training manifest of the utterances (default: the run's own).")
    ] = None


def predict(
    terminal: Terminal,
    options: PredictionOptions,
    clips: Annotated[
        Path | None,
        typer.Option(
            "--clip-manifest", help="Manifest of the clips to classify (default: clips.jsonl beside the manifest)."
        ),
    ] = None,
) -> None:
    """Guesses the class of every clip, with how sure it is, for `fmn-data annotate push --from-run`.

    Example: fmn predict runs/fmn-demo
    """
    from fmn.evaluation.predict import predict as predict_run

    folder = options.folder()
    found = predict_run(
        folder,
        options.manifest_or("train.jsonl"),
        clips=clips,
        root=options.root,
        device=options.device,
        jobs=options.jobs,
        progress=terminal.progress,
    )
    agreeing = f"{found.clips} clips, {found.agreeing} of them taken for the class that they have"
    terminal.closing("predict", agreeing, short(found.path))
    show_failures(terminal, found.failures)
    terminal.result(found.as_dict())
    terminal.next(f"fmn-data annotate push --from-run {short(folder)}")
