from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from typer.testing import CliRunner

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of
from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from fmn.cli.main import app
from fmn.config import DEMO, Config, with_values
from fmn.data import cache_features as module
from fmn.data.cache_features import cache_features
from fmn.data.feature_export import export_features
from fmn.data.items import load_items
from fmn.data.loading import load_features

pytestmark = pytest.mark.usefixtures("workers_know_torch")
CHEAP: Config = with_values(DEMO, {"video.kind": "mean_colour"})


def cached(workspace: Path) -> dict[Path, bytes]:
    """The cached features, without the record of checked files."""
    folder = workspace / "cache" / "features"
    found = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.npy")}
    return {path: content for path, content in found.items() if path.parts[0] != "contents"}


def test_training_finds_every_feature_whichever_way_it_was_extracted(files: Path) -> None:
    manifest = files / "manifests" / "train.jsonl"
    items = load_items(manifest)
    found = cache_features([manifest], CHEAP, device="cpu", jobs=2, in_tasks=True)
    assert (found.clips, found.utterances) == (len(items.clips), len(items.utterances))
    assert (found.computed, found.failures) == (len(items.clips) + len(items.utterances), {})
    assert len(cached(files)) == found.computed
    computed: list[tuple[str, int]] = []

    load_features(
        items, CHEAP, device=torch.device("cpu"), progress=lambda stage, done, *_: computed.append((stage, done))
    )
    assert {done for stage, done in computed if stage == "video features"} == {len(items.clips)}  # all from the cache
    in_tasks = cached(files)
    assert cache_features([manifest], CHEAP, device="cpu", in_tasks=True).computed == 0
    for path in (files / "cache" / "features").rglob("*.npy"):
        path.unlink()
    assert cache_features([manifest], CHEAP, device="cpu").computed == found.computed
    assert cached(files) == in_tasks


def test_a_file_without_a_feature_is_named_and_the_rest_of_its_task_is_there(files: Path) -> None:
    manifest = files / "manifests" / "train.jsonl"
    clip = load_items(manifest).clips[0]
    (files / clip.path).write_bytes(b"no video")
    for in_tasks in (True, False):
        found = cache_features([manifest], CHEAP, device="cpu", jobs=2, in_tasks=in_tasks)
        assert list(found.failures) == [clip.id]
        assert found.clips == len(load_items(manifest).clips) - 1
    ended = CliRunner().invoke(app, ["features", "extract", str(manifest), "--set", "video.kind=mean_colour", "--json"])
    assert ended.exit_code == 1
    assert list(json.loads(ended.stdout)["failures"]) == [clip.id]


@pytest.mark.parametrize("in_tasks", [False, True])
def test_every_file_of_one_content_is_checked_as_by_an_export(files: Path, *, in_tasks: bool) -> None:
    manifest = files / "manifests" / "train.jsonl"
    row = next(iter(read_rows(manifest, SplitPairRow)))
    clips = load_items(manifest).clips
    same, wrong = files / "clips" / "same.mp4", files / "clips" / "wrong.mp4"
    shutil.copy(files / row.clip.path, same)
    others = [one for one in clips if one.sha256 != row.clip.sha256]
    shutil.copy(files / others[0].path, wrong)
    copies = []
    for path in (same, wrong):
        clip = msgspec.structs.replace(row.clip, id=f"x-{path.stem}", path=str(path.relative_to(files)))
        copies.append(msgspec.structs.replace(row, id=f"x-{path.stem}", clip=clip))
    only_same, both = (manifest.with_name(f"{name}.jsonl") for name in ("same", "both"))
    write_rows(only_same, copies[:1])
    write_rows(both, copies)
    options: dict[str, Any] = {"device": "cpu", "jobs": 2}
    found = cache_features([manifest, only_same], CHEAP, in_tasks=in_tasks, **options)
    assert (found.clips, found.failures) == (len(others) + 1, {})
    assert found.computed == found.clips + found.utterances
    found = cache_features([manifest, both], CHEAP, in_tasks=in_tasks, **options)
    assert (found.clips, found.computed) == (len(others) + 1, 0)
    assert found.failures.keys() == {"x-wrong"}
    assert "The content of x-wrong has changed" in found.failures["x-wrong"]
    prepared = load_features(load_items(both), CHEAP, device=torch.device("cpu"))
    assert ([clip.id for clip in prepared.items.clips], list(prepared.failures)) == (["x-same"], ["x-wrong"])
    exported = export_features([manifest, both], CHEAP, files / "exported", **options)
    assert (exported.clips, exported.failures) == (found.clips, found.failures)


def test_of_train_jsonl_the_test_manifest_beside_it_is_extracted_too(files: Path) -> None:
    both = [load_items(files / "manifests" / f"{name}.jsonl") for name in ("train", "test")]
    contents = {sha256_of(files / row.path) for items in both for row in (*items.clips, *items.utterances)}
    ended = CliRunner().invoke(app, ["features", "extract", "-w", str(files), "--set", "video.kind=mean_colour"])
    assert ended.exit_code == 0, ended.output
    assert {path.stem for path in cached(files)} == contents


def test_what_cannot_be_loaded_stops_all_before_a_worker_begins(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "run_each", lambda *_, **__: pytest.fail("a worker began"))
    config = with_values(DEMO, {"video.weights": str(files / "none.safetensors")})
    with pytest.raises(InputError, match=r"none\.safetensors"):
        cache_features([files / "manifests" / "train.jsonl"], config, device="cpu", in_tasks=True)


def test_an_address_needs_the_engine(files: Path) -> None:
    ended = CliRunner().invoke(app, ["features", "extract", "-w", str(files), "--address", "127.0.0.1:1"])
    assert ended.exit_code == 2
    assert "--engine ray" in ended.output
