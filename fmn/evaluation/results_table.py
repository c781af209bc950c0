"""Results table: three metrics in both directions, each with chance and the class-knowledge ceiling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from dataset_tools.core.count_of import count_of
from fmn.evaluation.table_formats import Row, Table, number, to_rich
from fmn.metrics.bootstrap import excludes
from fmn.metrics.directions import DIRECTIONS, Direction

if TYPE_CHECKING:
    from rich.table import Table as RichTable

DIRECTION_TITLES: dict[Direction, str] = {"audio_to_video": "audio → video", "video_to_audio": "video → audio"}
SHORT: dict[Direction, str] = {"audio_to_video": "a→v", "video_to_audio": "v→a"}
METRICS = {"instance_hit": "instance hit", "class_hit": "class hit", "class_recall": "class recall"}
RELEVANCE = {"instance": "own partner", "class": "its class"}
WHAT_CHOSEN_ARE = (
    "percent; binary relevance, ties by expectation. recall: fraction of the relevant items in the top k; hit: any "
    "relevant item in the top k. A query without an item of its class counts 0, one without a partner is excluded."
)
WHAT_THEY_ARE = (
    "instance hit: the query's own partner is in the top k; class hit: any item of its class is; class recall (eq. 5): "
    "fraction of the items of its class that are; percent. ceiling: perfect knowledge of the class, of nothing else."
)
RANK_IN_CLASS = (
    "rank in class: rank of the query's own partner among the items of its class, percent: 0 first, 100 last, 50 "
    "chance. If it does not differ from 50, instance hit measures only the class."
)
WHAT_INTERVALS_ARE = (
    "In brackets: 95 % intervals from resampling classes and voices (or persons) together; one training seed."
)


def results_table(results: Mapping[str, Mapping[str, Any]], *, title: str, notes: Sequence[str] = ()) -> RichTable:
    """Table of an evaluation, for a terminal.

    Args:
        results: contents of metrics.json, by system name; all measured on the same items.
        title: title, naming the run and the manifest.
        notes: caveats, shown below the table.
    """
    first = next(iter(results.values()))
    ks = (f"@{k}" for k in first["audio_to_video"]["class_hit"])
    columns = ("query → gallery", "metric", "system", *ks, "rank in class")
    partners = [partner_note(first[way]["instance_queries"], first[way]["queries"], way) for way in DIRECTIONS]
    below = (WHAT_THEY_ARE, RANK_IN_CLASS, *filter(None, partners), *_no_evidence(results), *notes)
    return to_rich(Table(title, columns, _sections(results, METRICS), below, left=range(3)), padding=(0, 0))


def partner_note(with_partner: int, queries: int, direction: Direction) -> str | None:
    """Note on the queries that instance hit and rank in class are computed from, unless they are all."""
    if with_partner == queries:
        return None
    if not with_partner:
        return (
            f"{DIRECTION_TITLES[direction]}: instance hit and rank in class are undefined, as no query has its partner "
            "in the gallery (recordings of a class are partners of no clip)."
        )
    return (
        f"{DIRECTION_TITLES[direction]}: instance hit and rank in class are of {with_partner:,} of the {queries:,} "
        "queries, as the others have no partner in the gallery."
    )


def chosen_table(results: Mapping[str, Mapping[str, Any]], *, title: str) -> RichTable:
    """Table of the additional metrics chosen by name, for both notions of relevance.

    The arguments are those of `results_table`; every result has these metrics under ``chosen``.
    """
    chosen: dict[str, dict[str, Any]] = {
        name: {direction: {**result[direction], **result[direction]["chosen"]} for direction in DIRECTIONS}
        for name, result in results.items()
    }
    names = next(iter(chosen.values()))["audio_to_video"]["class"]
    columns = ("query → gallery", "relevant", "system", *names)
    return to_rich(
        Table(title, columns, _sections(chosen, RELEVANCE), (WHAT_CHOSEN_ARE,), left=range(3)), padding=(0, 0)
    )


def _sections(results: Mapping[str, Mapping[str, Any]], metrics: Mapping[str, str]) -> list[list[Row]]:
    """One section per direction, with rows for each metric: every system, chance and the ceiling."""
    first = next(iter(results.values()))
    sections = []
    for direction, direction_name in DIRECTION_TITLES.items():
        block = first[direction]
        heads = iter(
            (direction_name, count_of(block["queries"], "query", "queries"), f"{block['gallery']:,} in gallery")
        )  # one per line
        rows = []
        for metric, metric_name in metrics.items():
            entries = [(name, result[direction], "bold") for name, result in results.items()]
            entries += [(name, block[name], "dim") for name in ("chance", "ceiling")]
            for name, found, style in entries:
                figures = [number(value) + _spread(found, metric, k) for k, value in found[metric].items()]
                if metric == "instance_hit":
                    figures.append(_rank_in_class(found, block))
                rows.append(Row((next(heads, ""), metric_name, name, *figures), style))
                metric_name = ""  # shown once
        sections.append(rows)
    return sections


def class_table(metrics: Mapping[str, Mapping[str, Any]], *, title: str) -> RichTable:
    """Table by class, worst first: class hit@1 and mean average precision of its queries, in both directions."""
    blocks = [metrics[direction]["by_class"] for direction in DIRECTIONS]
    names = sorted(
        {name for block in blocks for name in block},
        key=lambda name: fmean(block[name]["class_map"] for block in blocks if name in block),
    )
    rows = [Row((name, *(cell for block in blocks for cell in _of_class(block.get(name))))) for name in names]
    columns = (f"{name}\n{column}" for name in DIRECTION_TITLES.values() for column in ("queries", "hit@1", "mAP"))
    return to_rich(Table(title, ("class", *columns), (rows,)))


def figure_names(block: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the columns that `figures` fills.

    Args:
        block: by direction, the metrics.
    """
    ks = block["audio_to_video"]["class_hit"]
    return tuple(f"{short} {name}" for short in SHORT.values() for name in (*(f"@{k}" for k in ks), "mAP"))


