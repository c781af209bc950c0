"""Aggregation over corpora: several comparisons of the same systems, with intervals over corpora.

Corpora with different people, kitchens and voices, on each of which every system was retrained, are independent draws;
the classes are the same in all of them. The deviation is therefore over corpora, and the interval of a difference
accounts for both sources of variation: between corpora, and between classes across all corpora.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec
import numpy as np
from msgspec import Meta

from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError
from fmn.comparison.by_class import Floats
from fmn.comparison.comparison_plan import REFERENCE, in_order
from fmn.comparison.results import FIGURES
from fmn.comparison.table import COST_NAMES
from fmn.metrics.bootstrap import ConfidenceInterval
from fmn.metrics.directions import DIRECTIONS, Direction
from fmn.renamed_keys import new_system_name

SAME = ("preset", "changes", "stand_in", "budget", "seeds")  # must agree in the comparisons to combine
_LEVEL = 0.95  # of confidence


def over_corpora(folders: Sequence[Path], *, models: Sequence[str] | None = None) -> dict[str, Any]:
    """Combines the comparisons in ``folders`` into one, in the form of compare.json, for all tables and the plot.

    A figure is the mean over corpora of the mean over seeds; its deviation is over corpora.

    Args:
        folders: folders of at least two finished comparisons. Only compare.json is read, not the runs or manifests.
        models: names of systems; None: all of them, which must be the same in every comparison.

    Raises:
        InputError: there are fewer than two, one is missing or not finished, two have the same test manifest, or they
            differ in systems, preset, changes, budget or seeds.
    """
    comparisons = [_read(folder, models) for folder in folders]
    _check(folders, comparisons)
    names = list(comparisons[0]["systems"])
    classes = sorted({name for values in comparisons for name in values["classes"]})
    corpora = [_Corpus(values, classes) for values in comparisons]
    systems = {name: _described([values["systems"][name] for values in comparisons]) for name in names}
    for name in names:
        systems[name]["metrics"] = _each_metric(
            lambda direction, metric, k, name=name: _over([one.mean(name, direction, metric, k) for one in corpora])
        )
        systems[name]["partner_rank"] = {
            direction: _interval(corpora, name, direction, "partner_rank", "all") for direction in DIRECTIONS
        }
        if name != REFERENCE and REFERENCE in names:
            systems[name]["difference"] = _each_metric(
                lambda direction, metric, k, name=name: _interval(corpora, name, direction, metric, k, REFERENCE)
            )
    sizes = {
        kind: {direction: [values[kind][direction] for values in comparisons] for direction in comparisons[0][kind]}
        for kind in ("queries", "gallery")
    }
    return {
        "schema": "fmn.comparison.compare-corpora/1",
        "comparisons": [str(folder) for folder in folders],
        **{key: comparisons[0][key] for key in SAME},
        "device": ", ".join(dict.fromkeys(values["device"] for values in comparisons)),
        **sizes,
        "spread": f"± is the standard deviation over the {len(folders)} corpora.",
        "interval": "over corpora and classes (fmn/comparison/corpora.py)",
        "notes": list(dict.fromkeys(note for values in comparisons for note in values["notes"])),
        "systems": systems,
        "references": {
            name: _each_metric(
                lambda direction, metric, k, name=name: _mean(
                    [values["references"][name][direction][metric][k] for values in comparisons]
                )
            )
            for name in comparisons[0]["references"]
        },
    }


class _Corpus:
    """Per-class sums and query counts of one comparison."""

    def __init__(self, values: Mapping[str, Any], names: Sequence[str]) -> None:
        """``names``: sorted class ids of all corpora."""
        self._values = values
        self._columns = np.searchsorted(names, values["classes"])
        self._width = len(names)

    def sums(self, name: str, direction: Direction, metric: str, k: str, *, less: str | None = None) -> Floats:
        """[classes]: sums over the queries of each class, minus those of the system ``less``, if given."""
        counts = self._values["class_queries"][direction][metric]
        systems = self._values["systems"]
        found = np.zeros(self._width)
        for column, count, mean, other in zip(
            self._columns,
            counts,
            systems[name]["by_class"][direction][metric][k],
            systems[less]["by_class"][direction][metric][k] if less else [0.0] * len(counts),
            strict=True,
        ):
            found[column] = count * (mean - other) if count else 0.0
        return found

    def counts(self, direction: Direction, metric: str) -> Floats:
        """[classes]: number of queries."""
        found = np.zeros(self._width)
        found[self._columns] = self._values["class_queries"][direction][metric]
        return found

    def mean(self, name: str, direction: Direction, metric: str, k: str) -> float | None:
        """Mean over seeds and queries; None without queries."""
        queries = self.counts(direction, metric).sum()
        return float(self.sums(name, direction, metric, k).sum() / queries) if queries else None


def interval_over_corpora(sums: Floats, counts: Floats) -> ConfidenceInterval:
    """95 % interval of a mean over corpora, each of which is a draw, while the classes are drawn once for all.

    The variance is that of two crossed factors: corpora plus classes minus their combinations, which are counted in
    both (Cameron, Gelbach and Miller, Robust Inference With Multiway Clustering, 2011), each by the jackknife, omitting
    one corpus, one class in all corpora, or one class of one corpus at a time; never less than that of corpora alone.
    The interval uses Student's t with one degree of freedom fewer than the levels of the rarer factor. If classes
    differ only by chance, it equals Student's t interval over the corpora's means. People, voices and training seeds
    belong to a corpus and are drawn with it.

    Args:
        sums: [corpora, classes], sums over the queries of each class in each corpus.
        counts: [corpora, classes], number of these queries; 0 if a corpus has none of a class.

    Raises:
        InputError: there are fewer than two corpora, or one has no queries.
    """
    from scipy.stats import t

    has_queries = counts.any(0)  # a class without queries is not a level
    sums, counts = sums[:, has_queries], counts[:, has_queries]
    if len(counts) < 2 or not (counts.sum(1) > 0).all():
        raise InputError(
            f"There is no interval over {count_of(len(counts), 'corpus', 'corpora')} with "
            f"{counts.sum(1).astype(int).tolist()} queries",
            expected="at least two corpora with queries in each",
        )
    means = sums.sum(1) / counts.sum(1)  # [corpora]
    mean = means.mean()

    def variance(left: Floats) -> float:
        """Jackknife variance, from the n means with one level omitted."""
        return float((len(left) - 1) / len(left) * np.square(left - mean).sum())

    corpora = len(means)
    of_corpora = variance((means.sum() - means) / (corpora - 1))
    total, fewest = of_corpora, corpora
    rest = counts.sum(1, keepdims=True) - counts
    if (rest > 0).all():  # a corpus with a single class cannot omit it
        without = (sums.sum(1, keepdims=True) - sums) / rest  # [corpora, classes] the corpus's mean without the class
        cells = (means.sum() - means[:, None] + without) / corpora
        total = max(total, of_corpora + variance(without.mean(0)) - variance(cells[counts > 0]))
        fewest = min(corpora, counts.shape[1])
    half = float(t.ppf((1 + _LEVEL) / 2, fewest - 1) * np.sqrt(total))
    return ConfidenceInterval(
        float(mean), float(mean) - half, float(mean) + half, _LEVEL, {"corpus": corpora, "class": counts.shape[1]}
    )


def _interval(
    corpora: Sequence[_Corpus], name: str, direction: Direction, metric: str, k: str, less: str | None = None
) -> dict[str, Any] | None:
    """`interval_over_corpora` of a system, or of its difference to another; None without queries."""
    counts = np.stack([one.counts(direction, metric) for one in corpora])
    if not counts.sum(1).all():
        return None
    sums = np.stack([one.sums(name, direction, metric, k, less=less) for one in corpora])
    return interval_over_corpora(sums, counts).as_dict()


def _each_metric(of: Any) -> dict[str, Any]:
    return {
        direction: {metric: {k: of(direction, metric, k) for k in ks} for metric, ks in FIGURES.items()}
        for direction in DIRECTIONS
    }


def _over(values: Sequence[float | None]) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return {"mean": None, "sd": None, "values": []}
    return {"mean": float(np.mean(known)), "sd": float(np.std(known, ddof=1)), "values": known}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _described(several: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Configurations tried, mean costs over corpora, and the selection of fold 0 in each corpus."""
    first = several[0]
    return {
        "summary": first["summary"],
        "class_cross_entropy": first["class_cross_entropy"],
        "footnote": first["footnote"],
        "error": None,
        "configurations": [{"changes": each["changes"]} for each in first["configurations"]],
        "chosen": [each["chosen"] for each in several],
        "runs": [run for each in several for run in each["runs"]],
        "seeds": first["seeds"],
        "parameters": first["parameters"],
        **{key: _mean([each[key] for each in several]) for key in COST_NAMES},
    }


