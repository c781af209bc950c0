"""Search: it ranks as evaluation does, in the test manifest or in the whole data set."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from dataset_tools.core.errors import InputError, SampleError
from dataset_tools.manifests import write_rows
from fmn.cli.main import app
from fmn.data.items import load_items
from fmn.data.loading import load_features
from fmn.evaluation import run_notes
from fmn.evaluation.evaluate import all_scores
from fmn.features.media import FeatureSet, Media
from fmn.search import gallery_search
from fmn.search.gallery_search import Gallery, search
from fmn.search.search_results import GallerySource
from fmn.training.checkpoint import load_run

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")
CPU = torch.device("cpu")


@pytest.mark.parametrize("kind", ["speech", "clip"])
def test_search_ranks_as_evaluation_does(
    workspace: Path, run: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = workspace / "manifests" / "test.jsonl"
    items = load_items(manifest)
    loaded = load_run(run, CPU)
    scores = all_scores(loaded, load_features(items, loaded.config, device=CPU))
    asked = items.utterances[5] if kind == "speech" else items.clips[5]
    gallery = items.clips if kind == "speech" else items.utterances
    column = scores[:, 5] if kind == "speech" else scores[5]
    best = np.argsort(-column, kind="stable")[:4]
    unsaid = gallery[best[1]].id  # a clip that nothing is said of
    said = [
        msgspec.structs.replace(row, clip=clip.id, text=f"of {clip.id}")
        for row, clip in zip(items.utterances, items.clips, strict=True)
        if clip.id != unsaid
    ]
    write_rows(manifest.with_name("utterances.jsonl"), said)
    # The made-up features go by content hash, and the files here are empty.
    monkeypatch.setattr("fmn.search.gallery_search.sha256_of", lambda path: asked.sha256)
    result = search(run, workspace / asked.path, kind, GallerySource(manifest), top=4)  # type: ignore[arg-type]
    assert [hit.id for hit in result.hits] == [gallery[index].id for index in best]
    assert [hit.rank for hit in result.hits] == [1, 2, 3, 4]
    np.testing.assert_allclose([hit.score for hit in result.hits], column[best], atol=1e-5)
    assert result.gallery == 12
    if kind == "speech":
        expected = [
            (clip.person, f"of {clip.id}" if clip.id != unsaid else None) for clip in map(gallery.__getitem__, best)
        ]
        assert len({person for person, _ in expected}) > 1
    else:
        expected = [(gallery[index].voice, gallery[index].text) for index in best]
    assert [(hit.person, hit.text) for hit in result.hits] == expected
    assert result.hits[0].path == gallery[best[0]].path


def test_search_for_a_file_that_is_not_there(workspace: Path, run: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        search(run, workspace / "none.wav", "speech", GallerySource(workspace / "manifests" / "test.jsonl"))


def test_everything_of_the_data_set_can_be_searched(whole: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = whole / "manifests" / "test.jsonl"
    asked = load_items(whole / "manifests" / "train.jsonl").utterances[0]
    monkeypatch.setattr("fmn.search.gallery_search.sha256_of", lambda path: asked.sha256)
    result = search(run, whole / asked.path, "speech", GallerySource(manifest, everything=True), top=50)
    assert result.gallery == len(result.hits) == 4 * 8
    assert result.manifest == str(manifest.with_name("clips.jsonl"))
    assert result.hits[0].class_id == asked.class_id
    assert any("were trained on" in note for note in result.notes)
    assert search(run, whole / asked.path, "speech", GallerySource(manifest), top=50).gallery == 4 * 3


@pytest.mark.parametrize("everything", [False, True])
def test_a_search_says_nothing_of_a_training_manifest_that_has_moved(
    whole: Path, run: Path, monkeypatch: pytest.MonkeyPatch, *, everything: bool
) -> None:
    manifest = whole / "manifests" / "test.jsonl"
    asked = load_items(manifest).utterances[0]
    monkeypatch.setattr("fmn.search.gallery_search.sha256_of", lambda path: asked.sha256)
    manifest.with_name("train.jsonl").unlink()
    notes = search(run, whole / asked.path, "speech", GallerySource(manifest, everything=everything)).notes
    assert [note for note in notes if "training manifest" in note] == []
    assert any("were trained on" in note for note in notes) == everything  # by their ids


def test_a_search_of_the_test_manifest_reads_no_training_manifest(
    workspace: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = workspace / "manifests" / "test.jsonl"
    asked = load_items(manifest).utterances[0]
    monkeypatch.setattr("fmn.search.gallery_search.sha256_of", lambda path: asked.sha256)
    monkeypatch.setattr(run_notes, "unchanged_manifest", lambda *_: pytest.fail("it was read"))
    search(run, workspace / asked.path, "speech", GallerySource(manifest))


@pytest.mark.parametrize("kind", ["speech", "clip"])
def test_a_gallery_is_encoded_once_for_all_its_queries(
    workspace: Path, run: Path, kind: gallery_search.QueryKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = workspace / "manifests" / "test.jsonl"
    items = load_items(manifest)
    asked = (items.utterances if kind == "speech" else items.clips)[:3]
    encoded = {"gallery": 0}
    for name in ("encode_all_clips", "encode_all_utterances"):
        encode = getattr(gallery_search, name)

        def counted(model, data, indices, encode=encode):  # type: ignore[no-untyped-def]
            encoded["gallery"] += len(indices) > 1
            return encode(model, data, indices)

        monkeypatch.setattr(gallery_search, name, counted)
    gallery = Gallery(load_run(run, CPU), GallerySource(manifest).rows(kind), kind, GallerySource(manifest), device=CPU)
    for row in asked:
        monkeypatch.setattr("fmn.search.gallery_search.sha256_of", lambda path, row=row: row.sha256)
        alone = search(run, workspace / row.path, kind, GallerySource(manifest), top=12)
        encoded["gallery"] -= 1
        assert gallery.search(workspace / row.path, top=12) == alone
    assert encoded["gallery"] == 1


def test_a_gallery_is_encoded_in_parts(workspace: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = workspace / "manifests" / "test.jsonl"
    asked = load_items(manifest).clips[0]
    monkeypatch.setattr("fmn.search.gallery_search.sha256_of", lambda path: asked.sha256)
    whole = search(run, workspace / asked.path, "clip", GallerySource(manifest), top=12)
    monkeypatch.setattr(gallery_search, "ROWS_AT_ONCE", 5)  # of 12 utterances: 5, 5 and 2
    parts = search(run, workspace / asked.path, "clip", GallerySource(manifest), top=12)
    assert [hit.id for hit in parts.hits] == [hit.id for hit in whole.hits]
    np.testing.assert_allclose([hit.score for hit in parts.hits], [hit.score for hit in whole.hits], atol=1e-5)


@pytest.mark.parametrize("kind", ["speech", "clip"])
def test_items_without_a_file_or_features_are_listed(
    workspace: Path, run: Path, kind: gallery_search.QueryKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = workspace / "manifests" / "test.jsonl"
    rows = GallerySource(manifest).rows(kind)
    gone, damaged, *others = rows
    (workspace / gone.path).unlink()
    asked = load_items(manifest).utterances[5] if kind == "speech" else load_items(manifest).clips[5]
    name = "extract_video" if kind == "speech" else "extract_audio"
    extract = getattr(gallery_search, name)

    def failing(media: list[Media], *arguments: Any, **options: Any) -> FeatureSet:
        found = extract(media, *arguments, **options)
        values = {sha256: value for sha256, value in found.values.items() if sha256 != damaged.sha256}
        failed = {damaged.sha256: SampleError("It is damaged")} if len(values) < len(found.values) else {}
        return replace(found, values=values, failures=failed)

    monkeypatch.setattr(gallery_search, name, failing)
    monkeypatch.setattr("fmn.search.gallery_search.sha256_of", lambda path: asked.sha256)
    result = search(run, workspace / asked.path, kind, GallerySource(manifest), top=12)
    assert result.failures == {gone.id: f"The file {gone.path!r} is missing", damaged.id: "It is damaged"}
    assert {hit.id for hit in result.hits} == {row.id for row in others}
    assert (result.gallery, result.run, result.manifest) == (10, str(run), str(manifest))

    told = CliRunner().invoke(app, ["search", str(run), f"--{kind}", str(workspace / asked.path), "--json"])
    assert told.exit_code == 1, told.output
    assert json.loads(told.stdout)["failures"] == result.failures
    assert (json.loads(told.stdout)["run"], json.loads(told.stdout)["manifest"]) == (str(run), str(manifest))
    assert "2 files have no features, left out:" in told.stderr
    assert f"in {manifest} by {run}" in " ".join(told.stderr.split())
    for row in others:
        (workspace / row.path).unlink()
    with pytest.raises(InputError, match=f"no item of the manifest has features; the first, {gone.id}: The file "):
        Gallery(load_run(run, CPU), [gone, *others], kind, GallerySource(manifest), device=CPU)


@pytest.mark.parametrize("name", ["silent.wav", "kept.wav"])
def test_what_is_doubtful_about_a_recording_is_told(
    whole: Path, run: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silent one is searched as it is, with a warning; so is one of the data set, without."""
    manifest = whole / "manifests" / "test.jsonl"
    known = load_items(whole / "manifests" / "train.jsonl").utterances[0]
    of_data_set, silent = known.sha256, load_items(manifest).utterances[0].sha256
    hashes = {"silent.wav": "0" * 64, "kept.wav": of_data_set}
    searched: list[str] = []

    def hashed(path: Path) -> str:
        searched.append(path.name)
        return hashes[path.name] if len(searched) == 1 else silent

    for module in ("query_preparation", "gallery_search"):
        monkeypatch.setattr(f"fmn.search.{module}.sha256_of", hashed)
    soundfile.write(tmp_path / name, np.zeros(16_000), 16_000)
    told = CliRunner().invoke(app, ["search", str(run), "--speech", str(tmp_path / name)])
    assert told.exit_code == 0, told.output
    assert ("would reject this query" in " ".join(told.output.split())) == (name == "silent.wav")
    assert searched == [name, name]


