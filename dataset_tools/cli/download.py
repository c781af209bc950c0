"""``fmn-data download``: MPII Cooking 2 from its publisher."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.core.console import Terminal


class PartOption(StrEnum):
    """Parts that can be downloaded alone."""

    annotations = "annotations"
    videos = "videos"
    sentences = "sentences"


def download(
    terminal: Terminal,
    folder: Annotated[Path, typer.Argument(help="Folder for the data set.", file_okay=False)] = Path("mpii-cooking-2"),
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the licence: scientific use only, no redistribution.")
    ] = False,
    only: Annotated[
        list[PartOption] | None,
        typer.Option("--only", help="Download only this part. Repeatable."),
    ] = None,
    home: Annotated[str | None, typer.Option("--home", help="Base URL of a mirror of the data set.")] = None,
    verify_hashes: Annotated[
        bool,
        typer.Option("--verify-hashes", help="Check the hashes of existing files, not only their sizes."),
    ] = False,
) -> None:
    """Download and unpack MPII Cooking 2; an interrupted download resumes.

    Example: fmn-data download /data/mpii-cooking-2 --accept-licence
    """
    from dataset_tools.corpora.mpii.mpii_download import HOME, download_corpus

    summary = download_corpus(
        folder,
        accept_licence=accept_licence,
        parts=[part.value for part in only or PartOption],
        home=HOME if home is None else home.rstrip("/") + "/",
        hash_again=verify_hashes,
        progress=terminal.progress,
    )
    count = f"{len(summary.fetched)} files fetched, {len(summary.files)} known"
    terminal.closing("download", count, folder)
    if summary.unpacked:
        terminal.closing("unpack", f"{summary.unpacked} files", folder)
    terminal.warn(
        f"the publisher names no hashes: {len(summary.unchecked)} files were trusted as they came first; "
        "what was found is in DOWNLOADS.json, and later downloads must match it"
    )
    terminal.result(summary.as_dict())
    terminal.next(f"fmn-data build --classes 20 --mpii {folder}")
