"""Contents of the comparison tables, from compare.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from dataset_tools.core.count_of import count_of
from fmn.comparison.comparison_plan import REFERENCE, describe
from fmn.evaluation.results_table import DIRECTION_TITLES, RANK_IN_CLASS, WHAT_THEY_ARE, partner_note
from fmn.evaluation.table_formats import Bold, Row, Table, difference, number
from fmn.metrics.bootstrap import excludes
from fmn.metrics.directions import Direction

SHOWN = {
    "class_map": "class mAP",
    "class_hit": "class hit",
    "class_recall": "class recall",
    "instance_hit": "instance hit",
    "partner_rank": "rank in class",
}
DIFFERENCES = (("class_map", "all"), ("class_hit", "1"), ("class_hit", "10"), ("class_recall", "10"))  # in the tables
MEAN_AVERAGE_PRECISION = "class mAP: mean average precision, every item of the query's class counts."
CLASS_CROSS_ENTROPY = (
    "class CE: whether the system is trained with a class cross-entropy: on both sides, on speech only, or not. Other "
    "uses of class labels: docs/comparing.md."
)
COST_NAMES = ("seconds", "cpu_seconds", "tuning_seconds", "tuning_cpu_seconds")
SPREAD = "± is the standard deviation over seeds."
INTERVAL = "from resampling classes, persons or voices, and seeds together (at least six classes, persons or voices)"
BOLD = (
    "Bold: the best of its column, if the 95 % interval of its difference to fmn (for fmn: of the differences of all "
    "others) excludes zero; intervals {}."
)

# Table 2 of Li et al. (2022) as printed: R@1, R@10, R@25 of audio → video, then of video → audio.
QUOTED = {
    "CCA": (0.92, 6.83, 9.59, 0.87, 6.34, 9.78),
    "KCCA": (1.59, 7.98, 10.82, 1.12, 7.44, 10.31),
    "DCCA": (1.83, 8.35, 15.65, 1.55, 7.87, 12.78),
    "MuSimNet": (1.93, 8.21, 16.24, 1.85, 8.35, 16.80),
    "MusiCNN": (2.13, 8.73, 19.78, 2.05, 8.41, 19.52),
    "VM-Net": (2.40, 9.64, 21.37, 2.54, 9.36, 21.35),
    "FMN": (3.37, 12.45, 25.63, 3.56, 12.23, 24.37),
}
QUOTED_TITLE = "Other data: Table 2 of the paper, as printed"
QUOTED_NOTE = (
    "Quoted, not measured here: other footage, other speech, and a test protocol that the paper does not state. "
    "Values of this table are not comparable with those above."
)


def blocks(values: Mapping[str, Any]) -> list[Table]:
    """Tables of compare.json: figures and differences from fmn for each direction, costs, the paper's table."""
    made = [_direction(values, direction, name) for direction, name in DIRECTION_TITLES.items()]
    if any(system.get("difference") for system in values["systems"].values()):
        made += [_differences(values, direction, name) for direction, name in DIRECTION_TITLES.items()]
    return [*made, _costs(values), _quoted()]


def significantly_best(values: Mapping[str, Any], direction: Direction, metric: str, k: str) -> str | None:
    """Returns the system with the best mean if its difference is significant (`BOLD`), else None."""
    means = {
        name: system["metrics"][direction][metric][k]["mean"]
        for name, system in values["systems"].items()
        if "metrics" in system and metric != "partner_rank"  # lower is better there, and only chance matters
    }
    means = {name: mean for name, mean in means.items() if mean is not None}
    if REFERENCE not in means or len(means) < 2:
        return None
    best = max(means, key=lambda name: means[name])
    apart = {name: values["systems"][name]["difference"][direction][metric][k] for name in means if name != REFERENCE}
    if best == REFERENCE:
        return best if all(each["high"] < 0 and excludes(each, 0) for each in apart.values()) else None
    return best if apart[best]["low"] > 0 and excludes(apart[best], 0) else None


def _direction(values: Mapping[str, Any], direction: Direction, name: str) -> Table:
    chance = values["references"]["chance"][direction]
    columns = [(metric, k) for metric in SHOWN for k in chance[metric]]
    best = {column: significantly_best(values, direction, *column) for column in columns}
    systems = []
    for system, system_values in values["systems"].items():
        if "metrics" not in system_values:
            systems.append(Row((system, "failed")))
            continue
        cells = [labeled(system, system_values), system_values["class_cross_entropy"]]
        for metric, k in columns:
            figure = system_values["metrics"][direction][metric][k]
            text = number(figure["mean"], figure["sd"], between="±")
            cells.append(Bold(text) if best[metric, k] == system else text)
        systems.append(Row(cells))
    references = [
        Row((reference, "", *(number(system_values[direction][metric][k]) for metric, k in columns)), "dim")
        for reference, system_values in values["references"].items()
    ]
    notes = (
        *footnotes(values),
        CLASS_CROSS_ENTROPY,
        WHAT_THEY_ARE,
        RANK_IN_CLASS,
        *_partners(values, direction),
        _ranks_beyond_chance(values, direction),
        MEAN_AVERAGE_PRECISION,
        values.get("spread", SPREAD),
        BOLD.format(values.get("interval", INTERVAL)),
    )
    title = f"{name}  ({sizes(values, direction)}), percent"
    head = ("system", "class CE", *(_column(*column) for column in columns))
    return Table(title, head, (systems, references), notes, left=(0, 1))


