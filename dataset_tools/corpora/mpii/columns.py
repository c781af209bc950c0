"""The columns of the annotation file, read from HDF5 and validated: one value per interval, N intervals."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.core.errors import InputError
from dataset_tools.corpora.mpii.matlab_cells import DAMAGE, CellReader, UnreadableError, open_mat

VIDEO_NAME = re.compile(r"s\d{2,3}-d\d{2,3}(-[A-Za-z0-9]+)*")
_MANY_FRAMES = 10**8
_ROLES = {
    "tools": ("tool",),
    "ingredients": ("ingredients",),
    "containers": ("containers", "containersSource", "containersDestination"),
}


@dataclass(frozen=True)
class Columns:
    """The used content of the group ``annos``; A attributes, N intervals.

    Attributes:
        attribute_names: [A], verbs with their V.
        attributes: [A, N], whether the interval has the attribute (iaMat).
        activities: [N], with their V. videos: [N], names without suffix.
        start_frames, end_frames: [N], as numbered in the file.
        start_s, end_s: [N] seconds, or None if the file has no usable ones.
        roles: for ``tools``, ``ingredients``, ``containers``: [N] names, None if they cannot be read.
        frame_rate: frames per second. dataset: the file's name for the data set, or an empty string.
    """

    attribute_names: list[str]
    attributes: NDArray[np.bool_]
    activities: list[str]
    videos: list[str]
    start_frames: NDArray[np.int64]
    end_frames: NDArray[np.int64]
    start_s: NDArray[np.float64] | None
    end_s: NDArray[np.float64] | None
    roles: dict[str, list[frozenset[str] | None]]
    frame_rate: float
    dataset: str


def read_columns(path: Path) -> Columns:
    """Reads the columns; strict about required keys, tolerant of all others.

    Raises:
        InputError: the file does not exist, is not a MATLAB v7.3 file, or is damaged, or required data is missing or
            invalid (all problems in one message).
    """
    problems: list[str] = []
    columns = cause = None
    with open_mat(path) as file:
        try:
            annos = file.get("annos")
            if isinstance(annos, h5py.Group):
                columns = _Reader(annos, CellReader(file), problems).columns()
            else:
                problems.append("`annos`: the group is missing")
        except DAMAGE as error:
            problems.append(f"the file is damaged: {error}")
            cause = error
    if columns is None or problems:
        raise InputError(
            "The annotation file cannot be used" + "".join(f"\n  - {problem}" for problem in problems),
            where=path,
            expected="a group `annos` as in attributesAnnotations_MPII-Cooking-2.mat",
            next_step="check that it is that file and complete; to fetch it: fmn-data download DIR --accept-licence",
        ) from cause
    return columns


class _Reader:
    """Reads the columns of one file; problems are added to ``problems``, and invalid columns are returned empty."""

    def __init__(self, annos: h5py.Group, cells: CellReader, problems: list[str]) -> None:
        self._annos = annos
        self._cells = cells
        self._problems = problems

    def columns(self) -> Columns | None:
        names = self._strings("attributeMap")
        activities = self._strings("activity")
        videos = self._strings("fileName")
        start_frames = self._numbers("startFrame")
        end_frames = self._numbers("endFrame")
        count = len(activities)
        lengths = {"fileName": len(videos), "startFrame": len(start_frames), "endFrame": len(end_frames)}
        for key, length in lengths.items():
            if length and count and length != count:
                self._problems.append(
                    f"`{key}`: found {count_of(length, 'value')}, expected {count}, as many as in `activity`"
                )
        self._each("activity", activities, lambda text: len(text) > 1 and text.endswith("V"), "a verb that ends in V")
        self._each("fileName", videos, lambda text: bool(VIDEO_NAME.fullmatch(text)), "a name such as s07-d72-cam-002")
        for key, frames in (("startFrame", start_frames), ("endFrame", end_frames)):
            self._each(key, frames.tolist(), _is_frame, "a whole number of frames")
        rates = self._numbers("frameRate")
        if len(rates) and not (np.ptp(rates) == 0 and 0 < rates[0] < 1000):
            self._problems.append(f"`frameRate`: found {rates[:3].tolist()}, expected one number of frames per second")
        attributes = self._matrix("iaMat", len(names), count)
        if len(set(names)) < len(names):
            self._problems.append("`attributeMap`: a name occurs twice, expected each once")
        if self._problems:
            return None
        return Columns(
            attribute_names=names,
            attributes=attributes,
            activities=activities,
            videos=videos,
            start_frames=start_frames.astype(np.int64),
            end_frames=end_frames.astype(np.int64),
            start_s=self._seconds("startTimeSeconds", count),
            end_s=self._seconds("endTimeSeconds", count),
            roles={role: self._role(keys, count) for role, keys in _ROLES.items()},
            frame_rate=float(rates[0]),
            dataset=self._text("dataset"),
        )

    def _dataset(self, key: str) -> h5py.Dataset | None:
        found = self._annos.get(key)
        if isinstance(found, h5py.Dataset):
            return found
        self._problems.append(f"`{key}`: " + ("it is missing" if found is None else "found a group, expected values"))
        return None

    def _strings(self, key: str) -> list[str]:
        """Returns the [N] strings of a required cell array."""
        cells = self._dataset(key)
        try:
            strings = [] if cells is None else self._cells.strings(cells)
        except UnreadableError as error:
            self._problems.append(f"`{key}`: {error}, expected a cell array of strings")
            return []
        if cells is not None and not strings:
            self._problems.append(f"`{key}`: it is empty")
        return strings

    def _numbers(self, key: str) -> NDArray[np.float64]:
        """Returns the [N] numbers of a required column."""
        values = self._dataset(key)
        if values is None:
            return np.empty(0)
        if values.dtype.kind not in "iuf" or max(values.shape, default=1) != values.size or not values.size:
            self._problems.append(f"`{key}`: found {_shape(values)}, expected a row of numbers")
            return np.empty(0)
        return np.ravel(values[()]).astype(np.float64)

    def _matrix(self, key: str, names: int, count: int) -> NDArray[np.bool_]:
        """Returns a required matrix [A, N] of 0 and 1, which the file may hold transposed."""
        values = self._dataset(key)
        if values is None or not names or not count:
            return np.empty((0, 0), bool)
        if values.dtype.kind not in "iufb" or values.shape not in ((names, count), (count, names)):
            self._problems.append(
                f"`{key}`: found {_shape(values)}, expected {names} × {count} of 0 and 1: attributes × intervals"
            )
            return np.empty((0, 0), bool)
        matrix = values[()] if values.shape == (names, count) else values[()].T
        odd = np.count_nonzero((matrix != 0) & (matrix != 1))
        if odd:
            self._problems.append(f"`{key}`: {count_of(odd, 'value is', 'values are')} neither 0 nor 1")
        return np.asarray(matrix == 1)

    def _seconds(self, key: str, count: int) -> NDArray[np.float64] | None:
        """Returns the [N] seconds of an optional column."""
        values = self._annos.get(key)
        if not isinstance(values, h5py.Dataset) or values.dtype.kind not in "iuf" or values.size != count:
            return None
        seconds = np.ravel(values[()]).astype(np.float64)
        return seconds if np.isfinite(seconds).all() else None

    def _role(self, keys: Sequence[str], count: int) -> list[frozenset[str] | None]:
        """Returns the [N] sets of names in optional cell arrays; None where they cannot be read."""
        united: list[frozenset[str] | None] = [None] * count
        for key in keys:
            cells = self._annos.get(key)
            if not isinstance(cells, h5py.Dataset) or cells.size != count:
                continue
            try:
                sets = self._cells.string_sets(cells)
            except UnreadableError:
                continue
            united = [
                one if other is None else other if one is None else one | other
                for one, other in zip(sets, united, strict=True)
            ]
        return united

    def _text(self, key: str) -> str:
        """Returns an optional string."""
        values = self._annos.get(key)
        if isinstance(values, h5py.Dataset) and values.dtype == np.uint16 and values.size < 1000:
            return str(np.ravel(values[()]).astype("<u2").tobytes(), "utf-16-le", "replace")
        return ""

    def _each(
        self, key: str, values: Sequence[Any] | NDArray[Any], is_valid: Callable[[Any], bool], expected: str
    ) -> None:
        """Adds a problem that lists the first invalid values, and the number of the others."""
        invalid = [(number, value) for number, value in enumerate(values, start=1) if not is_valid(value)]
        if invalid:
            some = ", ".join(first_of([f"{value!r} (interval {number})" for number, value in invalid], 3))
            self._problems.append(f"`{key}`: found {some}, expected {expected}")


def _is_frame(value: float) -> bool:
    return 0 <= value < _MANY_FRAMES and value.is_integer()


def _shape(values: h5py.Dataset) -> str:
    return f"{' × '.join(map(str, values.shape)) or 'one'} of {values.dtype}"
