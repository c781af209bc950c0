"""``fmn features``: feature extraction ahead of training, and export of features to files."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataset_tools.core.command import AddressOption, CommandLine, DryRunOption, EngineOption, engine_running
from dataset_tools.core.console import Terminal
from dataset_tools.core.count_of import count_of
from fmn.cli.options import TrainingOptions, short, show_failures

if TYPE_CHECKING:
    from fmn.config import Config

app = CommandLine(help="Extract features before training, or export them to files.", no_args_is_help=True)


@dataclass(frozen=True)
class ExportOptions(TrainingOptions):
    """The options of training: they select the features if a manifest is given instead of a run."""

    train: Annotated[
        Path | None,
        typer.Argument(
            help="Run (its training and test manifests) or manifest (extract: default manifests/train.jsonl).",
            metavar="RUN|MANIFEST",
        ),
    ] = None


@dataclass(frozen=True)
class ExtractOptions(ExportOptions):
    """Features to extract, and the engine that extracts them."""

    engine: EngineOption = "local"
    address: AddressOption = None


@app.command()
def extract(terminal: Terminal, options: ExtractOptions, dry_run: DryRunOption = False) -> None:
    """Extract all features into the workspace's cache, which training and all other commands use.

    On a Ray cluster, every node needs the toolkit installed and the workspace mounted at the same path.

    Example: fmn features extract manifests/train.jsonl --engine ray --address 10.0.0.1:6379
    """
    from fmn.data.cache_features import cache_features

    is_run = _is_run(options.manifest)
    config, manifests = _run(options) if is_run else (options.config(), _with_test(options.manifest.resolve()))
    on_ray = options.engine == "ray"
    with nullcontext() if on_ray and dry_run else engine_running(options.engine, options.address, options.jobs):
        found = cache_features(
            manifests, config, **options.compute, in_tasks=on_ray, dry_run=dry_run, progress=terminal.progress
        )
    items = f"{count_of(found.clips, 'clip')} and {count_of(found.utterances, 'utterance')}"
    if dry_run:
        sizes = f"up to {count_of(found.computed, 'feature')} of {items} would be extracted"
    else:
        sizes = f"{items} have features, {found.computed} of them new"
    terminal.closing("features", sizes, "cache/features")
    show_failures(terminal, found.failures)
    terminal.result(found.as_dict())


@app.command()
def export(
    terminal: Terminal,
    options: ExportOptions,
    folder: Annotated[
        Path,
        typer.Argument(
            help="Output folder: new, empty, or an earlier export of the same items.",
            metavar="DIR",
            file_okay=False,
        ),
    ],
    dry_run: DryRunOption = False,
) -> None:
    """Export the features of all clips and utterances as .npy files, the format that --features reads.

    Example: fmn features export runs/fmn-demo features
    """
    from fmn.data.feature_export import export_features
    from fmn.training.run_folder import workspace_words

    is_run = _is_run(options.manifest)
    config, manifests = _run(options) if is_run else (options.config(), [options.manifest])
    found = export_features(manifests, config, folder, **options.compute, dry_run=dry_run, progress=terminal.progress)
    utterances = count_of(found.utterances, "utterance")
    if dry_run:
        first = f"; up to {count_of(found.to_extract, 'feature')} would be extracted first" if found.to_extract else ""
        exported = f"the features of {count_of(found.clips, 'clip')} and {utterances} would be written{first}"
        terminal.closing("dry run", exported, short(folder))
        show_failures(terminal, found.failures)
        terminal.result(found.as_dict())
        return
    sizes = f"{count_of(found.clips, 'clip')} [{found.video_dim}] and {utterances} [T, {found.audio_dim}]"
    terminal.closing("features", sizes, short(folder))
    show_failures(terminal, found.failures)
    terminal.result(found.as_dict())
    left_out = [] if is_run else _with_test(options.manifest.resolve())[1:]
    for test in left_out:
        only = f"  only of {options.manifest.name}: fmn eval needs those of {test.name}, too, "
        terminal.say(only + "which fmn features export RUN DIR includes")
    # The run that computes its features has the default name, or that of the exported run.
    typed: list[str | Path] = [short(manifests[0])]
    run = options.default_folder("fmn-features")
    if is_run and config.video.frames == "all":  # a system of one frame cannot be trained with features
        typed += ["--model", config.system, "--config", short(options.manifest / "config.json")]
        run = options.manifest.with_name(f"{options.manifest.name}-features")
    typed += ["--features", short(folder), "--run", short(run), *workspace_words(manifests[0], options.root)]
    terminal.next("fmn train", *typed)


def _is_run(path: Path) -> bool:
    """Whether a run is named, rather than a manifest; a missing one is told by its suffix."""
    return path.is_dir() or not (path.is_file() or path.suffix == ".jsonl")


def _run(options: ExportOptions) -> tuple[Config, list[Path]]:
    """Returns the configuration of a run, its training manifest and, if it exists, the test manifest next to it.

    If the run's are outside ``--workspace``, the manifests are those in it.

    Raises:
        InputError: there is no such run, or options of training are given, which would contradict its configuration.
    """
    from dataset_tools.core.errors import InputError
    from fmn.evaluation.run_manifests import own_training_manifest
    from fmn.training.checkpoint import load_config

    run = options.manifest
    given = options.repeated({}) + (["--config"] if options.config_file is not None else [])
    if given:
        raise InputError(
            f"The configuration is that of the run, but {given[0]} is given",
            where=run,
            expected="a run without options of training, or a manifest with them",
            next_step=f"omit {given[0]}, or name the manifest instead of the run",
        )
    config, train = load_config(run), own_training_manifest(run, options.root)
    test = train.with_name("test.jsonl")
    return config, [train, test] if test.is_file() else [train]


def _with_test(train: Path) -> list[Path]:
    """Returns a training manifest and, if it exists, the test manifest next to it."""
    test = train.with_name("test.jsonl")
    return [train, test] if train.name == "train.jsonl" and test.is_file() else [train]
