"""Reading the results of a study, for the scripts that combine those of several data sets."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def read_results(name: str, file_format: str, written_by: str) -> dict[str, Any]:
    """Reads a file of results, or ends the program with what is wrong.

    Args:
        name: the file.
        file_format: its format without the version, such as ``fmn.ablation``.
        written_by: what such a file is, such as ``the ablation.json of fmn ablate``.
    """
    try:
        values = json.loads(Path(name).read_text("utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"{name} cannot be read: {error}")
    if not (isinstance(values, dict) and str(values.get("format")).startswith(f"{file_format}/")):
        sys.exit(f"{name} is not {written_by}")
    return values
