"""Conversion of the video URLs and paths of annotation tools to names below the video folder."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import parse_qs, unquote, urlsplit

from dataset_tools.corpora.annotations.video_names import SUFFIXES

_UPLOAD = re.compile(r"[0-9a-f]{8}-(?=.)")
_DRIVE = re.compile(r"/?[A-Za-z]:/")


def video_of_address(address: str) -> str:
    """Returns the name of a video: a relative path unchanged, of a URL or an absolute path only the file name.

    Absolute paths are assumed to be those of another machine. ``/data/local-files/?d=clips/a.mp4`` of Label Studio
    becomes ``clips/a.mp4``; its prefix of eight hexadecimal digits is removed from the names of uploads.

    Raises:
        ValueError: the address names no file.
    """
    address = address.strip().replace("\\", "/")
    parts = urlsplit(address)
    local = parse_qs(parts.query).get("d", [""])[0]
    if local:
        return local.lstrip("/")
    path = unquote(parts.path) if parts.scheme or address.startswith("/data/") else address
    is_elsewhere = bool(parts.scheme) or path.startswith("/") or _DRIVE.match(path) is not None
    name = posixpath.basename(path) if is_elsewhere else posixpath.normpath(path)
    if name in ("", ".", ".."):
        raise ValueError(f"{address[:60]!r} names no video")
    return _UPLOAD.sub("", name, count=1) if "/upload/" in f"/{path}" and _UPLOAD.match(name) else name


def is_video(address: str) -> bool:
    """Whether an address has the suffix of a video file."""
    try:
        return posixpath.splitext(video_of_address(address))[1].lower() in SUFFIXES
    except ValueError:
        return False
