"""Small workspaces with made-up or playing files, small configurations, runs of them, and models of libraries."""

from __future__ import annotations

import hashlib
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import made_up_rows
import msgspec
import numpy as np
import pytest
import soundfile

from dataset_tools.core.files import sha256_of
from dataset_tools.manifests import ClassLabel, ClipRow, SplitPairRow, UtteranceRow, read_rows, write_rows
from fmn.config import DEMO, AugmentConfig, Config, MemoryConfig, ModelConfig, TrainingConfig, with_values
from fmn.features.config import VideoFeatureConfig
from fmn.features.encoders.libraries import library
from fmn.features.media import FeatureSet, Media

VIDEO_DIM, AUDIO_DIM = 12, 8

# Trains in a second; every part of the working form is on.
SMALL = Config(
    video=DEMO.video,
    audio=replace(DEMO.audio, n_mfcc=4, n_mels=8, deltas=1),
    model=ModelConfig(hidden_size=8, frame_stack=2, embed_dim=8, head_hidden_size=16, dropout=0.1),
    memory=MemoryConfig(capacity=10),
    training=TrainingConfig(
        epochs=3, batch_size=8, learning_rate=1e-2, augment=AugmentConfig(coefficient_mask_width=1), validate_every=1
    ),
)


@pytest.fixture
def install_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Installs ``their_package``, one module with this code and these entry points, as pip would leave it."""

    def install(code: str, entry_points: str) -> None:
        info = tmp_path / "installed" / "their_package-1.0.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info.parent / "their_package.py").write_text(code)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(entry_points)
        monkeypatch.syspath_prepend(info.parent)
        monkeypatch.delitem(sys.modules, "their_package", raising=False)

    return install


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def label_of(number: int) -> ClassLabel:
    return ClassLabel(id=f"wash_thing{number}", action="wash", subject=f"thing{number}", object=None)


def clip_row(number: int, index: int) -> ClipRow:
    """Clip ``index`` of class ``number``."""
    name = f"s{index:02d}-d{number:02d}_000001-000010"
    return made_up_rows.clip_row(name, label_of(number).id, fps=10.0, width=64, height=48)


def utterance_row(number: int, index: int) -> UtteranceRow:
    """The utterance that describes clip ``index`` of class ``number``."""
    clip = clip_row(number, index)
    about = {"text": f"somebody washes thing {number}", "voice": f"voice{index}", "engine": "none"}
    name = f"{clip.id}_voice{index}"
    return made_up_rows.utterance_row(name, clip.class_id, clip.id, sha256=sha(f"utterance {clip.id}"), **about)


def pair_rows(classes: int, indices: Sequence[int], split: str, fold_of: Callable[[int], int | None]) -> list[Any]:
    """All pairs of a class, for each class; a pair is in the lower of its items' folds, as fmn-data pairs has it."""
    rows = []
    for number in range(classes):
        for left in indices:
            for right in indices:
                clip, utterance = clip_row(number, left), utterance_row(number, right)
                folds = [fold for fold in (fold_of(left), fold_of(right)) if fold is not None]
                rows.append(
                    SplitPairRow(
                        id=f"{clip.id}__{utterance.id}",
                        label=label_of(number),
                        clip=clip,
                        utterance=utterance,
                        split=split,  # type: ignore[arg-type]
                        fold=min(folds) if folds else None,
                    )
                )
    return sorted(rows, key=lambda row: row.id)


@pytest.fixture(scope="session")
def small_changes() -> dict[str, Any]:
    """Changes of a preset that make training fast; tests leave them as they are."""
    return {
        "audio.n_mfcc": 4,
        "audio.n_mels": 8,
        "audio.deltas": 1,
        "model.hidden_size": 8,
        "model.frame_stack": 2,
        "model.embed_dim": 8,
        "model.head_hidden_size": 16,
        "memory.capacity": 10,
        "training.epochs": 2,
        "training.batch_size": 8,
        "training.pairs_per_epoch": 32,
        "training.validate_every": 1,
        "training.threads": 1,
        "training.augment.coefficient_mask_width": 1,
    }


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """4 classes: 5 training items of each, one a fold, and 3 test items; files hold what rows say, no media."""
    return write_workspace(tmp_path / "workspace")


