"""Videos whose frames carry their own number, as a grid of black and white squares; own footage; rows of manifests."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from imageio_ffmpeg import get_ffmpeg_exe
from made_up_rows import clip_row, utterance_row

from dataset_tools.classes.reader import load_classes
from dataset_tools.corpora.annotations.own_footage import open_own_footage
from dataset_tools.corpora.corpus import Corpus
from dataset_tools.decisions.journal import LabelStudioIds, ReviewRow, Shown
from dataset_tools.manifests import ClipRow, UtteranceRow, WindowOrigin

FRAMES = 60
FIRST_FRAME = 101


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., ClipRow]:
    """A clip row by class, person, dish and start frame; everything else follows."""

    def make(class_id: str, person: int, dish: int, start: int, window: tuple[int, int] | None = None) -> ClipRow:
        clip_id = f"s{person:02d}-d{dish:02d}_{start:06d}-{start + 49:06d}"
        if window is None:
            return clip_row(clip_id, class_id)
        index, of = window
        return clip_row(f"{clip_id}_w{index}of{of}", class_id, origin=WindowOrigin(index=index, of=of))

    return make


@pytest.fixture(scope="session")
def make_utterance() -> Callable[..., UtteranceRow]:
    """An utterance row for a clip, or (clip=None) for a class."""

    def make(class_id: str, clip: str | None, voice: str, number: int = 0) -> UtteranceRow:
        utterance_id = f"{clip or class_id}_{voice}" + (f"-{number}" if clip is None else "")
        about = {"voice": voice, "engine": None, "source": "recorded" if clip is None else "synthesized"}
        return utterance_row(utterance_id, class_id, clip, text=f"a sentence about {class_id}", duration_s=1.5, **about)

    return make


@pytest.fixture(scope="session")
def make_review() -> Callable[..., ReviewRow]:
    """A row of reviews.jsonl: an accepted clip, unless said otherwise; ``minute`` is when, of one hour."""

    def make(*, minute: int, annotation: int = 1, task: int = 1, review_round: int = 1, **fields: Any) -> ReviewRow:
        shown = {"class_id": "cut_carrot_knife", "sentence": "Cut it.", "first_frame": 101, "frames": 60}
        shown |= fields.pop("shown", {})
        given = {
            "id": "s00-d21_000101-000160",
            "item": "clip",
            "content_sha256": "a" * 64,
            "verdict": "accept",
            "annotator": "ann@example.com",
        }
        return ReviewRow(
            **(given | fields),
            time=f"2026-11-22T07:{minute:02d}:00.000000Z",
            shown=Shown(**shown),
            label_studio=LabelStudioIds(
                server="http://127.0.0.1:8080",
                project=1,
                task=task,
                annotation=annotation,
                created="2026-11-22T07:00:00.000000Z",
                review_round=review_round,
            ),
        )

    return make


@pytest.fixture
def clip_factory() -> Callable[..., ClipRow]:
    """A clip row by number and class id."""

    def make(number: int, class_id: str) -> ClipRow:
        clip_id = f"s{number:02d}-d21_{FIRST_FRAME:06d}-{FIRST_FRAME + FRAMES - 1:06d}"
        return clip_row(clip_id, class_id, width=192, height=144, sha256=f"{number:064x}")

    return make


@pytest.fixture
def utterance_factory() -> Callable[[ClipRow], UtteranceRow]:
    """The utterance row of a clip."""

    def make(clip: ClipRow) -> UtteranceRow:
        about = {"text": f"A sentence about {clip.class_id}.", "voice": "en-us-f1", "engine": "espeak 1.52"}
        return utterance_row(f"{clip.id}_en-us-f1", clip.class_id, clip.id, sha256=clip.sha256[::-1], **about)

    return make


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

        ``aspect``: of a pixel. ``intra``: so many frames at the start are key frames. ``options``: of the encoder.
        """
        if codec == "libx264":
            options = {"preset": "veryfast", **options}  # half the time of the usual preset, with reordered frames
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


@pytest.fixture(scope="session")
def listed() -> Callable[..., Corpus]:
    """Own footage by a CSV, which is written to the folder of the videos."""

    def opened(folder: Path, text: str | bytes, **options: Any) -> Corpus:
        path = folder / "intervals.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return open_own_footage(path, load_classes(), cache=folder / "memory", **options)

    return opened


@pytest.fixture(scope="session")
def empty_sample() -> Callable[[Path, int], None]:
    """Makes a sample of a MOV or MP4 of one track empty, as QuickTime does; the one before gets its bytes."""

    def change(path: Path, place: int) -> None:
        content = bytearray(path.read_bytes())
        sizes = content.index(b"stsz") + 16  # after name, flags, size of all samples (0), number
        at = sizes + 4 * place
        before, size = struct.unpack(">II", content[at - 4 : at + 4])
        content[at - 4 : at + 4] = struct.pack(">II", before + size, 0)
        path.write_bytes(content)

    return change


@pytest.fixture(scope="session")
def ffmpeg() -> Callable[..., bytes]:
    """Runs ffmpeg, to make files of every kind without the code under test; gives what it writes to its output."""

    def run(*arguments: object) -> bytes:
        command = [get_ffmpeg_exe(), "-v", "error", "-y", "-strict", "-2", *map(str, arguments)]
        return subprocess.run(command, check=True, capture_output=True).stdout

    return run
