"""Video orientation: rotation and mirroring by the display matrix that cameras write.

Not FFmpeg's own ``autorotate``: it is part of the ffmpeg program, and not available as a filter.
"""

from __future__ import annotations

import struct
from typing import Any


def upright_filters(frame: Any) -> list[tuple[str, str]]:
    """The filters, (name, arguments), that orient a frame as players do, in one of eight orientations.

    The matrix (ISO/IEC 14496-12, 8.5.3) maps the point (x, y) of a frame to (a x + c y, b x + d y), up to a
    translation. Other angles are rounded to the nearest quarter turn.
    """
    a, b, c, d = _matrix(frame)
    swaps_sides = abs(b) + abs(c) > abs(a) + abs(d)
    filters = [("transpose", "cclock_flip")] if swaps_sides else []  # (x, y) to (y, x)
    if (c if swaps_sides else a) < 0:
        filters.append(("hflip", ""))
    if (b if swaps_sides else d) < 0:
        filters.append(("vflip", ""))
    return filters


def is_mirrored(frame: Any) -> bool:
    """Whether the display matrix of a frame mirrors it, as that of a selfie camera may."""
    a, b, c, d = _matrix(frame)
    return a * d - b * c < 0


def _matrix(frame: Any) -> tuple[int, int, int, int]:
    """The upper left 2 × 2 entries of the display matrix, as integers; the identity if there is no valid matrix."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data))
    return (a, b, c, d) if a * d - b * c else (1, 0, 0, 1)
