"""Comparison plot: recall at 1, 10 and 25 of every system, in both directions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fmn.comparison.table import SPREAD, footnotes, labeled, sizes
from fmn.evaluation.plot_drawing import save_png, without_display_and_latex
from fmn.evaluation.results_table import DIRECTION_TITLES
from fmn.metrics.directions import DIRECTIONS

METRICS = {"class_hit": "class hit@k", "class_recall": "class recall@k (eq. 5)"}
COLORS = ("#1b4f72", "#2e86c1", "#85c1e9")  # k = 1, 10, 25: dark to light
MARKS = ("o", "s", "D")


@without_display_and_latex()
def write_plot(values: Mapping[str, Any], path: Path) -> None:
    """Plots mean and standard deviation of recall at each k, one line per system, with chance and ceiling.

    Args:
        values: contents of compare.json.
        path: a .png file.

    Raises:
        StoppedError: the disk is full.
    """
    from matplotlib.figure import Figure

    names = [name for name, system in values["systems"].items() if "metrics" in system]
    ks = list(values["references"]["chance"]["audio_to_video"]["class_hit"])
    height = 1.6 + 0.27 * max(len(names), 3)
    figure = Figure(figsize=(11, 2 * height))
    axes = figure.subplots(len(METRICS), len(DIRECTIONS), sharey=True, squeeze=False)
    for row, (metric, metric_name) in zip(axes, METRICS.items(), strict=True):
        for axis, (direction, direction_name) in zip(row, DIRECTION_TITLES.items(), strict=True):
            for number, k in enumerate(ks):
                color, shift = COLORS[number % len(COLORS)], 0.22 * (1 - number)
                places = [len(names) - 1 - place + shift for place in range(len(names))]
                figures = [values["systems"][name]["metrics"][direction][metric][k] for name in names]
                axis.errorbar(
                    [each["mean"] for each in figures],
                    places,
                    xerr=[each["sd"] or 0.0 for each in figures],
                    fmt=MARKS[number % len(MARKS)],
                    color=color,
                    markersize=4,
                    elinewidth=1,
                    label=f"@{k}",
                )
                for reference, style in (("chance", ":"), ("ceiling", "--")):
                    at = values["references"][reference][direction][metric][k]
                    axis.axvline(at, color=color, linestyle=style, linewidth=0.8, zorder=0)
            if "fmn" in names:
                place = len(names) - 1 - names.index("fmn")
                axis.axhspan(place - 0.5, place + 0.5, color="#f9e79f", alpha=0.5, zorder=0, linewidth=0)
            axis.set_xlim(-1, 101)
            axis.set_ylim(-0.6, len(names) - 0.4)
            axis.set_yticks(range(len(names) - 1, -1, -1), [labeled(name, values["systems"][name]) for name in names])
            axis.set_title(f"{metric_name}, {direction_name}\n{sizes(values, direction)}", fontsize=9)
            axis.grid(axis="y", color="#eeeeee", linewidth=0.6)
            axis.tick_params(labelsize=8)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower right", ncols=len(ks), fontsize=8, frameon=False)
    legend = "dotted: chance, dashed: ceiling of perfect class knowledge; percent; "
    legend += values.get("spread", SPREAD).replace("± is", "bars:").rstrip(".")
    lines = [*footnotes(values), legend + ("; stand-in corpus" if values["stand_in"] else "")]
    figure.text(0.01, 0.012, "\n".join(lines), fontsize=8)
    figure.tight_layout(rect=(0, 0.03 + 0.17 * (len(lines) - 1) / (2 * height), 1, 1))
    save_png(figure, path, dpi=130)
