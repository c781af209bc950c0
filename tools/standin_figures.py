"""Aggregation of comparisons over corpora: tables, a plot, all values.

    make figures            generates the corpora of seeds 200-224, compares systems on each, and calls this script
    python tools/standin_figures.py OUT [--models A,B,...] figures/*/compare

--models selects systems, for comparisons that have different ones. The files of fmn compare (compare.json, .md, .csv,
.tex, .png) are written to OUT, for all corpora together. fmn/comparison/corpora.py documents how comparisons are
combined and which variation the interval of a difference includes.
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
    """Whether a folder contains the compare.json of `fmn compare`, rather than one that this script combined."""
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
            sys.exit(f"OUT comes first; {out} contains the comparison of one corpus, which would be overwritten")
        values = over_corpora([Path(folder) for folder in folders[2 if models else 0 :]], models=models)
        write_files(values, Path(out), latex=True)
    except (ToolkitError, OSError, ValueError) as error:
        sys.exit(str(error))
    print(markdown(values))
