"""Cell arrays of MATLAB v7.3 files: strings, nested cells, what is empty, what is neither, in every form of HDF5."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pytest

from dataset_tools.corpora.mpii.matlab_cells import CellReader

PLATE = ["plate", "cutting board"]
WORDS: list[Any] = ["knife", "", PLATE, [], [["deep"], "x"], 7.0, "Öl", ["", "tin"], None, ["a", 1.0]]
EXPECTED = [
    frozenset({"knife"}),
    frozenset(),
    frozenset(PLATE),
    frozenset(),
    None,  # a cell in a cell in a cell is not strings
    None,
    frozenset({"Öl"}),
    frozenset({"tin"}),
    frozenset(),
    None,
]


def write(path: Path, libver: str, **storage: Any) -> None:
    with h5py.File(path, "w", libver=libver, userblock_size=512) as file:
        refs = file.create_group("#refs#")

        def store(value: Any) -> h5py.Reference:
            if value is None:
                return h5py.Reference()
            data: Any = np.frombuffer(str(value).encode("utf-16-le"), "<u2")[:, None]
            if isinstance(value, list):
                data = np.array([[store(one)] for one in value], h5py.ref_dtype)
            elif isinstance(value, float):
                data = np.array([[value]])
            empty = isinstance(value, str | list) and not value
            data = np.zeros(2, "<u8") if empty else data
            stored = refs.create_dataset(f"r{len(refs)}", data=data, **storage)
            stored.attrs["MATLAB_class"] = np.bytes_("cell")
            if empty:
                stored.attrs["MATLAB_empty"] = np.uint8(1)
            return stored.ref

        once = [[store(one)] for one in WORDS]
        file.create_dataset("cells", data=np.array(once + once, h5py.ref_dtype))  # cells may share what they hold


@pytest.mark.parametrize("storage", [{}, {"compression": "gzip"}], ids=["contiguous", "chunked"])
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_cells_are_read(libver: Literal["earliest", "latest"], storage: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / "x.mat", libver, **storage)
    with h5py.File(tmp_path / "x.mat") as file:
        assert CellReader(file).string_sets(file["cells"]) == EXPECTED * 2