def figures(block: Mapping[str, Any], metric: str) -> list[str]:
    """For each direction, the metric at each k and the class mean average precision, with standard deviations.

    Args:
        block: by direction, the metrics and their standard deviations (``sd``), which may be None.
        metric: ``instance_hit``, ``class_hit`` or ``class_recall``.
    """
    found = []
    for direction in DIRECTIONS:
        of, sd = block[direction], block[direction]["sd"]
        found += [*(number(value, sd[metric][k]) for k, value in of[metric].items())]
        found.append(number(of["class_map"], sd["class_map"]))
    return found


def reference_figures(block: Mapping[str, Any], reference: str, metric: str) -> list[str]:
    """Like `figures`, for ``chance`` or the ``ceiling``, which have no mean average precision."""
    of = [block[direction][reference][metric] for direction in DIRECTIONS]
    return [cell for by_k in of for cell in (*map(number, by_k.values()), "")]


def _rank_in_class(found: Mapping[str, Any], block: Mapping[str, Any]) -> str:
    """Rank in class of a system, with its interval or deviation; for chance and the ceiling, 50 if it is defined."""
    if "partner_rank" not in found:
        return number(None if block["partner_rank"] is None else 50.0)
    text = number(found["partner_rank"], found.get("sd", {}).get("partner_rank"))
    interval = found.get("intervals", {}).get("partner_rank")
    return f"{text} [{interval[0]:.0f}–{interval[1]:.0f}]" if interval and "sd" not in found else text


def _no_evidence(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Notes on systems whose rank in class does not differ significantly from chance."""
    return [
        f"{system}, {direction_name}: the rank in class does not differ significantly from chance, so its instance hit "
        "measures only the class."
        for system, result in results.items()
        for direction, direction_name in DIRECTION_TITLES.items()
        if result[direction].get("intervals", {}).get("partner_rank") and not _differs_from_chance(result[direction])
    ]


def _differs_from_chance(block: Mapping[str, Any]) -> bool:
    intervals, queries = block["intervals"], block["instance_queries"]
    low, high = intervals["partner_rank"]
    levels = {name: min(number, queries) for name, number in intervals["levels"].items()}
    return excludes({"low": low, "high": high, "levels": levels}, 50)


def _of_class(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return ["–"] * 3
    return [str(found["queries"]), f"{found['class_hit']['1']:.1f}", f"{found['class_map']:.1f}"]


def _spread(found: Mapping[str, Any], metric: str, k: str) -> str:
    """Standard deviation or interval of a metric at ``k``, if the block has one."""
    if deviation := found.get("sd", {}).get(metric, {}).get(k):
        return f" ± {deviation:.1f}"
    if interval := found.get("intervals", {}).get(metric, {}).get(k):
        return f" [{interval[0]:.0f}–{interval[1]:.0f}]"
    return ""
