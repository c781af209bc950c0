"""Finds where an HDF5 file holds a small data set, from its object header, without opening it.

MATLAB writes one data set per string, and opening each of 130,000 through the library takes seconds. Its headers are
those of version 1 (HDF5 File Format Specification 3.0, IV.A.1.a). Whatever is not as simple as what MATLAB writes is
left to the library. Reading all annotations takes 0.7 s so, instead of 4.4 s.
"""

from __future__ import annotations

import mmap
import struct
from typing import NamedTuple

_PREFIX = struct.Struct("<BxHII")  # version, messages, references to it, size
_MESSAGE = struct.Struct("<HHB")  # type, size, flags
_TWO_PLACES = struct.Struct("<QQ")
_DATATYPE, _LAYOUT, _ATTRIBUTE, _CONTINUATION, _MANY_ATTRIBUTES = 0x3, 0x8, 0xC, 0x10, 0x15
_SHARED = 0x2
_UINT16 = b"\x10\x00\x00\x00\x02\x00\x00\x00"  # class and version, little-endian and unsigned, bytes
_REFERENCE = b"\x17\x00\x00\x00\x08\x00\x00\x00"


class Stored(NamedTuple):
    """Where the values are; ``kind``: ``uint16``, ``reference``, ``empty`` (what MATLAB calls so) or ``other``."""

    kind: str
    place: int
    size: int


def find_stored(content: mmap.mmap, address: int, base: int) -> Stored | None:
    """Where the values of a data set are; None where that is for the library to find out.

    Args:
        content: of the file.
        address: of the object header, counted from ``base``: what an object reference holds.
        base: bytes before the HDF5 part of the file.

    Raises:
        struct.error: the file ends before the header does.
    """
    place = base + address
    version, messages, _, size = _PREFIX.unpack_from(content, place)
    if version != 1:
        return None
    kind, where, is_empty = None, None, False
    blocks = [(place + 16, size)]
    for start, length in blocks:
        place, end = start, start + length
        while place < end and messages > 0:
            messages -= 1
            message, size, flags = _MESSAGE.unpack_from(content, place)
            place += 8
            if flags & _SHARED or message == _MANY_ATTRIBUTES:
                return None
            if message == _DATATYPE:
                kind = content[place : place + 8]
            elif message == _LAYOUT:
                if content[place : place + 2] != b"\x03\x01":  # contiguous
                    return None
                where = _TWO_PLACES.unpack_from(content, place + 2)
            elif message == _ATTRIBUTE:
                is_empty |= content.find(b"MATLAB_empty\0", place, place + size) >= 0
            elif message == _CONTINUATION:
                following, length = _TWO_PLACES.unpack_from(content, place)
                blocks.append((base + following, length))
            place += size
    if kind is None or where is None:
        return None
    if where[1] == 0:  # it has no place then
        where = (0, 0)
    if base + sum(where) > len(content):
        return None
    name = "empty" if is_empty else {_UINT16: "uint16", _REFERENCE: "reference"}.get(kind, "other")
    return Stored(name, base + where[0], where[1])
