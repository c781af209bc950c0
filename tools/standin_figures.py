"""Several comparisons of the same systems, one a stand-in corpus, as one: tables, a plot, all figures.

    make figures            draws the corpora of seeds 100-104, compares the systems on each, and calls this
    python tools/standin_figures.py OUT figures/*/compare

OUT gets the files that fmn compare writes (compare.json, .md, .csv, .tex, .png), here of all corpora together. How they
are put together, and what the interval of a difference knows, is told in fmn/comparison/corpora.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from dataset_tools.core.errors import ToolkitError
from fmn.comparison.corpora import over_corpora
from fmn.comparison.output_files import write_files
from fmn.comparison.rendering import markdown

if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    out, *folders = map(Path, sys.argv[1:])
    try:
        values = over_corpora(folders)
    except ToolkitError as error:
        sys.exit(str(error))
    write_files(values, out, latex=True)
    print(markdown(values))