def labeled(name: str, system: Mapping[str, Any]) -> str:
    """The name of a system, with a star if it has a footnote (`footnotes`)."""
    return name + (" *" if system["footnote"] else "")


def footnotes(values: Mapping[str, Any]) -> list[str]:
    """Footnotes of single systems."""
    return [f"* {name}: {found['footnote']}." for name, found in values["systems"].items() if found["footnote"]]


def _partners(values: Mapping[str, Any], direction: Direction) -> Iterator[str]:
    """Yields the note on queries without a partner; none for several corpora, and comparisons of earlier versions."""
    queries, of_classes = values["queries"][direction], values.get("class_queries", {}).get(direction, {})
    if not isinstance(queries, int) or "instance_hit" not in of_classes:
        return
    if note := partner_note(sum(of_classes["instance_hit"]), queries, direction):
        yield note


def _ranks_beyond_chance(values: Mapping[str, Any], direction: Direction) -> str:
    """Lists the systems that rank a query's own partner better, or worse, than other items of its class."""
    ranked = {
        name: interval
        for name, system in values["systems"].items()
        if (interval := system.get("partner_rank", {}).get(direction))
    }
    beyond = [
        f"{name} {found['mean']:.1f} [{found['low']:.1f}, {found['high']:.1f}]"
        for name, found in ranked.items()
        if excludes(found, 50)
    ]
    if not ranked:
        return "Rank in class: no query has a partner."
    if not beyond:
        return f"Rank in class differs from chance in none of {len(ranked)} systems: instance hit measures the class."
    return f"Rank in class differs from chance, beyond its 95 % interval, in {len(beyond)} of {len(ranked)} systems" + (
        f" (one in twenty does by chance alone): {'; '.join(beyond)}."
    )


def _differences(values: Mapping[str, Any], direction: Direction, name: str) -> Table:
    rows = [
        Row(
            (
                labeled(system, found),
                *(difference(found["difference"][direction][metric].get(k)) for metric, k in DIFFERENCES),
            )
        )
        for system, found in values["systems"].items()
        if "difference" in found
    ]
    head = ("system", *(_column(*column) for column in DIFFERENCES))
    note = (
        f"In points, with the 95 % interval {values.get('interval', INTERVAL)}; bold if it excludes zero. "
        "compare.json and compare.csv contain it for every metric and k."
    )
    return Table(f"Difference to fmn, {name}", head, (rows,), (*footnotes(values), note))


def sizes(values: Mapping[str, Any], direction: Direction) -> str:
    """Number of queries and gallery size of a direction; of each corpus, if there are several."""
    queries, gallery = values["queries"][direction], values["gallery"][direction]
    if isinstance(queries, int):
        return f"{count_of(queries, 'query', 'queries')}, gallery {gallery:,}"
    return f"{count_of(len(queries), 'corpus', 'corpora')}, queries/gallery: " + ", ".join(
        map("{}/{}".format, queries, gallery)
    )


def _costs(values: Mapping[str, Any]) -> Table:
    head = ("system", "tried", "seeds", "parameters", "seconds", "CPU s", "tuning CPU s", "chosen on fold 0")
    rows, notes = [], footnotes(values)
    for name, system in values["systems"].items():
        if system["error"]:
            notes.append(f"{name} failed: {system['error']['found']}")
        counts = (str(len(system["configurations"])), str(system["seeds"]))
        costs = (_whole(system[key]) for key in ("parameters", "seconds", "cpu_seconds", "tuning_cpu_seconds"))
        rows.append(Row((labeled(name, system), *counts, *costs, _chosen(system["chosen"]))))
    notes.append(
        "tried: configurations on fold 0, the same budget for every system with something to tune. parameters: learned "
        "by gradients. seconds: wall time of one training run, CPU s: CPU time of all cores; features are computed "
        "once for all. tuning: all configurations tried, including the selected one."
    )
    return Table("Cost", head, (rows,), notes, left=(0, 7))


def _quoted() -> Table:
    head = ("system", *(f"{name} @{k}" for name in DIRECTION_TITLES.values() for k in (1, 10, 25)))
    rows = [Row((name, *(f"{each:.2f}" for each in figures))) for name, figures in QUOTED.items()]
    return Table(QUOTED_TITLE, head, (rows,), (QUOTED_NOTE,))


def _column(metric: str, k: str) -> str:
    return SHOWN[metric] if k == "all" else f"{SHOWN[metric]} @{k}"


def _chosen(found: Mapping[str, Any] | list[Mapping[str, Any]]) -> str:
    if isinstance(found, Mapping):
        return describe(found)
    return "; ".join(f"{choice} ({count})" for choice, count in Counter(map(describe, found)).most_common())


def _whole(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"
