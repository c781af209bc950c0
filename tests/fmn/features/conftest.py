"""Videos of a texture that moves, as the extraction takes them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from fmn.features.backbone import Backbone
from fmn.features.media import Media
from fmn.features.pipeline import ClipWindows, clip_features


@pytest.fixture(autouse=True)
def one_thread(one_thread: None) -> None:
    """Here for all tests: networks of a few channels are slower on many threads."""


@pytest.fixture
def features_of() -> Callable[[Backbone, Sequence[ClipWindows]], list[NDArray[np.float32]]]:
    """The features of clips, in their order, as the extraction computes them."""

    def features(backbone: Backbone, clips: Sequence[ClipWindows]) -> list[NDArray[np.float32]]:
        items = [Media(f"{number:064}", Path(str(number)), str(number)) for number in range(len(clips))]
        windows = dict(zip(items, clips, strict=True))
        pooling = backbone.config.pooling
        found = dict(clip_features(items, windows.__getitem__, backbone, jobs=1, shared=True, pooling=pooling))
        return [found[item] for item in items]

    return features


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