def test_the_typed_text_is_shown_as_it_is_and_only_files_are_searched(
    whole: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = ["search", str(run), "--manifest", str(whole / "manifests" / "test.jsonl")]
    words = CliRunner().invoke(app, [*common, "--text", "salt/../thing 2", "--by-words"])
    assert "clips for “salt/../thing 2”, best" in words.output
    (whole / "pipe").mkdir()
    with pytest.raises(InputError, match="not a regular file"):
        search(run, whole / "pipe", "speech", GallerySource(whole / "manifests" / "test.jsonl"))
    nowhere = CliRunner().invoke(app, [*common, "--text", "thing 2", "--by-words", "--workspace", str(whole / "none")])
    assert nowhere.exit_code == 2
    assert "There is no such workspace" in nowhere.output


def test_the_command_takes_one_query(whole: Path, run: Path) -> None:
    test = str(whole / "manifests" / "test.jsonl")
    common = ["search", str(run), "--manifest", test]
    words = CliRunner().invoke(app, [*common, "--text", "thing 2", "--by-words", "--all"])
    assert words.exit_code == 0
    assert "of 32" in words.output
    for empty in ("", " \n"):
        for options in ([], ["--by-words"]):
            refused = CliRunner().invoke(app, [*common, "--text", empty, *options])
            assert refused.exit_code == 2
            assert "The query is empty" in refused.output
            assert "--text" in refused.output.partition("where:")[2].splitlines()[0]
    for wrong in ([], ["--by-words"], ["--text", "a", "--speech", test], ["--by-words", "--speech", test]):
        assert CliRunner().invoke(app, [*common, *wrong]).exit_code == 2
