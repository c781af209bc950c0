"""The registry of retrieval systems (``fmn train --model``).

A system is one file, `fmn.models.fmn` or a module of `fmn.models.baselines`, with a constant ``SYSTEM``; a file of
several variants has ``SYSTEMS``. No list names them: a new file is found.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from dataset_tools.core.errors import InputError
from fmn.models import baselines
from fmn.models.system_interface import System


def all_systems() -> Iterator[System]:
    """Every system, FMN first; a module is imported when its turn comes, unless its name begins with an underscore."""
    names = sorted(each.name for each in pkgutil.iter_modules(baselines.__path__) if not each.ispkg)
    for name in ("fmn.models.fmn", *(f"fmn.models.baselines.{name}" for name in names if not name.startswith("_"))):
        module = importlib.import_module(name)
        yield from getattr(module, "SYSTEMS", None) or (module.SYSTEM,)


def system_names() -> tuple[str, ...]:
    """The names of all systems: FMN, then the others in the order of the alphabet."""
    first, *others = (system.name for system in all_systems())
    return (first, *sorted(others))


def find_system(name: str) -> System:
    """The system called ``name``.

    Raises:
        InputError: there is none.
    """
    for system in all_systems():
        if system.name == name:
            return system
    raise InputError(
        f"There is no system {name!r}",
        expected=f"one of: {', '.join(system_names())}",
        next_step="name one of these with --model (fmn compare: --models)",
    )
