"""Video orientation: rotation and mirroring by the display matrix that cameras write.

Not FFmpeg's own ``autorotate``: it is part of the ffmpeg program, and not available as a filter.
"""

from __future__ import annotations

import struct
from typing import Any

Matrix = tuple[int, int, int, int]
"""The entries a, b, c, d of a display matrix (ISO/IEC 14496-12, 8.5.3).

It maps the point (x, y) of a frame to (a x + c y, b x + d y), up to a translation."""


def upright_filters(matrix: Matrix | None) -> list[tuple[str, str]]:
    """The filters, (name, arguments), that orient a frame as players do, in one of eight orientations.

    Other angles are rounded to the nearest quarter turn.
    """
    if matrix is None:
        return []
    a, b, c, d = matrix
    swaps_sides = abs(b) + abs(c) > abs(a) + abs(d)
    filters = [("transpose", "cclock_flip")] if swaps_sides else []  # (x, y) to (y, x)
    if (c if swaps_sides else a) < 0:
        filters.append(("hflip", ""))
    if (b if swaps_sides else d) < 0:
        filters.append(("vflip", ""))
    return filters


def is_mirrored(matrix: Matrix | None) -> bool:
    """Whether a display matrix mirrors frames, as that of a selfie camera may."""
    if matrix is None:
        return False
    a, b, c, d = matrix
    return a * d - b * c < 0


def display_matrix(frame: Any) -> Matrix | None:
    """The display matrix that a frame states; None if it states none, or an invalid one."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data))
    return (a, b, c, d) if a * d - b * c else None
