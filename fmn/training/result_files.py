"""Files of results: those that a command replaces must be its own; those of a run that changes are set aside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from dataset_tools.core.errors import InputError

RESULTS_OF_A_RUN = ("metrics.json", "metrics-*.json", "plots", "plots-*", "predictions.jsonl", "scores.safetensors")
"""What ``fmn eval``, ``plot``, ``predict`` and ``compare`` write into a run's folder."""


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


def earlier_results(run: Path) -> Path | None:
    """Returns the folder for `set_aside_results`: the next ``earlier-results-N``; None if the run has no results."""
    if not any(_results(run)):
        return None
    return next(folder for number in count(1) if not (folder := run / f"earlier-results-{number}").exists())


def set_aside_results(run: Path) -> Path | None:
    """Moves the results of a run, before its weights or classes change, to a new folder in it, and returns that."""
    folder = earlier_results(run)
    if folder is not None:
        folder.mkdir()
        for path in _results(run):
            path.rename(folder / path.name)
    return folder


def _results(run: Path) -> list[Path]:
    return [path for pattern in RESULTS_OF_A_RUN for path in run.glob(pattern)]


def _format_of(path: Path) -> str | None:
    """The format of results, without its version."""
    try:
        values = json.loads(path.read_bytes())
        return str(values.get("format") or values.get("schema")).partition("/")[0]
    except (OSError, ValueError, AttributeError, RecursionError):  # not an object
        return None
