"""A data set of four clips, small enough for a browser test, and a browser that reaches no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser

from dataset_tools.clips.encoding import encode
from dataset_tools.core.errors import SampleError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.ledger import Ledger, failed
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, UtteranceRow, write_rows
from dataset_tools.video.decoding import Picture

CUT, WASH = "cut_carrot_knife", "wash_apple"
WHO = ((CUT, 7), (CUT, 7), (CUT, 8), (WASH, 8))
FRAMES = 21


def gray(level: int, number: int, width: int = 96, height: int = 64) -> Picture:
    """A picture of one brightness."""
    chroma = np.full(width * height // 2, 128, np.uint8)
    return Picture(number, width, height, np.full(width * height, level, np.uint8).tobytes() + chroma.tobytes())


@pytest.fixture
def workspace(
    make_clip: Callable[..., ClipRow], make_utterance: Callable[..., UtteranceRow], tmp_path: Path
) -> Workspace:
    """Four clips of two classes and two persons, ever brighter, an utterance each, and one sample that failed."""
    place = Workspace(tmp_path / "data set")
    clips, utterances = [], []
    for number, (class_id, person) in enumerate(WHO):
        clip = make_clip(class_id, person, 20, 100 * number + 1)
        path = place.root / clip.path
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures = [gray(20 + 8 * index + number, index) for index in range(FRAMES)]
        made = encode(pictures, Fraction(147, 5), path, "key")
        clip = msgspec.structs.replace(
            clip, sha256=sha256_of(path), duration_s=made.frames / made.fps, **msgspec.structs.asdict(made)
        )
        utterance = make_utterance(class_id, clip.id, f"en+voice{number}")
        path = place.root / utterance.path
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, np.sin(np.arange(16000 + 1600 * number) * 0.05), 16000, subtype="PCM_16")
        quality = {"loudness_lufs": -20.0 - number, "warnings": ["quiet: <b>very</b>"] if number == 2 else []}
        utterances.append(
            msgspec.structs.replace(
                utterance,
                sha256=sha256_of(path),
                duration_s=1 + number / 10,
                quality=quality,
                text=f"Sentence {number} <script>alert(1)</script> & more",
            )
        )
        clips.append(clip)
    write_rows(place.manifests / "clips.jsonl", sorted(clips, key=lambda row: row.id))
    write_rows(place.manifests / "utterances.jsonl", sorted(utterances, key=lambda row: row.id))
    with Ledger(place.ledger) as ledger:
        error = SampleError("The video is damaged after frame 9: <broken>", where="s09.avi", next_step="copy it again")
        ledger.record(failed("clip/s09-d20_000001-000020", "cut", error))
    return place


@pytest.fixture(scope="module")
def browser(chromium: Callable[..., AbstractContextManager[Browser]]) -> Iterator[Browser]:
    """One for all tests of a file."""
    with chromium() as opened:
        yield opened
