"""``fmn weights``: pretrained weights of the video backbones."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from dataset_tools.core.command import CommandLine, DryRunOption
from dataset_tools.core.console import Terminal
from dataset_tools.core.count_of import count_of

app = CommandLine(help="Download pretrained weights of the video backbones.", no_args_is_help=True)


@app.command("download")
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
