from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from dataset_tools.manifests import ClipRow, IntervalOrigin, UtteranceRow, WindowOrigin


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def make_clip() -> Callable[..., ClipRow]:
    """A clip row by class, person, dish and start frame; everything else follows."""

    def make(class_id: str, person: int, dish: int, start: int, window: tuple[int, int] | None = None) -> ClipRow:
        interval = f"s{person:02d}-d{dish:02d}_{start:06d}-{start + 49:06d}"
        clip_id = interval if window is None else f"{interval}_w{window[0]}of{window[1]}"
        return ClipRow(
            id=clip_id,
            class_id=class_id,
            person=f"s{person:02d}",
            dish=f"d{dish:02d}",
            video=f"s{person:02d}-d{dish:02d}-cam-002",
            start_frame=start,
            end_frame=start + 49,
            trim=None,
            fps=29.4,
            frames=50,
            width=256,
            height=256,
            duration_s=50 / 29.4,
            path=f"clips/{clip_id}.mp4",
            sha256=_sha("clip" + clip_id),
            origin=IntervalOrigin() if window is None else WindowOrigin(index=window[0], of=window[1]),
        )

    return make


@pytest.fixture
def make_utterance() -> Callable[..., UtteranceRow]:
    """An utterance row for a clip, or (clip=None) for a class."""

    def make(class_id: str, clip: str | None, voice: str, number: int = 0) -> UtteranceRow:
        utterance_id = f"{clip or class_id}_{voice}" + (f"-{number}" if clip is None else "")
        return UtteranceRow(
            id=utterance_id,
            class_id=class_id,
            clip=clip,
            text=f"a sentence about {class_id}",
            text_source="grammar",
            language="en",
            voice=voice,
            source="recorded" if clip is None else "synthesized",
            engine=None,
            path=f"speech/{utterance_id}.wav",
            sample_rate_hz=16000,
            duration_s=1.5,
            sha256=_sha("utterance" + utterance_id),
            quality={},
        )

    return make
