"""Output files of a comparison: compare.json, compare.md, compare.csv, compare.png, and optionally compare.tex."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataset_tools.core.files import clear_partial, write_bytes
from fmn.comparison.comparison_plot import write_plot
from fmn.comparison.rendering import csv_text, latex_text, markdown
from fmn.comparison.results import SCHEMA
from fmn.training.result_files import check_result_files

FILES = ("compare.json", "compare.md", "compare.csv", "compare.png")
LATEX_FILE = "compare.tex"


def check_files(folder: Path, *, latex: bool = False) -> None:
    """Checks that `write_files` would replace no other files.

    Raises:
        InputError: it would.
    """
    check_result_files(folder, (*FILES, *([LATEX_FILE] if latex else [])), SCHEMA)


def write_files(values: Mapping[str, Any], folder: Path, *, latex: bool = False) -> list[Path]:
    """Writes everything but the runs into ``folder``.

    Args:
        values: contents of compare.json.
        folder: output folder, created if missing.
        latex: also write compare.tex; one of an earlier call is replaced in any case.

    Returns:
        The files written.

    Raises:
        InputError: it would replace other files (`check_files`).
        StoppedError: the disk is full.
    """
    check_files(folder, latex=latex)
    earlier = folder / "compare.json", folder / LATEX_FILE
    latex = latex or all(path.exists() for path in earlier)  # the table of an earlier call has to agree with the others
    clear_partial(folder)
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
