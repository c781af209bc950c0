"""``fmn-data``: every command parses, calls one library function, prints. Heavy imports stay inside the commands."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dataset_tools.cli.annotate import annotate_app
from dataset_tools.cli.classes import classes
from dataset_tools.cli.clean import clean
from dataset_tools.cli.download import download
from dataset_tools.cli.export import FromExportOption, build_from_export, export
from dataset_tools.cli.footage import FootageOptions
from dataset_tools.cli.options import (
    ClassFileOption,
    ClassOptions,
    ExecutionOptions,
    SeedOption,
    SentencesOption,
    SynthesisOptions,
    class_file_of,
    own_sentences,
    warn_synthetic,
)
from dataset_tools.cli.report import report
from dataset_tools.cli.speech import speech_app
from dataset_tools.core.command import DEFAULT_JOBS, CommandLine, DryRunOption, JobsOption
from dataset_tools.core.console import SOME_FAILED_EXIT_CODE, Terminal
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace

if TYPE_CHECKING:
    from dataset_tools.build_record import BuildSummary

app = CommandLine(
    name="fmn-data",
    help="Build the video-speech data set of Li et al. (2022) from MPII Cooking 2 or from your own footage.",
    is_program=True,
    no_args_is_help=True,
)
FOOTAGE, CLIPS, REVIEW, PAIRS, SHARE = (
    "1. Footage",
    "2. Clips and speech",
    "3. Review",
    "4. Pairs and splits",
    "5. Share and clean up",
)  # panels of the help
MERGED_SHOWN = 5


@app.command(rich_help_panel=FOOTAGE)
def standin(
    terminal: Terminal,
    folder: Annotated[Path, typer.Argument(help="Folder for the corpus.")],
    seed: SeedOption = 0,
    per_class: Annotated[int, typer.Option("--per-class", min=1, help="Annotated intervals per class.")] = 50,
    difficulty: Annotated[
        Literal["easy", "standard", "hard"], typer.Option(help="How hard the classes are to tell apart.")
    ] = "standard",
    jobs: JobsOption = DEFAULT_JOBS,
) -> None:
    """Write the synthetic (stand-in) corpus: rendered kitchen scenes in MPII Cooking 2's layout.

    Example: fmn-data standin standin/ --per-class 20
    """
    from dataset_tools.corpora.standin.standin_corpus import write_standin

    summary = write_standin(
        folder, seed=seed, per_class=per_class, difficulty=difficulty, jobs=jobs, progress=terminal.progress
    )
    terminal.closing("standin", summary.text(), folder)
    terminal.result({"standin": summary.as_dict()})


app.command(rich_help_panel=FOOTAGE)(download)
app.command(rich_help_panel=FOOTAGE)(classes)
app.add_typer(speech_app, name="speech", rich_help_panel=CLIPS)
app.add_typer(annotate_app, name="annotate", rich_help_panel=REVIEW)
app.command(rich_help_panel=REVIEW)(report)


@app.command(rich_help_panel=CLIPS)
def build(
    terminal: Terminal,
    place: Workspace,
    classes: ClassOptions,
    footage: FootageOptions,
    synthesis: SynthesisOptions,
    execution: ExecutionOptions,
    per_class: Annotated[int, typer.Option("--per-class", min=1, help="Maximum number of clips per class.")] = 50,
    shortfall: Annotated[
        Literal["accept", "windows", "stop"],
        typer.Option(help="If a class has fewer: accept, fill up with windows of long intervals, or stop."),
    ] = "accept",
    short_side: Annotated[int, typer.Option("--short-side", min=16, help="Short side of the clips in pixels.")] = 256,
    keep_audio: Annotated[
        bool, typer.Option("--keep-audio", help="Keep the sound of the video in its clips (default: silent clips).")
    ] = False,
    speech: Annotated[
        bool, typer.Option("--speech/--no-speech", help="Synthesize a spoken description of every clip.")
    ] = True,
    no_sentences: Annotated[
        bool, typer.Option("--no-sentences", help="Ignore the sentence files beside the footage.")
    ] = False,
    replace_footage: Annotated[
        bool, typer.Option("--replace-footage", help="Replace the data set of other footage that is in the workspace.")
    ] = False,
    from_export: FromExportOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Cut the clips of each class and synthesize spoken descriptions.

    Example: fmn-data build --classes 20 --mpii /data/mpii-cooking-2
    """
    from dataset_tools.build.building import build_dataset
    from dataset_tools.build.inputs import drawn_standin, known_class_file, own_class_file
    from dataset_tools.build_record import BuildOptions
    from dataset_tools.speech.engine_registry import voice_licences

    place, jobs = execution.place(place), execution.jobs
    options = BuildOptions(
        per_class=per_class,
        shortfall=shortfall,
        short_side=short_side,
        keep_audio=keep_audio,
        speech=speech,
        voices=synthesis.speech(),
        seed=synthesis.seed,
    )
    if from_export is not None:
        others = classes != ClassOptions() or no_sentences or replace_footage or dry_run
        with execution.running():
            build_from_export(terminal, place, from_export, footage, options, jobs, has_others=others)
        return
    class_file = classes.load(place)
    if classes.class_file is None and known_class_file(place) not in (None, own_class_file(place)):
        terminal.say(f"  class file: {class_file.path}")
    if dry_run and footage.source(place) is None and not drawn_standin(place).is_dir():
        terminal.say("  the synthetic (stand-in) corpus would be drawn first, then its clips be cut")
        terminal.result({"dry_run": True, "clips": None})
        return
    corpus = footage.corpus(class_file, place, terminal, jobs, dry_run=dry_run)
    options = replace(options, voices=synthesis.speech(() if no_sentences else own_sentences(corpus)))
    with execution.running():
        summary = build_dataset(
            place,
            corpus,
            class_file,
            options,
            jobs=jobs,
            dry_run=dry_run,
            replace_footage=replace_footage,
            progress=terminal.progress,
        )
    for licence in voice_licences(synthesis.voices) if speech else ():
        terminal.say(f"  {licence}")
    _show_build(terminal, summary, place)


