"""Tables and plot of fmn noise: class mAP at each noise rate, and the differences from FMN."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmn.comparison.comparison_plan import REFERENCE
from fmn.evaluation.plot_drawing import save_png, without_display_and_latex
from fmn.evaluation.results_table import DIRECTION_TITLES
from fmn.evaluation.table_formats import Row, Table, difference, number, to_markdown, to_rich
from fmn.metrics.directions import DIRECTIONS, Direction

if TYPE_CHECKING:
    from rich.table import Table as RichTable

WHAT_IS_WRONG = (
    "Wrong pairs: training utterances assigned to a clip of another class, in fold 0 as in the rest; test items are "
    "unchanged. "
)
LABELS = {
    "pairs": "No class label is known in training.",
    "class": "Class labels are known in training; a wrong utterance has the label of its wrong clip.",
}
SPREAD = "Class mAP, percent: mean ± sd over training seeds."
INTERVALS = (
    "less fmn: difference from fmn, with its 95 % interval from resampling classes, persons or voices, and seeds "
    "together; bold if it excludes zero, with at least six classes, persons or voices: better (+) or worse (−) than "
    "fmn, otherwise no significant difference."
)


def noise_tables(values: Mapping[str, Any]) -> list[Table]:
    """One table per direction: one row per system, one column per rate; below, the differences from fmn.

    Args:
        values: contents of noise.json.
    """
    return [_table(values, direction, name) for direction, name in DIRECTION_TITLES.items()]


def noise_rich(values: Mapping[str, Any]) -> list[RichTable]:
    """`noise_tables` for a terminal."""
    return [to_rich(table) for table in noise_tables(values)]


def noise_text(values: Mapping[str, Any]) -> str:
    """`noise_tables` as Markdown, with the notes of all comparisons."""
    notes = dict.fromkeys(note for rate in values["rates"] for note in rate["notes"])
    return "\n\n".join([*map(to_markdown, noise_tables(values)), *notes]) + "\n"


@without_display_and_latex()
def write_noise_plot(values: Mapping[str, Any], path: Path) -> None:
    """Plots class mAP over the rate of wrong pairs, one line per system, mean and standard deviation over seeds.

    Args:
        values: contents of noise.json.
        path: a .png file.

    Raises:
        StoppedError: the disk is full.
    """
    from matplotlib.figure import Figure

    rates = values["rates"]
    figure = Figure(figsize=(12, 4.4))
    axes = figure.subplots(1, len(DIRECTIONS), sharey=True)
    for axis, (direction, title) in zip(axes, DIRECTION_TITLES.items(), strict=True):
        for shift, name in enumerate(_systems(values)):
            known = [(rate["percent"], found) for rate in rates if (found := _class_map(rate, name, direction))]
            axis.errorbar(
                [percent + 0.3 * (shift - 2) for percent, _ in known],  # so that bars do not overlap
                [found["mean"] for _, found in known],
                yerr=[found["sd"] or 0.0 for _, found in known],
                marker="o",
                markersize=4,
                linewidth=2.5 if name == REFERENCE else 1.2,
                label=name,
            )
        chance = [rate["references"]["chance"][direction]["class_map"]["all"] for rate in rates]
        axis.plot([rate["percent"] for rate in rates], chance, ":", color="gray", linewidth=1, label="chance")
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("training pairs that are wrong, percent")
        axis.grid(color="#eeeeee")
    axes[0].set_ylim(bottom=0)  # shared axis; set last, since it stops autoscaling of the top
    axes[0].set_ylabel("class mAP, percent")
    axes[1].legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    known_labels = LABELS[values["changes"].get("training.labels", "class")]
    figure.text(0.01, 0.012, known_labels + (" Stand-in corpus." if values["stand_in"] else ""), fontsize=8)
    figure.tight_layout(rect=(0, 0.04, 1, 1))
    save_png(figure, path, dpi=130)


def _table(values: Mapping[str, Any], direction: Direction, title: str) -> Table:
    rates = values["rates"]
    means, differences = [], []
    for name in _systems(values):
        found = [_class_map(rate, name, direction) for rate in rates]
        means.append(Row((name, *("failed" if cell is None else number(cell["mean"], cell["sd"]) for cell in found))))
        if name != REFERENCE:
            apart = [rate["systems"][name].get("difference") for rate in rates]
            known = [each and each[direction]["class_map"]["all"] for each in apart]
            differences.append(Row((f"{name} less fmn", *(difference(each, "–") for each in known))))
    chance = (number(rate["references"]["chance"][direction]["class_map"]["all"]) for rate in rates)
    head = ("class mAP", *(f"{rate['percent']} % wrong" for rate in rates))
    counts = ", ".join(f"{rate['wrong']} of {rate['pairs']}" for rate in rates)
    notes = (
        f"{WHAT_IS_WRONG}{counts}. {LABELS[values['changes'].get('training.labels', 'class')]}",
        SPREAD,
        *([INTERVALS] if differences and REFERENCE in _systems(values) else []),
    )
    sections = (means, [Row(("chance", *chance), "dim")], differences)
    return Table(title, head, sections, notes)


def _systems(values: Mapping[str, Any]) -> list[str]:
    return list(values["rates"][0]["systems"])


def _class_map(rate: Mapping[str, Any], name: str, direction: Direction) -> Mapping[str, Any] | None:
    """Mean and standard deviation over seeds; None if the system failed."""
    metrics = rate["systems"][name].get("metrics")
    found: Mapping[str, Any] | None = metrics and metrics[direction]["class_map"]["all"]
    return found
