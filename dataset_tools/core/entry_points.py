"""Entry points: extensions (encoders, speech engines, export formats) that installed packages provide."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from dataset_tools.core.errors import InputError, ToolkitError


def installed_entry_points(group: str) -> dict[str, EntryPoint]:
    """Returns the entry points of a group, by name."""
    return {entry.name: entry for entry in entry_points(group=group)}


def load_entry_point(entry: EntryPoint) -> Any:
    """Imports the object that an entry point refers to.

    Raises:
        InputError: the package cannot be imported, or does not have the object.
    """
    try:
        return entry.load()
    except (ToolkitError, KeyboardInterrupt):
        raise
    except BaseException as error:  # including sys.exit(), which would end the command without a message
        package = f" of the package {entry.dist.name}" if entry.dist else ""
        raise InputError(
            f"The extension {entry.name!r}{package} cannot be loaded: {type(error).__name__}: {error}",
            where=f"{entry.value} (entry point group {entry.group})",
            expected="a package that can be imported, with its dependencies installed",
            next_step="update or reinstall the package, or choose another extension",
        ) from error
