"""Options of ``build`` and ``speech synthesize`` that determine the result; those not given are the last build's."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from dataset_tools.cli.options import ClassOptions, SynthesisOptions
from dataset_tools.core.console import Terminal
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace

if TYPE_CHECKING:
    from dataset_tools.build_record import BuildOptions
    from dataset_tools.classes.triplets import ClassFile
    from dataset_tools.last_build import LastBuild
    from dataset_tools.speech.synthesis import SpeechOptions

Options = TypeVar("Options", "BuildOptions", "SpeechOptions")
_NAMES = {"engine": "voices"}


def _even(pixels: int | None) -> int | None:
    if pixels is not None and pixels % 2:
        raise typer.BadParameter(f"{pixels} is odd, but clips have an even number of pixels")
    return pixels


@dataclass(frozen=True)
class CuttingOptions:
    """What a build cuts, and whether it speaks; None: not given."""

    per_class: Annotated[
        int | None, typer.Option("--per-class", min=1, help="Maximum number of clips per class (default: 50).")
    ] = None
    shortfall: Annotated[
        Literal["accept", "windows", "stop"] | None,
        typer.Option(
            help="If a class has fewer: accept it (default), fill it up with windows of long intervals, or stop."
        ),
    ] = None
    short_side: Annotated[
        int | None,
        typer.Option(
            "--short-side",
            min=16,
            max=4320,
            callback=_even,
            help="Short side of the clips in pixels, an even number (default: 256).",
        ),
    ] = None
    keep_audio: Annotated[
        bool | None,
        typer.Option(
            "--keep-audio/--no-keep-audio",
            help="Keep the audio track of the videos; --no-keep-audio (default): silent clips.",
        ),
    ] = None
    speech: Annotated[
        bool | None,
        typer.Option("--speech/--no-speech", help="Synthesize a spoken description of every clip (default)."),
    ] = None
    footage_sentences: Annotated[
        bool | None,
        typer.Option(
            "--footage-sentences/--no-sentences",
            help="Use the sentence files beside the footage (default); --no-sentences: none.",
        ),
    ] = None


def last_build_of(workspace: Workspace, terminal: Terminal) -> LastBuild | None:
    """Returns how the data set was built; None if there is none, or (with a warning) if its options are not known."""
    from dataset_tools.build_record import read_build
    from dataset_tools.last_build import read_last_build

    if not read_build(workspace):
        return None
    try:
        return read_last_build(workspace)
    except InputError as error:
        terminal.warn(f"{error.found} ({error.where}): those that are not given have their defaults")
        return None


def build_options(
    cutting: CuttingOptions, synthesis: SynthesisOptions, last: LastBuild | None
) -> tuple[BuildOptions, dict[str, Any]]:
    """Completes the options of a build, all but the sentence files.

    Returns:
        The options; and those of them that are the last build's and not the defaults, by name. Speech that was
        synthesized after the build may have another seed, which is not among these: ``--seed`` is that of both.

    Raises:
        InputError: two options about sentence files are given.
    """
    from dataset_tools.build_record import BuildOptions

    check_sentence_options(synthesis, cutting.footage_sentences)
    voices, kept_voices = speech_options(synthesis, last)
    given = {name: value for name, value in asdict(cutting).items() if value is not None}
    if synthesis.seed is not None:
        given["seed"] = synthesis.seed
    if cutting.speech is None and synthesis.given().keys() - {"seed"}:
        given["speech"] = True  # otherwise these options would have no effect after a build with --no-speech
    if synthesis.sentences is not None:
        given["footage_sentences"] = False
    names = [field.name for field in fields(cutting)]
    options, kept = _completed(BuildOptions(), given, None if last is None else last.options, [*names, "seed"])
    kept_voices.pop("seed", None)
    return replace(options, voices=voices), kept | kept_voices


def speech_options(synthesis: SynthesisOptions, last: LastBuild | None) -> tuple[SpeechOptions, dict[str, Any]]:
    """Completes the options of synthesis, as `build_options` does."""
    from dataset_tools.speech.synthesis import SpeechOptions

    names = ("engine", "language", "augment", "seed")
    return _completed(SpeechOptions(), synthesis.given(), None if last is None else last.options.voices, names)


def check_sentence_options(synthesis: SynthesisOptions, footage_sentences: bool | None) -> None:
    """Refuses ``--sentences`` beside ``--footage-sentences`` or ``--no-sentences``; None: neither of these is given.

    Raises:
        InputError: two are given.
    """
    if synthesis.sentences is not None and footage_sentences is not None:
        raise InputError(
            f"--sentences and --{'footage' if footage_sentences else 'no'}-sentences contradict each other",
            where=", ".join(map(str, synthesis.sentences)),
            expected="one of them",
            next_step="leave one out",
        )


def _completed(
    defaults: Options, given: Mapping[str, Any], last: Options | None, names: Sequence[str]
) -> tuple[Options, dict[str, Any]]:
    others = {} if last is None else {name: getattr(last, name) for name in names if name not in given}
    kept = {name: value for name, value in others.items() if value != getattr(defaults, name)}
    return replace(defaults, **kept, **given), kept


def first_classes(
    workspace: Workspace, classes: ClassOptions, class_file: ClassFile, last: LastBuild | None
) -> tuple[ClassFile, dict[str, Any]]:
    """Limits the class file to the number of classes of the last build.

    Not if that used all, if ``--classes`` is given, or if ``--class-file`` is another file.

    Returns:
        The class file; and the option that is the last build's, by name, if it is limited.
    """
    from dataset_tools.build.inputs import is_class_file_of_build

    if classes.count is not None or last is None or last.uses_all_classes or last.classes >= len(class_file.classes):
        return class_file, {}
    if classes.class_file is not None and not is_class_file_of_build(workspace, class_file):
        return class_file, {}
    return replace(class_file, classes=class_file.classes[: last.classes]), {"classes": last.classes}


def last_sentences(
    workspace: Workspace, last: LastBuild, *, edited_ok: bool
) -> tuple[tuple[Path, ...], dict[str, Any]]:
    """Finds the sentence files of the last build, at the paths that the workspace remembers.

    Returns:
        The files; and the option that stands for them, by name, if they are not just those beside the footage.

    Raises:
        InputError: one of them is not there or, unless ``edited_ok``, has changed.
    """
    from dataset_tools.build.inputs import known_sentences

    files = known_sentences(workspace)
    if not edited_ok or not files or not all(path.exists() for path in files):
        files = last.sentences_among(files)
    if last.options.footage_sentences:
        return files, {}
    return files, {"sentences": files} if files else {"footage_sentences": False}


def as_typed(kept: Mapping[str, Any]) -> list[str]:
    """Returns options as one would type them."""
    typed = []
    for name, value in kept.items():
        option = f"--{_NAMES.get(name, name).replace('_', '-')}"
        if name == "footage_sentences":
            typed.append("--no-sentences")
        elif isinstance(value, bool):
            typed.append(option if value else option.replace("--", "--no-", 1))
        elif isinstance(value, tuple):
            typed += [f"{option} {shlex.quote(str(path))}" for path in value]
        else:
            typed.append(f"{option} {shlex.quote(value) if name == 'engine' else value}")
    return typed
