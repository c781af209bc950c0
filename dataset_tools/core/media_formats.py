"""Allowed video containers: only formats that contain the footage itself.

Playlists and lists (``concat``, ``hls``, ``dash``) refer to other files: the hash of a list is not that of the footage,
and a list could refer to any file of the machine, or of the network.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

FORMATS = (
    "asf,av1,avi,dv,flv,gif,gxf,h263,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mp4,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,rm,"
    "vc1,webm,wtv,yuv4mpegpipe"
)
"""FFmpeg's names of these formats."""

FORMATS_WITHOUT_ASPECT = frozenset({"h264", "hevc", "m4v", "mpeg", "mpegts", "mpegvideo"})
"""Formats, by FFmpeg's names, that leave the pixel aspect ratio to the coded stream."""

SAME_ASPECT = 0.02
"""Largest relative change of the aspect ratio within a clip; rounding causes it when a call changes its resolution."""

_BYTES_KEPT_SINCE = 19
ANY_METADATA: dict[str, Any] = (
    {} if int(av.__version__.split(".")[0]) >= _BYTES_KEPT_SINCE else {"metadata_errors": "replace"}
)
"""Arguments of ``av.open`` to accept metadata in any encoding, such as a title in Latin-1.

PyAV does so by default since version 19."""

OPENED_ALONE: dict[str, Any] = {
    "options": {"protocol_whitelist": "file", "format_whitelist": FORMATS},
    **ANY_METADATA,
}
"""Arguments of ``av.open`` for every video that the toolkit has not just written itself."""


def why_not_opened(error: Exception) -> str:
    """Says why ``av.open`` failed with `OPENED_ALONE`: if a format is not allowed, FFmpeg says "invalid argument"."""
    if getattr(error, "errno", None) == errno.EINVAL:
        return "it is not in a format of videos, but may be an audio file, a picture or a playlist"
    return getattr(error, "strerror", None) or str(error)


def filled_packets(container: Any, stream: Any) -> Iterator[Any]:
    """Yields the packets of a stream, then the one that flushes the decoder.

    Empty ones are left out: QuickTime may repeat a frame by one, and the decoder would refuse it.
    """
    return (packet for packet in container.demux(stream) if packet.size or packet.dts is None)


def video_stream(container: Any) -> Any:
    """The video stream that ffplay and other players show: the default one, not cover art; None without one."""
    stream = container.streams.best("video")
    return None if stream is None or is_cover_art(stream) else stream


def audio_place(container: Any) -> int:
    """Place of the audio stream that players play among the audio streams: the first default one, else the first."""
    from av.stream import Disposition

    streams = enumerate(container.streams.audio)
    return next((place for place, stream in streams if stream.disposition & Disposition.default), 0)


def prepare_decoder(context: Any) -> None:
    """Sets how the codec context of a video decodes: in one thread, cropped as the stream states."""
    from av.codec.context import Flags

    context.thread_count = 1  # videos are decoded in parallel instead
    context.flags |= Flags.unaligned  # otherwise cropping at the left is not applied


def is_cover_art(stream: Any) -> bool:
    """Whether a video stream is a picture that belongs to an audio file or a video."""
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def pixel_aspect(container: Any, stream: Any) -> Fraction:
    """Width / height of the pixels of a video stream, as of the frame that was decoded last; 1 if it is not stated.

    Broadcasts change from 4:3 to 16:9. If the container states no pixel aspect ratio, that of the decoder is current.
    """
    states_none = container.format.name in FORMATS_WITHOUT_ASPECT
    return (stream.codec_context if states_none else stream).sample_aspect_ratio or Fraction(1)
