"""The registry of retrieval systems (``fmn train --model``).

A system is one file, `fmn.models.fmn` or a module of `fmn.models.baselines`, with a constant ``SYSTEM``; a file with
several variants has ``SYSTEMS``. There is no list to maintain: a new file is discovered.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

from dataset_tools.core.errors import InputError
from fmn.models import baselines
from fmn.models.system_interface import System
from fmn.renamed_keys import new_system_name


def all_systems() -> Iterator[System]:
    """Yields every system, FMN first. Modules are imported lazily; names with a leading underscore are skipped.

    Raises:
        InputError: a file has no ``SYSTEM``.
    """
    names = sorted(each.name for each in pkgutil.iter_modules(baselines.__path__) if not each.ispkg)
    for name in ("fmn.models.fmn", *(f"fmn.models.baselines.{name}" for name in names if not name.startswith("_"))):
        module = importlib.import_module(name)
        found: Any = getattr(module, "SYSTEMS", None) or (getattr(module, "SYSTEM", None),)
        if None in found:
            raise InputError(
                "The file defines no system",
                where=module.__file__,
                expected="a constant SYSTEM, or SYSTEMS for several variants (docs/comparing.md)",
                next_step="add it; a file that is no system belongs in parts/, or its name starts with an underscore",
            )
        yield from found


def system_names() -> tuple[str, ...]:
    """Returns the names of all systems: FMN first, then the others in alphabetical order."""
    first, *others = (system.name for system in all_systems())
    return (first, *sorted(others))


def find_system(name: str) -> System:
    """Returns the system called ``name``; a deprecated name is accepted with a notice.

    Raises:
        InputError: there is none.
    """
    name = new_system_name(name, notice=True)
    for system in all_systems():
        if system.name == name:
            return system
    raise InputError(
        f"There is no system {name!r}",
        expected=f"one of: {', '.join(system_names())}",
        next_step="choose one of these with --model (fmn compare: --models)",
    )
