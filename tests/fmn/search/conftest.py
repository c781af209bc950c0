from __future__ import annotations

from pathlib import Path

import pytest

from dataset_tools.manifests import SplitPairRow, read_rows, write_rows


@pytest.fixture
def whole(workspace: Path) -> Path:
    """The workspace with clips.jsonl and utterances.jsonl of both splits; every utterance has words of its own."""
    rows = [row for name in ("train", "test") for row in read_rows(workspace / f"manifests/{name}.jsonl", SplitPairRow)]
    clips, utterances = {row.clip.id: row.clip for row in rows}, {row.utterance.id: row.utterance for row in rows}
    write_rows(workspace / "manifests" / "clips.jsonl", [clips[name] for name in sorted(clips)])
    write_rows(workspace / "manifests" / "utterances.jsonl", [utterances[name] for name in sorted(utterances)])
    return workspace
