"""Allowed video containers: only formats that contain their footage themselves.

Playlists and lists (``concat``, ``hls``, ``dash``) name other files: the hash of a list is not that of the footage, and
a list could name any file of the machine, or of the network.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

FORMATS = (
    "asf,av1,avi,dv,flv,gif,gxf,h263,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mp4,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,rm,"
    "vc1,webm,wtv,yuv4mpegpipe"
)
"""By FFmpeg's names."""

_BYTES_KEPT_SINCE = 19
ANY_METADATA: dict[str, Any] = (
    {} if int(version("av").split(".")[0]) >= _BYTES_KEPT_SINCE else {"metadata_errors": "replace"}
)
"""Arguments of ``av.open``: a title in Latin-1 is no reason to refuse a file. PyAV takes it by itself since 19."""

OPENED_ALONE: dict[str, Any] = {
    "options": {"protocol_whitelist": "file", "format_whitelist": FORMATS},
    **ANY_METADATA,
}
"""Arguments of ``av.open``, for every video that the toolkit did not write itself in the same breath."""
