"""Skips in annotations/skips.jsonl."""

from __future__ import annotations

import json
from pathlib import Path

from dataset_tools.speech.booth.skips import Skips


def test_every_skip_has_a_line_of_its_own_also_after_a_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "annotations" / "skips.jsonl"
    skips = Skips(path)
    skips.add("c1", "Cut it.", "sentence")
    skips.add("c2", "Peel it.", "clip")
    path.write_bytes(path.read_bytes()[:-9])  # the machine stopped while the second was written
    Skips(path).add("c3", "Wash it.", "other")
    first, torn, last = path.read_text().splitlines()
    assert json.loads(first)["clip"] == "c1"
    assert torn.startswith('{"schema":"fmn.skip/1","clip":"c2"')
    assert {name: json.loads(last)[name] for name in ("clip", "sentence", "reason")} == {
        "clip": "c3",
        "sentence": "Wash it.",
        "reason": "other",
    }
    assert skips.counts == {"sentence": 1, "clip": 1}
