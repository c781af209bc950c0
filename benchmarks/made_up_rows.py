"""Made-up rows of manifests, for benchmarks and tests; their media files need not exist."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any

from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, IntervalOrigin, UtteranceRow, read_rows

FRAMES, FPS = 50, 29.4
THREE = ("cut_carrot_knife", "wash_apple", "take-out_frying-pan_plate")
"""Classes of the shipped class file."""


def interval_id(sequence: str, start_frame: int, *, digits: int = 6) -> str:
    """The id of a clip of ``FRAMES`` frames of the sequence, such as ``s07-d20``."""
    return f"{sequence}_{start_frame:0{digits}d}-{start_frame + FRAMES - 1:0{digits}d}"


def clip_row(clip_id: str, class_id: str, **fields: Any) -> ClipRow:
    """A row with the person, dish, video and frames of its id, ``s07-d20_000101-000150``; ``fields`` replace others."""
    found = re.match(r"(.+?)-(.+?)_(\d+)-(\d+)", clip_id)
    assert found is not None
    person, dish = found[1], found[2]
    start_frame, end_frame = int(found[3]), int(found[4])
    frames, fps = fields.get("frames", end_frame - start_frame + 1), fields.get("fps", FPS)
    made_up: dict[str, Any] = {
        "id": clip_id,
        "class_id": class_id,
        "person": person,
        "dish": dish,
        "video": f"{person}-{dish}-cam-002",
        "start_frame": start_frame,
        "end_frame": end_frame,
        "trim": None,
        "fps": fps,
        "frames": frames,
        "width": 340,
        "height": 256,
        "duration_s": frames / fps,
        "path": f"clips/{clip_id}.mp4",
        "sha256": sha256(f"clip {clip_id}".encode()).hexdigest(),
        "origin": IntervalOrigin(),
    }
    return ClipRow(**made_up | fields)


def utterance_row(utterance_id: str, class_id: str, clip: str | None, **fields: Any) -> UtteranceRow:
    """A row of a synthesized sentence on a clip, or on a class (``clip=None``); ``fields`` replace others."""
    made_up: dict[str, Any] = {
        "id": utterance_id,
        "class_id": class_id,
        "clip": clip,
        "text": "the person takes the knife and the plate out",
        "text_source": "grammar",
        "language": "en",
        "voice": "en+m1",
        "source": "synthesized",
        "engine": "espeak",
        "path": f"speech/{utterance_id}.wav",
        "sample_rate_hz": 16_000,
        "duration_s": 1.0,
        "sha256": sha256(f"utterance {utterance_id}".encode()).hexdigest(),
        "quality": {},
    }
    return UtteranceRow(**made_up | fields)


def clips_of(workspace: Workspace) -> list[ClipRow]:
    """The rows of clips.jsonl."""
    return list(read_rows(workspace.manifests / "clips.jsonl", ClipRow))
