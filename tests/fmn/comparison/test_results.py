from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import safe_open

from fmn.comparison.compare import compare
from fmn.comparison.comparison_plan import Comparison
from fmn.comparison.comparison_runs import Scores, read_scores
from fmn.comparison.corpora import over_corpora
from fmn.comparison.output_files import write_files
from fmn.comparison.results import Results, _references
from fmn.comparison.table import blocks
from fmn.data.items import load_items
from fmn.metrics.retrieval_metrics import mean_average_precision, query_metrics, recall_at_k

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")


def written_scores(run: Path) -> Scores | None:
    """The scores that a comparison has just written, whatever they were measured on."""
    with safe_open(run / "scores.safetensors", framework="np") as file:
        return read_scores(run, file.metadata()["test_digest"])


def average_precision(scores: NDArray[Any], wanted: NDArray[np.bool_]) -> float:
    """Of scores that are all different: the precision at the place of each wanted item, averaged."""
    places = np.flatnonzero(wanted[np.argsort(-scores)])
    return float(np.mean([(number + 1) / (place + 1) for number, place in enumerate(places)]))


def test_figures_are_means_over_seeds_of_the_scores_that_were_kept(planned: Callable[..., Comparison]) -> None:
    comparison = planned("fmn", "two_classifiers", seeds=3, budget=1)
    values = compare(comparison).values
    items_classes = np.repeat(np.arange(4), 3)
    relevant = items_classes[:, None] == items_classes[None]
    for system in values["systems"].values():
        hits, recalls, precisions = [], [], []
        for run in system["runs"]:
            scores = written_scores(Path(run))
            assert scores is not None
            order = np.argsort([name.partition("-d")[2] for name in scores.clips], kind="stable")  # by class
            spoken = np.argsort([name.partition("-d")[2] for name in scores.utterances], kind="stable")
            matrix = scores.values[order][:, spoken].T
            hits.append(recall_at_k(matrix, relevant, ks=(1,))[1])
            recalls.append(100 * query_metrics(matrix, relevant, ks=(10,)).recalls[10].mean())
            precisions += [average_precision(row, wanted) for row, wanted in zip(matrix, relevant, strict=True)]
            assert json.loads((Path(run) / "metrics.json").read_text())["audio_to_video"]["class_hit"]["1"] == hits[-1]
        found = system["metrics"]["audio_to_video"]
        assert found["class_hit"]["1"]["mean"] == pytest.approx(np.mean(hits))
        assert found["class_hit"]["1"]["sd"] == pytest.approx(np.std(hits, ddof=1))
        assert found["class_recall"]["10"]["mean"] == pytest.approx(np.mean(recalls))
        assert found["class_map"]["all"]["mean"] == pytest.approx(100 * np.mean(precisions), abs=1e-3)
        by_class = np.reshape(precisions, (3, 4, 3)).mean((0, 2))  # [seeds, classes, queries of each]
        assert system["by_class"]["audio_to_video"]["class_map"]["all"] == pytest.approx(100 * by_class, abs=1e-3)
    assert values["class_queries"]["audio_to_video"]["class_map"] == [3, 3, 3, 3]
    assert values["references"]["ceiling"]["audio_to_video"]["class_map"]["all"] == 100
    by_chance = [average_precision(row, relevant[0]) for row in np.random.default_rng(0).random((4000, 12))]
    found = values["references"]["chance"]["audio_to_video"]["class_map"]["all"]
    assert found == pytest.approx(100 * np.mean(by_chance), abs=1.5)
    apart = values["systems"]["two_classifiers"]["difference"]["audio_to_video"]["class_hit"]["1"]
    means = {
        name: each["metrics"]["audio_to_video"]["class_hit"]["1"]["mean"] for name, each in values["systems"].items()
    }
    assert apart["mean"] == pytest.approx(means["two_classifiers"] - means["fmn"])
    assert apart["low"] <= apart["mean"] <= apart["high"]
    assert apart["levels"] == {"class": 4, "voice": 3, "seed": 3}
    assert "difference" not in values["systems"]["fmn"]


def test_no_system_can_find_a_class_that_the_gallery_lacks(workspace: Path) -> None:
    items = load_items(workspace / "manifests" / "test.jsonl")
    lost = items.kept(items.clip_classes != 0, np.ones(len(items.utterances), dtype=bool))
    assert (len(lost.clips), len(lost.utterances)) == (9, 12)  # clips of one of four classes are damaged
    found = _references(lost)["ceiling"]
    best = {
        "audio_to_video": mean_average_precision(lost.relevant.T, lost.relevant.T),
        "video_to_audio": mean_average_precision(lost.relevant, lost.relevant),
    }
    assert best == {"audio_to_video": pytest.approx(75), "video_to_audio": pytest.approx(100)}
    for direction, reachable in best.items():
        assert found[direction]["class_map"]["all"] == pytest.approx(reachable)
        assert found[direction]["class_hit"]["1"] == pytest.approx(reachable)


