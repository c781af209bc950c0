"""The benchmarks run and print what they promise; how fast things are is not asked here.

Those that are steps of ``make gpu`` run in its rehearsal: tests/test_make_gpu.py.
"""

from __future__ import annotations

import importlib.util
import json
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch

from dataset_tools.core import worker_pool

FOLDER = Path(__file__).parent.parent / "benchmarks"


def printed_by(name: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where a process that it starts finds its functions
    try:
        spec.loader.exec_module(module)
        found = module.main([*arguments, "--device", "cpu"])
    finally:
        del sys.modules[name]
    last = capsys.readouterr().out.splitlines()[-1]
    assert json.loads(last) == found
    return found


def test_encoder_throughput(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    sizes = ["--encoders", "efficientnet_lite0", "openwakeword", "--clips", "1", "--utterances", "2", "--rounds", "1"]
    found = printed_by("encoder_throughput", sizes, capsys)
    for name in ("efficientnet_lite0", "openwakeword"):
        assert found[name]["of_network"] == pytest.approx(found[name]["extraction"] / found[name]["network"])
        assert found[name]["of_network_processor_time"] > 0


@pytest.mark.slow
def test_features_of_many_clips_are_extracted_once_in_memory_that_does_not_grow(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    found = printed_by("extraction_memory", ["--clips", "240", "--size-px", "128"], capsys)
    assert (found["tenth"]["exit"], found["killed"]["exit"], found["resumed"]["exit"]) == (0, -signal.SIGKILL, 0)
    assert 120 <= found["killed"]["clips"] < 240
    assert (found["redone"], found["resumed"]["clips"], found["exported"]) == (0, 240, 240)
    assert found["kb_per_feature"] == 128 * 128 * 3 * 4 / 1024
    assert found["rss_growth_kb_per_clip"] < found["kb_per_feature"] / 2  # what was held was two features a clip


@pytest.mark.slow
def test_cutting(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(worker_pool, "imported_by_workers", lambda function: [])  # it starts several fork servers
    few = ["--videos", "1", "--seconds", "5", "--size", "320x240", "--intervals", "1", "--rounds", "1", "--jobs", "1"]
    found = importlib.import_module("cutting").main(few)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == found
    assert found["clips"] == 1
    assert found["ratios"]["toolkit"] == 1
    assert min(*found["ratios"].values(), found["of_limit"], *found["stages_s"].values()) > 0


def test_search_latency(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    found = printed_by("search_latency", ["--rows", "300", "--dim", "8", "--slots", "4", "--queries", "1"], capsys)
    assert found["ratio"] == pytest.approx(found["ranking"]["processor_ms"] / found["product"]["processor_ms"])
    assert found["product"]["gallery_mb"] == 300 * 8 * 4 / 2**20  # float32
    assert found["two_classifiers"]["gallery_mb"] == 300 * 4 * 4 / 2**20


@pytest.mark.parametrize("media", [("--media-bytes", "900"), ("--no-media",)])
def test_exports(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, media: tuple[str, ...]) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    formats = ["csv"]
    if "--no-media" not in media:
        formats += ["webdataset", *(["huggingface"] if importlib.util.find_spec("pyarrow") else [])]
    found = printed_by("exports", ["--items", "30", *media, "--formats", *formats], capsys)
    assert list(found) == formats
    for by_count in found.values():
        assert {count: of["rows"] for count, of in by_count.items()} == {"3": 9, "30": 90}  # clips, utterances, pairs
        for of in by_count.values():
            assert min(of["peak_mb"], of["read_peak_mb"]) > 0
            if "--no-media" not in media:
                assert of["ratio"] == pytest.approx(of["copy_s"] / of["export_s"])


SMALL_MODEL = ["--set", "model.hidden_size=4", "model.embed_dim=8", "model.head_hidden_size=8", "training.batch_size=8"]


def test_paper_schedule(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    torch.set_num_threads(1)
    few = [*SMALL_MODEL, "training.pairs_per_epoch=16", "model.frame_stack=8"]
    found = printed_by("paper_schedule", ["--epochs", "2", *few], capsys)
    assert (found["epochs"], found["pairs_per_epoch"]) == (2, 16)
    assert found["schedule_h"] == pytest.approx(500 * found["epoch_s"] / 3600)
    assert printed_by("paper_schedule", ["--epochs", "5", "--most-s", "0", *few], capsys)["epochs"] == 1


def test_review_50k_without_a_server(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("label_studio_sdk")
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("review_50k")
    client, pushes = MagicMock(), []
    client.tasks.list.return_value = [SimpleNamespace(id=number) for number in range(9)]
    monkeypatch.setattr(module, "LabelStudio", lambda **_: client)
    monkeypatch.setattr(module, "push", lambda *_, options: pushes.append(options) or SimpleNamespace(project=1))
    monkeypatch.setattr(module, "pull", lambda *_: SimpleNamespace(decided=3))
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "key")
    monkeypatch.setattr(sys, "argv", ["review_50k.py", "--tasks", "9", "--changes", "3", "--sample", "2"])
    module.main()
    found = json.loads(capsys.readouterr().out)
    assert (found["tasks"], found["changes"]) == (9, 3)
    assert [options.media_url for options in pushes] == [module.MEDIA_URL] * 2
    assert client.annotations.create.call_count == 3
    assert client.tasks.create.call_count == 2


@pytest.mark.label_studio
@pytest.mark.slow
@pytest.mark.xdist_group("label_studio")
def test_review_soak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two annotators, a server that is killed, commands that are killed: every decision arrives, and once."""
    monkeypatch.syspath_prepend(str(FOLDER))
    found = importlib.import_module("review_soak").soak(tmp_path, tasks=12, server_kills=1, command_kills=2, seed=1)
    assert found["decisions on the server"] == found["decisions here"] == found["clips and annotators"] == 24
    assert (found["missing"], found["doubled"], found["wrong"], found["still to come"]) == (0, 0, 0, 0)
    assert found["server killed"] == 1
