"""The protocol that every retrieval system follows, and the list of systems that ``fmn train --model`` knows.

A system encodes clips and utterances, each once, and gives a matrix of scores; one trainer, one evaluator and one
search serve all. A system is one file, `fmn.model` or a module of `fmn.baselines`, with a constant ``SYSTEM``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dataset_tools.manifests import InputError
from fmn.config import Config

if TYPE_CHECKING:
    from fmn.retrieval import RetrievalModel


def unchanged(config: Config) -> Config:
    """``config`` as it is."""
    return config


@dataclass(frozen=True)
class System:
    """A retrieval system.

    Attributes:
        name: what ``--model`` calls it.
        summary: one line on what it is.
        build: makes the untrained model from a configuration and the sizes of a clip's vector and an audio frame.
        adapt: changes what the system needs otherwise in a preset (its audio features, its epochs, …).
    """

    name: str
    summary: str
    build: Callable[[Config, int, int], RetrievalModel]
    adapt: Callable[[Config], Config] = unchanged


def system_names() -> tuple[str, ...]:
    """The names of all systems; loads none of them."""
    import fmn.baselines

    return ("fmn", *sorted(module.name for module in pkgutil.iter_modules(fmn.baselines.__path__)))


def find_system(name: str) -> System:
    """The system called ``name``.

    Raises:
        InputError: there is none.
    """
    if name not in system_names():
        raise InputError(
            f"There is no system {name!r}",
            expected=f"one of: {', '.join(system_names())}",
            next_step="name one of these with --model",
        )
    module = importlib.import_module("fmn.model" if name == "fmn" else f"fmn.baselines.{name}")
    system: System = module.SYSTEM
    return system
