"""Audio that a file declares beyond what it has, because it is truncated: FFmpeg decodes the rest without a word."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_UNKNOWN_BYTES = 10**9  # programs that write to a pipe do not know the size, and state 0, 2 GB or 4 GiB
_VOC_HEADER_BYTES = {1: 2, 2: 0, 9: 12}  # of the blocks with audio, by type: rate and codec come before the samples

Part = tuple[int, int]
"""Offset and declared size of a part of the audio data, in bytes."""


def missing_share(path: Path) -> float:
    """Data that a WAV, CAF or VOC declares beyond what is present, relative to that; 0 for other files.

    VOC is a sequence of blocks, of which only the one that the file ends in can be told to be incomplete.
    """
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(22)
        if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
            parts = _of_wav(file)
        elif head[:4] == b"caff":
            parts = _of_caf(file)
        elif head[:20] == b"Creative Voice File\x1a" and len(head) == 22:
            parts = _of_voc(file, *struct.unpack("<H", head[20:]))
        else:
            return 0.0
        sizes = [(size, min(size, max(0, end - start))) for start, size in parts]
    declared, present = (sum(one) for one in zip(*sizes, strict=True)) if sizes else (0, 0)
    return (declared - present) / present if present and declared < _UNKNOWN_BYTES else 0.0


def _of_wav(file: BinaryIO) -> Iterator[Part]:
    size_of_data = None
    file.seek(12)
    while len(chunk := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", chunk)
        if name == b"ds64" and size >= 16 and len(sizes := file.read(16)) == 16:  # RF64: 64-bit sizes
            size_of_data = struct.unpack("<8xQ", sizes)[0]
            size -= 16
        if name == b"data":
            yield file.tell(), size if size_of_data is None else size_of_data
            return
        file.seek(size + size % 2, 1)


def _of_caf(file: BinaryIO) -> Iterator[Part]:
    """Core Audio Format, of Apple: 64-bit sizes; that of the data is -1 if it was unknown when it was written."""
    file.seek(8)
    while len(chunk := file.read(12)) == 12:
        name, size = struct.unpack(">4sq", chunk)
        if name == b"data" and size >= 4:
            yield file.tell() + 4, size - 4  # without the number of edits
        if size < 0 or name == b"data":
            return
        file.seek(min(size, _UNKNOWN_BYTES), 1)


def _of_voc(file: BinaryIO, header_bytes: int) -> Iterator[Part]:
    """Creative Voice: blocks of a type and a 24-bit size each, up to one of the type 0.

    A size of 0, as of a file that was written to a pipe, means the rest of the file to FFmpeg.
    """
    file.seek(header_bytes)
    while len(block := file.read(4)) == 4 and block[0] != 0 and (size := int.from_bytes(block[1:], "little")):
        before = _VOC_HEADER_BYTES.get(block[0], size)
        if size > before:
            yield file.tell() + before, size - before
        file.seek(size, 1)
