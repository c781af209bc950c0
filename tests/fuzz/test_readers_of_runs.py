"""Every reader of `fmn` of content from outside: a result, or an error that names the file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import torch
from safetensors.numpy import save

from fmn.comparison.comparison_runs import SCORES_FILE, SCORES_FORMAT, read_scores
from fmn.comparison.corpora import over_corpora
from fmn.config import values_in
from fmn.data.items import load_items
from fmn.features.audio import read_audio
from fmn.features.cache import FeatureCache
from fmn.features.frames import read_frames
from fmn.features.weights import read_state
from fmn.training.checkpoint import load_config, load_run, load_state
from fmn.training.run_state import read_run_state

CPU = torch.device("cpu")
OLD = Path(__file__).parents[1] / "fixtures" / "workspace_0_1_0"
TEST_DIGEST = "test manifest and its features"
SHA256 = "0123456789abcdef" * 4
DIRECTIONS = ("audio_to_video", "video_to_audio")
METRICS = {name: dict.fromkeys(("1", "10", "25"), 5.0) for name in ("instance_hit", "class_hit", "class_recall")}


def resume(root: Path) -> None:
    """Checkpoint, model and optimizer, as training that goes on reads them; the checkpoint is as it was."""
    run = root / "runs" / "fmn"
    model = load_run(run, CPU).model
    read_run_state(run)
    load_state(run, model, torch.optim.Adam(model.parameters()), CPU)


def scores() -> bytes:
    items = load_items(OLD / "manifests" / "test.jsonl")
    header = {"format": SCORES_FORMAT, "test_digest": TEST_DIGEST}
    header["clips"] = json.dumps([row.id for row in items.clips])
    header["utterances"] = json.dumps([row.id for row in items.utterances])
    values = np.random.default_rng(0).normal(size=items.relevant.shape).astype(np.float32)
    return save({"scores": values}, header)


def comparison() -> dict[str, Any]:
    """A comparison of two systems with made-up results."""
    costs = dict.fromkeys(("seconds", "cpu_seconds", "tuning_seconds", "tuning_cpu_seconds"), 1.0)
    about = {
        "summary": "s",
        "footnote": "",
        "class_cross_entropy": "no",
        "error": None,
        "configurations": [{"changes": {}}],
        "chosen": {},
    }
    sizes = dict.fromkeys(DIRECTIONS, 3)
    references = {
        direction: {**METRICS, "class_map": {"all": 5.0}, "partner_rank": {"all": 50.0}} for direction in DIRECTIONS
    }
    of_classes = {
        direction: {metric: {k: [25.0, 75.0] for k in of_metric} for metric, of_metric in references[direction].items()}
        for direction in DIRECTIONS
    }
    return {
        **{
            "test_sha256": "1",
            "preset": "demo",
            "changes": {},
            "budget": 2,
            "seeds": [0],
            "device": "cpu",
            "stand_in": True,
        },
        **{"queries": sizes, "gallery": sizes, "notes": ["n"], "classes": ["a", "b"]},
        "class_queries": {direction: {key: [1, 2] for key in references[direction]} for direction in DIRECTIONS},
        "systems": {
            name: {**about, "runs": ["r"], "seeds": 1, "parameters": 10, "metrics": {}, "by_class": of_classes, **costs}
            for name in ("cca", "fmn")
        },
        "references": {"chance": references, "ceiling": references},
    }


def compared(root: Path) -> object:
    """The comparison that was changed beside one that was not."""
    whole = root / "whole"
    whole.mkdir(exist_ok=True)
    (whole / "compare.json").write_text(json.dumps(comparison() | {"test_sha256": "2"}))
    return over_corpora([root / "changed", whole])


def array(value: np.ndarray) -> Callable[[], bytes]:
    def content() -> bytes:
        buffer = io.BytesIO()
        np.save(buffer, value)
        return buffer.getvalue()

    return content


def feature(root: Path) -> object:
    return FeatureCache(root / "cache", "s", dim=4, axes=2).get(SHA256)


def wav() -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.sin(np.arange(8000) * 0.05) / 2, 44100, format="WAV")
    return buffer.getvalue()


def mp4() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(20):
            picture = np.full((48, 64, 3), number * 12, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def weights() -> bytes:
    return save({"rgb.a": np.zeros((2, 3), np.float32)}, {"fmn": json.dumps({"rgb": {"contents": [SHA256]}})})


RUN = "runs/fmn"
TARGETS: dict[str, tuple[str, str, Callable[[Path], object], Callable[[], bytes] | None]] = {
    "configuration": ("json", f"{RUN}/config.json", lambda root: load_config(root / RUN), None),
    "configuration of a trained run": ("json", f"{RUN}/config.json", lambda root: load_run(root / RUN, CPU), None),
    "tuned values": (
        "json",
        "tuned.json",
        lambda root: values_in(root / "tuned.json"),
        lambda: json.dumps({"values": {"training.learning_rate": 0.1}}).encode(),
    ),
    "checkpoint": ("header", f"{RUN}/checkpoint.safetensors", lambda root: load_run(root / RUN, CPU), None),
    "checkpoint of kcca": (
        "header",
        "runs/kcca/checkpoint.safetensors",
        lambda root: load_run(root / "runs" / "kcca", CPU),
        None,
    ),
    "training state": ("header", f"{RUN}/state.safetensors", resume, None),
    "training manifest": (
        "rows",
        "manifests/train.jsonl",
        lambda root: load_items(root / "manifests" / "train.jsonl"),
        None,
    ),
    "stand-in of a build record": (
        "json",
        "manifests/build.json",
        lambda root: load_items(root / "manifests" / "train.jsonl"),
        None,
    ),
    "scores": (
        "header",
        "runs/fmn/scores.safetensors",
        lambda root: read_scores(root / RUN, TEST_DIGEST),
        scores,
    ),
    "comparison": ("json", "changed/compare.json", compared, lambda: json.dumps(comparison()).encode()),
    "feature": ("bytes", f"cache/s/{SHA256[:2]}/{SHA256}.npy", feature, array(np.ones((5, 4), np.float32))),
    "weights": ("header", "in/a.safetensors", lambda root: read_state(root / "in" / "a.safetensors"), weights),
    "utterance": ("bytes", "in/a.wav", lambda root: read_audio(root / "in" / "a.wav", 16000), wav),
    "clip": (
        "bytes",
        "in/a.mp4",
        lambda root: read_frames(root / "in" / "a.mp4", lambda times: np.arange(min(3, len(times))), resize_px=32),
        mp4,
    ),
}


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.parametrize("name", sorted(TARGETS))
def test_any_change_gives_a_result_or_names_the_file(fuzz: Callable[..., None], name: str) -> None:
    fuzz(*TARGETS[name])


def test_unchanged_scores_are_read(tmp_path: Path) -> None:
    (tmp_path / SCORES_FILE).write_bytes(scores())
    found = read_scores(tmp_path, TEST_DIGEST)
    assert found is not None
    assert found.values.shape == (len(found.clips), len(found.utterances))
