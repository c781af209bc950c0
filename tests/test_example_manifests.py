"""manifests/example/ is what users read first: it must be what the code reads and writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dataset_tools.core.jsonl import Row
from dataset_tools.manifests import ClipRow, PairRow, SplitPairRow, UtteranceRow, read_rows

EXAMPLE = Path(__file__).parent.parent / "manifests" / "example"


@pytest.mark.parametrize(
    ("name", "row_type"),
    [
        ("clips", ClipRow),
        ("utterances", UtteranceRow),
        ("pairs", PairRow),
        ("train", SplitPairRow),
        ("test", SplitPairRow),
    ],
)
def test_every_row_type_has_an_example(name: str, row_type: type[Row]) -> None:
    rows = list(read_rows(EXAMPLE / f"{name}.jsonl", row_type))
    assert rows
    lines = (EXAMPLE / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    assert [row.id for row in rows] == [json.loads(line)["id"] for line in lines]


def test_the_rows_of_the_example_belong_together() -> None:
    clips = {row.id: row for row in read_rows(EXAMPLE / "clips.jsonl", ClipRow)}
    utterances = {row.id: row for row in read_rows(EXAMPLE / "utterances.jsonl", UtteranceRow)}
    pairs = {row.id for row in read_rows(EXAMPLE / "pairs.jsonl", PairRow)}
    for name in ("train", "test"):
        for row in read_rows(EXAMPLE / f"{name}.jsonl", SplitPairRow):
            assert row.id in pairs
            assert clips[row.clip.id] == row.clip
            assert utterances[row.utterance.id] == row.utterance
    assert json.loads((EXAMPLE / "build.json").read_text())["stand_in"]["generator"]
