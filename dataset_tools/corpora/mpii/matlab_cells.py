"""Reader of MATLAB v7.3 files (HDF5), in particular of cell arrays of strings.

A cell array is an HDF5 dataset of object references to datasets: uint16 characters for a string, references again for a
nested cell. An empty MATLAB value is a dataset with the attribute ``MATLAB_empty``. mat73 and pymatreader are not used:
they load the whole file, do not name the invalid cell, and do not limit the sizes that a damaged file can claim.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
from h5py import h5a, h5d, h5r, h5s, h5t

from dataset_tools.core.errors import InputError

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Exceptions that h5py and numpy raise on a damaged file, depending on the damaged part.
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError, SystemError)

_MANY_VALUES = 100_000
_Content = str | tuple[str, ...] | None


class UnreadableError(ValueError):
    """A part of the file has unexpected content, described by the message."""


@contextmanager
def open_mat(path: Path) -> Iterator[h5py.File]:
    """Opens a MATLAB v7.3 file for reading.

    Raises:
        InputError: the file does not exist, is not a MATLAB file, is of an older version, or is damaged.
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
            next_step="check the path, or fetch the file again with: fmn-data download DIR --accept-licence",
        )
    try:
        file = h5py.File(path, "r", locking=False)  # some file systems (NFS) have no locks; reading needs none
    except DAMAGE as error:
        raise InputError(
            f"The file is truncated or damaged: {error}",
            where=path,
            expected=expected,
            next_step="fetch it again with: fmn-data download DIR --accept-licence",
        ) from error
    with file:
        yield file


class CellReader:
    """Reads the cell arrays of one open file.

    Opening more than a hundred thousand tiny datasets takes seconds. h5py's low-level interface takes half the time of
    its objects, and datasets shared by several cells are read once.
    """

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._known: dict[int, _Content] = {}  # by the address of the dataset

    def strings(self, cells: h5py.Dataset) -> list[str]:
        """Returns the strings of a cell array of strings, flattened: [N].

        Raises:
            UnreadableError: the dataset is not a cell array of strings.
        """
        contents = self._contents(cells)
        for number, content in enumerate(contents, start=1):
            if not isinstance(content, str):
                raise UnreadableError(f"its cell {number} holds no string")
        return cast(list[str], contents)

    def string_sets(self, cells: h5py.Dataset) -> list[frozenset[str] | None]:
        """Returns the strings of each cell, single or in a nested cell; None if it holds something else: [N].

        Raises:
            UnreadableError: the dataset is not a cell array.
        """
        sets: list[frozenset[str] | None] = []
        for content in self._contents(cells):
            words = (content,) if isinstance(content, str) else content
            sets.append(None if words is None else frozenset(word for word in words if word))
        return sets

    def _contents(self, cells: h5py.Dataset) -> list[_Content]:
        """Returns the contents of all cells, flattened."""
        if h5py.check_ref_dtype(cells.dtype) is not h5py.Reference:
            raise UnreadableError(f"it is not a cell array: it holds {cells.dtype}")
        addresses = np.empty(cells.shape, "<u8")
        cells.id.read(h5s.ALL, h5s.ALL, addresses, mtype=h5t.STD_REF_OBJ)  # raw, as in the file
        contents: list[_Content] = []
        for address, reference in zip(np.ravel(addresses).tolist(), np.ravel(cells[()]), strict=True):
            if address not in self._known:
                self._known[address] = self._content(reference)
            contents.append(self._known[address])
        return contents

    def _content(self, reference: h5py.Reference, depth: int = 0) -> _Content:
        """Returns a string, or the strings of a nested cell, or None for anything else."""
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
        raise UnreadableError("one of its cells claims to hold more than 100,000 values")
    values = np.empty(target.shape, dtype)
    target.read(h5s.ALL, h5s.ALL, values)
    return values
