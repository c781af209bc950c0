"""Options of ``annotate`` and ``annotate push`` that determine the tasks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataset_tools.cli.options import ClassFileOption

if TYPE_CHECKING:
    from dataset_tools.label_studio.push import PushOptions

ProjectOption = Annotated[
    str | None, typer.Option("--project", help="Title of the Label Studio project (default: the workspace's own).")
]


@dataclass(frozen=True)
class SelectionOptions:
    """Clips to push, and what their pages show."""

    replace_config: Annotated[
        bool,
        typer.Option(
            "--replace-config", help="Replace the labeling configuration even if it was edited in the browser."
        ),
    ] = False
    from_run: Annotated[
        Path | None,
        typer.Option(
            "--from-run", help="Prefill with predictions of a trained run (fmn predict RUN); least certain clips first."
        ),
    ] = None
    ids: Annotated[
        str | None,
        typer.Option(
            "--ids",
            metavar="A,B,…",
            help="Push only these clips (ids of clips, utterances or pairs); show them again if already decided.",
        ),
    ] = None


@dataclass(frozen=True)
class TaskOptions:
    """Tasks of the clips, and who decides on them."""

    class_file: ClassFileOption = None
    media_url: Annotated[
        str | None,
        typer.Option("--media-url", help="Base URL from which a remote server reads clips/ and speech/."),
    ] = None
    project: ProjectOption = None
    annotators: Annotated[
        int | None,
        typer.Option("--annotators", min=1, help="Annotators per clip (default: the project's setting, initially 1)."),
    ] = None
    resolve_conflicts: Annotated[
        bool, typer.Option("--resolve-conflicts", help="Send clips that annotators disagree on to one more annotator.")
    ] = False

    def push_options(self, selection: SelectionOptions) -> PushOptions:
        from dataset_tools.label_studio.push import PushOptions

        ids = selection.ids
        return PushOptions(
            media_url=self.media_url,
            project=self.project,
            replace_config=selection.replace_config,
            annotators=self.annotators,
            resolve_conflicts=self.resolve_conflicts,
            from_run=selection.from_run,
            ids=None if ids is None else [name.strip() for name in ids.split(",") if name.strip()],
        )
