"""croissant.json: mlcroissant finds no error, and its records are the rows of the manifests."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataset_tools.core.workspace import Workspace
from dataset_tools.exports.exporting import export_dataset

Manifest = Callable[[Workspace, str], list[dict[str, Any]]]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("with_media", [True, False])
def test_its_library_reads_the_records(
    workspace: Workspace, manifest: Manifest, tmp_path: Path, with_media: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    monkeypatch.setattr("dataset_tools.exports.exporting.make_recipe", lambda *_: None)  # of builds, not of a fixture
    export_dataset(workspace, "croissant", tmp_path / "out", with_media=with_media)
    logging.getLogger("absl").setLevel(logging.ERROR)
    loaded = mlcroissant.Dataset(jsonld=str(tmp_path / "out" / "croissant.json"))
    assert not loaded.metadata.ctx.issues.errors
    assert loaded.metadata.ctx.conforms_to.value.endswith("croissant/1.1")
    for table in ("clips", "utterances", "pairs"):
        rows = manifest(workspace, table)
        found = {record[f"{table}/id"].decode(): record for record in loaded.records(table)}
        assert set(found) == {row["id"] for row in rows}
        for row in rows:
            record = found[row["id"]]
            assert record[f"{table}/class"].decode() == row["class"]
            if table == "pairs":
                assert (record["pairs/clip"].decode(), record["pairs/utterance"].decode()) == (
                    row["clip"],
                    row["utterance"],
                )
                continue
            assert record[f"{table}/duration_s"] == row["duration_s"]
            assert (f"{table}/path" in record) == with_media
            if with_media:
                content = (tmp_path / "out" / record[f"{table}/path"].decode()).read_bytes()
                assert hashlib.sha256(content).hexdigest() == row["sha256"] == record[f"{table}/sha256"].decode()


def test_the_distribution_is_what_lies_there(workspace: Workspace, tmp_path: Path) -> None:
    export_dataset(workspace, "croissant", tmp_path / "out")
    described = json.loads((tmp_path / "out" / "croissant.json").read_text("utf-8"))
    files = {one["@id"]: one for one in described["distribution"]}
    for name in ("clips.csv", "utterances.csv", "pairs.csv"):
        content = (tmp_path / "out" / name).read_bytes()
        assert files[name]["sha256"] == hashlib.sha256(content).hexdigest()
        assert files[name]["contentSize"] == f"{len(content)} B"
    for table in ("clips", "utterances"):
        found = {path.name for path in (tmp_path / "out").glob(files[f"{table}-files"]["includes"])}
        assert found == {path.name for path in (tmp_path / "out" / table).iterdir()}
        assert len(found) == 4


def test_responsible_ai(workspace: Workspace, tmp_path: Path, make_record: Callable[..., None]) -> None:
    make_record(workspace, licences=["research only"])
    export_dataset(workspace, "croissant", tmp_path / "out", allowed=["mpii-footage"])
    described = json.loads((tmp_path / "out" / "croissant.json").read_text("utf-8"))
    assert described["conformsTo"] == ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
    assert "research only" in described["license"]
    assert "MPII Cooking 2" in described["rai:dataCollection"]
    assert described["rai:dataCollectionType"] == ["Secondary Data analysis"]
    assert any("were not reviewed" in one for one in described["rai:dataAnnotationProtocol"])
    assert any("4 of 4 utterances have synthetic voices" in one for one in described["rai:dataLimitations"])
    assert any("Withdrawn consents: 0" in one for one in described["rai:personalSensitiveInformation"])
