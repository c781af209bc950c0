"""Prepared galleries: the first search finds their features and their index."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dataset_tools.core.errors import InputError
from dataset_tools.manifests import write_rows
from fmn.cli.main import app
from fmn.data.items import load_items
from fmn.search import gallery_index, gallery_search, prepare
from fmn.search.gallery_search import search
from fmn.search.prepare import plan_search, prepare_galleries
from fmn.search.search_results import GallerySource

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def manifest(workspace: Path) -> Path:
    """The test manifest, with clips.jsonl and utterances.jsonl of the same items beside it."""
    path = workspace / "manifests" / "test.jsonl"
    items = load_items(path)
    write_rows(path.with_name("clips.jsonl"), items.clips)
    write_rows(path.with_name("utterances.jsonl"), items.utterances)
    return path


@pytest.fixture
def large(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve items are as many as a gallery with an index needs."""
    pytest.importorskip("faiss", reason="needs the extra index")
    for module in (gallery_search, prepare):
        monkeypatch.setattr(module, "INDEXED_FROM", len(load_items(manifest).clips))


@pytest.mark.usefixtures("made_features", "large")
def test_a_search_uses_the_index_that_was_prepared(run: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = load_items(manifest).utterances[0]
    monkeypatch.setattr(gallery_search, "sha256_of", lambda path: asked.sha256)  # by which features are made up
    prepared = prepare_galleries(run, GallerySource(manifest))
    assert [(one.kind, one.items, one.why) for one in prepared] == [("speech", 12, ""), ("clip", 12, "")]
    states = [Path(str(one.index)) / "index.json" for one in prepared]
    written = [path.read_bytes() for path in states]
    monkeypatch.setattr(gallery_index.GalleryIndex, "_add", lambda *_: pytest.fail("the index was built again"))
    found = search(run, manifest.parent.parent / asked.path, "speech", GallerySource(manifest), top=5)
    assert any("Searched with an index" in note for note in found.notes)
    assert [path.read_bytes() for path in states] == written


@pytest.mark.usefixtures("made_features", "large")
def test_the_whole_data_set_has_an_index_of_its_own(run: Path, manifest: Path) -> None:
    (tested,), (whole,) = (
        prepare_galleries(run, GallerySource(manifest, everything=everything), kinds=["speech"])
        for everything in (False, True)
    )
    assert tested.index != whole.index
    assert whole.manifest == str(manifest.with_name("clips.jsonl"))
    assert (Path(str(tested.index)) / "index.json").is_file()


@pytest.mark.usefixtures("made_features")
def test_a_small_gallery_has_no_index(run: Path, manifest: Path) -> None:
    found = prepare_galleries(run, GallerySource(manifest))
    assert [(one.kind, one.items, one.index) for one in found] == [("speech", 12, None), ("clip", 12, None)]
    assert {one.why for one in found} == {"fewer than 200,000 items need no index"}


@pytest.mark.usefixtures("large")
def test_a_missing_library_is_told_before_features_are_extracted(
    run: Path, manifest: Path, made_features: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dict(made_features)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(InputError, match="faiss"):
        prepare_galleries(run, GallerySource(manifest))
    assert made_features == before


@pytest.mark.usefixtures("made_features")
def test_a_search_needs_no_index_and_neither_does_its_dry_run(
    run: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (gallery_search, prepare):
        monkeypatch.setattr(module, "INDEXED_FROM", 12)
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr(prepare, "extract_video", gallery_search.extract_video)  # the one that makes them up
    asked = load_items(manifest).utterances[0]
    monkeypatch.setattr(gallery_search, "sha256_of", lambda path: asked.sha256)  # by which features are made up
    query = manifest.parent.parent / asked.path
    assert len(search(run, query, "speech", GallerySource(manifest)).hits) == 10
    planned = plan_search(run, query, "speech", GallerySource(manifest))
    assert (planned.clips, planned.utterances, planned.files) == (12, 0, ())


@pytest.mark.usefixtures("made_features")
def test_items_without_features_are_listed(run: Path, manifest: Path) -> None:
    gone = load_items(manifest).clips[0]
    (manifest.parent.parent / gone.path).unlink()
    told = CliRunner().invoke(app, ["index", str(run), "--query", "speech", "--all", "--json"])
    assert told.exit_code == 1, told.output
    (found,) = json.loads(told.stdout)["galleries"]
    assert found["failures"] == {gone.id: f"The file {gone.path!r} is missing"}
    assert (found["kind"], found["items"], found["index"]) == ("speech", 11, None)
    assert "11 clips, features extracted" in told.stderr
