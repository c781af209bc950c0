"""The system zero_shot by the public commands, against cosines from the models in transformers themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from torch.nn import functional
from typer.testing import CliRunner, Result

import fmn.comparison.comparison_plan
from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from fmn.cli.main import app

pytestmark = pytest.mark.usefixtures("one_thread", "few_systems")
TRAIN, TEST = "manifests/train.jsonl", "manifests/test.jsonl"
THEIRS = """
import numpy as np
from fmn.features.encoders.interface import source_of

class Color:
    name, revision, licence, dim, size_px, frames = "color", "", "CC0", 3, 8, None

    def __init__(self, argument, *, device):
        self.source, self.space = source_of("color", "none", []), argument

    def encode(self, frames):
        return frames.mean(axis=(1, 2), dtype=np.float32) - [60, 0, 90]

class Energy:
    name, revision, licence, dim, sample_rate_hz = "energy", "", "CC0", 3, 16000

    def __init__(self, argument, *, device, layer):
        self.source, self.space = source_of("energy", "none", [], rows=argument), argument.partition(",")[0]
        self.rows = 2 if "," in argument else 1

    def encode(self, waveform):
        return np.tile([waveform[:99].sum(), waveform[0], waveform[1]], (self.rows, 1)).astype(np.float32)
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def encoders(clips: object, speech: object) -> tuple[object, ...]:
    return "--video-encoder", clips, "--speech-encoder", speech


