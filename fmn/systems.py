"""The registry of retrieval systems (``fmn train --model``).

A system is one file, `fmn.models.fmn` or a module of `fmn.models.baselines`, with a constant ``SYSTEM``; a file with
several variants has ``SYSTEMS``. There is no list to maintain: a new file is discovered.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from dataset_tools.core.errors import InputError
from fmn.models import baselines
from fmn.models.system_interface import System
from fmn.renamed_keys import new_system_name

_NAME = re.compile(r"\w([\w.+ ()-]{0,48}[\w.+()-])?")
"""A name becomes part of the names of folders (runs/NAME-PRESET), and is listed in options, separated by commas."""


def all_systems() -> Iterator[System]:
    """Yields every system, FMN first. Modules are imported lazily; names with a leading underscore are skipped.

    Raises:
        InputError: a file cannot be imported, has no ``SYSTEM``, or one whose name cannot be that of a folder or is
            taken.
    """
    files = dict[str, str | None]()  # by the name of the system
    names = sorted(each.name for each in pkgutil.iter_modules(baselines.__path__) if not each.ispkg)
    for name in ("fmn.models.fmn", *(f"fmn.models.baselines.{name}" for name in names if not name.startswith("_"))):
        try:
            module = importlib.import_module(name)
        except (Exception, SystemExit) as error:  # whatever the file does when it is imported
            raise InputError(
                f"The file of a system cannot be imported: {type(error).__name__}: {error}",
                where=name,
                expected="a module that can be imported",
                next_step="correct or remove it; --debug shows where it failed",
            ) from error
        found: Any = getattr(module, "SYSTEMS", None) or (getattr(module, "SYSTEM", None),)
        if not isinstance(found, Sequence) or not all(isinstance(one, System) for one in found):
            raise InputError(
                "The file defines no system",
                where=module.__file__,
                expected="a constant SYSTEM, or SYSTEMS for several variants (docs/comparing.md)",
                next_step="add it; a file that is no system belongs in parts/, or its name starts with an underscore",
            )
        for system in found:
            if not isinstance(system.name, str) or not _NAME.fullmatch(system.name):
                raise InputError(
                    f"A system has the name {system.name!r}, which cannot be part of the name of a folder",
                    where=module.__file__,
                    expected="at most 50 letters, digits, spaces, (, ), _, ., + and -; first a letter, a digit or _",
                    next_step="rename the system",
                )
            if system.name in files:
                in_one = files[system.name] == module.__file__
                raise InputError(
                    f"{'One file defines two systems' if in_one else 'Two files define a system'} of the name "
                    f"{system.name!r}",
                    where=module.__file__ if in_one else f"{files[system.name]} and {module.__file__}",
                    expected="a name of its own for each, which tables and runs show",
                    next_step="rename one of them",
                )
            files[system.name] = module.__file__
            yield system


def system_names() -> tuple[str, ...]:
    """Returns the names of all systems: FMN first, then the others in alphabetical order."""
    first, *others = (system.name for system in all_systems())
    return (first, *sorted(others))


def find_system(name: str) -> System:
    """Returns the system called ``name``; a deprecated name is accepted with a notice.

    Raises:
        InputError: there is none, or two; see also `all_systems`.
    """
    name = new_system_name(name, notice=True)
    systems = all_systems()
    for system in systems:
        if system.name == name:
            if name != "fmn":  # for which no other file needs to be imported
                deque(systems, maxlen=0)  # none of them may have this name, too
            return system
    raise InputError(
        f"There is no system {name!r}",
        expected=f"one of: {', '.join(system_names())}",
        next_step="choose one of these with --model (fmn compare: --models)",
    )
