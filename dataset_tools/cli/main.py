"""Command line ``fmn-data``. Commands parse, call one library function and print; heavy imports are deferred."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dataset_tools.cli.annotate import annotate_app
from dataset_tools.cli.build import build, retry
from dataset_tools.cli.classes import classes
from dataset_tools.cli.clean import clean
from dataset_tools.cli.download import download
from dataset_tools.cli.export import export
from dataset_tools.cli.options import ClassFileOption, SeedOption, class_file_of, warn_synthetic
from dataset_tools.cli.report import report
from dataset_tools.cli.speech import speech_app
from dataset_tools.core.command import DEFAULT_JOBS, CommandLine, DryRunOption, JobsOption
from dataset_tools.core.console import SOME_FAILED_EXIT_CODE, Terminal
from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace

app = CommandLine(
    name="fmn-data",
    help="Build the video–speech data set of Li et al. (2022) from MPII Cooking 2 or from your own footage.",
    is_program=True,
    no_args_is_help=True,
)
FOOTAGE, CLIPS, REVIEW, PAIRS, SHARE = (
    "1. Footage",
    "2. Clips and speech",
    "3. Review",
    "4. Pairs and splits",
    "5. Share and clean up",
)  # help panels
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
    dry_run: DryRunOption = False,
) -> None:
    """Write the synthetic (stand-in) corpus: rendered kitchen scenes in MPII Cooking 2's layout.

    Example: fmn-data standin standin/ --per-class 20
    """
    from dataset_tools.corpora.standin.standin_corpus import write_standin

    summary = write_standin(
        folder,
        seed=seed,
        per_class=per_class,
        difficulty=difficulty,
        jobs=jobs,
        dry_run=dry_run,
        progress=terminal.progress,
    )
    terminal.closing("standin", summary.text(), folder)
    terminal.result({"dry_run": dry_run, "standin": summary.as_dict()})


app.command(rich_help_panel=FOOTAGE)(download)
app.command(rich_help_panel=FOOTAGE)(classes)
app.command(rich_help_panel=CLIPS)(build)
app.add_typer(speech_app, name="speech", rich_help_panel=CLIPS)
app.add_typer(annotate_app, name="annotate", rich_help_panel=REVIEW)
app.command(rich_help_panel=REVIEW)(report)


@app.command(rich_help_panel=PAIRS)
def pairs(
    terminal: Terminal,
    place: Workspace,
    split: Annotated[
        Literal["items", "person", "mpii", "pairs"],
        typer.Option(
            help="items: no clip or utterance is in both train and test; person: no person or voice, either; mpii: the"
            " official split; pairs: the paper's random split, which leaks."
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
    from dataset_tools.build_record import read_build
    from dataset_tools.decisions.unread import unread_warning
    from dataset_tools.pairs.dealing import PairOptions
    from dataset_tools.pairs.pairing import make_pairs

    if reviewed and (warning := unread_warning(place)):
        terminal.warn(warning)  # before pairing: unread decisions may be the reason for too few items
    summary = make_pairs(
        place,
        class_file_of(class_file, place),
        PairOptions(split=split, test_share=test_share, seed=seed, reviewed=reviewed),
        dry_run=dry_run,
        progress=terminal.progress,
    )
    warn_synthetic(terminal, summary.is_standin)
    would = "would be " if dry_run else ""
    of_classes = count_of(summary.classes, "class", "classes")
    items = f"{count_of(summary.clips, 'clip')} × {count_of(summary.utterances, 'utterance')} of {of_classes}"
    terminal.closing("pairs", f"{count_of(summary.pairs, 'pair')} from {items}", place.manifests / "pairs.jsonl")
    terminal.closing("train", f"{count_of(summary.train, 'pair')} {would}written", place.manifests / "train.jsonl")
    terminal.closing("test", f"{count_of(summary.test, 'pair')} {would}written", place.manifests / "test.jsonl")
    if summary.neither:
        several = "pairs of a training item and a test item are"
        across = count_of(summary.neither, "pair of a training item and a test item is", several)
        terminal.say(f"  {across} in neither split")
    for what, number in summary.dropped.items():
        terminal.warn(f"dropped, {what}: {number:,}")
    merged = [
        f"same content under {len(same)} names, treated as one item: {', '.join(same)}" for same in summary.merged
    ]
    for text in first_of(merged, MERGED_SHOWN, "more such items: see `merged` of --json"):
        terminal.warn(text)
    if summary.one_sided:
        terminal.warn(f"classes with pairs on one side only: {', '.join(summary.one_sided)}")
    if summary.moved_to_training:
        one, several = ("would be", "would be") if dry_run else ("is", "are")
        of = "of the earlier test split"
        items = count_of(summary.moved_to_training, f"item {of} {one}", f"items {of} {several}")
        terminal.warn(
            f"{items} in training now (the items of a class or the options have changed): train the runs that you "
            "compare again, and do not mix results of the two splits"
        )
    if split == "pairs":
        terminal.warn(
            "this split leaks: every clip and every utterance is in both training and test (the paper's reading)"
        )
    for leak in summary.leaks:
        terminal.warn(f"leak: {leak} is in both training and test")
    terminal.result({"dry_run": dry_run, **summary.as_dict()})
    if not dry_run:
        # The default preset's video network was trained on rendered kitchens only (docs/encoders.md).
        preset = ("--preset", "light") if read_build(place).get("own_footage") else ()
        terminal.next("fmn train", place.manifests / "train.jsonl", *preset)


@app.command(rich_help_panel=PAIRS)
def verify(
    terminal: Terminal,
    place: Workspace,
    jobs: JobsOption = DEFAULT_JOBS,
    untrusted: Annotated[
        Path | None,
        typer.Option("--untrusted", help="Folder of a data set from elsewhere: check whether it is safe to use."),
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
    checked = f"{count_of(report.checked, 'file')} and {count_of(report.rows, 'row')}"
    terminal.closing("verify", f"{checked} checked{split}", place.root)
    for problem in report.problems:
        terminal.warn(problem)
    terminal.result(report.as_dict())
    if report.problems:
        terminal.exit_code = SOME_FAILED_EXIT_CODE


app.command(rich_help_panel=CLIPS)(retry)
app.command(rich_help_panel=SHARE)(export)
app.command(rich_help_panel=SHARE)(clean)


def main() -> None:
    """Run ``fmn-data`` (the console script)."""
    app()


def _verify_untrusted(terminal: Terminal, folder: Path, jobs: int) -> None:
    from dataset_tools.build.untrusted import check_untrusted

    report = check_untrusted(folder, jobs=jobs, progress=terminal.progress)
    terminal.say(f"  {count_of(report.files, 'file')}: known kinds, bounded sizes, no links, no pickles")
    rows = count_of(report.rows, "row")
    terminal.say(f"  {rows}: names, paths and hashes" if report.rows else "  rows: not read")
    terminal.say(
        f"  {count_of(report.media, 'media file')}: hash, format, size and length"
        if report.media
        else "  media: not opened"
    )
    for problem in report.shown:
        terminal.warn(problem)
    terminal.result(report.as_dict())
    if report.problems:
        terminal.warn(f"not safe to use, {count_of(len(report.problems), 'problem')}: {folder}")
        terminal.exit_code = InputError.exit_code
    else:
        terminal.closing("untrusted", "safe to use", folder)
