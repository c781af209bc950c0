"""Approximate nearest-neighbor index of a large gallery: embeddings, and FAISS inverted lists over score vectors.

An index is one folder. ``NAME.f32`` holds the embeddings of all items, float32 [rows, width], memory-mapped: a search
reads only the rows of its candidates. ``index.json`` names the current ``lists-N.faiss`` (the score vectors, also
memory-mapped), ``keys-N.npy`` (uint8 [rows, 32], the item of each row) and ``axes-N.npy``. It is replaced last, so an
interrupted command leaves the index in its state after the last complete batch. Rows of removed items are reused.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import torch
from numpy.typing import NDArray

from dataset_tools.core.errors import StoppedError
from dataset_tools.core.files import clear_partial, write_bytes, written_whole
from dataset_tools.core.progress import Progress, silent
from fmn.features.encoders.libraries import library
from fmn.models.memory import Modality
from fmn.models.retrieval_model import Embeddings, RetrievalModel
from fmn.models.score_vectors import score_vectors

FORMAT = "fmn.gallery_index/2"
CANDIDATES = 1500
"""Number of items with the largest inner products, to be ranked by the final score."""
SAMPLE = 4096
"""Number of items that a query's vector is fitted to."""
BATCH = 131_072
"""Number of items after which the index is saved while it is built."""
ROWS_AT_ONCE = 1024
ITEMS_A_LIST, PROBED = 1000, 1 / 8
"""Approximate number of items per list, and the fraction of the lists that a query probes."""

LOCK_WAIT_S = 10
"""Long enough for other searches, which hold the lock briefly; not for a command that builds the index."""

Encode = Callable[[Sequence[int]], Embeddings]
"""Returns the embeddings of the items at the given places in a gallery."""


class _UnusableError(Exception):
    """The files of a folder are not a complete index of this run."""