@pytest.fixture(scope="session")
def make_workspace() -> Callable[[Path], Path]:
    """Writes what `workspace` is."""
    return write_workspace


def write_workspace(root: Path) -> Path:
    write_rows(root / "manifests" / "train.jsonl", pair_rows(4, range(5), "train", lambda index: index))
    write_rows(root / "manifests" / "test.jsonl", pair_rows(4, range(5, 8), "test", lambda index: None))
    for number in range(4):
        for index in range(8):
            clip = clip_row(number, index)
            for row, text in ((clip, f"clip {clip.id}"), (utterance_row(number, index), f"utterance {clip.id}")):
                path = root / row.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
    return root


def made_video(number: int, index: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A vector that says the class, with some noise."""
    random = np.random.default_rng([1, number, index])
    return (3 * np.eye(VIDEO_DIM)[number] + 0.5 * random.normal(size=VIDEO_DIM)).astype(np.float32)


def made_audio(number: int, index: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A sequence of its own length whose mean says the class, with some noise."""
    random = np.random.default_rng([2, number, index])
    frames = 12 + int(random.integers(9))
    return (2 * np.eye(AUDIO_DIM)[number] + 0.5 * random.normal(size=(frames, AUDIO_DIM))).astype(np.float32)


@pytest.fixture
def made_features(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Features that are made up from the rows take the place of extraction; the counts of calls are given."""
    return replace_extraction(monkeypatch)


@pytest.fixture(scope="session")
def make_up_features() -> Callable[[pytest.MonkeyPatch], dict[str, int]]:
    """Does what `made_features` does, until the patch is undone."""
    return replace_extraction


def replace_extraction(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    rows = {}
    for number in range(8):
        for index in range(12):
            rows[clip_row(number, index).sha256] = made_video(number, index)
            rows[utterance_row(number, index).sha256] = made_audio(number, index)
    calls = {"video": 0, "audio": 0}

    def extraction(kind: str, dim: int) -> Callable[..., FeatureSet]:
        def extract(items: Sequence[Media], config: object, **_: object) -> FeatureSet:
            calls[kind] += 1
            values = {item.sha256: rows[item.sha256] for item in items}
            return FeatureSet(dim=dim, values=values, source=kind, band=SMALL.audio.band if kind == "audio" else None)

        return extract

    for module in ("fmn.data.loading", "fmn.search.gallery_search"):
        monkeypatch.setattr(f"{module}.extract_video", extraction("video", VIDEO_DIM))
        monkeypatch.setattr(f"{module}.extract_audio", extraction("audio", AUDIO_DIM))
    return calls


@pytest.fixture(scope="session")
def small() -> Config:
    return SMALL


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small networks are slower on many threads, above all when tests run side by side."""
    import torch

    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(usual)


@pytest.fixture
def tiny() -> VideoFeatureConfig:
    """Nothing but a few pixels: the smallest network on the smallest windows."""
    windows: dict[str, Any] = {"sample_fps": 8.0, "window_frames": 8, "windows": 2, "resize_px": 40, "crop_px": 32}
    return VideoFeatureConfig(width=1 / 16, weights="random", flow_bound_px=5.0, **windows)


@pytest.fixture(scope="session")
def write_moving_bar() -> Callable[[Path, int], None]:
    """Writes a clip of a second: a white bar that moves over a gray of this brightness."""
    return moving_bar


def moving_bar(path: Path, brightness: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(10):
            picture = np.full((48, 64, 3), brightness, np.uint8)
            picture[:, 6 * number : 6 * number + 4] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def files(shared_files: Path, tmp_path: Path) -> Path:
    """The workspace with files that play: clips differ in brightness by class, utterances in pitch."""
    return Path(shutil.copytree(shared_files, tmp_path / "workspace", dirs_exist_ok=True))


@pytest.fixture(scope="session")
def shared_files(shared: Callable[..., Path]) -> Path:
    """What `files` is a copy of."""
    return shared("files-that-play", write_files)


def write_files(workspace: Path) -> None:
    write_workspace(workspace)
    hashes: dict[str, str] = {}
    for name in ("train", "test"):
        path, rows = workspace / "manifests" / f"{name}.jsonl", []
        for row in read_rows(path, SplitPairRow):
            number = int(row.label.id[-1])
            if row.clip.id not in hashes:
                moving_bar(workspace / row.clip.path, 40 + 50 * number + int(row.clip.person[1:]))
                hashes[row.clip.id] = sha256_of(workspace / row.clip.path)
            if row.utterance.id not in hashes:
                random = np.random.default_rng([number, len(hashes)])
                time_s = np.arange(8000) / 16000
                tone = np.sin(2 * np.pi * (300 + 400 * number) * time_s) + 0.1 * random.normal(size=8000)
                soundfile.write(workspace / row.utterance.path, 0.3 * tone, 16000)
                hashes[row.utterance.id] = sha256_of(workspace / row.utterance.path)
            clip = msgspec.structs.replace(row.clip, sha256=hashes[row.clip.id])
            utterance = msgspec.structs.replace(row.utterance, sha256=hashes[row.utterance.id])
            rows.append(msgspec.structs.replace(row, clip=clip, utterance=utterance))
        write_rows(path, rows)


def installed(*names: str) -> Any:
    """The last of some libraries, repaired where it has to be; skips where one is not installed."""
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        pytest.skip(f"the extra 'encoders' is not installed: {', '.join(missing)}")
    return library(names[-1])


@pytest.fixture(scope="session")
def transformers() -> Any:
    return installed("torchvision", "transformers")


@pytest.fixture(scope="session")
def timm() -> Any:
    return installed("torchvision", "timm")


@pytest.fixture
def tiny_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Path]:
    """torchaudio.pipelines.TINY, a HuBERT of three layers of 12 numbers, and a file with weights of it."""
    import torch

    from dataset_tools.core import torch_compat

    audio: Any = torch_compat.torchaudio()
    convolutions = [(8, 10, 5), *[(8, 3, 2)] * 4, *[(8, 2, 2)] * 2]  # the strides of the published models
    parameters = {
        "extractor_mode": "group_norm",
        "extractor_conv_layer_config": convolutions,
        "extractor_conv_bias": False,
        "encoder_embed_dim": 12,
        "encoder_projection_dropout": 0.1,
        "encoder_pos_conv_kernel": 8,
        "encoder_pos_conv_groups": 2,
        "encoder_num_layers": 3,
        "encoder_num_heads": 2,
        "encoder_attention_dropout": 0.1,
        "encoder_ff_interm_features": 16,
        "encoder_ff_interm_dropout": 0.0,
        "encoder_dropout": 0.1,
        "encoder_layer_norm_first": False,
        "encoder_layer_drop": 0.05,
        "aux_num_out": None,
    }
    bundle = audio.pipelines.Wav2Vec2Bundle("tiny-model-of-a-test.pth", parameters, 16_000, True, "Wav2Vec2")
    bundle.__doc__ = "Originally published by nobody under MIT License and redistributed with the same license."
    monkeypatch.setattr(audio.pipelines, "TINY", bundle, raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # weight_norm, which torchaudio still uses
        torch.manual_seed(0)
        model = audio.models.wav2vec2_model(**parameters)
    file = tmp_path / "tiny.pt"
    torch.save(model.state_dict(), file)
    return model.eval(), file


@pytest.fixture(scope="session")
def trained_workspace(shared: Callable[..., Path]) -> Path:
    """What `workspace` is, with what `run` is a copy of."""

    def write(root: Path) -> None:
        from fmn.torch_threads import threads
        from fmn.training.train import train

        write_workspace(root)
        with pytest.MonkeyPatch.context() as patch, threads(1):
            replace_extraction(patch)
            config = with_values(SMALL, {"training.epochs": 8})
            train(root / "manifests" / "train.jsonl", config, root / "runs" / "one")

    return shared("trained-workspace", write)


@pytest.fixture
def run(workspace: Path, trained_workspace: Path, made_features: dict[str, int]) -> Path:
    """A run of a few epochs on the training manifest of the workspace."""
    return Path(shutil.copytree(trained_workspace / "runs", workspace / "runs")) / "one"
