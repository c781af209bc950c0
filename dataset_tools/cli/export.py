"""``fmn-data export``: export of a data set in the formats of other libraries, and rebuilding from an export."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.cli.footage import FootageOptions, Recorded
from dataset_tools.cli.options import warn_synthetic
from dataset_tools.core.command import DryRunOption
from dataset_tools.core.console import SOME_FAILED_EXIT_CODE, Terminal
from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}

FromExportOption = Annotated[
    Path | None,
    typer.Option(
        "--from-export",
        help="Rebuild the data set of an export without media, with the export's options, and compare both.",
        file_okay=False,
    ),
]


def export(
    terminal: Terminal,
    workspace: Workspace,
    format_name: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT", help="croissant, csv, huggingface, lhotse, mteb, webdataset, or one of another package."
        ),
    ],
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder for the export: a new one, or that of an interrupted export.")
    ],
    media: Annotated[
        bool,
        typer.Option(
            "--media/--no-media",
            show_default=False,
            help="Include the clips and utterances (default), or only the rows and a rebuild recipe.",
        ),
    ] = True,
    shard_size: Annotated[
        str, typer.Option("--shard-size", help="Maximum size of a shard, such as 500MB or 1GB.")
    ] = "500MB",
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow",
            help="Include media that are withheld by default, if you may redistribute them: mpii-footage, own-footage,"
            " unknown-footage, recordings-without-consent, recordings-of-minors. Repeatable.",
        ),
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Export for Hugging Face, WebDataset, Lhotse or MTEB, as Croissant or as CSV; an interrupted export resumes.

    Example: fmn-data export huggingface shared/ --shard-size 1GB
    """
    from dataset_tools.exports.exporting import export_dataset
    from dataset_tools.exports.registry import FormatOptions
    from dataset_tools.exports.waiting_decisions import decisions_on

    summary = export_dataset(
        workspace,
        format_name,
        folder,
        options=FormatOptions(shard_bytes=_bytes(shard_size)),
        with_media=media,
        allowed=allow or (),
        dry_run=dry_run,
        progress=terminal.progress,
    )
    warn_synthetic(terminal, summary.is_standin)
    for table, counts in summary.counts.items():
        terminal.closing(table, ", ".join(f"{number} {split}" for split, number in counts.items()) or "none", folder)
    would = "would be " if dry_run else ""
    for part in summary.withheld:
        name = part.partition(":")[0]
        is_included = name in (allow or ()) and (media or name.startswith("recordings-"))
        terminal.warn(f"{would}{'included because of --allow' if is_included else 'withheld'}: {part}")
    if summary.waiting:
        terminal.warn(
            f"{decisions_on(summary.waiting)}; run fmn-data build and fmn-data pairs, then export to a new folder"
        )
    if summary.unknown:
        terminal.warn(f"{summary.unknown}; if in doubt, run fmn-data build and fmn-data pairs, then export again")
    if summary.missing:
        recordings = count_of(summary.missing, "recorded utterance")
        terminal.warn(f"{recordings} {would}left out: recordings cannot be rebuilt")
    kept = f", {summary.kept} already complete" if summary.kept else ""
    terminal.closing("export", f"{count_of(summary.written, 'file')} {would}written{kept}", folder)
    terminal.result({"folder": str(folder), **summary.as_dict()})


def build_from_export(
    terminal: Terminal,
    workspace: Workspace,
    folder: Path,
    footage: FootageOptions,
    sentences: Sequence[Path],
    jobs: int,
    *,
    dry_run: bool,
) -> None:
    """Rebuilds the data set of an export without media, and reports how the result differs from it.

    Args:
        terminal: for output.
        workspace: workspace to build in.
        folder: folder of the export.
        footage: location of the footage.
        sentences: candidates for the sentence files that were used.
        jobs: number of processes.
        dry_run: write nothing.
    """
    from dataset_tools.corpora.sentence_files import footage_sentences
    from dataset_tools.exports.rebuilding import open_rebuild, rebuild_dataset

    rebuild = open_rebuild(folder, workspace)
    rebuild.last.check_sentences(sentences)
    if footage.source(workspace) is None:
        raise InputError(
            "The location of the footage is missing",
            where="--from-export",
            expected="the footage that the export was made from",
            next_step="add --mpii DIR, or --annotations FILE for your own footage",
        )
    recorded = Recorded(rebuild.last.annotation_options, "export")
    corpus = footage.corpus(rebuild.classes, workspace, terminal, jobs, dry_run=dry_run, recorded=recorded)
    files = [*sentences, *footage_sentences(corpus)]
    summary = rebuild_dataset(workspace, corpus, rebuild, files, jobs=jobs, dry_run=dry_run, progress=terminal.progress)
    warn_synthetic(terminal, summary.build.stand_in is not None)
    would, would_be = (" would be cut", " would be in the data set") if dry_run else ("", "")
    terminal.closing("clips", f"{summary.build.clips}{would}", workspace.clips)
    terminal.closing("speak", f"{count_of(summary.build.utterances, 'utterance')}{would_be}", workspace.speech)
    if not dry_run:
        terminal.closing("pairs", f"{summary.pairs}", workspace.manifests)
    if summary.missing:
        terminal.warn(
            f"{count_of(summary.missing, 'recorded utterance is', 'recorded utterances are')} not in the "
            "export, and cannot be rebuilt"
        )
    for difference in summary.differences:
        terminal.warn(difference)
    terminal.result(summary.as_dict())
    if dry_run:
        for reason in summary.build.reasons:
            terminal.say(f"  failed {reason}")
        would_differ = "fix the causes, or the rebuild may differ from the export"
        terminal.some_failed(len(summary.build.failures), would_differ, reasons="the reasons are above")
    elif summary.differences:
        terminal.exit_code = SOME_FAILED_EXIT_CODE
    else:
        terminal.closing("same", "clips, utterances, pairs and split are identical to the export's", folder)


def not_with_from_export() -> InputError:
    """Returns the error of options beside --from-export that determine what is built."""
    return InputError(
        "--from-export cannot be combined with options that determine what is built",
        where="--from-export",
        expected="only the location of the footage (--mpii, --annotations, --clips, --videos, --sentences), --jobs and "
        "--dry-run",
        next_step="leave the others out: they are taken from the export",
    )


def _bytes(text: str) -> int:
    """Parses a size such as ``500MB`` into bytes.

    Raises:
        InputError: the text is not a size.
    """
    match = re.fullmatch(r"(\d+)\s*([KMG]?i?B?)", text.strip(), flags=re.IGNORECASE)
    unit = "" if match is None else match[2].upper()
    size_bytes = 0 if match is None else int(match[1]) * _UNITS.get(unit if unit[-1:] in ("B", "") else f"{unit}B", 0)
    if size_bytes < 1:
        raise InputError(
            f"The size {text!r} cannot be read",
            where="--shard-size",
            expected="a number of bytes, KB, MB or GB (KiB, MiB, GiB)",
            next_step="write it as, for example, 500MB",
        )
    return size_bytes
