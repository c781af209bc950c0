"""Made-up answers of annotators, as Label Studio has them, for benchmarks and tests."""

from __future__ import annotations

from typing import Any

MEDIA_URL = "http://127.0.0.1:9/media"
"""Address of media that a server need not open."""


def answer(control: str, kind: str, of: str = "video", **value: Any) -> dict[str, Any]:
    """The answer to a control of the page, such as ``choices``, on what it shows."""
    return {"from_name": control, "to_name": of, "type": kind, "value": value}


def verdict(choice: str) -> dict[str, Any]:
    """``accept``, ``trim`` or ``reject``."""
    return answer("verdict", "choices", choices=[choice])


def keep(start: float, end: float) -> dict[str, Any]:
    """A range to keep, drawn on the timeline, in frames of the video from 1."""
    return answer("trim", "timelinelabels", ranges=[{"start": start, "end": end}], timelinelabels=["keep"])
