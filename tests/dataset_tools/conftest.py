from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from dataset_tools.decisions.journal import LabelStudioIds, ReviewRow, Shown
from dataset_tools.manifests import ClipRow, IntervalOrigin, UtteranceRow, WindowOrigin


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


FPS = 29.4  # MPII Cooking 2's
FRAMES = 60
FIRST_FRAME = 101


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


@pytest.fixture
def make_review() -> Callable[..., ReviewRow]:
    """A row of reviews.jsonl: an accepted clip, unless said otherwise; ``minute`` is when, of one hour."""

    def make(*, minute: int, annotation: int = 1, task: int = 1, look: int = 1, **fields: Any) -> ReviewRow:
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
                look=look,
            ),
        )

    return make


def clip_row(number: int, class_id: str) -> ClipRow:
    start, end = FIRST_FRAME, FIRST_FRAME + FRAMES - 1
    clip_id = f"s{number:02d}-d21_{start:06d}-{end:06d}"
    return ClipRow(
        id=clip_id,
        class_id=class_id,
        person=f"s{number:02d}",
        dish="d21",
        video=f"s{number:02d}-d21-cam-002",
        start_frame=start,
        end_frame=end,
        trim=None,
        fps=FPS,
        frames=FRAMES,
        width=192,
        height=144,
        duration_s=FRAMES / FPS,
        path=f"clips/{clip_id}.mp4",
        sha256=f"{number:064x}",
        origin=IntervalOrigin(),
    )


def utterance_row(clip: ClipRow) -> UtteranceRow:
    return UtteranceRow(
        id=f"{clip.id}_en-us-f1",
        class_id=clip.class_id,
        clip=clip.id,
        text=f"A sentence about {clip.class_id}.",
        text_source="grammar",
        language="en",
        voice="en-us-f1",
        source="synthesized",
        engine="espeak 1.52",
        path=f"speech/{clip.id}_en-us-f1.wav",
        sample_rate_hz=16000,
        duration_s=1.0,
        sha256=clip.sha256[::-1],
        quality={},
    )


@pytest.fixture
def clip_factory() -> Callable[..., ClipRow]:
    """`clip_row`: a clip row by number and class id."""
    return clip_row


@pytest.fixture
def utterance_factory() -> Callable[[ClipRow], UtteranceRow]:
    """`utterance_row`: the utterance row of a clip."""
    return utterance_row