class _Configuration(TypedDict):
    changes: dict[str, Any]


class _System(TypedDict):
    """The fields of a system in compare.json that are read."""

    summary: str
    class_cross_entropy: str
    footnote: str
    configurations: Annotated[list[_Configuration], Meta(min_length=1)]
    chosen: Any
    runs: Annotated[list[str], Meta(min_length=1)]
    seeds: int
    parameters: int | None
    by_class: NotRequired[dict[str, dict[str, dict[str, list[float | None]]]]]  # of systems that did not fail
    seconds: float | None
    cpu_seconds: float | None
    tuning_seconds: float | None
    tuning_cpu_seconds: float | None


class _Sizes(TypedDict):
    audio_to_video: int
    video_to_audio: int


class _Compared(TypedDict):
    """The fields of compare.json that are read."""

    test_sha256: str
    preset: Any
    changes: Any
    stand_in: Any
    budget: int
    seeds: list[int]
    device: str
    queries: _Sizes
    gallery: _Sizes
    classes: list[str]
    class_queries: dict[str, dict[str, list[Annotated[int, Meta(ge=0)]]]]
    notes: list[str]
    systems: dict[str, _System]
    references: dict[str, dict[str, dict[str, dict[str, float | None]]]]


def _read(folder: Path, models: Sequence[str] | None) -> dict[str, Any]:
    path = folder / "compare.json"
    try:
        values: dict[str, Any] = json.loads(path.read_bytes())
        msgspec.convert(values, _Compared)  # only checks the types; the values are used as they were written
        for figures in values["references"].values():
            _each_metric(lambda direction, metric, k, figures=figures: figures[direction][metric][k])
        values["systems"] = {new_system_name(name): system for name, system in values["systems"].items()}
        if models is not None:
            chosen = in_order([new_system_name(name) for name in models])
            values["systems"] = {name: values["systems"][name] for name in chosen}
        if len(set(values["classes"])) < len(values["classes"]):
            raise ValueError("a class is listed twice")
        corpus = _Corpus(values, sorted(values["classes"]))
        for name in (name for name, system in values["systems"].items() if "metrics" in system):
            _each_metric(lambda direction, metric, k, name=name: corpus.mean(name, direction, metric, k))
    except (OSError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"The comparison lacks {error}"
            if isinstance(error, KeyError)
            else f"The comparison cannot be read: {error}",
            where=path,
            expected="the compare.json of a finished fmn compare",
            next_step="run the same fmn compare into this folder; finished training runs are not repeated",
        ) from error
    return values


