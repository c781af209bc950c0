from __future__ import annotations

from collections import Counter
from io import StringIO
from itertools import zip_longest
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from fmn.evaluation.results_table import chosen_table, class_table, results_table
from fmn.metrics.chosen_metrics import chosen_metrics
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


def shown(table: Table) -> str:
    console = Console(width=200, record=True, file=StringIO())
    console.print(table)
    return console.export_text()


def rows_of(table: Table) -> list[list[str]]:
    """The head and the rows, a cell that is missing at the end of a row being empty."""
    columns = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    return [list(row) for row in zip_longest(*columns, fillvalue="")]


def test_every_number_stands_where_it_belongs() -> None:
    results = {"fmn": metrics(0), "other": metrics(1)}
    rows = rows_of(results_table(results, title="a run"))
    assert rows[0] == ["query → gallery", "metric", "system", "@1", "@10", "@25", "rank in class"]
    expected = []
    for direction in ("audio_to_video", "video_to_audio"):
        for metric in ("instance_hit", "class_hit", "class_recall"):
            chance, ceiling = (results["fmn"][direction][name][metric] for name in ("chance", "ceiling"))
            for values in (results["fmn"][direction][metric], results["other"][direction][metric], chance, ceiling):
                expected.append([f"{values[k]:.1f}" for k in ("1", "10", "25")])
                expected[-1].append("")
            if metric == "instance_hit":
                ranks = [results[name][direction]["partner_rank"] for name in results] + [50, 50]
                for row, rank in zip(expected[-4:], ranks, strict=True):
                    row[-1] = f"{rank:.1f}"
    assert [row[3:] for row in rows[1:]] == expected
    assert [row[2] for row in rows[1:5]] == ["fmn", "other", "chance", "ceiling"]
    for first, direction in ((1, "audio → video"), (13, "video → audio")):
        assert [row[0] for row in rows[first : first + 12]] == [direction, "6 queries", "6 in gallery", *[""] * 9]
    assert [row[1] for row in rows[1::4]] == ["instance hit", "class hit", "class recall"] * 2


def test_nothing_to_measure_is_a_dash_with_its_reason() -> None:
    table = results_table({"fmn": metrics(0, with_partners=False)}, title="a run")
    reason = "instance hit and rank in class are undefined, as no query has its partner in the gallery"
    assert " ".join(shown(table).split()).count(reason) == 2
    assert "undefined" not in shown(results_table({"fmn": metrics(0)}, title="a run"))
    rows = rows_of(table)
    assert rows[1][3:] == ["–", "–", "–", "–"]
    assert rows[4][3] != "–"


def test_chosen_metrics_stand_below_their_names() -> None:
    classes, partners = np.arange(6)[:, None] % 3 == np.arange(6) % 3, np.eye(6, dtype=bool)
    result = metrics(0)
    factors = {"class": [str(number % 3) for number in range(6)]}
    for seed, block in enumerate(result.values()):
        scores = np.random.default_rng(seed).normal(size=(6, 6))
        block["chosen"] = chosen_metrics(scores, classes, partners, ("ndcg@2", "mrr"), factors)
    rows = rows_of(chosen_table({"fmn": result}, title="a run"))
    assert rows[0] == ["query → gallery", "relevant", "system", "ndcg@2", "mrr"]
    expected = []
    for block in result.values():
        chosen = block["chosen"]
        for relevance in ("instance", "class"):
            spreads = [f" [{low:.0f}–{high:.0f}]" for low, high in chosen["intervals"][relevance].values()]
            of_fmn = zip(chosen[relevance].values(), spreads, strict=True)
            expected.append([f"{value:.1f}{spread}" for value, spread in of_fmn])
            for reference in ("chance", "ceiling"):
                expected.append([f"{value:.1f}" for value in chosen[reference][relevance].values()])
    assert [row[3:] for row in rows[1:]] == expected
    assert [row[1] for row in rows[1::3]] == ["own partner", "its class"] * 2