@pytest.fixture
def few_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all systems that a comparison takes when none is named, one that is fast, and zero_shot."""
    monkeypatch.setattr(fmn.comparison.comparison_plan, "system_names", lambda: ("lengths", "zero_shot"))


@pytest.fixture
def here(files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(files)
    return files


@pytest.fixture
def their_package(install_package: Callable[[str, str], None]) -> None:
    """A package with an encoder of each kind, whose argument is their space."""
    install_package(
        THEIRS,
        "[fmn.video_encoders]\ncolor = their_package:Color\n[fmn.speech_encoders]\nenergy = their_package:Energy\n",
    )


def frames_of(path: Path) -> NDArray[np.uint8]:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def pe_av_vectors(transformers: Any, folder: Path, clips: list[Path], speech: list[Path]) -> tuple[Any, Any]:
    """By the whole model, a clip and an utterance at a time; the four frames are written down here, of ten."""
    model = transformers.PeAudioVideoModel.from_pretrained(folder).eval()
    video = transformers.PeVideoVideoProcessor.from_pretrained(folder)
    audio = transformers.PeAudioFeatureExtractor.from_pretrained(folder)

    def both(clip: Path, utterance: Path) -> Any:
        pixels = video([frames_of(clip)[[0, 3, 6, 9]]], do_sample_frames=False, return_tensors="pt")
        sound = audio(soundfile.read(utterance, dtype="float32")[0], sampling_rate=16_000, return_tensors="pt")
        return model(**pixels, **sound)

    return (
        torch.cat([both(clip, speech[0]).video_embeds for clip in clips]),
        torch.cat([both(clips[0], utterance).audio_embeds for utterance in speech]),
    )


def gemma_vectors(transformers: Any, folder: Path, clips: list[Path], speech: list[Path]) -> tuple[Any, Any]:
    """By the whole model and its processor, which samples five frames a second of ten."""
    model = transformers.EmbeddingGemma2Model.from_pretrained(folder).eval()
    processor = transformers.EmbeddingGemma2Processor.from_pretrained(folder)

    def mean(**inputs: Any) -> Any:
        given = processor(**inputs, return_tensors="pt")
        assert given["attention_mask"].all()
        return model(**given).last_hidden_state.mean(dim=1)

    about = [{"total_num_frames": 10, "fps": 10.0, "duration": 1.0}]
    return (
        torch.cat([mean(videos=[frames_of(clip)], video_metadata=about) for clip in clips]),
        torch.cat([mean(audio=[soundfile.read(one, dtype="float32")[0]], sampling_rate=16_000) for one in speech]),
    )


VECTORS: dict[str, Callable[..., tuple[Any, Any]]] = {"pe_av": pe_av_vectors, "embedding_gemma": gemma_vectors}


@pytest.mark.slow
@pytest.mark.parametrize("prefix", list(VECTORS))
def test_scores_are_the_cosines_of_the_model_in_every_command(
    transformers: Any, joint: dict[str, Path], here: Path, prefix: str
) -> None:
    sides = encoders(f"{prefix}:{joint[prefix]}", f"{prefix}:{joint[prefix]}")
    compared = done("compare", TRAIN, TEST, "--seeds", 2, "--jobs", 1, *sides)
    assert list(compared["systems"]) == ["zero_shot", "lengths"]
    row = compared["systems"]["zero_shot"]
    assert (row["error"], row["parameters"], row["chosen"], row["seeds"]) == (None, 0, {}, 2)
    assert sum("license of its weights: apache-2.0" in note for note in compared["notes"]) == 2

    with safe_open(here / row["runs"][0] / "scores.safetensors", framework="np") as file:
        scores, header = file.get_tensor("scores"), file.metadata()
    rows = list(read_rows(here / TEST, SplitPairRow))
    paths = {each.id: here / each.path for pair in rows for each in (pair.clip, pair.utterance)}
    clips, speech = ([paths[name] for name in json.loads(header[kind])] for kind in ("clips", "utterances"))
    with torch.inference_mode():
        video, audio = VECTORS[prefix](transformers, joint[prefix], clips, speech)
        expected = functional.cosine_similarity(video[:, None], audio[None], dim=2).numpy()
    assert scores.shape == (12, 12)
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(scores, expected, atol=2e-6)

    trained = done("train", TRAIN, "--model", "zero_shot", *sides)
    folder = here / "runs" / "zero_shot-demo"
    found = done("search", folder, "--speech", speech[3], "--top", 12)
    ids = json.loads(header["clips"])
    assert {hit["id"]: hit["score"] for hit in found["hits"]} == pytest.approx(
        dict(zip(ids, expected[:, 3].tolist(), strict=True)), abs=2e-6
    )
    if prefix != "pe_av":  # what follows reads vectors, whichever model they are of
        return
    assert (trained["epochs"], trained["parameters"], trained["clips"], trained["utterances"]) == (1, 0, 0, 0)
    metrics = done("eval", folder)["metrics"]["audio_to_video"]
    assert metrics["class_map"] == pytest.approx(row["metrics"]["audio_to_video"]["class_map"]["all"]["mean"])
    found = done("search", folder, "--clip", clips[0], "--manifest", TRAIN)
    assert len(found["hits"]) == 10
    assert not any("trained on" in note for note in found["notes"])
    write_rows(here / "manifests" / "clips.jsonl", {row.clip.id: row.clip for row in rows}.values())
    done("predict", folder, "--manifest", TEST)
    guessed = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert sorted(guess["id"] for guess in guessed) == sorted(ids)

    done("features", "export", folder, here / "features")
    again = done("train", TRAIN, "--model", "zero_shot", "--features", here / "features", "--run", here / "again")
    assert again["validation"] == trained["validation"]
    steps = ("--set", "video.pooling=none", "--set", "model.step_attention=mean")
    kept = done("train", TRAIN, "--model", "zero_shot", "--run", here / "none", *steps, *sides)
    assert kept["validation"] == trained["validation"]
    for largest in (sides, ("--features", here / "features")):
        options = ("--model", "zero_shot", "--set", "video.pooling=max", "--run", here / "max", *largest)
        result = run("train", TRAIN, *options)
        assert result.exit_code == 2
        assert "with video.pooling=max" in " ".join(result.output.split())


def test_a_model_and_other_weights_of_it_are_not_one_joint_encoder(
    joint: dict[str, Path], make_pe_av: Any, here: Path
) -> None:
    sides = encoders(f"pe_av:{joint['pe_av']}", f"pe_av:{make_pe_av('other', seed=1)}")
    result = run("train", TRAIN, "--model", "zero_shot", *sides)
    assert result.exit_code == 2
    assert "do not share an embedding space" in " ".join(result.output.split())
    assert not (here / "runs" / "zero_shot-demo" / "checkpoint.safetensors").exists()
    compared = done("compare", TRAIN, TEST, "--seeds", 1, *sides)
    assert list(compared["systems"]) == ["lengths"]
    assert any(note.startswith("zero_shot is left out. The video features") for note in compared["notes"])
    said = run("compare", TRAIN, TEST, "--seeds", 1, *sides).output
    assert re.search(r"✓ compare +1 system ", said), said
    named = run("compare", TRAIN, TEST, "--seeds", 1, "--models", "lengths,zero_shot", "--json", *sides)
    assert named.exit_code == 1
    assert "do not share an embedding space" in json.loads(named.stdout)["systems"]["zero_shot"]["error"]["found"]


def test_without_encoders_there_is_neither_a_row_nor_a_note(here: Path) -> None:
    compared = done("compare", TRAIN, TEST, "--seeds", 1)
    assert list(compared["systems"]) == ["lengths"]
    assert not any("zero_shot" in note for note in compared["notes"])
    for command in (("train", TRAIN, "--model", "zero_shot"), ("compare", TRAIN, TEST, "--models", "zero_shot")):
        result = run(*command)
        assert result.exit_code == 2
        assert "The video features (backbone) and the audio features (mfcc)" in " ".join(result.output.split())


@pytest.mark.usefixtures("their_package")
def test_a_joint_encoder_of_a_package(here: Path) -> None:
    done("train", TRAIN, "--model", "zero_shot", *encoders("color:theirs", "energy:theirs"))
    query = next((here / "speech").glob("s06-d02*.wav"))
    samples = soundfile.read(query, dtype="float32")[0]
    heard = np.array([samples[:99].sum(), samples[0], samples[1]])
    hits = done("search", here / "runs" / "zero_shot-demo", "--speech", query, "--top", 12)["hits"]
    for hit in hits:
        seen = frames_of(here / hit["path"]).mean(axis=(0, 1, 2)) - [60, 0, 90]
        cosine = seen @ heard / np.linalg.norm(seen) / np.linalg.norm(heard)
        assert hit["score"] == pytest.approx(cosine, abs=0.02)  # the frames were made smaller
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)

    for sides, message in (
        (("color:theirs", "energy:others"), "do not share an embedding space"),
        (("color", "energy"), "do not share an embedding space"),
        (("color:theirs", "energy:theirs,2"), "returned 2 vectors for an utterance, but is half of a joint encoder"),
    ):
        result = run("train", TRAIN, "--model", "zero_shot", "--run", here / "other", *encoders(*sides))
        assert result.exit_code == 2, result.output
        assert message in " ".join(result.output.split())


def test_plots_of_zero_shot_and_of_fmn_on_joint_features(joint: dict[str, Path], here: Path) -> None:
    small = ("model.hidden_size=8", "model.embed_dim=8", "memory.score_threshold=0.0", "training.pairs_per_epoch=64")
    settings = [part for setting in small for part in ("--set", setting)]
    sides = encoders(f"pe_av:{joint['pe_av']}", f"pe_av:{joint['pe_av']}")
    for model, own in (("zero_shot", []), ("fmn", ["slots.png"])):  # zero_shot has no memories
        folder = here / "runs" / model
        done("train", TRAIN, "--model", model, "--epochs", 1, "--run", folder, *sides, *settings)
        files = [Path(path) for path in done("plot", folder)["files"]]
        assert [path.name for path in files] == ["training.png", "recall.png", "confusion.png", *own]
        for path in files:
            with Image.open(path) as picture:
                assert np.asarray(picture.convert("L")).std() > 10, f"{path} is empty"