def test_the_rank_in_class_stands_beside_instance_hit(results: Results) -> None:
    """Of the scores that were kept, each query's partner is set against each other item of its class."""
    system = results.values["systems"]["fmn"]
    test = load_items(Path(results.values["test"]))
    ranks: list[float] = []
    for run in system["runs"]:
        scores = written_scores(Path(run))
        assert scores is not None
        assert scores.clips == [row.id for row in test.clips]
        for spoken, clip in enumerate(test.partners):
            rivals = [
                other for other in range(12) if test.clip_classes[other] == test.clip_classes[clip] and other != clip
            ]
            column = scores.values[:, spoken]
            ranks += [
                np.mean([(column[other] > column[clip]) + (column[other] == column[clip]) / 2 for other in rivals])
            ]
    expected = 100 * float(np.mean(ranks))
    assert system["metrics"]["audio_to_video"]["partner_rank"]["all"]["mean"] == pytest.approx(expected)
    interval = system["partner_rank"]["audio_to_video"]
    assert interval["mean"] == pytest.approx(expected)
    assert interval["low"] < expected < interval["high"]
    first = blocks(results.values)[0]
    assert list(first.head[:2]) == ["system", "class CE"]
    assert list(first.head[-2:]) == ["instance hit @25", "rank in class"]
    chance = next(row for row in first.sections[1] if row.cells[0] == "chance")
    assert chance.cells[-1] == "50.0"
    hits = [0, *results.values["class_queries"]["audio_to_video"]["instance_hit"][1:]]  # a class without partners
    fewer = blocks(results.values | {"class_queries": {"audio_to_video": {"instance_hit": hits}}})[0]
    assert len(fewer.notes) == len(first.notes) + 1
    assert any("instance hit and rank in class are of 9 of the 12 queries" in note for note in fewer.notes)


def test_what_was_tuned_for_memories_alone_is_said(
    planned: Callable[..., Comparison], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is a test manifest that is older than the data set."""
    for module in ("results", "compare"):
        named = f"fmn.comparison.{module}.outdated_pairs"
        monkeypatch.setattr(named, lambda items: (f"{items.manifest.name} is older",))
    warned: list[str] = []
    values = compare(planned("lengths", seeds=1, budget=1), warn=warned.append).values
    assert warned == ["train.jsonl is older"]
    assert any("memory.capacity" in note and "more than any other system had" in note for note in values["notes"])
    assert "test.jsonl is older" in values["notes"]


def test_values_that_not_all_systems_use_are_noted(results: Results) -> None:
    using = {note.partition(": ")[0]: note.partition(": ")[2] for note in results.values["notes"] if " use" in note}
    assert using["model.hidden_size, model.frame_stack"] == "only cca, fmn use them."
    slots = "only fmn uses it; if fmn tune found it, its trials are more than any other system had."
    assert using["memory.capacity"] == slots
    assert "training.epochs" not in ", ".join(using)  # all systems are trained


def test_without_class_labels_every_system_uses_the_number_of_clusters(planned: Callable[..., Comparison]) -> None:
    changes = {"training.labels": "pairs", "memory.capacity": 5, "memory.update": 0.5}
    notes = compare(planned("fmn", "clip_towers", "lengths", seeds=1, budget=1, changes=changes)).values["notes"]
    assert not any("memory.capacity" in note for note in notes)
    assert any(note.startswith("memory.update: only fmn uses it") for note in notes)


@pytest.mark.filterwarnings("ignore:.*Glyph.*")
def test_recordings_of_classes_alone_have_no_instance_hit(
    planned: Callable[..., Comparison], workspace: Path, tmp_path: Path
) -> None:
    """Without a partner in the whole manifest, its columns are empty, in the files and over several corpora, too."""
    test = workspace / "manifests" / "test.jsonl"
    rows = [json.loads(line) for line in test.read_text().splitlines()]
    spoken = [row | {"utterance": row["utterance"] | {"clip": None}} for row in rows]
    test.write_text("".join(json.dumps(row) + "\n" for row in spoken))
    values = compare(planned("fmn", "lengths", seeds=1, budget=1)).values
    for system in values["systems"].values():
        figures = system["metrics"]["audio_to_video"]
        for figure in (*figures["instance_hit"].values(), *figures["partner_rank"].values()):
            assert figure == {"mean": None, "sd": None, "values": []}
        assert len(figures["class_hit"]["1"]["values"]) == 1
        assert system["partner_rank"] == {"audio_to_video": None, "video_to_audio": None}
    apart = values["systems"]["lengths"]["difference"]["video_to_audio"]
    assert apart["instance_hit"] == {"1": None, "10": None, "25": None}
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        write_files(values | {"test_sha256": folder.name}, folder, latex=True)
    lines = (folders[0] / "compare.md").read_text().splitlines()
    row = next(line for line in lines if line.startswith("| lengths |"))
    assert [cell.strip() for cell in row.split("|")[-5:-1]] == ["–"] * 4
    both = over_corpora(folders)["systems"]["lengths"]
    assert both["metrics"]["audio_to_video"]["instance_hit"]["1"] == {"mean": None, "sd": None, "values": []}
    assert both["partner_rank"] == {"audio_to_video": None, "video_to_audio": None}
    assert len(both["metrics"]["audio_to_video"]["class_hit"]["1"]["values"]) == 2
