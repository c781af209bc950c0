"""MATLAB v7.3 writer for the synthetic annotation file: HDF5 after a header of 512 bytes.

Group ``annos`` holds numbers per interval and cells, that is arrays of references to datasets in ``#refs#``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dataset_tools.core.files import written_whole
from dataset_tools.corpora.standin.cast import FRAME_RATE
from dataset_tools.corpora.standin.vocabulary import ATTRIBUTE_MAP

_HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, written by the stand-in generator of dataset_tools, not by MATLAB"
_HEADER_BYTES = 512
_INDEX = {name: row for row, name in enumerate(ATTRIBUTE_MAP)}
_MIN_BACKGROUND_FRAMES = 30


@dataclass(frozen=True)
class AnnotatedInterval:
    """A row of the annotation file.

    Attributes:
        video: ``s07-d72-cam-002``.
        start_frame, end_frame: 1-based, both included.
        verb: activity, without its V.
        tools, ingredients, containers: MPII attributes by role.
    """

    video: str
    start_frame: int
    end_frame: int
    verb: str
    tools: tuple[str, ...]
    ingredients: tuple[str, ...]
    containers: tuple[str, ...]

    @property
    def sequence(self) -> str:
        """``s07-d72``."""
        return "-".join(self.video.split("-")[:2])

    @property
    def things(self) -> tuple[str, ...]:
        """All attributes that are not verbs, without duplicates."""
        return tuple(dict.fromkeys((*self.tools, *self.ingredients, *self.containers)))

    @property
    def class_name(self) -> str:
        """Verb and things concatenated, with spaces for hyphens: ``take outVhandbottlefridge``."""
        return f"{self.verb}V" + "".join(thing.replace("-", " ") for thing in self.things)


def write_mat(path: Path, intervals: Sequence[AnnotatedInterval], videos: Sequence[str]) -> None:
    """Writes the annotation file.

    Args:
        path: the output file.
        intervals: intervals in the order of the file: by video, then by time.
        videos: names of all videos, sorted.
    """
    with written_whole(path) as partial:
        with h5py.File(partial, "w", userblock_size=_HEADER_BYTES, libver="earliest") as file:
            annos = file.create_group("annos")
            annos.attrs["MATLAB_class"] = np.bytes_("struct")
            file.create_group("#subsystem#")
            cells = _Cells(file)
            for key, value in _content(intervals, videos).items():
                cells.write(annos, key, value)
        with partial.open("r+b") as file:
            file.write(_HEADER.ljust(124) + b"\x00\x02IM")


def _content(intervals: Sequence[AnnotatedInterval], videos: Sequence[str]) -> dict[str, Any]:
    """Returns the content of ``annos``: strings, lists (cells) and numbers."""
    count = len(intervals)
    ids = {video: number for number, video in enumerate(videos, start=1)}
    attributes = np.zeros((len(ATTRIBUTE_MAP), count))
    for column, interval in enumerate(intervals):
        for name in (f"{interval.verb}V", *interval.things):
            if name in _INDEX:  # some activities are not attributes
                attributes[_INDEX[name], column] = 1
    number_in_file: dict[str, int] = {}
    in_file = []
    for interval in intervals:
        number_in_file[interval.video] = number_in_file.get(interval.video, 0) + 1
        in_file.append(number_in_file[interval.video])
    starts = np.array([interval.start_frame for interval in intervals], float)
    ends = np.array([interval.end_frame for interval in intervals], float)
    activities = [f"{interval.verb}V" for interval in intervals]
    label = {name: number for number, name in enumerate(sorted(set(activities)), start=1)}
    roles = {
        "tool": [list(interval.tools) for interval in intervals],
        "ingredients": [list(interval.ingredients) for interval in intervals],
        "containers": [list(interval.containers) for interval in intervals],
        "containersSource": [
            list(interval.containers) if interval.verb == "take out" else [] for interval in intervals
        ],
        "containersDestination": [
            [] if interval.verb == "take out" else list(interval.containers) for interval in intervals
        ],
    }
    return {
        "activity": activities,
        "annoFileMap": [f"annos/{video}.mat" for video in videos],
        "attrFields": ["activity", *roles],
        "attributeMap": list(ATTRIBUTE_MAP),
        "bgClassName": "Background activity",
        "bgLabel": float(len(label) + 1),
        "bgLabelAttr": float(len(ATTRIBUTE_MAP) + 1),
        "classMap": [f"classes/{video}.mat" for video in videos],
        "className": [interval.class_name for interval in intervals],
        **roles,
        **{f"{role}Properties": [[] for _ in intervals] for role in roles},
        "dataset": "cooking12eccv",
        "dish": np.array([float(interval.sequence.split("-d")[1]) for interval in intervals]),
        "endFrame": ends,
        "endTimeSeconds": ends / FRAME_RATE,
        "fields": ["activity", "className", "fileName", *roles],
        "fileId": np.array([float(ids[interval.video]) for interval in intervals]),
        "fileName": [interval.video for interval in intervals],
        "fileNameId": [interval.sequence for interval in intervals],
        "filters": [[]],
        "frameRate": FRAME_RATE,
        "iaMat": attributes,
        "idxInFile": np.array(in_file, float),
        "labels": np.array([float(label[name]) for name in activities]),
        "minBgWindow": float(_MIN_BACKGROUND_FRAMES),
        "nImgsPerFile": np.array(
            [max((o.end_frame for o in intervals if o.video == v), default=0) for v in videos], float
        ),
        "nullAttr": "nullAttr",
        "nullAttrLabel": float(len(ATTRIBUTE_MAP) + 2),
        "startFrame": starts,
        "startTimeSeconds": (starts - 1) / FRAME_RATE,
        "subject": np.array([float(interval.sequence[1:3]) for interval in intervals]),
    }


class _Cells:
    """Writes values in MATLAB's representation; equal strings and lists share one dataset in ``#refs#``."""

    def __init__(self, file: h5py.File) -> None:
        self._refs = file.create_group("#refs#")
        self._known: dict[Any, h5py.Reference] = {}

    def write(self, group: h5py.Group, name: str, value: Any) -> h5py.Dataset:
        """Writes a string, a number, an array of numbers ([N] as a row, [A, N] unchanged) or a list (a cell)."""
        if isinstance(value, str):
            data = np.frombuffer(value.encode("utf-16-le"), "<u2").reshape(-1, 1)
            return self._dataset(group, name, data, "char", MATLAB_int_decode=np.int32(2))
        if isinstance(value, list):
            references = np.array([self._reference(one) for one in value], h5py.ref_dtype).reshape(-1, 1)
            return self._dataset(group, name, references, "cell")
        numbers = np.asarray(value, np.float64)
        return self._dataset(group, name, numbers if numbers.ndim == 2 else numbers.reshape(-1, 1), "double")

    def _dataset(self, group: h5py.Group, name: str, data: Any, kind: str, **attributes: Any) -> h5py.Dataset:
        if not data.size:  # for an empty value, MATLAB writes its shape
            attributes["MATLAB_empty"] = np.uint8(1)
            data = np.zeros(2, np.uint64)
        dtype = h5py.ref_dtype if kind == "cell" and "MATLAB_empty" not in attributes else None
        dataset = group.create_dataset(name, data=data, dtype=dtype)
        dataset.attrs["MATLAB_class"] = np.bytes_(kind)
        for key, value in attributes.items():
            dataset.attrs[key] = value
        return dataset

    def _reference(self, value: Any) -> h5py.Reference:
        key = (type(value), tuple(value) if isinstance(value, list) else value)
        if key not in self._known:
            self._known[key] = None  # reserves the number before the elements of a list get theirs
            self._known[key] = self.write(self._refs, f"r{len(self._known):06d}", value).ref
        return self._known[key]
