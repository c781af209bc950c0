"""Files of results: a command replaces only its own; those of a run, or of data, that changed are set aside."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from dataset_tools.core.errors import InputError
from dataset_tools.core.progress import Warn

RESULTS_OF_A_RUN = ("metrics.json", "metrics-*.json", "plots", "plots-*", "predictions.jsonl", "scores.safetensors")
"""What ``fmn eval``, ``plot``, ``predict`` and ``compare`` write into a run's folder."""

DATA = ("train_sha256", "test_sha256", "manifest_sha256")
"""Keys of results by which manifests are recognized."""


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
    return _next_folder(run) if any(_results(run)) else None


def set_aside_results(run: Path) -> Path | None:
    """Moves the results of a run, before its weights or classes change, to a new folder in it, and returns that."""
    return _set_aside(run, _results(run))


def set_aside_other_data(
    folder: Path, names: Sequence[str], values: Mapping[str, Any], warn: Warn | None = None
) -> Path | None:
    """Moves results of other data, before new ones replace them, to a new folder ``earlier-results-N`` beside them.

    Args:
        folder: output folder; it need not exist.
        names: the files. The first one is a JSON object with the SHA-256 of the manifests.
        values: what will be written to the first one.
        warn: called if results are moved.

    Returns:
        The new folder; None if there are no results, or none of other data.
    """
    try:
        found = json.loads((folder / names[0]).read_bytes())
        is_other = any(found[name] != values[name] for name in DATA if name in found and name in values)
    except (OSError, ValueError, TypeError, RecursionError):  # not an object
        return None
    # The first one is moved last: without it, the others would be taken for files of something else.
    there = [folder / name for name in reversed(names) if (folder / name).exists()] if is_other else []
    earlier = _set_aside(folder, there)
    if earlier is not None and warn is not None:
        warn(f"Earlier results, of other manifests, were moved to {earlier}")
    return earlier


def _set_aside(folder: Path, paths: Iterable[Path]) -> Path | None:
    if not (found := list(paths)):
        return None
    earlier = _next_folder(folder)
    earlier.mkdir()
    for path in found:
        path.rename(earlier / path.name)
    return earlier


def _next_folder(folder: Path) -> Path:
    return next(earlier for number in count(1) if not (earlier := folder / f"earlier-results-{number}").exists())


def _results(run: Path) -> list[Path]:
    return [path for pattern in RESULTS_OF_A_RUN for path in run.glob(pattern)]


def _format_of(path: Path) -> str | None:
    """The format of results, without its version."""
    try:
        values = json.loads(path.read_bytes())
        return str(values.get("format") or values.get("schema")).partition("/")[0]
    except (OSError, ValueError, AttributeError, RecursionError):  # not an object
        return None
