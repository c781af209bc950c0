from __future__ import annotations

from io import StringIO
from typing import Any

import numpy as np
from rich.console import Console

from fmn.evaluation.table import results_table, results_text
from fmn.metrics.retrieval_metrics import retrieval_metrics


def metrics(seed: int, *, with_partners: bool = True) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    classes = np.arange(6) % 3
    partners = np.eye(6, dtype=bool) & with_partners
    scores = random.normal(size=(6, 6))
    return {
        "audio_to_video": retrieval_metrics(scores.T, classes, classes, partners),
        "video_to_audio": retrieval_metrics(scores, classes, classes, partners),
    }


def rows_of(text: str) -> list[list[str]]:
    lines = [line[1:-1] for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")] for line in lines]


def test_every_number_stands_where_it_belongs() -> None:
    results = {"fmn": metrics(0), "other": metrics(1)}
    rows = rows_of(results_text(results, title="a run"))
    assert rows[0] == ["query → gallery", "metric", "system", "@1", "@10", "@25"]
    expected = []
    for direction in ("audio_to_video", "video_to_audio"):
        for metric in ("instance_hit", "class_hit", "class_recall"):
            chance, ceiling = (results["fmn"][direction][name][metric] for name in ("chance", "ceiling"))
            for values in (results["fmn"][direction][metric], results["other"][direction][metric], chance, ceiling):
                expected.append([f"{values[k]:.1f}" for k in ("1", "10", "25")])
    assert [row[3:] for row in rows[2:]] == expected
    assert [row[2] for row in rows[2:6]] == ["fmn", "other", "chance", "ceiling"]
    assert rows[2][0] == "audio → video  (6 queries, gallery 6)"
    assert rows[14][0] == "video → audio  (6 queries, gallery 6)"
    assert [row[1] for row in rows[2::4]] == ["instance hit", "class hit", "class recall"] * 2


def test_nothing_to_measure_is_a_dash() -> None:
    rows = rows_of(results_text({"fmn": metrics(0, with_partners=False)}, title="a run"))
    assert rows[2][3:] == ["–", "–", "–"]
    assert rows[5][3] != "–"


def test_the_terminals_table_says_the_same_and_every_note() -> None:
    results = {"fmn": metrics(0)}
    console = Console(width=120, record=True, file=StringIO())
    console.print(results_table(results, title="a run  (stand-in corpus)", notes=["It is made up."]))
    text = console.export_text()
    assert "a run  (stand-in corpus)" in text
    assert "It is made up." in text
    for row in rows_of(results_text(results, title=""))[2:]:
        for cell in row:
            assert cell in text
    assert "It is made up." in results_text(results, title="a run", notes=["It is made up."])
