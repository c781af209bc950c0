"""Several comparisons of the same systems, one a stand-in corpus, as one table in Markdown.

    make figures            draws the corpora of seeds 100-104, compares the systems on each, and calls this
    python benchmarks/standin_figures.py figures/*/compare/compare.json

Each corpus has other people, kitchens and voices, so the deviation over corpora is what another corpus would bring, and
the difference to FMN is taken corpus by corpus: mean and 95 % interval of Student's t.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

DIRECTIONS = {"audio_to_video": "audio → video", "video_to_audio": "video → audio"}
METRICS = {"instance_hit": "instance hit", "class_hit": "class hit", "class_recall": "class recall"}
KS = ("1", "10", "25")
REFERENCE = "fmn"


def table(comparisons: list[dict[str, Any]]) -> str:
    """One Markdown table a direction: rows are systems, best class hit@1 first, then ceiling and chance."""
    parts = []
    for direction, title in DIRECTIONS.items():
        sizes = [f"{each['queries'][direction]}/{each['gallery'][direction]}" for each in comparisons]
        heads = [f"{name} @{k}" for name in METRICS.values() for k in KS]
        lines = [f"**{title}** (queries/gallery: {', '.join(sizes)})", ""]
        lines += ["| system | " + " | ".join(heads) + " | class hit@1 − FMN | s |", "|---" * (len(heads) + 3) + "|"]
        names = [
            name
            for name in comparisons[0]["systems"]
            if all("metrics" in each["systems"][name] for each in comparisons)
        ]
        names.sort(key=lambda name: -_values(comparisons, name, direction, "class_hit", "1").mean())
        for name in names:
            cells = [_cell(_values(comparisons, name, direction, metric, k)) for metric in METRICS for k in KS]
            seconds = np.mean([each["systems"][name]["seconds"] for each in comparisons])
            lines.append(
                f"| {name} | {' | '.join(cells)} | {_difference(comparisons, name, direction)} | {seconds:.0f} |"
            )
        for name in ("ceiling", "chance"):
            cells = []
            for metric in METRICS:
                for k in KS:
                    found = [each["references"][name][direction][metric][k] for each in comparisons]
                    cells.append("–" if None in found else f"{np.mean(found):.1f}")
            lines.append(f"| *{name}* | {' | '.join(cells)} | | |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _values(comparisons: list[dict[str, Any]], name: str, direction: str, metric: str, k: str) -> NDArray[np.float64]:
    """[corpora] means over the seeds of each."""
    found = [each["systems"][name]["metrics"][direction][metric][k]["mean"] for each in comparisons]
    return np.array([np.nan if value is None else value for value in found])


def _cell(values: NDArray[np.float64]) -> str:
    return f"{values.mean():.1f} ± {values.std(ddof=1):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def _difference(comparisons: list[dict[str, Any]], name: str, direction: str) -> str:
    if name == REFERENCE or REFERENCE not in comparisons[0]["systems"]:
        return ""
    one, other = (_values(comparisons, each, direction, "class_hit", "1") for each in (name, REFERENCE))
    difference = one - other
    if len(difference) < 2:
        return f"{difference[0]:+.1f}"
    half = t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / np.sqrt(len(difference))
    text = f"{difference.mean():+.1f} [{difference.mean() - half:+.1f}, {difference.mean() + half:+.1f}]"
    return f"**{text}**" if abs(difference.mean()) > half else text


if __name__ == "__main__":
    print(table([json.loads(Path(name).read_text()) for name in sys.argv[1:]]))
