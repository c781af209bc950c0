"""Registry of voice engines: espeak, coqui, piper, and those of other packages.

A package adds an engine, a class with the members of `dataset_tools.speech.engines.interface.Engine`, by an entry
point::

    [project.entry-points."fmn_data.engines"]
    mine = "my_package.speech:MyEngine"

Then `--voices mine` selects it; `--voices mine:OPTIONS` passes OPTIONS to the class as its only argument.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from typing import NamedTuple, cast

from dataset_tools.core.entry_points import Extension, extension_names, find_extension
from dataset_tools.core.errors import InputError
from dataset_tools.speech.engines.interface import Engine, Voice

ENTRY_POINT_GROUP = "fmn_data.engines"


class BuiltIn(NamedTuple):
    """An engine of the toolkit: what may follow its name, as in help, and its class, as an entry point names it."""

    options: str
    engine: str


BUILT_IN = {
    "espeak": BuiltIn("[:ACCENT]", "dataset_tools.speech.engines.espeak:EspeakEngine"),
    "coqui": BuiltIn("[:MODEL]", "dataset_tools.speech.engines.coqui:CoquiEngine"),
    "piper": BuiltIn("[:VOICE]", "dataset_tools.speech.engines.piper:PiperEngine"),
}


def voice_licences(spec: str) -> tuple[str, ...]:
    """Returns the licenses of the voices of an engine, a sentence each; empty if the engine does not state them.

    Raises:
        InputError: as in `open_engine`.
    """
    with faults_named(spec):
        stated = getattr(open_engine(spec), "licences", ())
        return (stated,) if isinstance(stated, str) else tuple(map(str, stated or ()))


def voices_in(
    spec: str,
    language: str,
    *,
    text: str = "the descriptions",
    otherwise: str = "choose another --language, or another engine with --voices",
) -> tuple[Voice, ...]:
    """Returns the voices of an engine that speak a language, which is that of ``text``.

    Raises:
        InputError: it has none (``otherwise``: what to do then), or as in `open_engine`.
    """
    engine = open_engine(spec)
    with faults_named(spec):
        voices = tuple(engine.voices(language))
        stated: tuple[object, ...] = voices
        if wrong := [voice for voice in stated if not isinstance(voice, Voice)]:
            raise TypeError(f"voices() gives {wrong[0]!r}, of the type {type(wrong[0]).__name__}, for a Voice")
    if voices:
        return voices
    name, _, accent = spec.partition(":")
    if accent and name == "espeak" and open_engine(name).voices(language):
        otherwise = f"leave out :{accent}, since espeak alone has voices for {language!r}; or {otherwise}"
    raise InputError(
        f"The engine {spec} has no voice for the language {language!r}",
        where=f"--voices {spec}",
        expected=f"voices for the language of {text}",
        next_step=otherwise,
    )


def engine_for_workers(spec: str, language: str) -> tuple[Engine, tuple[Voice, ...]]:
    """Returns an engine, and its voices that speak a language, of which worker processes can have copies.

    Raises:
        InputError: they cannot be pickled, or as in `voices_in`.
    """
    engine, voices = open_engine(spec), voices_in(spec, language)
    extension = _extension_of(spec)
    if extension is not None:
        expected = "an engine that holds settings only; models, files and connections are opened by speak()"
        with extension.blamed("cannot be pickled, and is copied to worker processes", expected):
            pickle.loads(pickle.dumps((engine, voices)))
    return engine, voices


def _extension_of(spec: str) -> Extension | None:
    """Returns the extension that provides an engine; None if there is none, or if the toolkit itself provides it."""
    name = spec.partition(":")[0]
    return None if name in BUILT_IN else find_extension(ENTRY_POINT_GROUP, name)


@contextmanager
def faults_named(spec: str) -> Iterator[None]:
    """Turns errors of an engine's code into an `InputError` that names the package that provides the engine."""
    extension = _extension_of(spec)
    if extension is None:
        yield
        return
    with extension.blamed("failed", f"an engine as {Engine.__module__}.{Engine.__name__} describes it"):
        yield


def open_engine(spec: str) -> Engine:
    """Opens an engine by ``name`` (``espeak``) or ``name:options`` (``coqui:tts_models/en/vctk/vits``).

    Raises:
        InputError: there is no such engine, it does not take these options, or it cannot be used here (a missing
            dependency, a fault of its package).
    """
    name, _, options = spec.partition(":")
    if name in BUILT_IN:
        return cast("Engine", EntryPoint(name, BUILT_IN[name].engine, ENTRY_POINT_GROUP).load().from_options(options))
    extension = _extension_of(spec)
    if extension is None:
        raise InputError(
            f"There is no speech engine {name!r}",
            expected="one of " + ", ".join([*BUILT_IN, *extension_names(ENTRY_POINT_GROUP)]),
            next_step=f"install its package (entry point group {ENTRY_POINT_GROUP}), or choose another",
        )
    return cast("Engine", extension.make(Engine, *([options] if options else [])))