def test_an_instance_hit_that_is_no_evidence_is_said() -> None:
    found = {"fmn": metrics(0)}
    for direction, rank, interval in (("audio_to_video", 49.0, [45.0, 53.0]), ("video_to_audio", 40.0, [35.0, 45.0])):
        intervals = {"partner_rank": interval, "levels": {"class": 6, "voice": 2}}
        found["fmn"][direction] |= {"partner_rank": rank, "instance_queries": 9, "intervals": intervals}
    text = " ".join(shown(results_table(found, title="a run")).split())
    assert "49.0 [45–53]" in text
    assert "fmn, audio → video: the rank in class does not differ significantly from chance" in text
    assert "fmn, video → audio: the rank in class does not" not in text
    found["fmn"]["video_to_audio"]["instance_queries"] = 5  # five may agree by chance
    text = " ".join(shown(results_table(found, title="a run")).split())
    assert "fmn, video → audio: the rank in class does not differ significantly from chance" in text


def test_few_queries_with_a_partner_are_said() -> None:
    found = {"fmn": metrics(0)}
    assert "no partner" not in shown(results_table(found, title="a run"))
    found["fmn"]["video_to_audio"]["instance_queries"] = 1
    text = " ".join(shown(results_table(found, title="a run")).split())
    assert "video → audio: instance hit and rank in class are of 1 of the 6 queries" in text
    assert "audio → video: instance hit and rank" not in text


def test_titles_and_notes_stand_around_the_table() -> None:
    text = shown(results_table({"fmn": metrics(0)}, title="a run  (stand-in corpus)", notes=["It is made up [sic]."]))
    assert text.startswith("a run  (stand-in corpus)")
    assert "It is made up [sic]." in text


def test_the_worst_class_comes_first_and_its_share_is_said_both_ways() -> None:
    def of(queries: int, hit: float, precision: float) -> dict[str, Any]:
        return {"queries": queries, "class_hit": {"1": hit}, "class_map": precision}

    by_class = {
        "audio_to_video": {"by_class": {"peel": of(3, 33.3, 90.0), "wash": of(4, 50.0, 20.0), "cut": of(5, 0.0, 99.0)}},
        "video_to_audio": {"by_class": {"peel": of(2, 100.0, 80.0), "wash": of(1, 0.0, 30.0)}},
    }
    rows = rows_of(class_table(by_class, title="classes"))
    assert rows[0][1:4] == [f"audio → video\n{name}" for name in ("queries", "hit@1", "mAP")]
    assert rows[1:] == [
        ["wash", "4", "50.0", "20.0", "1", "0.0", "30.0"],
        ["peel", "3", "33.3", "90.0", "2", "100.0", "80.0"],
        ["cut", "5", "0.0", "99.0", "–", "–", "–"],
    ]


def test_at_80_columns_every_name_and_figure_is_whole() -> None:
    found = {"fmn": metrics(0), "file_size (trivial)": metrics(1)}
    for block in found["fmn"].values():
        block["intervals"] = {name: {k: [43, 100] for k in ("1", "10", "25")} for name in ("instance_hit", "class_hit")}
        block["intervals"] |= {"partner_rank": [25.0, 79.0], "levels": {"class": 6, "voice": 2}}
    console = Console(width=80, record=True, file=StringIO())
    console.print(results_table(found, title="a run"))
    text = console.export_text()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("[43–100]") == 2 * 2 * 3
    assert text.count("file_size") == 2 * 3


@pytest.mark.parametrize("width", [60, 72])
def test_a_narrow_terminal_breaks_texts_and_cuts_none(width: int) -> None:
    shown_characters = []
    for columns in (width, 200):
        console = Console(width=columns, record=True, file=StringIO())
        console.print(results_table({"fmn": metrics(0), "file_size (trivial)": metrics(1)}, title="a run"))
        shown_characters.append(Counter(console.export_text()) - Counter({" ": 10**6, "\n": 10**6, "─": 10**6}))
    assert shown_characters[0] == shown_characters[1]
