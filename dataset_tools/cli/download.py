"""``fmn-data download``: download of MPII Cooking 2 from its publisher."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dataset_tools.cli.options import ClassOptions, SeedOption
from dataset_tools.core.command import DryRunOption
from dataset_tools.core.console import Terminal
from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace

if TYPE_CHECKING:
    from dataset_tools.classes.triplets import ClassFile
    from dataset_tools.corpora.mpii.mpii_download import DownloadSummary


_SHOWN_FILES = 20


class PartOption(StrEnum):
    """Parts of the data set that can be downloaded separately; an enumeration, since Typer takes no list of Literal."""

    annotations = "annotations"
    videos = "videos"
    sentences = "sentences"


@dataclass(frozen=True)
class VideoOptions:
    """Videos to download: all, or those that a build with the same options needs."""

    videos: Annotated[
        Literal["all", "needed"],
        typer.Option(
            "--videos", help="Download all videos as one archive, or only those that a build with these options needs."
        ),
    ] = "all"
    per_class: Annotated[
        int, typer.Option("--per-class", min=1, help="With --videos needed: maximum number of clips per class.")
    ] = 50
    shortfall: Annotated[
        Literal["accept", "windows", "stop"], typer.Option(help="With --videos needed: as for fmn-data build.")
    ] = "accept"
    seed: SeedOption = 0

    def needed(self, folder: Path, class_file: ClassFile) -> tuple[str, ...]:
        """Returns the names of the videos that a build needs; requires the annotations in ``folder``."""
        from dataset_tools.build.needed_videos import needed_videos
        from dataset_tools.build_record import BuildOptions

        options = BuildOptions(per_class=self.per_class, shortfall=self.shortfall, seed=self.seed)
        return needed_videos(folder, class_file, options)

    def build_arguments(self, classes: ClassOptions) -> list[str]:
        """Returns the options of a build that uses the downloaded videos, as arguments."""
        options: dict[str, object] = {"--classes": 20}
        if self.videos == "needed":  # the videos of other options are not there
            options = {"--classes": classes.count, "--class-file": classes.class_file, "--per-class": self.per_class}
            options |= {"--shortfall": self.shortfall, "--seed": self.seed}
        return [str(word) for option, value in options.items() if value is not None for word in (option, value)]


def download(
    terminal: Terminal,
    workspace: Workspace,
    classes: ClassOptions,
    folder: Annotated[Path, typer.Argument(help="Folder for the data set.", file_okay=False)] = Path("mpii-cooking-2"),
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the license: scientific use only, no redistribution.")
    ] = False,
    only: Annotated[
        list[PartOption] | None,
        typer.Option("--only", help="Download only this part. Repeatable."),
    ] = None,
    *,
    wanted: VideoOptions,
    home: Annotated[str | None, typer.Option("--home", help="Base URL of a mirror of the data set.")] = None,
    verify_hashes: Annotated[
        bool,
        typer.Option("--verify-hashes", help="Check the hashes of existing files, not only their sizes."),
    ] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Download and unpack MPII Cooking 2; an interrupted download resumes.

    Example: fmn-data download /data/mpii-cooking-2 --accept-licence --videos needed --classes 20
    """
    from dataset_tools.corpora.mpii.mpii_corpus import MAT_NAME
    from dataset_tools.corpora.mpii.mpii_download import HOME, download_corpus

    get = partial(
        download_corpus,
        folder,
        accept_licence=accept_licence,
        home=HOME if home is None else home.rstrip("/") + "/",
        hash_again=verify_hashes,
        dry_run=dry_run,
        progress=terminal.progress,
    )
    parts = {part.value for part in only or PartOption}
    videos_known = True
    if wanted.videos == "needed" and "videos" in parts:
        class_file = classes.load(workspace)
        summary = get(parts=(parts - {"videos"}) | {"annotations"})
        videos_known = not dry_run or MAT_NAME not in summary.fetched
        if videos_known:
            names = wanted.needed(folder, class_file)
            terminal.say(f"  {count_of(len(names), 'video is', 'videos are')} needed")
            summary = summary.and_then(get(parts={"videos"}, videos=names))
    else:
        summary = get(parts=parts)
    if dry_run:
        _show_plan(terminal, summary, folder, videos_known=videos_known)
        return
    _show_download(terminal, summary, folder)
    if summary.refused:
        refused = ", ".join(first_of(summary.refused, 5))
        raise InputError(
            f"The server does not provide {count_of(len(summary.refused), 'video')}: {refused}",
            where=home or HOME,
            expected="each video at its URL",
            next_step="run the command again; if it fails again, download the archive of all videos: --videos all",
        )
    terminal.next("fmn-data build", *wanted.build_arguments(classes), "--mpii", folder)


def _show_download(terminal: Terminal, summary: DownloadSummary, folder: Path) -> None:
    terminal.closing(
        "download", f"{count_of(len(summary.fetched), 'file')} fetched, {len(summary.files)} known", folder
    )
    if summary.unpacked:
        terminal.closing("unpack", count_of(summary.unpacked, "file"), folder)
    for sentence in summary.differing:
        terminal.warn(sentence)
    if summary.unchecked:
        trusted = count_of(len(summary.unchecked), "file was", "files were")
        terminal.warn(
            f"the publisher provides no hashes: {trusted} trusted at the first download; their hashes "
            "are in DOWNLOADS.json, and later downloads must match them"
        )
    terminal.result(summary.as_dict())


def _show_plan(terminal: Terminal, summary: DownloadSummary, folder: Path, *, videos_known: bool) -> None:
    """Shows what would be downloaded; without ``videos_known``, also needed videos that are not in the summary."""
    if not videos_known:
        terminal.warn("the needed videos are not counted: which they are is known once the annotations are downloaded")
    sizes = {name: "size unknown" if size is None else _size(size) for name, size in summary.sizes_bytes.items()}
    for line in first_of([f"{name}, {size}" for name, size in sizes.items()], _SHOWN_FILES, "more: see --json"):
        terminal.say(f"  {line}")
    known = [size for size in summary.sizes_bytes.values() if size is not None]
    others = f", and {count_of(len(sizes) - len(known), 'file')} of unknown size" if len(known) < len(sizes) else ""
    files = count_of(len(sizes), "file")
    terminal.closing("download", f"{files} would be fetched: {_size(sum(known))}{others}", folder)
    if summary.to_unpack:
        terminal.closing("unpack", f"{count_of(len(summary.to_unpack), 'archive')} would be unpacked", folder)
    terminal.result({**summary.as_dict(), "videos_known": videos_known})


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"
