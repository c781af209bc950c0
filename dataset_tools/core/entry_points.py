"""Entry points: extensions (encoders, speech engines, export formats) that installed packages provide."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import FunctionType
from typing import Any

from dataset_tools.core.errors import InputError, ToolkitError
from dataset_tools.core.files import disk_error


def extension_names(group: str) -> list[str]:
    """Returns the names of the installed extensions of a group, sorted."""
    return sorted({entry.name for entry in entry_points(group=group)})


def find_extension(group: str, name: str) -> Extension | None:
    """Returns the extension of a group that has a name; None if no installed package provides one.

    Raises:
        InputError: several packages provide it; which of them were used would depend on the order of sys.path.
    """
    found = [entry for entry in entry_points(group=group) if entry.name == name]
    if len(found) > 1:
        packages = sorted(entry.dist.name if entry.dist else entry.value for entry in found)
        raise InputError(
            f"{len(found)} packages provide the extension {name!r}: {', '.join(packages)}",
            where=f"entry point group {group}",
            expected="one package for each name",
            next_step="uninstall all of them but one (pip uninstall), or choose another extension",
        )
    return Extension(found[0]) if found else None


@dataclass(frozen=True)
class Extension:
    """An extension of an installed package: its code is imported when it is loaded, and its faults name the package."""

    entry: EntryPoint

    def load(self) -> Any:
        """Imports the function or class that the entry point refers to.

        Raises:
            InputError: the package cannot be imported, does not have the object, or it cannot be called.
        """
        with self.blamed("cannot be loaded", "a package that can be imported, with its dependencies installed"):
            loaded = self.entry.load()
        if not callable(loaded):
            raise self._error("cannot be used", f"it is of the type {type(loaded).__name__}", "a function or a class")
        return loaded

    def make(self, interface: type, *arguments: Any, **options: Any) -> Any:
        """Imports the function or class and calls it.

        Args:
            interface: the protocol that the made object has to implement: its public members are looked for.
            arguments: of the call.
            options: keyword arguments of the call.

        Raises:
            InputError: it cannot be loaded or called, or the made object lacks members of the interface.
        """
        make = self.load()
        expected = f"an object with the members of {interface.__module__}.{interface.__name__}"
        with self.blamed("cannot be used", expected):
            made = make(*arguments, **options)
            missing = sorted(_missing(made, interface))
        if missing:
            reason = f"what it returns, of the type {type(made).__name__}, has no {', '.join(missing)}"
            raise self._error("cannot be used", reason, expected)
        return made

    @contextmanager
    def blamed(self, problem: str, expected: str) -> Iterator[None]:
        """Turns every error of the package's code into an `InputError`, except those that are not its fault.

        Args:
            problem: such as "cannot be loaded".
            expected: what the package should have provided.
        """
        try:
            yield
        except (ToolkitError, KeyboardInterrupt, MemoryError):
            raise
        except BaseException as error:  # including sys.exit(), which would end the command without a message
            stopped = disk_error(error, getattr(error, "filename", None))
            if stopped is not None:
                raise stopped from error
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise self._error(problem, reason, expected) from error

    def _error(self, problem: str, reason: str, expected: str) -> InputError:
        package = f" of the package {self.entry.dist.name}" if self.entry.dist else ""
        return InputError(
            f"The extension {self.entry.name!r}{package} {problem}: {reason}",
            where=f"{self.entry.value} (entry point group {self.entry.group})",
            expected=expected,
            next_step="update or reinstall the package, or choose another extension",
        )


def _missing(made: object, interface: type) -> set[str]:
    """Returns the public members of a protocol that an object lacks; a method counts only if it can be called."""
    missing = set()
    for base in interface.__mro__:
        if getattr(base, "_is_protocol", False):
            members = {**dict.fromkeys(getattr(base, "__annotations__", {})), **vars(base)}
            missing |= {
                name
                for name, member in members.items()
                if not name.startswith("_")
                and (
                    not hasattr(made, name) or (isinstance(member, FunctionType) and not callable(getattr(made, name)))
                )
            }
    return missing
