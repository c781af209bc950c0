"""Videos whose frames carry their own number, as a grid of big black and white squares: 12 bits, 4 × 3."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from dataset_tools.corpora.mpii.annotations import Annotations, Interval
from dataset_tools.corpora.mpii.mpii_corpus import Corpus

BITS = 12
COLUMNS, ROWS = 4, 3
RATE = Fraction(147, 5)


def numbered_picture(number: int, width: int, height: int) -> np.ndarray:
    """[height, width, 3] uint8: bit b of the number is white or black in cell b (row by row), on moving noise."""
    picture = np.empty((height, width, 3), np.uint8)
    for bit in range(BITS):
        row, column = divmod(bit, COLUMNS)
        cell = np.s_[
            row * height // ROWS : (row + 1) * height // ROWS,
            column * width // COLUMNS : (column + 1) * width // COLUMNS,
        ]
        picture[cell] = 225 if number >> bit & 1 else 30
    noise = np.random.default_rng(number).integers(0, 20, (height, width, 1), dtype=np.uint8)
    return picture + noise


def read_number(luma: np.ndarray) -> int:
    """The number that a picture [height, width] carries; a picture that is not clearly one is refused."""
    height, width = luma.shape
    number = 0
    for bit in range(BITS):
        row, column = divmod(bit, COLUMNS)
        y, x = height * (2 * row + 1) // (2 * ROWS), width * (2 * column + 1) // (2 * COLUMNS)
        brightness = float(luma[y - height // 12 : y + height // 12, x - width // 16 : x + width // 16].mean())
        assert brightness < 80 or brightness > 180, f"cell {bit} is gray ({brightness:.0f})"
        number |= (brightness > 128) << bit
    return number


@pytest.fixture(scope="session")
def write_video() -> Callable[..., Path]:
    """Writes frames 1…``frames`` to ``path`` and gives the path; the suffix says the container."""

    def write(
        path: Path,
        frames: int | Iterable[int] = 100,
        *,
        codec: str = "mpeg4",
        size: tuple[int, int] = (160, 120),
        rate: Fraction = RATE,
        times_ms: Callable[[int], int] | None = None,
        rotate: int = 0,
        pix_fmt: str = "yuv420p",
        aspect: Fraction | None = None,
        intra: int = 0,
        container: dict[str, str] | None = None,
        **options: Any,
    ) -> Path:
        """``times_ms``: time of the frame in place n (from 0). ``rotate``: degrees a player must turn it, clockwise.

        ``aspect``: of a pixel. ``intra``: so many frames at the start are key frames.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        numbers = list(range(1, frames + 1)) if isinstance(frames, int) else list(frames)
        with av.open(str(path), "w", options=container or {}) as output:
            stream = output.add_stream(codec, rate=rate, options={name: str(value) for name, value in options.items()})
            pictures = (np.rot90(numbered_picture(number, *size), rotate // 90) for number in numbers)
            upright = size if rotate % 180 == 0 else size[::-1]
            stream.width, stream.height = upright
            stream.pix_fmt = pix_fmt
            if codec == "mpeg4":
                stream.codec_context.qmin = stream.codec_context.qmax = 4
            if aspect is not None:
                stream.codec_context.sample_aspect_ratio = aspect
            if times_ms is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
            if rotate:
                stream.set_display_rotation(-rotate)
            for place, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                if place < intra:
                    frame.pict_type = PictureType.I
                frame.pts = place if times_ms is None else times_ms(place)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        return path

    return write


@pytest.fixture(scope="session")
def number_of() -> Callable[[np.ndarray], int]:
    """Reads the number of one picture [height, width]."""
    return read_number


@pytest.fixture(scope="session")
def read_numbers() -> Callable[[Path], list[int]]:
    """The numbers of a video's frames, as a plain decoder puts them out."""

    def read(path: Path) -> list[int]:
        with av.open(str(path)) as container:
            return [read_number(frame.to_ndarray(format="gray")) for frame in container.decode(video=0)]

    return read


@pytest.fixture
def real_data() -> Path:
    """The folder of real recordings."""
    folder = os.environ.get("FMN_TEST_DATA")
    if not folder:
        pytest.skip("FMN_TEST_DATA is not set: it points to the real recordings")
    return Path(folder)


@pytest.fixture
def make_interval() -> Callable[..., Interval]:
    """An interval of ``verb`` and ``things``; its index in the annotation file counts up."""
    count = itertools.count()

    def make(
        sequence: str, start: int, end: int, verb: str = "cut", things: str = "carrot knife", video: str | None = None
    ) -> Interval:
        return Interval(
            index=next(count),
            video=video or f"{sequence}-cam-002",
            start_frame=start,
            end_frame=end,
            verb=verb,
            things=frozenset(things.split()),
            verbs=frozenset([verb]),
        )

    return make


@pytest.fixture
def make_corpus(tmp_path: Path) -> Callable[..., Corpus]:
    """A corpus of intervals; ``videos`` are by name, or (None) said to be there, all of them."""

    def make(intervals: Sequence[Interval], videos: dict[str, Path] | None = None) -> Corpus:
        root = tmp_path / "mpii"
        root.mkdir(exist_ok=True)
        mat = root / "annotations.mat"
        mat.write_text(repr(intervals))
        if videos is None:
            videos = {interval.video: root / f"{interval.video}.avi" for interval in intervals}
        return Corpus(
            root=root,
            annotations=Annotations(mat, tuple(intervals), 29.4, (), "made for tests"),
            videos=videos,
            splits={},
            standin=None,
            sentences=None,
        )

    return make
