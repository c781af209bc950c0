"""Aggregation of comparisons over corpora: tables, a plot, all values.

    make figures            draws the corpora of seeds 200-224, compares systems on each, and calls this
    python tools/standin_figures.py OUT [--models A,B,...] figures/*/compare

With --models only these systems, where some of the comparisons have others, too. OUT gets the files that fmn compare
writes (compare.json, .md, .csv, .tex, .png), here of all corpora together. How they are put together, and what the
interval of a difference knows, is told in fmn/comparison/corpora.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dataset_tools.core.errors import ToolkitError
from fmn.comparison.corpora import over_corpora
from fmn.comparison.output_files import write_files
from fmn.comparison.rendering import markdown


def is_comparison(folder: Path) -> bool:
    """Whether a folder holds the compare.json of `fmn compare`, rather than one that was combined here."""
    path = folder / "compare.json"
    values = json.loads(path.read_bytes()) if path.is_file() else None
    return isinstance(values, dict) and values.get("schema") == "fmn.compare/1"


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    out, *folders = sys.argv[1:]
    models = folders[1].split(",") if folders[0] == "--models" and len(folders) > 1 else None
    try:
        if is_comparison(Path(out)):
            sys.exit(f"OUT comes first, and {out} holds a comparison of one corpus, which would be replaced")
        values = over_corpora([Path(folder) for folder in folders[2 if models else 0 :]], models=models)
        write_files(values, Path(out), latex=True)
    except (ToolkitError, OSError, ValueError) as error:
        sys.exit(str(error))
    print(markdown(values))
