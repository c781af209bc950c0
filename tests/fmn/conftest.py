from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from dataset_tools.manifests import (
    ClassLabel,
    ClipRow,
    IntervalOrigin,
    SplitPairRow,
    UtteranceRow,
    write_rows,
)
from fmn.config import (
    DEMO,
    AugmentConfig,
    Config,
    MemoryConfig,
    ModelConfig,
    TrainingConfig,
)
from fmn.features.config import VideoFeatureConfig
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


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def label_of(number: int) -> ClassLabel:
    return ClassLabel(id=f"wash_thing{number}", action="wash", subject=f"thing{number}", object=None)


def clip_row(number: int, index: int) -> ClipRow:
    """Clip ``index`` of class ``number``."""
    name = f"s{index:02d}-d{number:02d}_000001-000010"
    return ClipRow(
        id=name,
        class_id=label_of(number).id,
        person=f"s{index:02d}",
        dish=f"d{number:02d}",
        video=f"s{index:02d}-d{number:02d}-cam-002",
        start_frame=1,
        end_frame=10,
        trim=None,
        fps=10.0,
        frames=10,
        width=64,
        height=48,
        duration_s=1.0,
        path=f"clips/{name}.mp4",
        sha256=sha(f"clip {name}"),
        origin=IntervalOrigin(),
    )


def utterance_row(number: int, index: int) -> UtteranceRow:
    """The utterance that describes clip ``index`` of class ``number``."""
    clip = clip_row(number, index)
    return UtteranceRow(
        id=f"{clip.id}_voice{index}",
        class_id=clip.class_id,
        clip=clip.id,
        text=f"somebody washes thing {number}",
        text_source="grammar",
        language="en",
        voice=f"voice{index}",
        source="synthesized",
        engine="none",
        path=f"speech/{clip.id}_voice{index}.wav",
        sample_rate_hz=16_000,
        duration_s=1.0,
        sha256=sha(f"utterance {clip.id}"),
        quality={},
    )


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


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """4 classes: 5 training items of each (one a fold) and 3 test items; the files are there and empty."""
    root = tmp_path / "workspace"
    write_rows(root / "manifests" / "train.jsonl", pair_rows(4, range(5), "train", lambda index: index))
    write_rows(root / "manifests" / "test.jsonl", pair_rows(4, range(5, 8), "test", lambda index: None))
    for number in range(4):
        for index in range(8):
            for row in (clip_row(number, index), utterance_row(number, index)):
                path = root / row.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"")
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
    rows = {}
    for number in range(8):
        for index in range(12):
            rows[clip_row(number, index).sha256] = made_video(number, index)
            rows[utterance_row(number, index).sha256] = made_audio(number, index)
    calls = {"video": 0, "audio": 0}

    def extraction(kind: str, dim: int) -> Callable[..., FeatureSet]:
        def extract(items: Sequence[Media], config: object, **_: object) -> FeatureSet:
            calls[kind] += 1
            return FeatureSet(dim=dim, values={item.sha256: rows[item.sha256] for item in items}, source=kind)

        return extract

    for module in ("fmn.data.loading", "fmn.search.gallery_search"):
        monkeypatch.setattr(f"{module}.extract_video", extraction("video", VIDEO_DIM))
        monkeypatch.setattr(f"{module}.extract_audio", extraction("audio", AUDIO_DIM))
    return calls


@pytest.fixture
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


# Nothing but a few pixels: the smallest network on the smallest windows.
TINY = VideoFeatureConfig(
    width=1 / 16,
    weights="random",
    sample_fps=8.0,
    window_frames=8,
    windows=2,
    resize_px=40,
    crop_px=32,
    flow_bound_px=5.0,
)


@pytest.fixture
def tiny() -> VideoFeatureConfig:
    return TINY


def moving_texture(frames: int, height: int, width: int, *, seed: int = 0, step_px: int = 2) -> NDArray[np.uint8]:
    """[frames, height, width, 3]: a smooth random picture that moves to the right by ``step_px`` a frame."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (height // 8 + 2, (width + frames * step_px) // 8 + 2, 3))
    fine = np.kron(coarse, np.ones((8, 8, 1)))
    kernel = np.ones(9) / 9
    for axis in (0, 1):
        fine = np.apply_along_axis(lambda line: np.convolve(line, kernel, mode="same"), axis, fine)
    start = frames * step_px
    moved = [fine[:height, start - i * step_px : start - i * step_px + width] for i in range(frames)]
    return np.stack(moved).astype(np.uint8)


@pytest.fixture
def write_video(tmp_path: Path) -> Callable[..., Path]:
    """Writes frames [frames, height, width, 3] as a video; small quantizers keep the pixels nearly as they are."""

    def write(name: str, frames: NDArray[np.uint8], *, fps: Fraction | int = 25, codec: str = "libx264") -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            options = {"crf": "4", "threads": "1"} if codec == "libx264" else {"qscale": "2", "flags": "+qscale"}
            stream = container.add_stream(codec, rate=fps, options=options)
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuv420p"
            for pixels in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
            container.mux(stream.encode(None))
        return path

    return write


@pytest.fixture
def write_clip(write_video: Callable[..., Path]) -> Callable[..., Media]:
    """A clip of a moving texture, as the extraction takes it."""

    def write(name: str, *, frames: int = 40, seed: int = 0, fps: Fraction | int = 25) -> Media:
        path = write_video(f"{name}.mp4", moving_texture(frames, 48, 64, seed=seed), fps=fps)
        return media(path)

    return write


def media(path: Path) -> Media:
    return Media(hashlib.sha256(path.read_bytes()).hexdigest(), path, path.stem)


@pytest.fixture
def as_media() -> Callable[[Path], Media]:
    return media


@pytest.fixture
def texture() -> Callable[..., NDArray[np.uint8]]:
    return moving_texture
