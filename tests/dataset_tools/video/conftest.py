"""Field-coded H.264, which no encoder at hand writes: AVCHD cameras do, two pictures a frame ("PAFF")."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

START = b"\0\0\0\1"
DELIMITER = START + b"\x09\x10"
SPS, PPS, KEY_SLICE, SLICE = 7, 8, 5, 1  # nal_unit_type, ITU-T H.264 table 7-1


class Bits(list[int]):
    """A bit string; ``u`` and ``ue`` are the descriptors of ITU-T H.264, 7.2 and 9.1."""

    def u(self, value: int, width: int = 1) -> Bits:
        self += [value >> place & 1 for place in reversed(range(width))]
        return self

    def ue(self, *values: int) -> Bits:
        for value in values:
            self.u(value + 1, 2 * (value + 1).bit_length() - 1)
        return self

    def aligned(self) -> Bits:
        return self.u(0, -len(self) % 8)

    def unit(self, kind: int) -> bytes:
        """As a NAL unit of Annex B, with what keeps start codes out of it."""
        payload, zeros = bytearray(), 0
        for byte in np.packbits(self.u(1).aligned()).tobytes():
            if zeros == 2 and byte <= 3:
                payload.append(3)
                zeros = 0
            payload.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return START + bytes([(2 if kind == SLICE else 3) << 5 | kind]) + payload


def parameter_sets(width: int, height: int, rate: int) -> bytes:
    """Main profile, frame_mbs_only_flag 0 (fields may come), ``rate`` frames a second in the VUI."""
    sps = Bits().u(77, 8).u(0, 8).u(30, 8).ue(0, 4, 0, 4, 1).u(0).ue(width // 16 - 1, height // 32 - 1)
    sps.u(0b00101, 5).u(1).u(0b0000, 4).u(1).u(1, 32).u(2 * rate, 32).u(1).u(0b0010, 4)
    pps = Bits().ue(0, 0).u(0, 2).ue(0, 0, 0).u(0, 3).ue(0, 0, 0).u(0b100, 3)
    return sps.unit(SPS) + pps.unit(PPS)


def field(luma: np.ndarray, *, bottom: bool, place: int, key: bool) -> bytes:
    """A field [h, w] as an intra slice of uncoded (I_PCM) macroblocks; ``place`` counts frames from the key frame."""
    slice_ = Bits().ue(0, 7, 0).u(place, 8).u(1).u(bottom)
    if key:
        slice_.ue(0)
    slice_.u(2 * place + bottom, 8).u(0, 2 if key else 1).ue(0, 1)
    gray = Bits(np.unpackbits(np.full(128, 128, np.uint8)).tolist())  # of both chroma blocks
    for y in range(0, luma.shape[0], 16):
        for x in range(0, luma.shape[1], 16):
            slice_.ue(25).aligned()
            slice_ += np.unpackbits(np.ascontiguousarray(luma[y : y + 16, x : x + 16])).tolist() + gray
    return slice_.unit(KEY_SLICE if key else SLICE)


@pytest.fixture(scope="session")
def write_field_coded() -> Callable[[Path, Sequence[np.ndarray], int], Path]:
    """Writes frames [height (of 32), width (of 16)] uint8 at a rate, and copies them to the container of the suffix."""

    def write(path: Path, frames: Sequence[np.ndarray], rate: int, gop: int = 12) -> Path:
        stream = b""
        for number, frame in enumerate(frames):
            place = number % gop
            stream += DELIMITER + (parameter_sets(*frame.shape[::-1], rate) if place == 0 else b"")
            stream += field(frame[0::2], bottom=False, place=place, key=place == 0)
            stream += DELIMITER + field(frame[1::2], bottom=True, place=place, key=False)
        raw = path.with_suffix(".h264")
        raw.write_bytes(stream)
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-r", str(2 * rate), "-i", str(raw)]
        subprocess.run([*command, "-c", "copy", str(path)], check=True)
        return path

    return write
