"""Aggregation of `fmn newclasses` over data sets: a table, the leads with intervals, and a plot.

    fmn newclasses WORKSPACE/manifests/train.jsonl --pairs 1,5,20 --seeds 5 --out WORKSPACE/new      for each data set
    python tools/new_classes_figures.py newclasses.png */new/newclasses.json

Intervals are over data sets (`fmn.studies.new_classes_leads`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from study_results import read_results

from fmn.studies.new_classes_leads import COLORS, Draws, differences, leads, name_of, shown, write_leads_plot
from fmn.studies.new_classes_table import UNMAPPED


def table(corpora: Sequence[Draws], pairs: Sequence[int]) -> str:
    """Markdown table: class mAP of queries of the new classes; in brackets, the lead of the unmapped memory.

    Args:
        corpora: ``draws`` of the newclasses.json of each data set.
        pairs: numbers of pairs per new class.
    """
    lines = [f"| pairs per new class | {' | '.join(map(str, pairs))} |", f"|---|{'--:|' * len(pairs)}"]
    for name in COLORS:
        cells = []
        for count in pairs:
            mean = np.mean([np.mean(draws[name_of(count, name)]["new"]) for draws in corpora])
            lead = shown(differences(corpora, name_of(count, UNMAPPED), name_of(count, name), "new"))
            cells.append(f"{mean:.1f}" + (f" ({lead})" if name != UNMAPPED else ""))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    picture, *files = sys.argv[1:]
    found = [read_results(name, "fmn.newclasses", "the newclasses.json of fmn newclasses") for name in files]
    pairs = [count for count in found[0]["pairs"] if all(count in values["pairs"] for values in found)]
    corpora = [values["draws"] for values in found]
    print(f"{len(corpora)} data sets, {', '.join(str(len(values['seeds'])) for values in found)} draws of classes\n")
    print("\n\n".join([table(corpora, pairs), *leads(corpora, pairs)]))
    write_leads_plot(corpora, pairs, Path(picture))
