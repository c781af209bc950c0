"""AVI writer: MPEG-4 without sound, like the videos of MPII Cooking 2."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av

from dataset_tools.core.files import written_whole
from dataset_tools.corpora.standin.kitchen import HEIGHT_PX, WIDTH_PX
from dataset_tools.corpora.standin.painter import Image

FRAME_RATE = Fraction(147, 5)  # 29.4
BIT_RATE = 1_000_000  # about 8 MB per minute


def write_avi(path: Path, frames: Iterable[Image]) -> int:
    """Writes frames, planar YUV 4:2:0, uint8 [`HEIGHT_PX` · 3 / 2, `WIDTH_PX`]; returns their number.

    It uses a single thread, so that the same frames give the same bytes.
    """
    count = 0
    with (
        written_whole(path) as partial,
        av.open(str(partial), "w", format="avi", options={"fflags": "+bitexact"}) as file,
    ):
        stream = file.add_stream("mpeg4", rate=FRAME_RATE, options={"flags": "+bitexact"})
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        stream.codec_context.gop_size = 48
        stream.codec_context.bit_rate = BIT_RATE
        stream.codec_context.thread_count = 1
        for planes in frames:
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts = count
            file.mux(stream.encode(frame))
            count += 1
        file.mux(stream.encode())
    return count
