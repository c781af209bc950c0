"""High dynamic range (HDR), as phones record it: frames are tone-mapped to the standard range, BT.709.

libswscale does it (since FFmpeg 8.0). An encoder that ignores the transfer function shows such videos gray and dark.
"""

from __future__ import annotations

from typing import Any

HDR_TRANSFERS = frozenset({16, 18})
"""SMPTE ST 2084 (PQ) and ARIB STD-B67 (HLG), numbered as in ITU-T H.273."""

SCALE_TO_STANDARD = "out_transfer=bt709:out_primaries=bt709:out_color_matrix=bt601"
"""Options of FFmpeg's scale filter. Clips state no color matrix: readers assume that of BT.601, as of other footage."""

REFORMAT_TO_STANDARD = {"dst_color_trc": 1, "dst_color_primaries": 1, "dst_colorspace": "ITU709"}
"""The same as arguments of PyAV's reformat, to RGB, which has no color matrix."""


def is_hdr(frame: Any) -> bool:
    """Whether a frame has a high dynamic range."""
    return frame.color_trc in HDR_TRANSFERS