class GalleryIndex:
    """The opened index of a gallery; created by `open`.

    Items are identified by their places in the gallery passed to `open`; the order of their rows in the index differs.

    Attributes:
        folder: of the index.
    """

    _rows: NDArray[np.int64]
    _places: NDArray[np.int64]
    _sample: Embeddings
    _sample_vectors: torch.Tensor

    def __init__(self, folder: Path, model: RetrievalModel, modality: Modality, made_from: str) -> None:
        """Reads the index in the folder if it is complete and its ``made_from`` matches; otherwise the index is empty.

        Args:
            folder: of the index.
            model: the trained model.
            modality: of the items.
            made_from: a digest of everything except the items that determines the embeddings.
        """
        self.folder = folder
        self._faiss = import_faiss()
        self._model, self._modality = model, modality
        self._state: dict[str, Any] = {"format": FORMAT, "made_from": made_from, "number": 0, "widths": {}}
        self._keys: NDArray[np.uint8] = np.zeros((0, 32), np.uint8)
        self._lists: Any = None
        self._embeddings: Embeddings = {}
        self._set_vectors(None)
        with suppress(OSError, ValueError, EOFError, RuntimeError, _UnusableError):  # corrupt: it is rebuilt
            self._read(made_from)

    def _read(self, made_from: str) -> None:
        """Reads the files of the folder.

        Raises:
            _UnusableError: ``made_from`` differs, or part of the index is missing; corrupt files raise other errors.
        """
        state = json.loads((self.folder / "index.json").read_bytes())
        if not isinstance(state, dict) or (state.get("format"), state.get("made_from")) != (FORMAT, made_from):
            raise _UnusableError
        number = state["number"]
        keys = np.load(self.folder / f"keys-{number}.npy")
        axes = torch.from_numpy(np.load(self.folder / f"axes-{number}.npy"))
        lists = self._faiss.read_index(str(self.folder / f"lists-{number}.faiss"), self._faiss.IO_FLAG_MMAP_IFC)
        for name, width in state["widths"].items():  # NumPy would map zeros beyond the end of a short file
            if (self.folder / f"{name}.f32").stat().st_size < 4 * width * len(keys):
                raise _UnusableError
        lists.parallel_mode = 1  # parallel over the lists of a query: otherwise it would use one core
        self._set_vectors(axes)
        self._state, self._keys, self._lists = state, keys, lists
        self._embeddings = self._mapped()

    def _set_vectors(self, axes: torch.Tensor | None) -> None:
        vectors = score_vectors(self._model, self._modality, axes)
        assert vectors is not None, "indexable says whether there are any"
        self._vectors = vectors

    @classmethod
    def open(
        cls,
        folder: Path,
        model: RetrievalModel,
        modality: Modality,
        made_from: str,
        items: Sequence[tuple[str, str]],
        encode: Encode,
        progress: Progress = silent,
    ) -> GalleryIndex:
        """Opens the index of these items, after adding those that are missing in it and removing all others.

        Args:
            folder: of the index; created if missing.
            model: the trained model, which must be `indexable`.
            modality: of the items.
            made_from: a digest of everything except the items that determines the embeddings; if it differs, the index
                is rebuilt.
            items: id and content hash of each.
            encode: returns the embeddings of some of them.
            progress: progress callback, with the number of items added.

        Raises:
            StoppedError: another command is changing the index, or the disk is full.
        """
        folder.mkdir(parents=True, exist_ok=True)
        keys = [hashlib.sha256(f"{name}\0{content}".encode()).digest() for name, content in items]
        try:
            with filelock.FileLock(folder / ".lock", timeout=LOCK_WAIT_S):
                clear_partial(folder)
                index = cls(folder, model, modality, made_from)
                if index._update(keys, encode, progress):
                    index = cls(folder, model, modality, made_from)
        except filelock.Timeout as error:
            raise StoppedError(
                "Another command is changing the index",
                where=folder,
                next_step="wait until it is done, then run the command again",
            ) from error
        row_of = {key.tobytes(): row for row, key in enumerate(index._keys)}
        index._rows = np.array([row_of[key] for key in keys])
        index._places = np.full(len(index._keys), -1)
        index._places[index._rows] = np.arange(len(keys))
        spread = np.linspace(0, len(keys) - 1, min(SAMPLE, len(keys))).astype(np.intp)
        index._sample = index._vectors.on_device(index.embeddings_of(spread))
        index._sample_vectors = index._vectors.items(index._sample)
        return index

    def embeddings_of(self, places: NDArray[np.intp]) -> Embeddings:
        """Returns the embeddings of the items at some places, read from disk.

        Raises:
            StoppedError: another command has changed the index since it was opened, so rows may hold other items.
        """
        rows = torch.from_numpy(self._rows[places])
        embeddings = {name: part[rows] for name, part in self._embeddings.items()}
        with suppress(FileNotFoundError):  # removed or rebuilt: the mapped files remain valid
            if json.loads((self.folder / "index.json").read_bytes())["number"] != self._state["number"]:
                raise StoppedError(
                    "Another command has added or removed items of the index since it was opened",
                    where=self.folder,
                    next_step="run the command again",
                )
        return embeddings

    def candidates(self, query: Embeddings) -> NDArray[np.intp]:
        """Returns the places, ascending, of the items with the largest inner products with a query (its embeddings)."""
        vector = self._vectors.query(query, self._sample, self._sample_vectors).numpy()
        self._lists.nprobe = max(1, round(self._lists.nlist * PROBED))
        _, rows = self._lists.search(vector[None], CANDIDATES)
        places: NDArray[np.intp] = np.sort(self._places[rows[0][rows[0] >= 0]])
        return places

    def _update(self, keys: Sequence[bytes], encode: Encode, progress: Progress) -> bool:
        """Removes and adds items; returns whether there were any."""
        row_by_key = {key.tobytes(): row for row, key in enumerate(self._keys) if key.any()}
        wanted = set(keys)
        removed = np.array([row for key, row in row_by_key.items() if key not in wanted], dtype=np.int64)
        # Ordered by hash: a batch is a random sample of the gallery, independent of the order of its items.
        missing = sorted((key, place) for place, key in enumerate(keys) if key not in row_by_key)
        if not self._state["number"]:
            for path in self.folder.iterdir():
                if path.name != ".lock":
                    path.unlink() if path.is_file() else shutil.rmtree(path)
        elif len(removed) or missing:
            path = self.folder / f"lists-{self._state['number']}.faiss"
            self._lists = self._faiss.read_index(str(path))  # in memory, to be modified
        if len(removed):
            self._lists.remove_ids(removed)
            self._keys[removed] = 0
            self._save()
            for part in self._embeddings.values():
                part[torch.from_numpy(removed)] = 0  # erases all data of a speaker who withdrew consent
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            self._add(batch, len(keys), encode)
            progress("index", start + len(batch), len(missing), "")
        return bool(len(removed) or missing)

    def _add(self, batch: Sequence[tuple[bytes, int]], count: int, encode: Encode) -> None:
        """Adds items by key and place; ``count`` is the size of the gallery."""
        free = np.flatnonzero(~self._keys.any(1))[: len(batch)]
        rows = np.concatenate([free, len(self._keys) + np.arange(len(batch) - len(free))]).astype(np.int64)
        for start in range(0, len(batch), ROWS_AT_ONCE):
            part = encode([place for _, place in batch[start : start + ROWS_AT_ONCE]])
            if not start:
                self._state["widths"] = {name: tensor.shape[1] for name, tensor in part.items()}
                self._extend(int(rows.max()) + 1)
            for name, tensor in part.items():
                self._embeddings[name][torch.from_numpy(rows[start : start + ROWS_AT_ONCE])] = tensor.float().cpu()
        vectors = self._vectors
        if self._lists is None:
            sample = torch.from_numpy(np.sort(rows[:SAMPLE]))
            vectors.fit({name: part[sample] for name, part in self._embeddings.items()})
        new_vectors = np.concatenate(
            [
                vectors.items({name: part[torch.from_numpy(chunk)] for name, part in self._embeddings.items()}).numpy()
                for chunk in np.array_split(rows, -(-len(rows) // ROWS_AT_ONCE))
            ]
        )
        if self._lists is None:
            self._lists = self._trained(new_vectors, count)
        self._lists.add_with_ids(new_vectors, rows)
        self._keys[rows] = np.frombuffer(b"".join(key for key, _ in batch), np.uint8).reshape(-1, 32)
        self._save()

    def _trained(self, vectors: NDArray[np.float32], count: int) -> Any:
        """Trains the quantizer on ``vectors`` and returns empty lists for a gallery of ``count`` items."""
        faiss, width = self._faiss, vectors.shape[1]
        lists = max(1, min(count // ITEMS_A_LIST, len(vectors) // 40))
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
        index.cp.niter = 10
        index.train(vectors)
        return index

    def _extend(self, rows: int) -> None:
        """Extends the index to this number of rows, and maps the embeddings for writing."""
        self._keys = np.concatenate([self._keys, np.zeros((max(0, rows - len(self._keys)), 32), np.uint8)])
        for name, width in self._state["widths"].items():
            with (self.folder / f"{name}.f32").open("ab") as file:
                file.truncate(4 * width * len(self._keys))
        self._embeddings = self._mapped()

    def _mapped(self) -> Embeddings:
        """Returns the memory-mapped embeddings."""
        return {
            name: torch.from_numpy(
                np.memmap(self.folder / f"{name}.f32", np.float32, "r+", shape=(len(self._keys), width))
            )
            for name, width in self._state["widths"].items()
        }

    def _save(self) -> None:
        """Writes lists, keys and axes under the next number, then index.json, which refers to it."""
        old, number = self._state["number"], self._state["number"] + 1
        axes = self._vectors.axes
        assert axes is not None
        with written_whole(self.folder / f"lists-{number}.faiss") as partial:
            self._faiss.write_index(self._lists, str(partial))
        for name, array in (("keys", self._keys), ("axes", axes.cpu().numpy())):
            with written_whole(self.folder / f"{name}-{number}.npy") as partial:
                np.save(partial, array)
        self._state["number"] = number
        write_bytes(self.folder / "index.json", json.dumps(self._state).encode())
        for path in self.folder.glob(f"*-{old}.*"):
            path.unlink()


def indexable(model: RetrievalModel) -> bool:
    """Whether the index supports a model's score (`fmn.models.score_vectors`)."""
    return score_vectors(model, "video") is not None


def import_faiss() -> Any:
    """Imports FAISS.

    Raises:
        InputError: it is not installed.
    """
    return library("faiss", "index")


def is_installed() -> bool:
    """Whether FAISS (the extra ``index``) is installed."""
    return find_spec("faiss") is not None
