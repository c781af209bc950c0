"""Footage options: location of the footage, annotation format, and opening it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataset_tools.core.console import Terminal
from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace

if TYPE_CHECKING:
    from dataset_tools.build.inputs import Footage
    from dataset_tools.classes.triplets import ClassFile
    from dataset_tools.corpora.annotations.formats import ListOptions
    from dataset_tools.corpora.corpus import Corpus

CORPUS_ENVIRONMENT = "MPII_COOKING2_ROOT"


@dataclass(frozen=True)
class Recorded:
    """Recorded options for reading annotations, and their source ``of``: "last build" or "export"."""

    options: Mapping[str, Any]
    of: str


@dataclass(frozen=True)
class FootageOptions:
    """Location of the footage, and how its annotations are read."""

    mpii: Annotated[
        Path | None,
        typer.Option(
            "--mpii",
            help="Folder of MPII Cooking 2 (default: the footage of the last build in the workspace, else the folder"
            f" that {CORPUS_ENVIRONMENT} names, else a synthetic corpus).",
        ),
    ] = None
    annotations: Annotated[
        Path | None,
        typer.Option(
            "--annotations",
            help="Annotations of your own footage: a CSV with the columns video, start_frame, end_frame (or start_s, "
            "end_s), action, subject, object; a file in another format (docs/own-footage.md); or a folder with one "
            "subfolder per class.",
        ),
    ] = None
    clips: Annotated[
        Path | None,
        typer.Option("--clips", help="Folder of your own clips, with one subfolder per class.", file_okay=False),
    ] = None
    videos: Annotated[
        Path | None, typer.Option("--videos", help="Folder of the videos of --annotations (default: its folder).")
    ] = None
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Format of --annotations, if it cannot be detected: csv, epic-kitchens, activitynet,"
            " activitynet-captions, youcook2, elan, via, cvat, label-studio, folder.",
        ),
    ] = None
    tier: Annotated[
        str | None,
        typer.Option("--tier", help="Tier (VIA: attribute, Label Studio: control) to read, if there are several."),
    ] = None
    frame_base: Annotated[
        int | None,
        typer.Option("--frame-base", help="Number of the first frame in --annotations, 0 or 1 (default: by format)."),
    ] = None
    fps: Annotated[
        float | None,
        typer.Option("--fps", help="Frame rate that --annotations counts frames at, if not that of the videos."),
    ] = None
    person: Annotated[
        str | None,
        typer.Option("--person", help="Regular expression for the video name; its first group is the person."),
    ] = None
    forget_options: Annotated[
        bool,
        typer.Option(
            "--forget-options",
            help="Use only the options that are given, none of the last build (retry and classes: this concerns only "
            "the options for reading annotations).",
        ),
    ] = False

    @property
    def own(self) -> Path | None:
        """The annotations of own footage, or the folder of own clips; None: neither is given."""
        return self.clips if self.annotations is None else self.annotations

    @property
    def sources(self) -> dict[str, Path | None]:
        """Locations of the footage, by option; at most one of them may be given."""
        return {"--annotations": self.annotations, "--clips": self.clips, "--mpii": self.mpii}

    @property
    def read_with(self) -> ListOptions:
        """Options for reading --annotations."""
        from dataset_tools.corpora.annotations.formats import ListOptions

        return ListOptions(self.format, self.tier, self.frame_base, self.fps, self.person)

    def source(self, workspace: Workspace) -> Footage | None:
        """Returns the footage of the options, else the workspace's, else the environment's; None: the synthetic corpus.

        Raises:
            InputError: options contradict each other, or the workspace's footage no longer exists.
        """
        from msgspec.structs import asdict, replace

        from dataset_tools.build.inputs import Footage, known_footage, with_remembered_options

        read_with = self.read_with
        for name, value in {"videos": self.videos, **asdict(read_with)}.items():
            if value is not None and self.own is None:
                raise InputError(
                    f"--{name.replace('_', '-')} goes with --annotations",
                    where=str(value),
                    expected="annotations for these videos",
                    next_step="add --annotations FILE; MPII Cooking 2 needs only --mpii",
                )
        sources = {option: str(path) for option, path in self.sources.items() if path is not None}
        if (
            self.clips is not None
            and self.annotations is not None
            and self.clips.resolve() == self.annotations.resolve()
        ):
            del sources["--clips"]  # the same folder twice
        if len(sources) > 1:
            raise InputError(
                f"{' and '.join(sources)} name different sources of footage",
                where=", ".join(sources.values()),
                expected="one of them",
                next_step="leave the others out",
            )
        corpus_root = os.environ.get(CORPUS_ENVIRONMENT)
        if self.own is not None:
            videos = None if self.videos is None else str(self.videos)
            named = Footage("annotations", str(self.own), videos, read_with)
            source: Footage | None = with_remembered_options(workspace, named)
        elif self.mpii is not None:
            source = Footage("mpii", str(self.mpii))
        else:
            source = known_footage(workspace, Path(corpus_root) if corpus_root else None)
        return replace(source, read_with=read_with) if source is not None and self.forget_options else source

    def would_draw_standin(self, workspace: Workspace) -> bool:
        """Whether `corpus` would render the synthetic corpus: no footage is named or known, and none was rendered."""
        from dataset_tools.build.inputs import drawn_standin

        return self.source(workspace) is None and not drawn_standin(workspace).is_dir()

    def corpus(
        self,
        classes: ClassFile,
        workspace: Workspace,
        terminal: Terminal,
        jobs: int,
        *,
        dry_run: bool = False,
        recorded: Recorded | None = None,
        kept: Sequence[str] = (),
    ) -> Corpus:
        """Opens the footage, and prints its path if no option names it. The synthetic corpus is rendered first.

        Args:
            classes: class file whose words the annotations use.
            workspace: the workspace.
            terminal: for output.
            jobs: number of processes.
            dry_run: whether nothing may be written.
            recorded: options for reading the annotations, used instead of those that the workspace remembers.
            kept: other options that are those of the last build, to be printed with these.

        Raises:
            InputError: the footage is not known, or cannot be read.
        """
        from dataset_tools.build.inputs import Footage, completed, recorded_options
        from dataset_tools.corpora.mpii.mpii_corpus import open_corpus

        source = self.source(workspace)
        if source is not None and self.own is None and self.mpii is None:
            terminal.say(f"  footage: {source.path}")
        if source is None or source.kind != "annotations":
            say_inherited(terminal, kept)
            return open_corpus(
                _rendered_standin(workspace, terminal, jobs, dry_run=dry_run) if source is None else Path(source.path)
            )
        from dataset_tools.build.opened_videos import source_cache
        from dataset_tools.corpora.annotations.own_footage import open_own_footage

        if recorded is not None and not self.forget_options:
            options = completed(self.read_with, recorded_options(recorded.options))
            source = Footage(source.kind, source.path, source.videos, options)
        of = "last build" if recorded is None else recorded.of
        inherited = _inherited_options(source, self)
        videos = inherited.pop("--videos", None)  # a location; the workspace remembers it, not the export
        if videos is not None:
            terminal.say(f"  videos: {source.videos}")
        say_inherited(terminal, [*inherited.values(), *kept], of)
        cache = terminal.cleanup.enter_context(source_cache(workspace, dry_run=dry_run))
        with _explaining_inherited(inherited, of):
            return open_own_footage(
                Path(source.path),
                classes,
                read_with=source.read_with,
                videos=None if source.videos is None else Path(source.videos),
                cache=cache,
                jobs=jobs,
                progress=terminal.progress,
            )


def say_inherited(terminal: Terminal, options: Sequence[str], of: str = "last build") -> None:
    """Prints the options in use that were not given, each as it would be typed."""
    if options:
        remedy = "" if of == "export" else "; --forget-options resets them"
        terminal.say(f"  as in the {of}: {' '.join(options)}{remedy}")


def _inherited_options(source: Footage, given: FootageOptions) -> dict[str, str]:
    """Returns the options in use that were not given, by name, each as it would be typed."""
    from msgspec.structs import asdict

    default = Path(source.path) if Path(source.path).is_dir() else Path(source.path).parent
    is_default = source.videos is None or Path(source.videos).resolve() == default.resolve()
    videos = None if is_default or given.own is None else source.videos
    named = {"videos": given.videos, **asdict(given.read_with)}
    used = {"videos": videos, **asdict(source.read_with)}
    inherited = {name: str(value) for name, value in used.items() if value is not None and named[name] is None}
    options = {name: f"--{name.replace('_', '-')}" for name in inherited}
    return {options[name]: f"{options[name]} {shlex.quote(value)}" for name, value in inherited.items()}


@contextmanager
def _explaining_inherited(inherited: Mapping[str, str], of: str) -> Iterator[None]:
    """Adds to an error about options that were not given where they come from and how to drop them."""
    try:
        yield
    except InputError as error:
        named = [text for option, text in inherited.items() if re.search(rf"{option}\b", error.found)]
        if not named:
            raise
        remedy = "name the footage that the export was made from"
        if of != "export":
            remedy = "drop it with --forget-options, and repeat the options to keep"
        raise InputError(
            error.found,
            where=error.where,
            expected=error.expected,
            next_step=f"{' '.join(named)} is taken from the {of}: give another value, or {remedy}",
        ) from error


def check_classes_of_standin(classes: ClassFile) -> None:
    """Checks that the synthetic corpus shows these classes, which may be those of footage that was not named.

    Raises:
        InputError: it does not show some of them.
    """
    from dataset_tools.classes.reader import load_classes

    shown = {each.id for each in load_classes().classes}
    others = [each.id for each in classes.classes if each.id not in shown]
    if others:
        raise InputError(
            f"No footage is named, and the synthetic corpus lacks {count_of(len(others), 'class', 'classes')} of the "
            f"class file, such as {others[0]!r}",
            where=classes.path,
            expected=f"--annotations FILE, --clips DIR, --mpii DIR, or {CORPUS_ENVIRONMENT}: the first build in a "
            "workspace names its footage",
            next_step="name it, also if a build that named it was refused; for the synthetic corpus, use the shipped "
            "class file, or render it (fmn-data standin DIR) and name it with --mpii DIR",
        )


def _rendered_standin(workspace: Workspace, terminal: Terminal, jobs: int, *, dry_run: bool) -> Path:
    """Renders the missing parts of the synthetic corpus in the workspace's cache, and returns its folder."""
    from dataset_tools.build.inputs import drawn_standin
    from dataset_tools.corpora.standin.standin_corpus import write_standin

    root = drawn_standin(workspace)
    if dry_run:
        return root
    terminal.warn(f"no --mpii and no {CORPUS_ENVIRONMENT}: using the synthetic (stand-in) corpus → {root}")
    summary = write_standin(root, difficulty="standard", jobs=jobs, progress=terminal.progress)
    terminal.closing("standin", summary.text(), root)
    return root
