from __future__ import annotations

import json
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t, ttest_1samp

from dataset_tools.core.errors import InputError
from fmn.comparison.by_class import class_ids, means_by_class, queries_by_class
from fmn.comparison.comparison_runs import Scores
from fmn.comparison.corpora import interval_over_corpora, over_corpora
from fmn.comparison.rendering import markdown
from fmn.comparison.results import measured_queries
from fmn.data.items import load_items
from fmn.metrics.bootstrap import ConfidenceInterval
from fmn.metrics.retrieval_metrics import recall_at_k

CLASSES = [f"class-{number:02}" for number in range(20)]


def interval(values: Sequence[np.ndarray], labels: Sequence[Sequence[str]]) -> ConfidenceInterval:
    """Of queries one by one, with the class of each."""
    sums, counts = np.zeros((2, len(values), len(CLASSES)))
    for corpus, (own, names) in enumerate(zip(values, labels, strict=True)):
        for value, name in zip(own, names, strict=True):
            sums[corpus, CLASSES.index(name)] += value
            counts[corpus, CLASSES.index(name)] += 1
    return interval_over_corpora(sums, counts)


def test_without_effects_of_classes_it_is_students_interval() -> None:
    random = np.random.default_rng(0)
    # Within a corpus every query has the same value, so no class differs from another.
    values = [np.full(len(CLASSES) * 3, mean) for mean in random.normal(3, 2, size=5)]
    found = interval(values, [CLASSES * 3] * 5)
    expected = ttest_1samp([each[0] for each in values], 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(np.mean([each[0] for each in values]))
    assert found.levels == {"corpus": 5, "class": 20}


def test_what_classes_bring_in_all_corpora_alike_is_in_it() -> None:
    effects = np.random.default_rng(1).normal(0, 10, size=20)
    found = interval([effects] * 5, [CLASSES] * 5)  # every corpus has the same mean: Student's is a point
    # The jackknife of a mean over classes is its usual standard error; leaving out single combinations finds 1/5 of it.
    error = np.sqrt(effects.var(ddof=1) / 20)
    assert found.high - found.mean == pytest.approx(t.ppf(0.975, 4) * error * np.sqrt(1 - 1 / 5), rel=0.01)


def test_it_holds_the_true_mean_as_often_as_it_says() -> None:
    random = np.random.default_rng(2)
    held = []
    for _ in range(400):
        of_class = random.normal(0, 4, size=20)
        values, labels = [], []
        for of_corpus in random.normal(0, 2, size=5):
            numbers = random.integers(20, size=250)
            both = random.normal(0, 8, size=20)
            values.append(5 + of_corpus + of_class[numbers] + both[numbers] + random.normal(0, 30, size=250))
            labels.append([CLASSES[number] for number in numbers])
        found = interval(values, labels)
        held.append(found.low < 5 < found.high)
    assert 0.92 < np.mean(held) < 0.995  # t of four degrees of freedom errs on the wide side where classes matter


def test_a_class_that_nothing_is_asked_of_is_no_level() -> None:
    values = [np.array([1.0, 2.0]), np.array([4.0, 3.0]), np.array([2.0, 6.0])]
    found = interval(values, [CLASSES[:2]] * 3)  # among the columns of twenty classes
    assert found.levels == {"corpus": 3, "class": 2}
    means = [each.mean() for each in values]
    assert found.high - found.mean >= t.ppf(0.975, 1) * np.std(means, ddof=1) / np.sqrt(3) - 1e-9


def test_corpora_count_alike_whatever_they_hold() -> None:
    found = interval([np.ones(40), np.zeros(10)], [CLASSES * 2, CLASSES[:10]])
    assert found.mean == pytest.approx(0.5)


def test_too_little_has_no_interval() -> None:
    with pytest.raises(InputError, match="1 corpus"):
        interval([np.ones(3)], [CLASSES[:3]])
    with pytest.raises(InputError, match=r"\[3, 0\]"):
        interval([np.ones(3), np.ones(0)], [CLASSES[:3], []])
    # One class in all of a corpus cannot be left out of it: the corpora alone decide.
    alone = interval([np.ones(3), np.zeros(3)], [CLASSES[:1] * 3] * 2)
    assert alone.high - alone.mean == pytest.approx(t.ppf(0.975, 1) * 0.5)


@pytest.fixture
def comparisons(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three comparisons of two systems with random scores on one manifest, without their runs."""
    test = workspace / "manifests" / "test.jsonl"
    items = load_items(test)
    random = np.random.default_rng(3)
    made = []
    for corpus in range(3):
        folder = tmp_path / "compared" / str(corpus)
        systems = {}
        for name in ("cca", "fmn"):
            scores = random.normal(size=items.relevant.shape).astype(np.float32) + 2 * items.relevant * (name == "fmn")
            folder.mkdir(parents=True, exist_ok=True)
            np.save(folder / f"{name}.npy", scores)
            ids = [row.id for row in items.clips], [row.id for row in items.utterances]
            measured = measured_queries([Scores(scores.astype(np.float32), *ids)], items)
            systems[name] = {
                "summary": name,
                "footnote": "",
                "class_cross_entropy": "no",
                "error": None,
                "configurations": [{"changes": {}}, {"changes": {"training.learning_rate": 0.1}}],
                "chosen": {"training.learning_rate": 0.1} if corpus and name == "cca" else {},
                "runs": ["a run"],
                "seeds": 1,
                "parameters": 10,
                "metrics": {},
                "by_class": means_by_class(measured, items),
                **dict.fromkeys(("seconds", "cpu_seconds", "tuning_seconds", "tuning_cpu_seconds"), float(corpus)),
            }
        values: dict[str, Any] = {
            "test_sha256": str(corpus),
            "preset": "demo",
            "changes": {},
            "budget": 2,
            "seeds": [0],
            "device": "cpu",
            "stand_in": True,
            "queries": {"audio_to_video": 12, "video_to_audio": 12},
            "gallery": {"audio_to_video": 12, "video_to_audio": 12},
            "classes": class_ids(items),
            "class_queries": queries_by_class(measured, items),
            "notes": ["Stand-in corpus"],
            "systems": systems,
            "references": {
                name: {
                    direction: {
                        metric: dict.fromkeys(("1", "10", "25"), 5.0 + corpus)
                        for metric in ("instance_hit", "class_hit", "class_recall")
                    }
                    | {"class_map": {"all": 5.0 + corpus}, "partner_rank": {"all": 50.0}}
                    for direction in ("audio_to_video", "video_to_audio")
                }
                for name in ("chance", "ceiling")
            },
        }
        (folder / "compare.json").write_text(json.dumps(values))
        made.append(folder)
    return made


def test_a_comparison_with_the_old_name_of_a_system_is_read(comparisons: list[Path]) -> None:
    expected = over_corpora(comparisons)["systems"]
    for folder, name in zip(comparisons, ("fmn_printed", "fmn_as_published", "fmn_printed"), strict=True):
        values = json.loads((folder / "compare.json").read_text())
        values["systems"] = {name if key == "cca" else key: system for key, system in values["systems"].items()}
        (folder / "compare.json").write_text(json.dumps(values))
    for models in (None, ["fmn", "fmn_printed"], ["fmn", "fmn_as_published"]):
        found = over_corpora(comparisons, models=models)["systems"]
        assert found["fmn_as_published"] == expected["cca"]
        assert found.keys() == {"fmn", "fmn_as_published"}


@pytest.mark.filterwarnings("ignore:.*Glyph.*")
def test_figures_are_means_over_corpora(
    comparisons: list[Path],
    workspace: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = over_corpora(comparisons)
    items = load_items(workspace / "manifests" / "test.jsonl")
    hits: dict[str, list[float]] = {"cca": [], "fmn": []}
    for folder in comparisons:
        for name, found in hits.items():
            found.append(recall_at_k(np.load(folder / f"{name}.npy"), items.relevant, ks=(1,))[1])
    for name, found in hits.items():
        figure = values["systems"][name]["metrics"]["video_to_audio"]["class_hit"]["1"]
        assert figure["mean"] == pytest.approx(np.mean(found))
        assert figure["sd"] == pytest.approx(np.std(found, ddof=1))
        assert figure["values"] == pytest.approx(found)
    apart = values["systems"]["cca"]["difference"]["video_to_audio"]["class_hit"]["1"]
    assert apart["mean"] == pytest.approx(np.mean(hits["cca"]) - np.mean(hits["fmn"]))
    assert apart["low"] < apart["mean"] < apart["high"]
    assert apart["levels"] == {"corpus": 3, "class": 4}
    assert "difference" not in values["systems"]["fmn"]
    assert values["references"]["chance"]["audio_to_video"]["class_hit"]["1"] == 6.0
    assert values["systems"]["cca"]["cpu_seconds"] == 1.0

    text = markdown(values)
    script = Path(__file__).parents[3] / "tools" / "standin_figures.py"
    monkeypatch.setattr("sys.argv", [str(script), str(tmp_path / "out"), *map(str, comparisons)])
    runpy.run_path(str(script), run_name="__main__")
    assert capsys.readouterr().out == text + "\n"
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"compare.json", "compare.md", "compare.csv", "compare.tex", "compare.png"}
    first = comparisons[0] / "compare.json"
    first.write_text(json.dumps(json.loads(first.read_text()) | {"schema": "fmn.compare/1"}))
    kept = first.read_text()
    monkeypatch.setattr("sys.argv", [str(script), *map(str, comparisons)])
    with pytest.raises(SystemExit, match="OUT comes first"):
        runpy.run_path(str(script), run_name="__main__")
    assert first.read_text() == kept
    assert "3 corpora, queries/gallery: 12/12, 12/12, 12/12" in text
    assert "over the 3 corpora" in text
    assert "learning_rate=0.1 (2); as it is (1)" in text
    path = comparisons[0] / "compare.json"  # with one system more than the others have
    more = json.loads(path.read_text())
    path.write_text(json.dumps(more | {"systems": {"dcca": more["systems"]["cca"], **more["systems"]}}))
    with pytest.raises(InputError, match="differs in systems"):
        over_corpora(comparisons)
    assert over_corpora(comparisons, models=["fmn", "cca"])["systems"] == values["systems"]
    with pytest.raises(InputError, match="lacks 'dcca'"):
        over_corpora(comparisons, models=["fmn", "dcca"])
    ranks = []
    for folder in comparisons:
        scores = np.load(folder / "cca.npy")
        better = []
        for spoken, clip in enumerate(items.partners):
            rivals = (items.clip_classes == items.clip_classes[clip]) & (np.arange(12) != clip)
            better.append(np.mean(scores[rivals, spoken] > scores[clip, spoken]))
        ranks.append(np.mean(better))
    rank = values["systems"]["cca"]["partner_rank"]["audio_to_video"]
    assert rank["mean"] == pytest.approx(100 * np.mean(ranks))
    assert rank["levels"] == {"corpus": 3, "class": 4}
    shown = text.partition("## Difference to fmn, video → audio")[2]
    row = next(line for line in shown.splitlines() if line.startswith("| cca | "))
    assert f"{apart['mean']:+.1f} [{apart['low']:+.1f}, {apart['high']:+.1f}]" in row


def test_comparisons_that_do_not_belong_together_are_refused(comparisons: list[Path], workspace: Path) -> None:
    with pytest.raises(InputError, match="combine: 1"):
        over_corpora(comparisons[:1])
    with pytest.raises(InputError, match="cannot be read"):
        over_corpora([*comparisons, workspace])
    path = comparisons[1] / "compare.json"
    whole = json.loads(path.read_text())
    path.write_text(json.dumps(whole | {"preset": "paper"}))
    with pytest.raises(InputError, match=r"differs in preset \(paper, not demo\)"):
        over_corpora(comparisons)
    path.write_text(json.dumps(whole | {"seeds": [0, 1]}))
    with pytest.raises(InputError, match=r"differs in seeds \(\[0, 1\], not \[0\]\)"):
        over_corpora(comparisons)
    path.write_text(json.dumps(whole | {"test_sha256": "0"}))
    with pytest.raises(InputError, match="not two corpora"):
        over_corpora(comparisons)
    with pytest.raises(InputError, match="not two corpora"):
        over_corpora(comparisons[:1] * 2)
    lost = {
        name: {key: value for key, value in each.items() if key != "metrics"} for name, each in whole["systems"].items()
    }
    path.write_text(json.dumps(whole | {"systems": lost}))
    with pytest.raises(InputError, match="without results: cca, fmn"):
        over_corpora(comparisons)
    path.write_text(json.dumps({key: value for key, value in whole.items() if key != "classes"}))  # of an older version
    with pytest.raises(InputError, match="required field `classes`"):
        over_corpora(comparisons)


@pytest.mark.parametrize(
    "change",
    [
        lambda values: None,
        lambda values: values | {"classes": values["classes"][1:]},
        lambda values: values | {"classes": [values["classes"][0], *values["classes"][:-1]]},
        lambda values: values | {"class_queries": {}},
        lambda values: (
            values | {"systems": {name: each | {"by_class": {}} for name, each in values["systems"].items()}}
        ),
        lambda values: (
            values
            | {
                "systems": {
                    name: each
                    | {
                        "by_class": json.loads(json.dumps(each["by_class"]), parse_float=lambda value: None),
                    }
                    for name, each in values["systems"].items()
                }
            }
        ),
        lambda values: values | {"systems": {name: {"metrics": {}} for name in values["systems"]}},
        lambda values: values | {"queries": {"audio_to_video": 1}},
        lambda values: (
            values | {"systems": {name: each | {"configurations": [{}]} for name, each in values["systems"].items()}}
        ),
        lambda values: values | {"references": {"chance": {}}},
        lambda values: {name: value for name, value in values.items() if name != "notes"},
    ],
)
def test_a_comparison_that_lacks_something_is_refused_by_name(comparisons: list[Path], change: Any) -> None:
    path = comparisons[1] / "compare.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(InputError) as caught:
        over_corpora(comparisons)
    assert str(comparisons[1]) in str(caught.value)
