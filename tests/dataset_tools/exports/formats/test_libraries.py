"""Every format, read by its own library, gives back the rows, pairs and files that the manifests name."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dataset_tools.build_record import BuildOptions
from dataset_tools.core.errors import InputError
from dataset_tools.core.shipped_files import shipped_file
from dataset_tools.core.workspace import Workspace
from dataset_tools.exports.exporting import export_dataset
from dataset_tools.exports.registry import FormatOptions
from dataset_tools.pairs.split_record import SplitRecord, write_split

Manifest = Callable[[Workspace, str], list[dict[str, Any]]]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def hashes(rows: list[dict[str, Any]]) -> dict[str, str]:
    return {row["id"]: row["sha256"] for row in rows}


def sides(place: Workspace, manifest: Manifest) -> dict[str, str]:
    """The side of each pair, by id."""
    return {row["id"]: side for side in ("train", "test") for row in manifest(place, side)}


def pairs(rows: list[dict[str, Any]]) -> set[tuple[str, str, str, str]]:
    return {(row["id"], row["class"], row["clip"], row["utterance"]) for row in rows}


def test_the_fixture_has_what_is_looked_for(workspace: Workspace, manifest: Manifest) -> None:
    assert Counter(sides(workspace, manifest).values()) == {"train": 2, "test": 2}
    assert len(manifest(workspace, "pairs")) == 8
    assert len(set(hashes(manifest(workspace, "clips")).values())) == 4


def test_csv(workspace: Workspace, manifest: Manifest, tmp_path: Path) -> None:
    export_dataset(workspace, "csv", tmp_path / "out")
    tables = {}
    for name in ("clips", "utterances", "pairs"):
        with (tmp_path / "out" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            tables[name] = list(csv.DictReader(file))
    for name in ("clips", "utterances"):
        rows = tables[name]
        assert {row["id"]: sha256((tmp_path / "out" / row["path"]).read_bytes()) for row in rows} == hashes(
            manifest(workspace, name)
        )
        assert all(row["split"] == row["id"].partition("-")[0] for row in rows)
        assert {(row["class"], row["action"], row["subject"], row["object"]) for row in rows} == {
            ("cut_carrot_knife", "cut", "carrot", "knife"),
            ("peel", "peel", "", ""),
        }
        assert {(row["split"], row["fold"]) for row in rows} == {("train", "1"), ("test", "")}
    assert pairs(tables["pairs"]) == pairs(manifest(workspace, "pairs"))
    of_split = sides(workspace, manifest)
    assert {row["id"]: row["split"] for row in tables["pairs"]} == {
        row["id"]: of_split.get(row["id"], "neither") for row in manifest(workspace, "pairs")
    }
    spoken = {row["id"]: row for row in manifest(workspace, "utterances")}
    assert all(json.loads(row["quality"]) == spoken[row["id"]]["quality"] for row in tables["utterances"])
    assert all(row["text"] == spoken[row["id"]]["text"] for row in tables["utterances"])


@pytest.mark.filterwarnings("default")
def test_huggingface(workspace: Workspace, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    export_dataset(workspace, "huggingface", tmp_path / "out", options=FormatOptions(shard_bytes=1500))
    assert len(list((tmp_path / "out" / "data").glob("clips-*.parquet"))) == 4  # a clip each
    loaded = {
        name: datasets.load_dataset(str(tmp_path / "out"), name, cache_dir=str(tmp_path / "cache"))
        for name in ("clips", "utterances", "pairs")
    }
    features = {name: splits["train"].features for name, splits in loaded.items()}
    assert features["clips"]["video"] == datasets.Video()
    assert features["utterances"]["audio"] == datasets.Audio(sampling_rate=16000)
    for name, media, kind in (("clips", "video", datasets.Video), ("utterances", "audio", datasets.Audio)):
        found = {}
        for split, rows in loaded[name].items():
            for row in rows.cast_column(media, kind(decode=False)):
                assert row["split"] == split == row["id"].partition("-")[0]
                found[row["id"]] = sha256(row[media]["bytes"])
        assert found == hashes(manifest(workspace, name))
    of_split = sides(workspace, manifest)
    every = [row for rows in loaded["pairs"].values() for row in rows]
    assert pairs(every) == pairs(manifest(workspace, "pairs"))
    assert all(of_split.get(row["id"], "neither") == split for split, rows in loaded["pairs"].items() for row in rows)
    assert {split: len(rows) for split, rows in loaded["pairs"].items()} == {"train": 2, "test": 2, "neither": 4}
    default = datasets.load_dataset(str(tmp_path / "out"), split="test", cache_dir=str(tmp_path / "cache"))
    assert len(default) == 2
    assert "video" in default.features


@pytest.mark.filterwarnings("default")
def test_webdataset(workspace: Workspace, manifest: Manifest, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    shard_bytes = 20_000
    export_dataset(workspace, "webdataset", tmp_path / "out", options=FormatOptions(shard_bytes=shard_bytes))
    shards = sorted((tmp_path / "out").glob("*.tar"))
    assert all(shard.stat().st_size <= shard_bytes for shard in shards)
    for name, suffix in (("clips", "mp4"), ("utterances", "wav")):
        found = {}
        for split in ("train", "test"):
            paths = sorted(str(path) for path in (tmp_path / "out").glob(f"{name}-{split}-*.tar"))
            for sample in webdataset.WebDataset(paths, shardshuffle=False):
                row = json.loads(sample["json"])
                assert row["split"] == split == row["id"].partition("-")[0]
                assert (row["class"]["action"], row["fold"]) in {("cut", 1), ("peel", 1), ("cut", None), ("peel", None)}
                found[row["id"]] = sha256(sample[suffix])
        assert found == hashes(manifest(workspace, name))
    of_split = sides(workspace, manifest)
    every = []
    for split in ("train", "test", "neither"):
        lines = (tmp_path / "out" / f"pairs-{split}.jsonl").read_text("utf-8").splitlines()
        every += [json.loads(line) for line in lines]
        assert all(of_split.get(json.loads(line)["id"], "neither") == split for line in lines)
    assert pairs(every) == pairs(manifest(workspace, "pairs"))


def test_shards_are_cut_by_size(workspace: Workspace, tmp_path: Path) -> None:
    for size in (4_000, 12_000, 100_000):
        out = tmp_path / str(size)
        export_dataset(workspace, "webdataset", out, options=FormatOptions(shard_bytes=size))
        counts = len(list(out.glob("*.tar")))
        # Samples of about 3 KiB of members in archives of whole 10 KiB records; four splits of two samples.
        assert counts == {4_000: 8, 12_000: 8, 100_000: 4}[size]


def test_without_media_nothing_of_a_file_goes_along(
    workspace: Workspace, tmp_path: Path, make_record: Callable[..., None]
) -> None:
    with pytest.raises(InputError, match="options of the last build are not known"):
        export_dataset(workspace, "csv", tmp_path / "csv", with_media=False)
    assert not (tmp_path / "csv").exists()
    options = msgspec.to_builtins(asdict(BuildOptions())) | {"classes": 2}
    class_file = {"name": "classes.yaml", "sha256": sha256(shipped_file("classes.yaml").read_bytes())}
    annotations = {"name": "list.csv", "sha256": "0" * 64, "intervals": 4, "frame_rate": 25.0}
    make_record(workspace, options=options, class_file=class_file, annotations=annotations)
    dealt = SplitRecord(split="items", test_share=0.5, seed=0, reviewed=False, train=2, test=2, dropped={})
    write_split(workspace.manifests, dealt)
    contents = [path.read_bytes() for folder in (workspace.clips, workspace.speech) for path in folder.iterdir()]
    for name in ("csv", "webdataset"):
        export_dataset(workspace, name, tmp_path / name, with_media=False)
        written = [path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()]
        assert len(written) > 8
        assert not any(content in one for content in contents for one in written)
