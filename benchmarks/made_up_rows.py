"""Synthetic manifest rows for benchmarks that read rows but no media files."""

from __future__ import annotations

from dataset_tools.manifests import ClipRow, IntervalOrigin, UtteranceRow

FRAMES, FPS = 50, 29.4


def clip_row(number: int, class_id: str, sequence: str, start_frame: int, *, digits: int = 6) -> ClipRow:
    """The row of clip ``number``: ``FRAMES`` frames from ``start_frame`` of the sequence, such as ``s07-d20``."""
    end_frame = start_frame + FRAMES - 1
    clip_id = f"{sequence}_{start_frame:0{digits}d}-{end_frame:0{digits}d}"
    person, _, dish = sequence.partition("-")
    return ClipRow(
        id=clip_id,
        class_id=class_id,
        person=person,
        dish=dish,
        video=f"{sequence}-cam-002",
        start_frame=start_frame,
        end_frame=end_frame,
        trim=None,
        fps=FPS,
        frames=FRAMES,
        width=340,
        height=256,
        duration_s=FRAMES / FPS,
        path=f"clips/{clip_id}.mp4",
        sha256=f"{number:064x}",
        origin=IntervalOrigin(),
    )


def utterance_row(clip: ClipRow, sha256: str) -> UtteranceRow:
    """The row of the description of a clip, spoken by a synthesized voice."""
    name = f"{clip.id}_en+m1"
    return UtteranceRow(
        id=name,
        class_id=clip.class_id,
        clip=clip.id,
        text="the person takes the knife and the plate out",
        text_source="grammar",
        language="en",
        voice="en+m1",
        source="synthesized",
        engine="espeak",
        path=f"speech/{name}.wav",
        sample_rate_hz=16000,
        duration_s=2.0,
        sha256=sha256,
        quality={"loudness_lufs": -23.0, "warnings": []},
    )
