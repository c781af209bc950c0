"""The options that several ``fmn-data`` commands share, and what they stand for."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dataset_tools.core.console import Terminal
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace

if TYPE_CHECKING:
    from dataset_tools.classes.triplets import ClassFile
    from dataset_tools.corpora.mpii.mpii_corpus import Corpus
    from dataset_tools.speech.dataset_speech import SpeechOptions

CORPUS_ENVIRONMENT = "MPII_COOKING2_ROOT"
HERE = Path()
DEFAULT_JOBS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)

MpiiOption = Annotated[
    Path | None,
    typer.Option(
        "--mpii", envvar=CORPUS_ENVIRONMENT, help="Folder in MPII Cooking 2's layout; without it, the stand-in."
    ),
]
IntervalsOption = Annotated[
    Path | None,
    typer.Option(
        "--intervals",
        help="Footage of your own in place of MPII's: a CSV video,start_frame,end_frame,action,subject,object"
        " (or start_s,end_s).",
    ),
]
VideosOption = Annotated[
    Path | None, typer.Option("--videos", help="Where the videos of --intervals are (default: beside the CSV).")
]
ClassesOption = Annotated[
    int | None, typer.Option("--classes", min=1, help="The first N classes of the class file (default: all).")
]
ClassFileOption = Annotated[
    Path | None,
    typer.Option("--class-file", help="Classes of your own (default: the workspace's, else the shipped 20)."),
]
JobsOption = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes at once; never changes the result.")]
EngineOption = Annotated[
    Literal["local", "ray"], typer.Option("--engine", help="Where the work is done: here, or on a Ray cluster.")
]
AddressOption = Annotated[
    str | None,
    typer.Option("--address", help="Head of the Ray cluster, HOST:PORT (default: a Ray of this machine's own)."),
]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]
VoicesOption = Annotated[str, typer.Option("--voices", help="Engine: espeak, coqui:MODEL, or one of your own.")]
LanguageOption = Annotated[Literal["en", "zh"], typer.Option("--language", help="Language of the descriptions.")]
SentencesOption = Annotated[
    list[Path] | None, typer.Option("--sentences", help="TACoS files: a clip gets the human sentence that spans it.")
]
AugmentOption = Annotated[
    int,
    typer.Option(
        "--augment", min=0, help="Copies of every utterance with another speed, gain, room and noise, marked as such."
    ),
]
NoSentencesOption = Annotated[
    bool, typer.Option("--no-sentences", help="Leave out the sentence files that lie beside the footage.")
]


def corpus_root(mpii: Path | None, place: Workspace, terminal: Terminal, jobs: int) -> Path:
    """The footage: the folder given, else the stand-in, drawn into the workspace's cache when it is not there yet."""
    if mpii is not None:
        return mpii
    from dataset_tools.corpora.standin.standin_corpus import write_standin

    root = place.cache / "standin"
    terminal.warn(f"no --mpii and no {CORPUS_ENVIRONMENT}: the stand-in corpus takes the footage's place → {root}")
    summary = write_standin(root, difficulty="standard", jobs=jobs, progress=terminal.progress)
    terminal.closing("standin", summary.text(), root)
    return root


def corpus_of(
    mpii: Path | None,
    intervals: Path | None,
    videos: Path | None,
    classes: ClassFile,
    place: Workspace,
    terminal: Terminal,
    jobs: int,
    *,
    dry_run: bool = False,
) -> Corpus:
    """The footage: with ``--intervals`` the user's own, else `corpus_root`'s."""
    if intervals is None:
        from dataset_tools.corpora.mpii.mpii_corpus import open_corpus

        if videos is not None:
            raise InputError(
                "--videos goes with --intervals",
                where=videos,
                expected="a CSV of intervals for these videos",
                next_step="give it with --intervals; MPII Cooking 2 is found by --mpii alone",
            )
        return open_corpus(corpus_root(mpii, place, terminal, jobs))
    from dataset_tools.corpora.annotations.own_footage import open_own_footage

    with TemporaryDirectory() as nowhere:
        memory = Path(nowhere) if dry_run else place.cache / "sources"
        return open_own_footage(intervals, classes, videos=videos, memory=memory, jobs=jobs, progress=terminal.progress)


def engine_of(engine: str, address: str | None, jobs: int) -> AbstractContextManager[None]:
    """What `build` works within: nothing special here, or a Ray cluster."""
    if engine == "ray":
        from dataset_tools.core.ray_engine import on_ray

        return on_ray(address, jobs)
    if address is not None:
        raise InputError("--address goes with --engine ray", where=address, next_step="add --engine ray")
    return nullcontext()


def own_sentences(corpus: Corpus) -> tuple[Path, ...]:
    """The sentence files that lie beside the footage, if there are any."""
    from dataset_tools.corpora.mpii.tacos import sentence_files

    return () if corpus.sentences is None else sentence_files(corpus.sentences)


def class_file_of(path: Path | None, place: Workspace, count: int | None) -> ClassFile:
    """The class file given, else the workspace's own, else the shipped one."""
    from dataset_tools.classes.reader import load_classes

    own = place.annotations / "classes.yaml"
    return load_classes(path or (own if own.is_file() else None), count)


def speech_options(
    voices: str, language: str, sentences: list[Path] | None, seed: int, augment: int = 0
) -> SpeechOptions:
    """The options of synthesis, from those of a command."""
    from dataset_tools.speech.dataset_speech import SpeechOptions

    return SpeechOptions(engine=voices, language=language, sentences=tuple(sentences or ()), seed=seed, augment=augment)


def say_standin(terminal: Terminal, is_standin: bool) -> None:
    """Says, where it is so, that the footage is made up."""
    if is_standin:
        terminal.warn("[bold]stand-in corpus[/bold]: made-up footage; figures from it say nothing about real kitchens")
