"""MATLAB v7.3 files as HDF5: opening them, and reading cells of strings quickly.

A cell array is a data set of object references, each to a data set: uint16 characters for a string, references again
for a nested cell. What MATLAB calls empty is a data set with the attribute ``MATLAB_empty``.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
from h5py import h5a, h5d, h5r, h5s, h5t

from dataset_tools.core.errors import InputError
from dataset_tools.corpora.mpii.object_headers import find_stored

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# What h5py and numpy raise on a damaged file, whichever part of it is damaged.
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError, SystemError)


_MANY_VALUES = 100_000
_Content = str | tuple[str, ...] | None


class _NotSimpleError(Exception):
    """The library has to be asked."""


class UnreadableError(ValueError):
    """A part of the file is not what it should be; the text says what it is."""


@contextmanager
def open_mat(path: Path) -> Iterator[h5py.File]:
    """Opens a MATLAB v7.3 file for reading.

    Raises:
        InputError: there is no such file, or it is no MATLAB file, one of an older version, or a damaged one.
    """
    expected = "the annotation file of MPII Cooking 2, a MATLAB v7.3 file (HDF5)"
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError as error:
        raise InputError(
            f"The annotation file cannot be read: {error.strerror}",
            where=path,
            expected=expected,
            next_step="check the path",
        ) from error
    if head.startswith(b"MATLAB 5.0 MAT-file"):
        raise InputError(
            "The file is a MATLAB file of an older version (v5 to v7)",
            where=path,
            expected=expected,
            next_step=f"save it again in MATLAB: load('{path.name}'), then save('{path.name}', 'annos', '-v7.3')",
        )
    if _HDF5_SIGNATURE not in (head[:8], head[512:520]):
        raise InputError(
            "The file is empty" if not head else "The file is not a MATLAB v7.3 file: it has no HDF5 signature",
            where=path,
            expected=expected,
            next_step="check the path, or fetch the file again with: fmn-data download --accept-licence",
        )
    try:
        file = h5py.File(path, "r")
    except DAMAGE as error:
        raise InputError(
            f"The file is truncated or damaged: {error}",
            where=path,
            expected=expected,
            next_step="fetch it again with: fmn-data download --accept-licence",
        ) from error
    with file:
        yield file


class CellReader:
    """Reads the cell arrays of one open file.

    Opening each of more than a hundred thousand tiny data sets is what takes time. Simple ones are taken from where the
    file holds them (`dataset_tools.corpora.mpii.object_headers`), the others are read by h5py.
    """

    def __init__(self, file: h5py.File, path: Path) -> None:
        self._file = file
        self._base = file.userblock_size
        with path.open("rb") as raw:
            self._bytes = mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ)

    def strings(self, cells: h5py.Dataset) -> list[str]:
        """The strings of a cell array of strings, flattened: [N].

        Raises:
            UnreadableError: it is not a cell array of strings.
        """
        contents = self._contents(cells)
        for number, content in enumerate(contents, start=1):
            if not isinstance(content, str):
                raise UnreadableError(f"cell {number} of it holds no string")
        return cast(list[str], contents)

    def string_sets(self, cells: h5py.Dataset) -> list[frozenset[str] | None]:
        """For each cell, the strings in it, alone or in a nested cell; None where it holds something else: [N].

        Raises:
            UnreadableError: it is not a cell array.
        """
        sets: list[frozenset[str] | None] = []
        for content in self._contents(cells):
            words = (content,) if isinstance(content, str) else content
            sets.append(None if words is None else frozenset(word for word in words if word))
        return sets

    def _contents(self, cells: h5py.Dataset) -> list[_Content]:
        """What every cell holds, flattened."""
        if h5py.check_ref_dtype(cells.dtype) is not h5py.Reference:
            raise UnreadableError(f"it is no cell array: it holds {cells.dtype}")
        addresses = np.empty(cells.shape, "<u8")
        cells.id.read(h5s.ALL, h5s.ALL, addresses, mtype=h5t.STD_REF_OBJ)  # as the file has them
        contents: list[_Content] = []
        references = None
        for number, address in enumerate(np.ravel(addresses).tolist()):
            try:
                contents.append(self._simple(address))
            except (_NotSimpleError, struct.error):
                references = np.ravel(cells[()]) if references is None else references
                contents.append(self._content(references[number]))
        return contents

    def _simple(self, address: int, depth: int = 0) -> _Content:
        """What `_content` gives, without the library.

        Raises:
            _NotSimpleError, struct.error: only the library can tell.
        """
        if not address:
            return ""
        stored = find_stored(self._bytes, address, self._base)
        if stored is None or stored.size > 8 * _MANY_VALUES:
            raise _NotSimpleError
        content = self._bytes[stored.place : stored.place + stored.size]
        match stored.kind:
            case "empty":
                return ""
            case "uint16":
                return str(content, "utf-16-le").rstrip("\0")
            case "reference" if depth < 3:
                inner = [self._simple(one, depth + 1) for (one,) in struct.iter_unpack("<Q", content)]
                return tuple(cast(list[str], inner)) if all(isinstance(one, str) for one in inner) else None
        return None

    def _content(self, reference: h5py.Reference, depth: int = 0) -> _Content:
        """A string, or the strings of a nested cell, or None for anything else."""
        if not reference:
            return ""
        target = h5r.dereference(reference, self._file.id)
        if not isinstance(target, h5d.DatasetID):
            return None
        kind = target.get_type()
        if kind == h5t.STD_U16LE:
            return str(_read(target, np.dtype("<u2")).tobytes(), "utf-16-le").rstrip("\0")
        if h5a.exists(target, b"MATLAB_empty"):
            return ""
        if kind == h5t.STD_REF_OBJ and depth < 3:
            inner = [self._content(one, depth + 1) for one in np.ravel(_read(target, h5py.ref_dtype))]
            return tuple(cast(list[str], inner)) if all(isinstance(one, str) for one in inner) else None
        return None


def _read(target: h5d.DatasetID, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    if math.prod(target.shape) > _MANY_VALUES:
        raise UnreadableError("a cell of it claims to hold more than 100,000 values")
    values = np.empty(target.shape, dtype)
    target.read(h5s.ALL, h5s.ALL, values)
    return values
