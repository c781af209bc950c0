"""Aggregation of ablations over corpora: mean ± standard deviation, one table.

    fmn ablate WORKSPACE/manifests/train.jsonl --out WORKSPACE/ablation      for each corpus
    python tools/ablation_figures.py */ablation/ablation.json

Differences are of the mean average precision (over both directions) from the defaults, paired by corpus.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from study_results import read_results

HEAD = "| group | variant | slots | mAP | difference | class hit@1 a→v | class hit@1 v→a |"


def spread(values: Sequence[float], sign: str = "") -> str:
    """Mean ± standard deviation over corpora."""
    return (
        f"{np.mean(values):{sign}.1f} ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else f"{values[0]:{sign}.1f}"
    )


def table(ablations: Sequence[dict[str, Any]]) -> str:
    """Markdown table with a row for each variant that all ablations have, in their order.

    Args:
        ablations: the content of each ablation.json.
    """
    by_name = [{(row["group"], row["variant"]): row for row in found["rows"]} for found in ablations]
    lines = [HEAD, "|---|---|--:|--:|--:|--:|--:|"]
    for name, first in by_name[0].items():
        rows = [found[name] for found in by_name if name in found]
        if len(rows) < len(by_name):
            continue
        star = "" if first["retrained"] or first["is_default"] else " *"
        default = " (default)" if first["is_default"] and first["group"] else ""
        slots = "–" if first["slots"] is None else f"{np.mean([row['slots'] for row in rows]):.0f}"
        hits = [
            spread([row[direction]["class_hit"]["1"] for row in rows])
            for direction in ("audio_to_video", "video_to_audio")
        ]
        difference = "" if first["is_default"] else spread([row["difference"]["mean"] for row in rows], "+")
        precision = spread([row["map"]["mean"] for row in rows])
        lines.append(
            f"| {name[0]} | {name[1]}{star}{default} | {slots} | {precision} | {difference} | {' | '.join(hits)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] == "--help":
        sys.exit(f"Name the ablation.json files to combine.\n\n{__doc__}")
    found = [read_results(name, "fmn.ablation", "the ablation.json of fmn ablate") for name in sys.argv[1:]]
    print(f"{len(found)} corpora. *: applied to the default's trained network; all other variants were trained.\n")
    print(table(found))
