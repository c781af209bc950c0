"""Options shared by several ``fmn-data`` commands, and their interpretation."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataset_tools.core.command import DEFAULT_JOBS, AddressOption, EngineOption, JobsOption, engine_running
from dataset_tools.core.console import Terminal
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.speech.engines.registry import BUILT_IN

if TYPE_CHECKING:
    from dataset_tools.classes.triplets import ClassFile

ClassFileOption = Annotated[
    Path | None,
    typer.Option(
        "--class-file",
        help="Class file (default: that of the last build, else annotations/classes.yaml, else the shipped one).",
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", help="Random seed.")]
LicenceOption = Annotated[str, typer.Option("--licence", help="License of recordings that do not state their own.")]
SentencesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--sentences",
        help="TACoS sentence file; a clip gets the human-written sentence whose time span contains it. Repeatable"
        " (default: those of the last build; in build and retry else the files beside the footage).",
    ),
]


@dataclass(frozen=True)
class ClassOptions:
    """Selection of classes."""

    count: Annotated[
        int | None, typer.Option("--classes", min=1, help="Use the first N classes of the class file (default: all).")
    ] = None
    class_file: ClassFileOption = None

    def load(self, workspace: Workspace) -> ClassFile:
        return class_file_of(self.class_file, workspace, self.count)


@dataclass(frozen=True)
class ExecutionOptions:
    """Execution of a build: number of processes, engine, and cluster."""

    jobs: JobsOption = DEFAULT_JOBS
    engine: EngineOption = "local"
    address: AddressOption = None

    def resolved(self, workspace: Workspace) -> Workspace:
        """Returns the workspace under a path that is valid on every machine of the cluster."""
        return Workspace(workspace.root.resolve()) if self.engine == "ray" else workspace

    def running(self) -> AbstractContextManager[None]:
        """Returns the context manager in which a build runs."""
        return engine_running(self.engine, self.address, self.jobs)


@dataclass(frozen=True)
class SynthesisOptions:
    """Synthesis of spoken descriptions; None: not given."""

    voices: Annotated[
        str | None,
        typer.Option(
            "--voices",
            help="Speech engine: "
            + ", ".join(name + engine.options for name, engine in BUILT_IN.items())
            + ", or yours (default: espeak).",
        ),
    ] = None
    language: Annotated[
        str | None,
        typer.Option(
            "--language",
            metavar="CODE",
            help="Language of the descriptions (default: en). Sentences are generated in en and zh; in another, such as"
            " de, those of the annotations are spoken.",
        ),
    ] = None
    sentences: SentencesOption = None
    augment: Annotated[
        int | None,
        typer.Option(
            "--augment",
            min=0,
            help="Number of augmented copies per utterance (speed, gain, reverberation, noise), marked as such"
            " (default: 0).",
        ),
    ] = None
    seed: Annotated[int | None, typer.Option("--seed", help="Random seed (default: 0).")] = None

    def given(self) -> dict[str, Any]:
        """Returns the fields of `SpeechOptions` that are given, without the sentence files."""
        from dataset_tools.core.languages import language_option

        language = None if self.language is None else language_option(self.language)
        values = {"engine": self.voices, "language": language, "augment": self.augment, "seed": self.seed}
        return {name: value for name, value in values.items() if value is not None}


def class_file_of(path: Path | None, workspace: Workspace, count: int | None = None) -> ClassFile:
    """Loads the class file given, else that of the last build, else the workspace's own, else the shipped one."""
    from dataset_tools.build.inputs import known_class_file
    from dataset_tools.classes.reader import load_classes

    return load_classes(path or known_class_file(workspace), count)


def warn_synthetic(terminal: Terminal, is_synthetic: bool) -> None:
    """Warns if the footage is synthetic."""
    if is_synthetic:
        terminal.warn("synthetic (stand-in) corpus: results on it say nothing about real kitchens")


def refuse_beside(file: str, options: Mapping[str, object]) -> None:
    """Refuses server options if the option ``file`` replaces the server.

    Raises:
        InputError: one of them was given.
    """
    given = [name for name, value in options.items() if value]
    if given:
        raise InputError(
            f"{file} works without a server, and {' and '.join(given)} would be ignored",
            where=file,
            expected="no options for a server",
            next_step=f"leave out {file}, or the other options",
        )
