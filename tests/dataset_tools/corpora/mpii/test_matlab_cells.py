"""Cells are read the same by the short way and by the library; the short way is taken where MATLAB's form allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pytest

from dataset_tools.corpora.mpii import matlab_cells
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


def write(path: Path, libver: str, userblock: int, attributes: int, **storage: Any) -> None:
    with h5py.File(path, "w", libver=libver, userblock_size=userblock) as file:
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
            for number in range(attributes):  # so many that they need a continuation, or a place of their own
                stored.attrs[f"more_{number}"] = np.arange(20)
            stored.attrs["MATLAB_class"] = np.bytes_("cell")
            if empty:
                stored.attrs["MATLAB_empty"] = np.uint8(1)
            return stored.ref

        file.create_dataset("cells", data=np.array([[store(one)] for one in WORDS], h5py.ref_dtype))


def read(path: Path) -> list[frozenset[str] | None]:
    with h5py.File(path) as file:
        return CellReader(file, path).string_sets(file["cells"])


@pytest.mark.parametrize("attributes", [0, 6, 30])
@pytest.mark.parametrize("userblock", [0, 512])
@pytest.mark.parametrize("storage", ["contiguous", "chunked"])
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_both_ways_give_the_same(
    libver: Literal["earliest", "latest"],
    storage: str,
    userblock: int,
    attributes: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    write(
        tmp_path / "x.mat", libver, userblock, attributes, **({"compression": "gzip"} if storage == "chunked" else {})
    )
    assert read(tmp_path / "x.mat") == EXPECTED
    monkeypatch.setattr(matlab_cells, "find_stored", lambda *_: None)
    assert read(tmp_path / "x.mat") == EXPECTED


@pytest.mark.parametrize("attributes", [0, 6])
def test_what_matlab_writes_is_read_without_opening_each_string(
    attributes: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(tmp_path / "x.mat", "earliest", 512, attributes)

    def refuse(*_: object) -> None:
        raise AssertionError("a data set was opened")

    monkeypatch.setattr(matlab_cells.h5r, "dereference", refuse)
    assert read(tmp_path / "x.mat") == EXPECTED
