"""Deprecated option names: accepted in place of the new ones for one minor version, with a notice on stderr."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence

# Old → new; "OPTION VALUE" renames one value of an option. An entry applies to commands that have the new option and no
# option with the old name.
RENAMED = {
    "--classes": "--held-out-classes",
    "--clips": "--clip-manifest",
    "--form printed": "--form as-published",
    "--form working": "--form standard",
    "--hash-again": "--verify-hashes",
    "--intervals": "--annotations",
    "--output": "--out",
    "--root": "--workspace",
    "--third-look": "--resolve-conflicts",
    "--to": "--out",
}


def with_new_names(arguments: Sequence[str], options: Collection[str]) -> list[str]:
    """Replaces old names in the arguments of a command by new ones; prints a notice for each on stderr.

    Args:
        arguments: as typed; those after ``--`` are left unchanged.
        options: all option names of the command.
    """
    result = list(arguments)
    end = result.index("--") if "--" in result else len(result)
    for at in range(end):
        name, equals, value = result[at].partition("=")
        new = RENAMED.get(name, "")
        if new in options and name not in options:
            _notice(name, new)
            name, result[at] = new, f"{new}{equals}{value}"
        if not equals and at + 1 < end:
            value = result[at + 1]
        new = RENAMED.get(f"{name} {value}", "")
        if new and name in options:
            _notice(f"{name} {value}", new)
            new_value = new.partition(" ")[2]
            result[at if equals else at + 1] = f"{name}={new_value}" if equals else new_value
    return result


def _notice(old: str, new: str) -> None:
    print(f"{old} is now {new}; the old name will be removed in the next minor version", file=sys.stderr)
