"""Leads of the memory of `fmn learn` over each baseline on new classes, with confidence intervals.

For one data set, the intervals are over draws of classes; for several, over data sets, each the mean of its draws,
because the draws of a data set share its persons and voices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmn.evaluation.plot_drawing import save_png, without_display_and_latex
from fmn.metrics.t_interval import t_interval
from fmn.studies.new_classes_table import BASELINES, HIDDEN, KINDS, RAW_MEANS, UNMAPPED, WHITENED_HIDDEN, WHITENED_RAW

Draws = Mapping[str, Mapping[str, Sequence[float]]]
"""row → kind of queries (new or other classes) → class mAP of every draw, averaged over both directions."""
SLOTS = "all written"
COLORS = {
    UNMAPPED: "#c0392b",
    SLOTS: "#e59866",
    HIDDEN: "#1b4f72",
    WHITENED_HIDDEN: "#5dade2",
    RAW_MEANS: "#1e8449",
    WHITENED_RAW: "#7dcea0",
}


def draws_of(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, list[float]]]:
    """Extracts the figures that leads are computed from.

    Args:
        rows: by name, the figures of every draw, in the same order.
    """
    return {
        name: {
            kind: [float(np.mean([block["class_map"] for block in draw[kind].values()])) for draw in draws]
            for kind in KINDS
        }
        for name, draws in rows.items()
    }


def leads(corpora: Sequence[Draws], pairs: Sequence[int]) -> list[str]:
    """Describes the leads of the unmapped memory over each baseline on new classes, and its cost to the others.

    Args:
        corpora: ``draws`` of the newclasses.json of every data set.
        pairs: numbers of pairs.
    """
    found = []
    for count in pairs:
        own = name_of(count, UNMAPPED)
        if own not in corpora[0]:
            continue
        against = (f"{name} {shown(differences(corpora, own, name_of(count, name), 'new'))}" for name in BASELINES)
        prefix = own.removesuffix(UNMAPPED)
        found.append(f"{prefix}class mAP of new classes, both directions, {UNMAPPED} less: {'; '.join(against)}.")
        change = differences(corpora, own, "before", "old")
        found.append(f"{prefix}class mAP of the other classes, {UNMAPPED} less before: {shown(change)}.")
    return found


def name_of(count: int, what: str) -> str:
    """Name of the row for a number of pairs."""
    return f"{number_of_pairs(count)}, {what}"


def number_of_pairs(count: int) -> str:
    """The beginning of such a name."""
    return f"{count} pair{'s' * (count > 1)}"


def differences(corpora: Sequence[Draws], name: str, other: str, kind: str) -> NDArray[np.float64]:
    """Differences of two rows: [draws] for one data set, [data sets] for several."""
    found = [np.subtract(draws[name][kind], draws[other][kind]) for draws in corpora]
    return found[0] if len(found) == 1 else np.array([of_draws.mean() for of_draws in found])


def shown(values: NDArray[np.float64]) -> str:
    """``+3.1 [−0.2, +6.4]``: mean and 95 % interval; for a single value only the mean."""
    mean, half = t_interval(values)
    return f"{mean:+.1f} [{mean - half:+.1f}, {mean + half:+.1f}]" if len(values) > 1 else f"{mean:+.1f}"


@without_display_and_latex()
def write_leads_plot(corpora: Sequence[Draws], pairs: Sequence[int], path: Path) -> None:
    """Plots class mAP of the new classes over the number of pairs, and the leads of the unmapped memory.

    Args:
        corpora: ``draws`` of the newclasses.json of every data set.
        pairs: numbers of pairs.
        path: a .png file.

    Raises:
        StoppedError: the disk is full.
    """
    from matplotlib.figure import Figure

    names = [name for name in COLORS if all(name_of(count, name) in corpora[0] for count in pairs)]
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for number, name in enumerate(names):
        shift = 1 + 0.03 * (number - len(names) / 2)  # bars side by side
        rows = [[draws[name_of(count, name)]["new"] for draws in corpora] for count in pairs]
        means = [np.mean([np.mean(draws) for draws in row]) for row in rows]
        label = "mapped slots (paper)" if name == SLOTS else "fmn learn" if name == UNMAPPED else name
        left.plot(pairs, means, "o-", color=COLORS[name], label=label, markersize=4)
        if name == UNMAPPED or UNMAPPED not in names:
            continue
        found = [
            t_interval(differences(corpora, name_of(count, UNMAPPED), name_of(count, name), "new")) for count in pairs
        ]
        right.errorbar(
            [count * shift for count in pairs],
            [mean for mean, _ in found],
            yerr=[half if np.isfinite(half) else 0.0 for _, half in found],
            fmt="o",
            color=COLORS[name],
            markersize=4,
            capsize=3,
        )
    right.axhline(0, color="black", linewidth=0.8)
    count = len(corpora)
    over = f"{count} data sets" if count > 1 else f"{len(next(iter(corpora[0].values()))['new'])} draws of classes"
    for axis, title in (
        (left, f"class mAP of queries of new classes, mean over {over}"),
        (right, f"lead of fmn learn, 95 % interval over {over}"),
    ):
        axis.set_title(title, fontsize=9)
        axis.set_xscale("log")
        axis.set_xticks(list(pairs), [str(count) for count in pairs])
        axis.minorticks_off()
        axis.set_xlabel("pairs of each new class", fontsize=8)
        axis.set_ylabel("points of 100", fontsize=8)
        axis.grid(color="#eeeeee", linewidth=0.6)
        axis.tick_params(labelsize=8)
    left.legend(fontsize=8, frameon=False)
    save_png(figure, path, dpi=130)
