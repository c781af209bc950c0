"""Annotation files as MATLAB v7.3 writes them: a user block, cells of references, uint16; a server of the corpus."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dataset_tools.corpora.mpii.mpii_corpus import MAT_NAME
from dataset_tools.corpora.mpii.mpii_download import DownloadSummary, download_corpus

# A part of the true attributeMap, in its order.
# fmt: off
ATTRIBUTE_NAMES = [
    "addV", "apple", "bowl", "bread-knife", "carrot", "chefs-knife", "cut apartV", "cut diceV", "cutV",
    "cutting-board", "fork", "frying-pan", "hand", "jar", "knife", "milk", "oil", "onion", "peelV", "plate", "pourV",
    "salt", "spatula", "spice", "spiceV", "squeezer", "strewV", "take outV", "tin", "washV",
]
# fmt: on

ROWS: tuple[dict[str, Any], ...] = (
    {"video": "s07-d72-cam-002", "start": 194, "end": 243, "verb": "take outV", "things": ["knife", "plate"]},
    {"video": "s07-d72-cam-002", "start": 244, "end": 500, "verb": "cut apartV", "things": ["carrot", "chefs-knife"]},
    {"video": "s13-d21-cam-002", "start": 1, "end": 30, "verb": "rip offV", "things": ["hand"]},
    {"video": "s13-d21-cam-002", "start": 90, "end": 80, "verb": "washV", "things": ["apple"]},
)


class MatWriter:
    """Writes `annos`, cells and numbers as MATLAB leaves them: columns, [N, 1]."""

    def __init__(self, file: h5py.File) -> None:
        self.refs = file.require_group("#refs#")
        self.annos = file.require_group("annos")

    def cells(self, key: str, values: Sequence[Any]) -> None:
        """A cell array: of strings, of nested cells (lists of strings), or of arrays."""
        self.annos.create_dataset(key, data=self._references(values))

    def numbers(self, key: str, values: Sequence[float]) -> None:
        self.annos.create_dataset(key, data=np.asarray(values, np.float64)[:, None])

    def text(self, key: str, value: str) -> None:
        self.annos.create_dataset(key, data=np.frombuffer(value.encode("utf-16-le"), "<u2")[:, None])

    def _references(self, values: Sequence[Any]) -> np.ndarray:
        return np.array([[self._store(value)] for value in values], dtype=h5py.ref_dtype)

    def _store(self, value: Any) -> h5py.Reference:
        attributes: dict[str, Any] = {"MATLAB_class": np.bytes_("char")}
        if isinstance(value, list):
            data, attributes = self._references(value), {"MATLAB_class": np.bytes_("cell")}
        elif not isinstance(value, str):
            data, attributes = np.asarray(value), {"MATLAB_class": np.bytes_("double")}
        elif value:
            data, attributes["MATLAB_int_decode"] = (
                np.frombuffer(value.encode("utf-16-le"), "<u2")[:, None],
                np.int32(2),
            )
        else:
            data, attributes["MATLAB_empty"] = np.zeros(2, "<u8"), np.uint8(1)
        stored = self.refs.create_dataset(f"{len(self.refs):x}", data=data)
        stored.attrs.update(attributes)
        return stored.ref


@pytest.fixture
def write_mat(tmp_path: Path) -> Callable[..., Path]:
    """Writes an annotation file of some rows, at `path`, and gives the path."""

    def write(rows: Sequence[dict[str, Any]] = ROWS, path: Path | None = None) -> Path:
        path = path or tmp_path / "attributesAnnotations_MPII-Cooking-2.mat"
        path.parent.mkdir(parents=True, exist_ok=True)
        starts, ends = [float(row["start"]) for row in rows], [float(row["end"]) for row in rows]
        with h5py.File(path, "w", userblock_size=512) as file:
            mat = MatWriter(file)
            mat.cells("activity", [row["verb"] for row in rows])
            mat.cells("attributeMap", ATTRIBUTE_NAMES)
            mat.cells("fileName", [row["video"] for row in rows])
            mat.cells("className", [row["verb"] + "".join(row["things"]) for row in rows])
            mat.numbers("startFrame", starts)
            mat.numbers("endFrame", ends)
            mat.numbers("startTimeSeconds", [(start - 1) / 29.4 for start in starts])
            mat.numbers("endTimeSeconds", [end / 29.4 for end in ends])
            mat.numbers("frameRate", [29.4])
            mat.text("dataset", "cooking12eccv")
            present = [{row["verb"], *row["things"]} for row in rows]
            mat.annos["iaMat"] = np.array([[name in one for one in present] for name in ATTRIBUTE_NAMES], np.float64)
        with path.open("r+b") as raw:
            raw.write(
                b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Mar 16 2015 HDF5 schema 1.00 .".ljust(116)
            )
        return path

    return write


@pytest.fixture
def edit_mat() -> Callable[..., None]:
    """Replaces (a value), or removes (None), keys of `annos`: cells for a list, else an array as it is."""

    def edit(path: Path, **changes: Any) -> None:
        with h5py.File(path, "r+") as file:
            mat = MatWriter(file)
            for key, value in changes.items():
                if key in mat.annos:
                    del mat.annos[key]
                if isinstance(value, list):
                    mat.cells(key, value)
                elif value is not None:
                    mat.annos[key] = value

    return edit


@pytest.fixture
def videos() -> dict[str, bytes]:
    """The contents of three videos."""
    random = np.random.default_rng(0).bytes(500_001)
    return {f"s{person:02d}-d20-cam-002.avi": random[person : person + 150_000 + person] for person in (7, 8, 10)}


def tar_of(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"MPII-Cooking-2/videos/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("../../outside.avi")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return packed.getvalue()


@pytest.fixture
def home(download_server: Any, videos: dict[str, bytes], write_mat: Callable[..., Path]) -> Any:
    """A server that has the corpus, with two archives that would leave their folder."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("TACoS-Multi-Level-1.0/corpus/s07-d20.txt", "He cuts.\n" * 99)
        archive.writestr("../../outside.txt", "no")
        archive.writestr("README", "about it")
    download_server.files = {
        f"annos/{MAT_NAME}": write_mat().read_bytes(),
        "annos/annos.mat-README.txt": b"what the keys are\n",
        "TACoS-Multi-Level-1.0.zip": packed.getvalue(),
        "MPII-Cooking-2-videos.tar.gz": tar_of(videos),
    }
    return download_server


@pytest.fixture
def download(home: Any) -> Callable[..., DownloadSummary]:
    """Downloads the corpus from there, as somebody who agreed to its license."""

    def fetched(root: Path, **options: Any) -> DownloadSummary:
        given = {"accept_licence": True, "home": home.url, "attempts": 3, "timeout_s": 0.3, **options}
        return download_corpus(str(root), **given)

    return fetched
