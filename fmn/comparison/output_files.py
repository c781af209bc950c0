"""Output files of a comparison: compare.json, compare.md, compare.csv, compare.png, and optionally compare.tex."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import clear_partial, write_bytes
from dataset_tools.core.progress import Warn
from fmn.comparison.comparison_plot import write_plot
from fmn.comparison.rendering import csv_text, latex_text, markdown
from fmn.comparison.results import SCHEMA
from fmn.training.result_files import check_result_files, set_aside_other_data

FILES = ("compare.json", "compare.md", "compare.csv", "compare.png")
LATEX_FILE = "compare.tex"


def check_files(folder: Path, *, latex: bool = False) -> None:
    """Checks that `write_files` would replace no other files, and no compare.tex that was edited.

    Raises:
        InputError: it would.
    """
    check_result_files(folder, (*FILES, *([LATEX_FILE] if latex else [])), SCHEMA)
    if latex and has_own_latex(folder):
        raise InputError(
            f"{LATEX_FILE} is not the table of the {FILES[0]} beside it: it was edited, or another version wrote it",
            where=folder / LATEX_FILE,
            expected="the file as fmn compare --latex wrote it, since it would be replaced",
            next_step="rename it; or choose another folder with --out",
        )


def has_own_latex(folder: Path) -> bool:
    """Whether a folder has a compare.tex that is not the table of its compare.json, which an earlier call wrote."""
    try:
        found = (folder / LATEX_FILE).read_bytes()
        return found != latex_text(json.loads((folder / FILES[0]).read_bytes())).encode()
    except FileNotFoundError:
        return (folder / LATEX_FILE).exists()
    except (OSError, LookupError, TypeError, ValueError, AttributeError, RecursionError):  # values of another version
        return True


def write_files(
    values: Mapping[str, Any],
    folder: Path,
    *,
    latex: bool = False,
    warn: Warn | None = None,
) -> list[Path]:
    """Writes everything but the runs into ``folder``; files of a comparison on other manifests are moved first.

    With them, a compare.tex is moved that was edited: it is of these manifests, too.

    Args:
        values: contents of compare.json.
        folder: output folder, created if missing.
        latex: also write compare.tex; that of an earlier call is replaced in any case, unless it was edited.
        warn: called if files are moved.

    Returns:
        The files written.

    Raises:
        InputError: it would replace other files (`check_files`).
        StoppedError: the disk is full.
    """
    check_files(folder, latex=latex)
    clear_partial(folder)
    has_latex = (folder / LATEX_FILE).exists() and not has_own_latex(folder)
    latex = latex or has_latex  # the table of an earlier call has to agree with the others
    set_aside_other_data(folder, (*FILES, LATEX_FILE), values, warn)
    if has_latex:
        (folder / LATEX_FILE).unlink(missing_ok=True)  # killed below, it would be taken for an edited one
    texts = {
        "compare.json": json.dumps(values, indent=2, ensure_ascii=False) + "\n",
        "compare.md": markdown(values),
        "compare.csv": csv_text(values),
    }
    if latex:
        texts[LATEX_FILE] = latex_text(values)
    for name, text in texts.items():
        write_bytes(folder / name, text.encode())
    written = [folder / name for name in texts]
    if any("metrics" in system for system in values["systems"].values()):
        write_plot(values, folder / "compare.png")
        written.append(folder / "compare.png")
    else:
        (folder / "compare.png").unlink(missing_ok=True)  # of an earlier call
    return written
