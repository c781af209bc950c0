"""Sequences by the public commands: windows that are kept, attention of steps, learned weights over layers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fmn.data.feature_export import AUDIO_FOLDER, VIDEO_FOLDER

pytestmark = [
    pytest.mark.usefixtures("one_thread", "their_package"),
    pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning"),
]
SMALL = ("model.hidden_size=8", "model.embed_dim=8", "model.head_hidden_size=8", "training.pairs_per_epoch=64")
WINDOWS = ("video.encoder=color", "video.window_frames=8", "video.pooling=none")  # an encoder of pictures: 8 of a clip
STEPS = ("model.step_attention=mean", "memory.score_threshold=0.1", "training.validate_every=1")


def settings(*parts: str) -> list[str]:
    return [part for setting in (*SMALL, *WINDOWS, *parts, "training.threads=1") for part in ("--set", setting)]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoint.safetensors")


def test_windows_and_learned_layers_through_every_command(
    files: Path, tiny_bundle: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch, fmn: Callable, done: Callable
) -> None:
    monkeypatch.chdir(files)
    speech = ("--speech-encoder", f"torchaudio:TINY@{tiny_bundle[1]}", "--set", "audio.layer=learned")
    options = (*speech, *settings(*STEPS))
    whole, parts, again = (files / "runs" / name for name in ("whole", "parts", "again"))
    done("train", "manifests/train.jsonl", "--epochs", 3, "--run", whole, *options)
    done("train", "manifests/train.jsonl", "--epochs", 1, "--run", parts, *options)
    done("train", "manifests/train.jsonl", "--epochs", 3, "--run", parts, *options)
    one, other = weights(whole), weights(parts)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert one["layers.logits"].shape == (3,)
    assert one["layers.logits"].abs().max() > 0  # they were learned
    assert one["encoder.forwards.weight_ih_l0"].shape[1] == 12 * 4  # the network behind them sees one layer

    metrics = done("eval", whole)["metrics"]
    assert metrics["audio_to_video"]["queries"] == metrics["audio_to_video"]["gallery"] == 12
    utterance, clip = next((files / "speech").glob("s06-d02*.wav")), next((files / "clips").glob("s06-d02*.mp4"))
    assert len(done("search", whole, "--speech", utterance, "--top", 3)["hits"]) == 3
    assert len(done("search", whole, "--clip", clip, "--top", 3)["hits"]) == 3
    refused = fmn("eval", whole, "--update-memory")
    assert refused.exit_code == 2
    assert "With step attention, items are encoded with the slots" in " ".join(refused.output.split())

    done("features", "export", whole, "exported")
    clips = [np.load(path) for path in sorted(Path("exported", VIDEO_FOLDER).glob("*.npy"))]
    assert {clip.shape for clip in clips} == {(8, 3)}
    assert any(clip.std(axis=0).max() > 0 for clip in clips)
    frames = [np.load(path) for path in sorted(Path("exported", AUDIO_FOLDER).glob("*.npy"))]
    assert {frame.shape for frame in frames} == {(24, 36)}
    from_files = ("--features", "exported", "--set", "audio.layer=learned", *settings(*STEPS, "video.encoder="))
    done("train", "manifests/train.jsonl", "--epochs", 3, "--run", again, *from_files)
    third = weights(again)
    assert all(torch.equal(one[name], third[name]) for name in one)

    about = Path("exported", AUDIO_FOLDER, "features.json")
    about.unlink()  # nothing says any more where a layer ends
    refused = fmn("train", "manifests/train.jsonl", "--run", "runs/unknown", *from_files)
    assert refused.exit_code == 2
    assert "the layers of these features are unknown" in " ".join(refused.output.split())


def test_the_mean_of_kept_windows_is_the_pooled_feature(
    files: Path, monkeypatch: pytest.MonkeyPatch, done: Callable
) -> None:
    monkeypatch.chdir(files)
    folders = {pooling: files / f"features-{pooling}" for pooling in ("none", "mean")}
    for pooling, folder in folders.items():
        choice = [part.replace("pooling=none", f"pooling={pooling}") for part in settings()]
        done("features", "export", "manifests/test.jsonl", folder, *choice)
    for path in (folders["none"] / VIDEO_FOLDER).glob("*.npy"):
        pooled = np.load(folders["mean"] / VIDEO_FOLDER / path.name)
        np.testing.assert_allclose(np.load(path).mean(axis=0), pooled, rtol=1e-6)


def test_rivals_on_the_same_sequences(
    files: Path, tiny_bundle: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch, done: Callable
) -> None:
    monkeypatch.chdir(files)
    speech = ("--speech-encoder", f"torchaudio:TINY@{tiny_bundle[1]}", "--set", "audio.layer=learned")
    compared = done(
        *("compare", "manifests/train.jsonl", "manifests/test.jsonl", "--seeds", 1, "--budget", 1, "--epochs", 2),
        *("--models", "fmn,two_classifiers,cca,mms,fmn_no_memory,fmn_as_published,musimnet,mean_colour"),
        *speech,
        *settings(*STEPS),
    )
    assert not compared.get("failed")
    layers = {}
    for path in (files / "runs" / "compare").rglob("config.json"):
        name = json.loads(path.read_text())["system"]
        layers[name] = "layers.logits" in weights(path.parent)
    learned = ("fmn", "two_classifiers", "cca", "mms", "fmn_no_memory", "fmn_as_published")
    assert layers == dict.fromkeys(learned, True) | {"musimnet": False, "mean_colour": True}


def test_an_encoder_without_layers_is_refused(files: Path, monkeypatch: pytest.MonkeyPatch, fmn: Callable) -> None:
    pytest.importorskip("openwakeword")
    monkeypatch.chdir(files)
    layer = ("--speech-encoder", "openwakeword", "--set", "audio.layer=learned")
    refused = fmn("train", "manifests/train.jsonl", *layer, *settings())
    assert refused.exit_code == 2
    assert "has no layers to learn weights for" in " ".join(refused.output.split())


@pytest.mark.usefixtures("made_features")
def test_studies_read_the_slots_that_were_written_last(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, done: Callable
) -> None:
    monkeypatch.chdir(workspace)
    mfcc = ("audio.n_mfcc=4", "audio.n_mels=8", "audio.deltas=1", *STEPS)
    options = ("--epochs", 3, "--seeds", 1, *settings(*mfcc))
    table = done("ablate", "manifests/train.jsonl", "--only", "steps,temperature,read", *options)
    rows = {(row["group"], row["variant"]): row for row in table["rows"]}
    assert rows["steps", "mean of the shares"]["difference"]["mean"] == 0  # the default here, trained again
    kinds = {kind: rows["steps", kind]["map"]["mean"] for kind in ("off", "mean of the shares", "largest shares")}
    assert len(set(kinds.values())) > 1
    default = rows["", "default"]["map"]
    assert rows["temperature", "0.1"]["map"] == default
    assert rows["read", "maximum"]["changes"]["model.step_attention"] == "off"

    found = done("newclasses", "manifests/train.jsonl", "--held-out", 1, "--pairs", 2, *options)
    written = {row["what"]: row["written"] for row in found["rows"]}
    # The new class takes a slot of its own, and embeddings of fewer slots would be refused.
    assert written["memory alone, 2 pairs, all written"]["mean"] == 2
