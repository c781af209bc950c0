"""MTEB runs the exported tasks offline, in both directions, and finds what is relevant where the manifests have it."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from dataset_tools.core import torch_compat
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.exports.exporting import export_dataset

# mteb imports transformers: in the worker that has imported it.
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.xdist_group("transformers")]
Manifest = Callable[[Workspace, str], list[dict[str, Any]]]


def embedding(content: bytes) -> np.ndarray:
    """A random unit vector of the content."""
    vector = np.random.default_rng(hashlib.sha256(content).digest()[0]).normal(size=8)
    return vector / np.linalg.norm(vector)


@pytest.fixture
def exported(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module of the tasks, as whoever got the export imports it."""
    pytest.importorskip("mteb", reason="the extra 'mteb' is not installed")
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    export_dataset(workspace, "mteb", tmp_path / "out")
    monkeypatch.syspath_prepend(tmp_path / "out")
    yield importlib.import_module("mteb_task")
    del sys.modules["mteb_task"]


def test_its_evaluation_is_that_of_the_manifests(
    exported: ModuleType, workspace: Workspace, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch_compat.torchaudio()  # mteb imports transformers, and that both, which may be of another build than torch
    torch_compat.torchvision()
    import mteb
    from mteb.models import ModelMeta
    from mteb.models.abs_encoder import AbsEncoder

    class RandomModel(AbsEncoder):  # type: ignore[misc]
        mteb_model_meta = ModelMeta.create_empty(
            {"name": "test/random", "revision": "1", "modalities": ["audio", "video"]}
        )

        def __init__(self) -> None:
            pass

        def encode(self, inputs: Any, **_: Any) -> np.ndarray:
            rows = [one for batch in inputs for one in batch.get("video") or batch["audio"]]
            return np.array([embedding(one["bytes"]) for one in rows])

    monkeypatch.setattr(exported.ExportedRetrieval, "decode", False)  # the fixture's clips are a few bytes
    found = mteb.evaluate(RandomModel(), [task() for task in exported.TASKS], cache=None, raise_error=True)
    rows = manifest(workspace, "test")
    assert {row["clip"]["id"] for row in rows} != set()
    for result, (query, document) in zip(
        found.task_results, (("utterance", "clip"), ("clip", "utterance")), strict=True
    ):
        (scores,) = result.scores["test"]
        items = {
            kind: {row[kind]["id"]: embedding((workspace.root / row[kind]["path"]).read_bytes()) for row in rows}
            for kind in (query, document)
        }
        relevant = {(row[query]["id"], row[document]["id"]) for row in rows}
        hits = [
            (name, max(items[document], key=lambda other: float(vector @ items[document][other]))) in relevant
            for name, vector in items[query].items()
        ]
        assert len(hits) == 2
        assert scores["hit_rate_at_1"] == pytest.approx(sum(hits) / len(hits))
        assert scores["hit_rate_at_10"] == 1


def test_the_loader_of_mteb_finds_the_same_by_the_names_of_the_card(
    exported: ModuleType, workspace: Workspace, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    rows = manifest(workspace, "test")
    for direction, query, document in (
        ("audio_to_video", "utterance", "clip"),
        ("video_to_audio", "clip", "utterance"),
    ):
        parts = {
            part: datasets.load_dataset(str(tmp_path / "out"), f"{direction}-{part}", split="test")
            for part in ("queries", "corpus", "qrels")
        }
        assert set(parts["queries"]["id"]) == {row[query]["id"] for row in rows}
        assert set(parts["corpus"]["id"]) == {row[document]["id"] for row in rows}
        relevant = {(one["query-id"], one["corpus-id"]) for one in parts["qrels"] if one["score"] == 1}
        assert relevant == {(row[query]["id"], row[document]["id"]) for row in rows}


def test_every_language_has_a_code_of_mteb(exported: ModuleType, tmp_path: Path) -> None:
    from huggingface_hub import DatasetCard
    from mteb.languages import check_language_code

    for code in exported.SCRIPTS.values():
        check_language_code(code)  # raises ValueError
    card = DatasetCard.load(tmp_path / "out" / "README.md")
    card.data["language"] = ["de", "eu", "haw", "zh"]
    card.save(tmp_path / "out" / "README.md")
    for task in exported.TASKS:
        metadata = exported._metadata(task.metadata.name, "a", "a2v", "")
        assert metadata.eval_langs == {"a": ["deu-Latn", "und-Zyyy", "zho-Hans"]}


def test_without_media_there_is_no_task(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("dataset_tools.exports.exporting.make_recipe", lambda *_: None)  # of builds, not of a fixture
    export_dataset(workspace, "mteb", tmp_path / "out", with_media=False)
    assert not (tmp_path / "out" / "mteb_task.py").exists()
    assert (tmp_path / "out" / "data" / "qrels-audio_to_video-test-00000.parquet").is_file()


def test_without_a_test_side_there_is_no_task(workspace: Workspace, tmp_path: Path) -> None:
    (workspace.manifests / "test.jsonl").write_text("")
    with pytest.raises(InputError, match="no test pairs"):
        export_dataset(workspace, "mteb", tmp_path / "out")
