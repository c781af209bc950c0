"""The manifests of lhotse: its own validation takes them, its cuts load the sound, and they say what the rows say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from dataset_tools.core.workspace import Workspace
from dataset_tools.exports.exporting import export_dataset

Manifest = Callable[[Workspace, str], list[dict[str, Any]]]


@pytest.mark.filterwarnings("default")
def test_its_library_loads_the_cuts(workspace: Workspace, manifest: Manifest, tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    out = tmp_path / "out"
    export_dataset(workspace, "lhotse", out)
    rows = {row["id"]: row for row in manifest(workspace, "utterances")}
    found = set()
    for split in ("train", "test"):
        recordings = lhotse.RecordingSet.from_file(out / f"recordings-{split}.jsonl.gz")
        supervisions = lhotse.SupervisionSet.from_file(out / f"supervisions-{split}.jsonl.gz")
        lhotse.validate_recordings_and_supervisions(recordings.with_path_prefix(out), supervisions, read_data=True)
        cuts = lhotse.CutSet.from_file(out / f"cuts-{split}.jsonl.gz")
        assert not any(Path(source.source).is_absolute() for cut in cuts for source in cut.recording.sources)
        cuts = cuts.with_recording_path_prefix(out)
        lhotse.validate(cuts, read_data=True)
        for cut in cuts:
            row, (said,) = rows[cut.id], cut.supervisions
            assert (said.text, said.language, said.speaker) == (row["text"], row["language"], row["voice"])
            assert (said.custom["class"], said.custom["clip"]) == (row["class"], row["clip"])
            assert said.custom["split"] == split == cut.id.partition("-")[0]
            assert json.loads(said.custom["quality"]) == row["quality"]
            samples, _ = soundfile.read(workspace.root / row["path"], dtype="float32")
            np.testing.assert_array_equal(cut.load_audio()[0], samples)
            found.add(cut.id)
        assert {one.id for one in recordings} == {one.id for one in supervisions} == {cut.id for cut in cuts}
    assert found == set(rows)
    pairs = [json.loads(line) for path in out.glob("pairs-*.jsonl") for line in path.read_text("utf-8").splitlines()]
    assert sorted((row["clip"], row["utterance"]) for row in pairs) == sorted(
        (row["clip"], row["utterance"]) for row in manifest(workspace, "pairs")
    )


def test_without_media_there_are_supervisions_and_pairs(
    workspace: Workspace, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lhotse = pytest.importorskip("lhotse")
    monkeypatch.setattr("dataset_tools.exports.exporting.make_recipe", lambda *_: None)  # of builds, not of a fixture
    export_dataset(workspace, "lhotse", tmp_path / "out", with_media=False)
    names = {path.name for path in (tmp_path / "out").iterdir()} - {"README.md", "SHA256SUMS", "export.json"}
    supervisions = {"supervisions-train.jsonl.gz", "supervisions-test.jsonl.gz"}
    assert names == supervisions | {"pairs-train.jsonl", "pairs-test.jsonl", "pairs-neither.jsonl"}
    said = [one for name in supervisions for one in lhotse.SupervisionSet.from_file(tmp_path / "out" / name)]
    assert {one.id: one.text for one in said} == {row["id"]: row["text"] for row in manifest(workspace, "utterances")}
