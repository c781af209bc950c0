"""Check that the files of results that a command replaces are its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from dataset_tools.core.errors import InputError


def check_result_files(folder: Path, names: Sequence[str], file_format: str) -> None:
    """Checks that the results in ``folder``, if there are any, are those of an earlier call of the same command.

    Args:
        folder: output folder; it need not exist.
        names: files to write. The first one, which is written first, is a JSON object with its format.
        file_format: that format, such as ``fmn.ablation/1``; the version may be another one.

    Raises:
        InputError: one of the files exists, and the first one is missing or of another format.
    """
    found = [name for name in names if (folder / name).exists()]
    if found and not (found[0] == names[0] and _format_of(folder / names[0]) == file_format.partition("/")[0]):
        raise InputError(
            f"The folder has a {found[0]} that the command did not write, and would replace",
            where=folder / found[0],
            expected=f"a new folder, or one with {names[0]} of an earlier call",
            next_step="choose another folder with --out",
        )


def _format_of(path: Path) -> str | None:
    """The format of results, without its version."""
    try:
        values = json.loads(path.read_bytes())
        return str(values.get("format") or values.get("schema")).partition("/")[0]
    except (OSError, ValueError, AttributeError, RecursionError):  # not an object
        return None
