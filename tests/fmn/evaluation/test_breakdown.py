from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fmn.data.items import load_items
from fmn.evaluation.breakdown import details, factors_of, summarized
from fmn.metrics.bootstrap import interval_of_mean
from fmn.metrics.retrieval_metrics import retrieval_metrics

QUERY_CLASSES = ["a", "a", "b", "b", "c"]
GALLERY_CLASSES = ["a", "b", "b", "c", "c", "c"]
FACTORS = {"class": QUERY_CLASSES, "voice": ["x", "y", "x", "y", "x"]}


def found_by(scores: Any, partners: Any) -> dict[str, Any]:
    classes = np.asarray(QUERY_CLASSES)[:, None] == np.asarray(GALLERY_CLASSES)[None]
    return details(scores, classes, partners, FACTORS)


def test_the_means_of_the_classes_average_to_the_mean_over_queries() -> None:
    scores = np.random.default_rng(0).normal(size=(5, 6))
    partners = np.eye(5, 6, dtype=bool)
    found = found_by(scores, partners)["by_class"]
    whole = retrieval_metrics(scores, QUERY_CLASSES, GALLERY_CLASSES, partners)
    assert {name: entry["queries"] for name, entry in found.items()} == {"a": 2, "b": 2, "c": 1}
    for metric in ("class_hit", "class_recall"):
        for k in ("1", "10", "25"):
            mean = sum(entry["queries"] * entry[metric][k] for entry in found.values()) / 5
            assert mean == pytest.approx(whole[metric][k])
    assert sum(entry["queries"] * entry["class_map"] for entry in found.values()) / 5 == pytest.approx(
        whole["class_map"]
    )


def test_intervals_are_of_the_queries_values_and_hold_the_mean() -> None:
    scores = np.zeros((5, 6))
    best = [0, 5, 1, 3, 4]  # first finds: a hit, a miss, a hit, a miss, a hit
    scores[range(5), best] = 1
    partners = np.eye(5, 6, dtype=bool)
    partners[3:] = False  # the last two queries have no partner: 3 queries, one of which finds its own first
    intervals = found_by(scores, partners)["intervals"]
    hits = interval_of_mean([100, 0, 100, 0, 100], FACTORS)
    assert intervals["class_hit"]["1"] == [hits.low, hits.high]
    own = interval_of_mean([100, 0, 0], {name: labels[:3] for name, labels in FACTORS.items()})
    assert intervals["instance_hit"]["1"] == [own.low, own.high]
    assert (intervals["level"], intervals["levels"]) == (0.95, {"class": 3, "voice": 2})
    # Query 0 is alone with its partner in class a; that of 1 is of class b; 2 finds the other of class b first.
    ranked = found_by(scores, partners)["intervals"]["partner_rank"]
    assert ranked == [100.0, 100.0]
    nothing = found_by(scores, np.zeros((5, 6), dtype=bool))["intervals"]
    assert nothing["instance_hit"] == {"1": None, "10": None, "25": None}


def test_utterances_share_voices_and_clips_people(workspace: Path) -> None:
    factors = factors_of(load_items(workspace / "manifests" / "test.jsonl"))
    assert set(factors["audio_to_video"]["voice"]) == {"voice5", "voice6", "voice7"}
    assert set(factors["video_to_audio"]["person"]) == {"s05", "s06", "s07"}
    assert all(len(set(found["class"])) == 4 for found in factors.values())


def test_several_blocks_become_their_mean_and_standard_deviation() -> None:
    def block(hit: float, own: float | None) -> dict[str, object]:
        every: dict[str, object] = {metric: {"1": hit} for metric in ("class_hit", "class_recall")}
        every["chosen"] = {"class": {"mrr": hit}, "instance": {"mrr": own}, "chance": {"class": {"mrr": 7.0}}}
        return every | {
            "chance": {"class_map": {"all": 0.1}, "class_hit": {"1": hit / 10}, "instance_hit": {"1": own}},
            "instance_hit": {"1": own},
            "class_map": hit,
            "median_rank": 1.0,
            "partner_rank": own,
            "queries": 4,
        }

    found = summarized([block(10.0, None), block(20.0, None), block(60.0, None)])
    assert found["class_hit"] == {"1": 30.0}
    assert found["sd"]["class_hit"]["1"] == pytest.approx((700.0) ** 0.5)  # ((20² + 10² + 30²) / 2)^½
    assert found["instance_hit"] == found["sd"]["instance_hit"] == {"1": None}
    assert found["queries"] == 4
    assert found["chosen"]["class"] == {"mrr": 30.0}
    assert found["chosen"]["sd"] == {"class": {"mrr": pytest.approx(700.0**0.5)}, "instance": {"mrr": None}}
    assert found["chosen"]["chance"] == {"class": {"mrr": 7.0}}
    # Draws of other items have another chance each; where it is the same, it stays the same to the last digit.
    assert found["chance"] == {"class_map": {"all": 0.1}, "class_hit": {"1": 3.0}, "instance_hit": {"1": None}}
    assert found["partner_rank"] is found["sd"]["partner_rank"] is None
    ranks = summarized([block(10.0, 40.0), block(20.0, 60.0)])
    assert (ranks["partner_rank"], ranks["sd"]["partner_rank"]) == (50.0, pytest.approx(200**0.5))
    assert summarized([block(10.0, 5.0)])["sd"]["instance_hit"] == {"1": None}