@app.command(rich_help_panel=PAIRS)
def pairs(
    terminal: Terminal,
    place: Workspace,
    split: Annotated[
        Literal["items", "person", "mpii", "pairs"],
        typer.Option(
            help="What train and test do not share: items; person (people and voices); mpii (official split);"
            " pairs (the paper's random split, which leaks)."
        ),
    ] = "items",
    test_share: Annotated[float, typer.Option("--test-share", help="Fraction of the items in the test split.")] = 0.3,
    seed: SeedOption = 0,
    reviewed: Annotated[bool, typer.Option("--reviewed", help="Use only items that annotators accepted.")] = False,
    class_file: ClassFileOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Pair clips with utterances of the same class and write the train and test manifests.

    Example: fmn-data pairs --split person
    """
    from dataset_tools.decisions.unread import unread_warning
    from dataset_tools.pairs.dealing import PairOptions
    from dataset_tools.pairs.pairing import make_pairs

    if reviewed and (warning := unread_warning(place)):
        terminal.warn(warning)  # first: what is missing may be why there are too few
    summary = make_pairs(
        place,
        class_file_of(class_file, place),
        PairOptions(split=split, test_share=test_share, seed=seed, reviewed=reviewed),
        dry_run=dry_run,
        progress=terminal.progress,
    )
    warn_synthetic(terminal, summary.is_standin)
    would = "would be " if dry_run else ""
    of_what = f"{summary.clips} clips × {summary.utterances} utterances of {summary.classes} classes"
    terminal.closing("pairs", f"{summary.pairs} pairs from {of_what}", place.manifests / "pairs.jsonl")
    terminal.closing("train", f"{summary.train} pairs {would}written", place.manifests / "train.jsonl")
    terminal.closing("test", f"{summary.test} pairs {would}written", place.manifests / "test.jsonl")
    if summary.neither:
        terminal.say(f"  {summary.neither} pairs of a training item and a test item belong to neither")
    for what, number in summary.dropped.items():
        terminal.warn(f"{number} {what}: dropped")
    for same in summary.merged[:MERGED_SHOWN]:
        terminal.warn(f"one content under {len(same)} names, dealt as one: {', '.join(same)}")
    if len(summary.merged) > MERGED_SHOWN:
        terminal.warn(f"and {len(summary.merged) - MERGED_SHOWN} more contents under several names: `merged` of --json")
    if summary.one_sided:
        terminal.warn(f"classes with pairs on one side only: {', '.join(summary.one_sided)}")
    if split == "pairs":
        terminal.warn("this split leaks: every clip and every utterance stands on both sides (the paper's reading)")
    for leak in summary.leaks:
        terminal.warn(f"leak: {leak} stands on both sides")
    terminal.result(summary.as_dict())
    if not dry_run:
        terminal.next(f"fmn train {place.manifests / 'train.jsonl'}")


@app.command(rich_help_panel=PAIRS)
def verify(
    terminal: Terminal,
    place: Workspace,
    jobs: JobsOption = DEFAULT_JOBS,
    untrusted: Annotated[
        Path | None,
        typer.Option("--untrusted", help="Check whether a data set from elsewhere, in this folder, is safe to use."),
    ] = None,
) -> None:
    """Verify manifests, file hashes and decoding, and check for leaks between train and test.

    Example: fmn-data verify
    """
    if untrusted is not None:
        _verify_untrusted(terminal, untrusted, jobs)
        return
    from dataset_tools.build.verify import verify_dataset

    report = verify_dataset(place, jobs=jobs, progress=terminal.progress)
    split = f", split `{report.split}`" if report.split else ""
    terminal.closing("verify", f"{report.checked} files and {report.rows} rows checked{split}", place.root)
    for problem in report.problems:
        terminal.warn(problem)
    terminal.result(report.as_dict())
    if report.problems:
        terminal.exit_code = SOME_FAILED_EXIT_CODE


@app.command(rich_help_panel=CLIPS)
def retry(
    terminal: Terminal,
    place: Workspace,
    footage: FootageOptions,
    execution: ExecutionOptions,
    class_file: ClassFileOption = None,
    sentences: SentencesOption = None,
) -> None:
    """Retry the failed samples of the last build with its options; finished samples are kept.

    Example: fmn-data retry --mpii /data/mpii-cooking-2
    """
    from dataset_tools.build.building import build_dataset
    from dataset_tools.build_record import read_last_build

    place = execution.place(place)
    last = read_last_build(place)
    class_words = class_file_of(class_file, place, last.classes)
    corpus = footage.corpus(class_words, place, terminal, execution.jobs)
    options = last.options_with([*(sentences or ()), *own_sentences(corpus)])
    with execution.running():
        summary = build_dataset(
            place, corpus, class_words, options, jobs=execution.jobs, retry_died=True, progress=terminal.progress
        )
    _show_build(terminal, summary, place)


app.command(rich_help_panel=SHARE)(export)
app.command(rich_help_panel=SHARE)(clean)


def main() -> None:
    """Run ``fmn-data`` (the console script)."""
    app()


def _verify_untrusted(terminal: Terminal, folder: Path, jobs: int) -> None:
    from dataset_tools.build.untrusted import check_untrusted

    report = check_untrusted(folder, jobs=jobs, progress=terminal.progress)
    terminal.say(f"  {report.files} files: known kinds, bounded sizes, no links, no pickles")
    terminal.say(f"  {report.rows} rows: names, paths and hashes")
    terminal.say(
        f"  {report.media} media files: hash, format, size and length" if report.media else "  media: not opened"
    )
    for problem in report.problems:
        terminal.warn(problem)
    terminal.result(report.as_dict())
    if report.problems:
        terminal.warn(f"not safe to use, {len(report.problems)} problems: {folder}")
        terminal.exit_code = InputError.exit_code
    else:
        terminal.closing("untrusted", "safe to use", folder)


_SHOWN_CLASSES = 3


def _show_build(terminal: Terminal, summary: BuildSummary, place: Workspace) -> None:
    warn_synthetic(terminal, summary.stand_in is not None)
    for note in summary.notes:
        terminal.say(f"  {note}") if summary.is_own else logging.getLogger(__name__).info(note)
    for video in summary.without_times:
        terminal.warn(video)
    would = " would be cut" if summary.dry_run else ""
    if not summary.clips:
        terminal.exit_code = SOME_FAILED_EXIT_CODE
        terminal.warn("no clip is left: annotators rejected every one")
        terminal.result(summary.as_dict())
        return
    if summary.with_sound is not None:
        terminal.say(f"  {summary.with_sound} of {summary.clips} clips have sound; the videos of the others have none")
    empty = [class_id for class_id, clips in summary.per_class.items() if not clips]
    filled = len(summary.per_class) - len(empty)
    terminal.closing(
        "clips", f"{summary.clips} of {filled} {'class' if filled == 1 else 'classes'}{would}", place.clips
    )
    if not summary.dry_run:
        terminal.closing("speak", f"{summary.utterances} utterances", place.speech)
        terminal.closing("manifests", "clips.jsonl, utterances.jsonl, build.json", place.manifests)
    if summary.renamed:
        terminal.say(f"  {summary.renamed} decisions were recognized under new names of their videos")
    for reason, number in summary.refused.items():
        intervals = "interval" if number == 1 else "intervals"
        terminal.say(f"  {number} {intervals} refused: {reason[0].lower()}{reason[1:]}")
    if empty:
        more = f" and {len(empty) - _SHOWN_CLASSES} more" if len(empty) > _SHOWN_CLASSES else ""
        terminal.warn(f"{len(empty)} classes have no clip: {', '.join(empty[:_SHOWN_CLASSES])}{more}")
    short = {class_id: number for class_id, number in summary.shortfalls.items() if class_id not in empty}
    if short:
        lacking = ", ".join(f"{class_id} {number}" for class_id, number in short.items())
        terminal.warn(f"{len(short)} classes have fewer clips than --per-class asks for, by: {lacking}")
    terminal.result(summary.as_dict())
    for reason in summary.reasons:
        terminal.say(f"  failed {reason}")
    terminal.some_failed(len(summary.failures), "mend what is named, then fmn-data retry tries just those again")
    if not summary.dry_run:
        terminal.next("fmn-data annotate (human review), or fmn-data pairs")
