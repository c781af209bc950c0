"""``fmn features``: features as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataset_tools.core.command import CommandLine
from dataset_tools.core.console import Terminal
from fmn.cli.options import TrainingOptions, short, show_failures

if TYPE_CHECKING:
    from fmn.config import Config

app = CommandLine(help="Export features to files.", no_args_is_help=True)


@dataclass(frozen=True)
class ExportOptions(TrainingOptions):
    """The options of training: they decide the features, where a manifest is named and no run."""

    train: Annotated[
        Path | None,
        typer.Argument(
            help="Run (features of its training and test manifests) or manifest (default: manifests/train.jsonl).",
            metavar="RUN|MANIFEST",
        ),
    ] = None


@app.command()
def export(
    terminal: Terminal,
    options: ExportOptions,
    folder: Annotated[Path, typer.Argument(help="Folder for the features, new or empty.", metavar="DIR")],
) -> None:
    """Write the features of all clips and utterances as .npy files, the form that --features reads.

    Example: fmn features export runs/fmn-demo features
    """
    from fmn.data.feature_export import export_features

    config, manifests = _run(options.manifest) if options.manifest.is_dir() else (options.config(), [options.manifest])
    found = export_features(manifests, config, folder, **options.compute, progress=terminal.progress)
    sizes = f"{found.clips} clips [{found.video_dim}] and {found.utterances} utterances [T, {found.audio_dim}]"
    terminal.closing("features", sizes, short(folder))
    show_failures(terminal, found.failures)
    terminal.result(found.as_dict())
    terminal.next(f"fmn train --features {short(folder)}")


def _run(run: Path) -> tuple[Config, list[Path]]:
    """The configuration of a run, its training manifest, and the test manifest beside it where there is one."""
    from fmn.training.checkpoint import load_config
    from fmn.training.run_folder import manifest_for

    train = manifest_for(run, "train.jsonl")
    test = train.with_name("test.jsonl")
    return load_config(run), [train, test] if test.is_file() else [train]