def _check(folders: Sequence[Path], comparisons: Sequence[Mapping[str, Any]]) -> None:
    if len(folders) < 2:
        raise InputError(
            f"Comparisons to combine: {len(folders)}",
            expected="two or more, each of a different corpus",
            next_step="specify the folders of at least two comparisons",
        )
    of_test: dict[str, Path] = {}
    for folder, values in zip(folders, comparisons, strict=True):
        if values["test_sha256"] in of_test:
            raise InputError(
                f"The test manifest is the same as in {of_test[values['test_sha256']]}: these are not two corpora",
                where=folder,
                expected="one comparison for each corpus",
                next_step="leave one of them out",
            )
        of_test[values["test_sha256"]] = folder
        lost = [name for name, system in values["systems"].items() if "metrics" not in system]
        other = [
            f"{key} ({values[key]}, not {comparisons[0][key]})" for key in SAME if values[key] != comparisons[0][key]
        ]
        other += [
            f"{key} ({', '.join(values[key])}, not {', '.join(comparisons[0][key])})"
            for key in ("systems", "references", "queries", "gallery")
            if list(values[key]) != list(comparisons[0][key])
        ]
        if lost or other:
            raise InputError(
                f"Systems without results: {', '.join(lost)}" if lost else f"It differs in {'; '.join(other)}",
                where=folder,
                expected=f"the same comparison, finished, as in {folders[0]}",
                next_step="run the same fmn compare on every corpus",
            )
