"""``fmn-data pairs``: pairs of clips and utterances, and their split into train and test manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dataset_tools.cli.options import ClassFileOption, SeedOption, class_file_of, warn_synthetic
from dataset_tools.core.command import DryRunOption
from dataset_tools.core.console import Terminal
from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.core.workspace import Workspace

if TYPE_CHECKING:
    from dataset_tools.pairs.pairing import PairSummary

_SHOWN_MERGED = 5


def pairs(
    terminal: Terminal,
    workspace: Workspace,
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
    from dataset_tools.pairs.pair_assignment import PairOptions
    from dataset_tools.pairs.pairing import make_pairs

    if reviewed and (warning := unread_warning(workspace)):
        terminal.warn(warning)  # before pairing: unread decisions may be the reason for too few items
    summary = make_pairs(
        workspace,
        class_file_of(class_file, workspace),
        PairOptions(split=split, test_share=test_share, seed=seed, reviewed=reviewed),
        dry_run=dry_run,
        progress=terminal.progress,
    )
    _show_pairs(terminal, summary, workspace, is_leaky=split == "pairs", dry_run=dry_run)
    if not dry_run:
        # The default preset's video network was trained on rendered kitchens only (docs/encoders.md).
        preset = ("--preset", "light") if read_build(workspace).get("own_footage") else ()
        terminal.next("fmn train", workspace.manifests / "train.jsonl", *preset)


def _show_pairs(
    terminal: Terminal, summary: PairSummary, workspace: Workspace, *, is_leaky: bool, dry_run: bool
) -> None:
    from dataset_tools.pairs.pairing import HOW_TO_REVIEW_RECORDINGS

    warn_synthetic(terminal, summary.is_standin)
    would = "would be " if dry_run else ""
    of_classes = count_of(summary.classes, "class", "classes")
    items = f"{count_of(summary.clips, 'clip')} × {count_of(summary.utterances, 'utterance')} of {of_classes}"
    terminal.closing("pairs", f"{count_of(summary.pairs, 'pair')} from {items}", workspace.manifests / "pairs.jsonl")
    terminal.closing("train", f"{count_of(summary.train, 'pair')} {would}written", workspace.manifests / "train.jsonl")
    terminal.closing("test", f"{count_of(summary.test, 'pair')} {would}written", workspace.manifests / "test.jsonl")
    if summary.neither:
        several = "pairs of a training item and a test item are"
        across = count_of(summary.neither, "pair of a training item and a test item is", several)
        terminal.say(f"  {across} in neither split")
    left_out = summary.not_accepted
    if left_out.clips or left_out.utterances:
        of_clips = f"{count_of(left_out.clips, 'clip')} and {count_of(left_out.utterances, 'utterance')}"
        terminal.say(f"  {of_clips} left out: not accepted by annotators")
    if left_out.class_utterances:
        terminal.warn(
            f"{count_of(left_out.class_utterances, 'utterance')} of classes left out: {HOW_TO_REVIEW_RECORDINGS}"
        )
    for what, number in summary.dropped.items():
        terminal.warn(f"dropped, {what}: {number:,}")
    merged = [
        f"same content under {len(same)} names, treated as one item: {', '.join(same)}" for same in summary.merged
    ]
    for text in first_of(merged, _SHOWN_MERGED, "more such items: see `merged` of --json"):
        terminal.warn(text)
    if summary.without_file:
        files = count_of(len(summary.without_file), "file of these items is", "files of these items are")
        terminal.warn(
            f"{files} missing, such as {summary.without_file[0]}: restore what is missing, or run fmn-data build again "
            "(for recordings, fmn-data speech import), before you train"
        )
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
    if is_leaky:
        terminal.warn(
            "this split leaks: clips and utterances, usually all, are in both training and test (the paper's reading)"
        )
    for leak in summary.leaks:
        terminal.warn(f"leak: {leak} is in both training and test")
    terminal.result({"dry_run": dry_run, **summary.as_dict()})
