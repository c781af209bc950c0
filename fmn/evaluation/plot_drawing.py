"""Plot drawing with Matplotlib, without a display; `fmn.evaluation.plots` computes the contents."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.files import written_whole
from fmn.evaluation.results_table import DIRECTION_TITLES, METRICS
from fmn.metrics.directions import DIRECTIONS, Direction

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 120
GLYPH_WARNING = r"Glyph (\d+) .*missing from"
MOST_NAMED_SLOTS = 64  # more labels would be illegible
# Okabe and Ito's palette, safe for color blindness
COLORS: dict[Direction, str] = {"audio_to_video": "#0072b2", "video_to_audio": "#d55e00"}
LOSSES = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")


@contextmanager
def without_display_and_latex() -> Iterator[None]:
    """Lets the user's settings of Matplotlib ask for neither a display nor LaTeX; also a decorator.

    A command that is started from a notebook inherits the MPLBACKEND of its kernel; without the package of that
    backend, Matplotlib cannot be imported. With ``text.usetex``, ids of classes would have to be LaTeX.
    """
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib as mpl
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    with mpl.rc_context({"text.usetex": False}):
        yield


@without_display_and_latex()
def training(path: Path, history: Sequence[Mapping[str, float]], best_epoch: int, title: str) -> Path:
    """Plots the loss and its terms, hit@1 and mean average precision on fold 0, by epoch.

    Args:
        path: the PNG file to write.
        history: figures of each epoch, as in state.json.
        best_epoch: epoch whose weights are in the checkpoint.
        title: figure title.
    """
    figure = _figure(11, 4.2, title)
    left, right = figure.subplots(1, 2)
    epochs = [entry["epoch"] for entry in history]
    every = {name: None for entry in history for name in entry}
    validated = {name: direction for name in every for direction in DIRECTIONS if name.startswith(direction)}
    losses = ["loss", *(name for name in every if name not in (*validated, "epoch", "loss", "pairs_per_s"))]
    for name, color in zip(losses, LOSSES, strict=False):
        label = "sum" if name == "loss" else name.replace("_", " ")
        left.plot(epochs, [entry.get(name, np.nan) for entry in history], color=color, label=label, lw=1.5)
    left.set(xlabel="epoch", ylabel="training loss")
    if left.dataLim.y0 >= 0:  # that of dcca, a negative correlation, is below
        left.set_ylim(bottom=0)
    for name, direction in validated.items():
        metric = name.removeprefix(f"{direction}_")
        entries = [(entry["epoch"], entry[name]) for entry in history if name in entry]
        style: dict[str, Any] = (
            {"ls": "-", "marker": "o", "ms": 3} if metric == "map" else {"ls": ":", "marker": "o", "ms": 2}
        )
        label = f"{DIRECTION_TITLES[direction]}, {'mAP' if metric == 'map' else metric}"
        right.plot(*zip(*entries, strict=True), color=COLORS[direction], label=label, lw=1.5, **style)
    right.axvline(best_epoch, color="gray", lw=1, ls="--", label=f"best epoch ({best_epoch})")
    right.set(xlabel="epoch", ylabel="on fold 0, percent", ylim=(0, 100), xlim=left.get_xlim())
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, frameon=False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    return save_png(figure, path)


@without_display_and_latex()
def curves(
    path: Path, percentages: Mapping[str, Mapping[str, Mapping[str, NDArray[np.float64]]]], system: str, title: str
) -> Path:
    """Plots each metric over k, in both directions, between chance and the class-knowledge ceiling.

    Args:
        path: the PNG file to write.
        percentages: result of `fmn.evaluation.plots.recall_curves`.
        system: the system's name.
        title: figure title.
    """
    figure = _figure(12, 6.6, title)
    grid = figure.subplots(2, 3, sharex=True, sharey=True)
    for row, (direction, name) in zip(grid, DIRECTION_TITLES.items(), strict=True):
        for axes, (metric, metric_name) in zip(row, METRICS.items(), strict=True):
            axes.set(xscale="log", ylim=(0, 103), title=f"{name}: {metric_name}")
            axes.grid(alpha=0.3)
            if metric not in percentages[direction]:
                axes.text(0.5, 0.5, "no query has a partner", transform=axes.transAxes, ha="center")
                continue
            lines = percentages[direction][metric]
            ks = np.arange(1, len(lines["system"]) + 1)
            axes.fill_between(ks, lines["chance"], lines["ceiling"], color="gray", alpha=0.12, lw=0)
            axes.plot(ks, lines["ceiling"], color="gray", ls="--", lw=1, label="ceiling (class known)")
            axes.plot(ks, lines["system"], color=COLORS[direction], lw=2, label=system)
            axes.plot(ks, lines["chance"], color="gray", ls=":", lw=1.2, label="chance")
            for k in (1, 10, 25):
                if k <= len(ks):
                    axes.plot(k, lines["system"][k - 1], "o", ms=4, color=COLORS[direction])
    for axes in grid[:, 0]:
        axes.set_ylabel("percent")
    most_k = max(len(lines["system"]) for metrics in percentages.values() for lines in metrics.values())
    for axes in grid[1]:
        axes.set_xlabel("k")
        axes.set_xticks([1, 10, 25, 100], labels=["1", "10", "25", "100"])
        axes.minorticks_off()
        axes.set_xlim(0.93, 1.07 * most_k)
    for row in grid:
        first = next(axes for axes in row if axes.lines)  # without partners, instance hit has no lines
        first.legend(fontsize=8, frameon=False, loc="upper left")
    return save_png(figure, path)


@without_display_and_latex()
def confusion(path: Path, percentages: Mapping[str, NDArray[np.float64]], classes: Sequence[str], title: str) -> Path:
    """Plots confusion matrices, the class of the top result by class of the query, in both directions.

    Args:
        path: the PNG file to write.
        percentages: result of `fmn.evaluation.plots.confusions`.
        classes: class ids, in order of their indices.
        title: figure title.
    """
    side = max(4.0, 0.27 * len(classes))
    figure = _figure(2 * side + 4.2, side + 2.4, title)
    pair = figure.subplots(1, 2, sharey=True)
    for axes, (direction, name) in zip(pair, DIRECTION_TITLES.items(), strict=True):
        image = axes.imshow(percentages[direction], cmap="Blues", vmin=0, vmax=100, aspect="auto")
        for row, column in np.argwhere(percentages[direction] >= 0.5):
            value = percentages[direction][row, column]
            color = "white" if value > 55 else "black"
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=6, color=color)
        axes.set_title(name)
        axes.set_xticks(range(len(classes)), labels=classes, rotation=90, fontsize=7, parse_math=False)
        axes.set_yticks(range(len(classes)), labels=classes, fontsize=7, parse_math=False)
        axes.set_xlabel("class found first")
    pair[0].set_ylabel("class of the query")
    figure.colorbar(image, ax=list(pair), label="percent of the class's queries", shrink=0.8, pad=0.01)
    return save_png(figure, path)


@without_display_and_latex()
def slots(
    path: Path,
    contents: NDArray[np.int64],
    counts: NDArray[np.int64],
    slot_classes: NDArray[np.int64],
    used: Mapping[str, NDArray[np.float64]],
    classes: Sequence[str],
    title: str,
) -> Path:
    """Plots contents and use of the slots, grouped by class.

    Args:
        path: the PNG file to write.
        contents: [slots, C], result of `fmn.evaluation.plots.slot_contents`.
        counts: [X], number of pairs written to each slot.
        slot_classes: [X], the class of each slot; −1: any.
        used: result of `fmn.evaluation.plots.slot_uses`.
        classes: class ids, in order of their indices.
        title: figure title.
    """
    import matplotlib as mpl

    size = len(contents)
    of_slot = [int(kept) if kept >= 0 else int(row.argmax()) for kept, row in zip(slot_classes, contents, strict=False)]
    order = sorted(range(size), key=lambda slot: (of_slot[slot], -int(contents[slot].max())))
    named = size <= MOST_NAMED_SLOTS
    of_class = [int(slot_classes[slot]) for slot in order]
    with_class = named and max(of_class) >= 0
    figure = _figure(min(24.0, max(9.0, 0.3 * size + 5)), 9.0 if with_class else 7.2, title)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(1.6, 1))
    places = np.arange(size)
    palette = mpl.colormaps["tab20"]
    base = np.zeros(size)
    hatches = ("", "///", "xxx", "...")
    width = 0.85 if named else 1.0
    for number, name in enumerate(classes):
        heights = contents[order, number]
        hatch = hatches[(number // 20) % len(hatches)]
        top.bar(places, heights, bottom=base, color=palette(number % 20), width=width, label=name, hatch=hatch)
        base += heights
    top.hlines(counts[order], places - 0.4, places + 0.4, color="black", lw=1.5, label="pairs written to it")
    top.set_ylim(0, 1.06 * max(base.max(), counts.max()))
    top.set_ylabel("training pairs nearest to the slot")
    legend = top.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.02))
    for text in legend.get_texts():
        text.set_parse_math(False)  # a $ in the id of a class begins no formula
    for offset, (name, values), color in zip((-0.2, 0.2), used.items(), COLORS.values(), strict=True):
        bottom.bar(places + offset, values[order], width=0.4, color=color, label=name)
    bottom.axhline(100 / size, color="gray", lw=1, ls=":", label="even use")
    bottom.set_ylabel("percent of the items\nthat choose the slot")
    if named:
        labels = [
            f"{classes[kept]} {slot}" if kept >= 0 else str(slot) for slot, kept in zip(order, of_class, strict=True)
        ]
        bottom.set_xticks(
            places, labels=labels, fontsize=7, parse_math=False, rotation=90 if size > 40 or with_class else 0
        )
        bottom.set_xlabel("slot, with the class it is kept for" if with_class else "slot")
    else:
        bottom.set_xticks([])
        bottom.set_xlabel(f"the {size} slots, by the class that they are kept for, or most of their pairs are of")
    bottom.set_xlim(-0.7, size - 0.3)
    bottom.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.02))
    return save_png(figure, path)


@without_display_and_latex()
def letters_without_glyph(texts: Sequence[str]) -> str:
    """Returns the letters that no font of Matplotlib has; plots show boxes instead of them."""
    figure = _figure(1, 1, "")
    figure.text(0, 0, "".join(sorted(set("".join(texts)))), parse_math=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure.savefig(BytesIO(), format="png")
    found = (re.match(GLYPH_WARNING, str(warning.message)) for warning in caught)
    return "".join(sorted({chr(int(match[1])) for match in found if match}))


def _figure(width: float, height: float, title: str) -> Figure:
    """Creates an empty figure; sizes are in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, fontsize=11, parse_math=False)
    return figure


def save_png(figure: Figure, path: Path, dpi: int = DPI) -> Path:
    """Writes a figure with the same bytes for the same content.

    Raises:
        StoppedError: the disk is full.
    """
    with written_whole(path) as partial, warnings.catch_warnings():
        warnings.filterwarnings("ignore", GLYPH_WARNING)  # `letters_without_glyph` tells of them
        figure.savefig(partial, dpi=dpi, format="png", metadata={"Software": None})
    return path
