"""``fmn``: the command line; commands parse, call one library function and print. Heavy imports are deferred."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dataset_tools.core.command import CommandLine, DryRunOption
from dataset_tools.core.console import Terminal
from dataset_tools.core.count_of import count_of
from fmn.cli.compare import compare
from fmn.cli.dry_run import show_dry_run
from fmn.cli.evaluate import evaluate
from fmn.cli.features import app as features_app
from fmn.cli.finetune import finetune
from fmn.cli.index import index
from fmn.cli.learn import learn
from fmn.cli.noise import noise
from fmn.cli.options import (
    FORMS,
    AllOption,
    LabelsOption,
    RefitOption,
    RunOptions,
    TrainingOptions,
    check_used,
    short,
    show_failures,
)
from fmn.cli.plot import plot
from fmn.cli.predict import predict
from fmn.cli.serve import serve
from fmn.cli.studies import COMMANDS

if TYPE_CHECKING:
    from fmn.search.search_results import QueryKind, SearchResult
    from fmn.training.run_state import RunState
    from fmn.training.train import RunSummary, TrainingPlan

# By default, torch's threads spin while waiting for each other; on a busy machine a training step then takes a hundred
# times as long. This has an effect only if torch is not imported yet.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

app = CommandLine(
    name="fmn",
    help="Train, evaluate and search with the Feature Memory Network (FMN) of Li et al. (2022) and its baselines.",
    is_program=True,
    no_args_is_help=True,
)
weights_app = CommandLine(help="Download pretrained weights of the video backbones.", no_args_is_help=True)
TRAIN, USE = "1. Train and evaluate", "2. Search and predict"  # help panels
STUDY, BACKBONE = "3. Compare and study", "4. Features and backbones"
app.add_typer(weights_app, name="weights", rich_help_panel=BACKBONE)
app.add_typer(features_app, name="features", rich_help_panel=BACKBONE)
app.command(rich_help_panel=BACKBONE)(finetune)
for each in (compare, *COMMANDS, noise):
    app.command(rich_help_panel=STUDY)(each)


@app.command(rich_help_panel=TRAIN)
def train(
    terminal: Terminal,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", help="System to train: fmn (default) or a baseline (fmn compare --dry-run lists them)."
        ),
    ] = None,
    form: Annotated[
        Literal["standard", "as-published"] | None,
        typer.Option(
            "--form",
            help="Equations in their standard form (default, recommended), or exactly as published in the paper.",
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", help="Folder of the run (default: runs/MODEL-PRESET in the workspace).", file_okay=False),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Resume an existing run with its own configuration; --epochs can extend it."),
    ] = False,
    refit: RefitOption = False,
    labels: LabelsOption = None,
    processes: Annotated[
        int, typer.Option("--processes", help="Train with N processes, each on its own GPU; see docs/scale.md.", min=1)
    ] = 1,
    dry_run: DryRunOption = False,
    *,
    options: TrainingOptions,
) -> None:
    """Train a system on a manifest; an interrupted run resumes after its last complete epoch.

    Example: fmn train manifests/train.jsonl --preset demo --epochs 60
    """
    if model is not None:
        from fmn.systems import find_system

        model = find_system(model).name  # the current one
    name = (
        f"{model or 'fmn'}-{options.preset}"
        + ("-as-published" if form == "as-published" else "")
        + ("-refit" if refit else "")
    )
    name += "-pairs" if labels == "pairs" else ""
    folder = run or options.default_folder(name)
    changes: dict[str, Any] = {"training.refit": True} if refit else {}
    if labels is not None:
        changes["training.labels"] = labels
    from fmn.training.checkpoint import CONFIG_FILE, load_config

    if resume and (folder / CONFIG_FILE).is_file():  # else training says that there is nothing to resume
        from fmn.cli.whole_configuration import check_resumed
        from fmn.config import with_values

        held, changes = load_config(folder), options.changes() | changes
        check_resumed(folder, held, model, options.selected_preset, form and FORMS[form], changes)
        config = with_values(held, changes)
    else:
        config = options.config(model or "fmn", form, **changes)
    if dry_run:
        from fmn.data.loading import device_named
        from fmn.training.train import plan_training

        device_named(options.device)
        plan = plan_training(options.manifest, config, options.root, folder)
        plan.items.require_media()
        _show_plan(terminal, plan, folder, plan.earlier_state(folder, resume=resume, processes=processes))
        return
    from dataset_tools.core.progress import silent
    from fmn.training.distributed import is_started_among_others, joined_processes
    from fmn.training.memory_allocation import keep_freed_memory
    from fmn.training.process_launcher import run_processes
    from fmn.training.train import train as train_run

    if processes > 1 and not is_started_among_others():
        raise typer.Exit(run_processes(processes))
    keep_freed_memory()
    with joined_processes() as joined:
        summary = train_run(
            options.manifest,
            config,
            folder,
            **options.compute,
            resume=resume,
            progress=terminal.progress if joined.is_first else silent,
            processes=joined,
        )
    if joined.is_first:
        _show_training(terminal, summary)


app.command("eval", rich_help_panel=TRAIN)(evaluate)
app.command(rich_help_panel=TRAIN)(plot)
app.command(rich_help_panel=TRAIN)(learn)


@app.command(rich_help_panel=USE)
def search(
    terminal: Terminal,
    options: RunOptions,
    speech: Annotated[
        Path | None, typer.Option("--speech", help="Find clips for this audio file.", dir_okay=False)
    ] = None,
    clip: Annotated[
        Path | None, typer.Option("--clip", help="Find utterances for this video file.", dir_okay=False)
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            "--text",
            help="Find clips for this text, spoken in the language of most utterances, English or Chinese.",
        ),
    ] = None,
    by_words: Annotated[
        bool, typer.Option("--by-words", help="Match the words of --text with the clips' sentences instead.")
    ] = False,
    voices: Annotated[
        str | None, typer.Option("--voices", help="Speech engine that synthesizes --text (default: espeak).")
    ] = None,
    everything: AllOption = False,
    top: Annotated[int, typer.Option("--top", min=1, help="Number of results.")] = 10,
    dry_run: DryRunOption = False,
) -> None:
    """Find the clips that match a spoken or typed description, or the utterances that match a clip.

    Example: fmn search runs/fmn-demo --speech question.wav --top 10
    """
    from dataset_tools.core.errors import InputError
    from fmn.data.dry_run import DryRun
    from fmn.search.gallery_search import search as search_run
    from fmn.search.prepare import plan_search
    from fmn.search.search_results import GallerySource

    queries = [query for query in (speech, clip, text) if query is not None]
    if len(queries) != 1 or (by_words and text is None):
        raise InputError(
            "--by-words requires --text" if by_words else "There is more than one query" if queries else "No query",
            expected="one of --speech FILE, --clip FILE and --text TEXT",
            next_step="specify one of them, such as fmn search RUN --speech q.wav",
        )
    check_used("--voices", voices, is_used=text is not None and not by_words, needed="--text, without --by-words")
    if text is not None and not text.strip():
        raise InputError("The query is empty", where="--text", expected="a description", next_step="type a sentence")
    source = GallerySource(options.manifest_or("test.jsonl"), everything, options.root)
    if text is not None and by_words:
        from fmn.search.text_query import search_words

        result = search_words(text, source, top=top)
        if dry_run:  # it would only be shown
            show_dry_run(terminal, DryRun(result.gallery, 0, 0), "search")
            return
    else:
        kind: QueryKind = "speech" if clip is None else "clip"
        how: dict[str, Any] = {"voices": voices or "espeak", "device": options.device, "jobs": options.jobs}
        if dry_run:
            planned = plan_search(options.folder(), queries[0], kind, source, **how, progress=terminal.progress)
            show_dry_run(terminal, planned, "search")
            return
        result = search_run(options.folder(), queries[0], kind, source, top=top, **how, progress=terminal.progress)
    _show_search(terminal, result, f"“{text}”" if text is not None else short(Path(result.query)))


app.command(rich_help_panel=USE)(serve)
app.command(rich_help_panel=USE)(index)
app.command(rich_help_panel=USE)(predict)


@weights_app.command("download")
def download_weights(
    terminal: Terminal,
    backbone: Annotated[
        Literal["i3d", "i3d_r50", "all"], typer.Option("--backbone", help="Backbone to download weights for.")
    ] = "i3d",
    dry_run: DryRunOption = False,
) -> None:
    """Download and verify pretrained weights; an interrupted download resumes.

    Example: fmn weights download
    """
    from fmn.features.weights import PUBLISHED, download, missing_weights, weights_folder

    names = [name for name in PUBLISHED if backbone in ("all", name[0])]
    if dry_run:
        missing = missing_weights(names)
        for one in missing:
            terminal.say(f"  {one.url}, license {one.licence}")
        known = len(names) - len(missing)
        what = f"{count_of(len(missing), 'file')} would be fetched (size unknown), {known} known"
        terminal.closing("dry run", what, weights_folder())
        files = [str(weights_folder() / one.file) for one in missing]
        terminal.result({"dry_run": True, "files": files, "known": known})
        return
    paths = download(names, progress=terminal.progress)
    terminal.closing("weights", f"{count_of(len(paths), 'file')}, checked", weights_folder())
    terminal.result({"files": [str(path) for path in paths]})


def main() -> None:
    """Run ``fmn`` (the console script)."""
    app()


def _show_plan(terminal: Terminal, plan: TrainingPlan, run: Path, state: RunState | None) -> None:
    from fmn.config import as_dict

    name = plan.config.system
    trained = 0 if state is None else state.epoch
    to_come, pairs, parts = plan.config.training.epochs - trained, 0, plan.parts
    if state is not None and state.ended(plan.config):
        text = f"{name} is already finished, after {count_of(trained, 'epoch')}"
    elif to_come > 0:
        pairs = len(parts.train_pairs)
        what = f"resume {name} after epoch {trained}, and train it" if trained else f"train {name}"
        clips, utterances = len(parts.validation_clips), len(parts.validation_utterances)
        text = (
            f"would {what} for {count_of(to_come, 'epoch')} on {count_of(pairs, 'pair')} of "
            f"{count_of(len(parts.train_clips), 'clip')} and {count_of(len(parts.train_utterances), 'utterance')}, "
            + (f"and validate on {clips} and {utterances} of fold 0" if parts.validates else "without validation")
        )
    else:  # it was killed after its last epoch, or has more epochs than requested now
        text = f"would only finalize {name}, already trained for {count_of(trained, 'epoch')}"
    terminal.closing("dry run", text, short(run))
    values = as_dict(plan.config)
    terminal.result({"dry_run": True, "run": str(run), "config": values, "epochs": trained, "pairs": pairs})


def _show_training(terminal: Terminal, summary: RunSummary) -> None:
    for note in summary.notes:
        terminal.warn(note)
    hits = [f"{value:.1f}" for name, value in summary.validation.items() if name.endswith("hit@1")]
    validated = f", best epoch {summary.best_epoch}: validation hit@1 {' / '.join(hits)} %" if hits else ""
    how = "is already finished" if summary.already_finished else "trained"
    terminal.closing(
        "train",
        f"{summary.system} {how}: {count_of(summary.epochs, 'epoch')}, {count_of(summary.pairs, 'pair')} of "
        f"{count_of(summary.classes, 'class', 'classes')}, {summary.parameters:,} parameters{validated}",
        short(summary.run),
    )
    show_failures(terminal, summary.failures)
    if summary.already_finished and summary.failures:
        terminal.warn("To use items repaired since the run was trained, train into another --run")
    terminal.result(summary.as_dict())
    terminal.next("fmn eval", short(summary.run))


def _show_search(terminal: Terminal, result: SearchResult, query: Path | str) -> None:
    found, who = ("utterances", "voice") if result.kind == "clip" else ("clips", "person")
    ranked = f"best {len(result.hits)} of {result.gallery:,} in {short(Path(result.manifest))}"
    terminal.say(f"{found} for {query}, {ranked}" + (f" by {short(Path(result.run))}" if result.run else ""))
    width = max((len(hit.class_id) for hit in result.hits), default=0)
    for hit in result.hits:
        terminal.say(f"{hit.rank:>4}  {hit.score:>7.3f}  {hit.class_id:<{width}}  {who} {hit.person}")
        terminal.say(f"      {hit.path}")
        if hit.text:  # a recording's sentence may be unknown
            terminal.say(f"      “{hit.text}”")
    terminal.say(f"  score: {_MEANING[result.kind]}; comparable within one search only")
    for note in result.notes:
        terminal.warn(note)
    show_failures(terminal, result.failures)
    terminal.result(result.as_dict())


_OF_MODEL = "similarity by the run's model, higher is better, may be negative"
_MEANING = {"speech": _OF_MODEL, "clip": _OF_MODEL, "words": "cosine of the words, 0 to 1 (the same words)"}
