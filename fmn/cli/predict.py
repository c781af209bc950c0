"""``fmn predict``: what a run takes each clip for, for reviewers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.core.console import DebugOption, JsonOption, VerboseOption, running
from fmn.cli.options import (
    DeviceOption,
    JobsOption,
    RootOption,
    RunArgument,
    short,
    show_failures,
)


def predict(
    run: RunArgument = None,
    manifest: Annotated[
        Path | None,
        typer.Option("--manifest", help="Training manifest, whose utterances are compared (default: the run's own)."),
    ] = None,
    clips: Annotated[
        Path | None, typer.Option("--clips", help="Clips to guess (default: clips.jsonl beside the manifest).")
    ] = None,
    device: DeviceOption = "auto",
    jobs: JobsOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    debug: DebugOption = False,
) -> None:
    """Guesses the class of every clip, with how sure it is, for `fmn-data annotate push --from-run`.

    Example: fmn predict runs/fmn-demo
    """
    with running(as_json=as_json, verbose=verbose, debug=debug) as terminal:
        from fmn.evaluation.predict import predict as predict_run
        from fmn.training.run_folder import latest_run, manifest_for

        folder = run or latest_run(root or Path())
        found = predict_run(
            folder,
            manifest or manifest_for(folder, "train.jsonl"),
            clips=clips,
            root=root,
            device=device,
            jobs=jobs,
            progress=terminal.progress,
        )
        agreeing = f"{found.clips} clips, {found.agreeing} of them taken for the class that they have"
        terminal.closing("predict", agreeing, short(found.path))
        show_failures(terminal, found.failures)
        terminal.result(found.as_dict())
        terminal.next(f"fmn-data annotate push --from-run {short(folder)}")
