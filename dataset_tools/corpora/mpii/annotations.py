"""The annotation file of MPII Cooking 2; the types of intervals and annotations, which other footage uses as well.

``attributesAnnotations_MPII-Cooking-2.mat`` is MATLAB v7.3, that is HDF5. Its group ``annos`` holds cells of strings
(arrays of object references to uint16 character arrays), numbers per interval, and ``iaMat``, attribute × interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Interval:
    """An annotated interval of a source video.

    Attributes:
        index: position in the annotation file, from 0.
        video: name of the source video, without suffix: ``s07-d72-cam-002``.
        start_frame, end_frame: 1-based, both included, as annotated (the end may precede the start).
        verb: the activity, without its final V: ``cut apart``.
        things: attributes of the interval that are not verbs: ``frying-pan``.
        verbs: attributes of the interval that are verbs, without their V.
        tools, ingredients, containers: the things by role; None if the file has no readable roles.
    """

    index: int
    video: str
    start_frame: int
    end_frame: int
    verb: str
    things: frozenset[str]
    verbs: frozenset[str]
    tools: frozenset[str] | None = None
    ingredients: frozenset[str] | None = None
    containers: frozenset[str] | None = None

    @property
    def seconds(self) -> tuple[float, float] | None:
        """Start and end in seconds after the first frame is displayed, if they were annotated in seconds."""
        return None

    @property
    def is_measured(self) -> bool:
        """Whether its frames are known; those of a whole video that cannot be read are not."""
        return True

    @property
    def sequence(self) -> str:
        """Person and dish: ``s07-d72``."""
        return "-".join(self.video.split("-", 2)[:2])

    @property
    def video_file(self) -> str:
        """The usual file name of the source video: ``s07-d72-cam-002.avi``."""
        return f"{self.video}.avi"

    @property
    def person(self) -> str:
        """The person in the footage: ``s07``."""
        return self.video.split("-", 1)[0]

    @property
    def dish(self) -> str:
        """The dish being prepared: ``d72``."""
        return self.video.split("-", 2)[1]

    @property
    def frames(self) -> int:
        """Number of frames; zero or negative if the end precedes the start."""
        return self.end_frame - self.start_frame + 1

    @property
    def id(self) -> str:
        """Sequence and frames as annotated: ``s07-d72_000194-000243``."""
        return f"{self.sequence}_{self.start_frame:06d}-{self.end_frame:06d}"


@dataclass(frozen=True)
class Annotations:
    """A validated annotation file.

    Attributes:
        path: the file.
        intervals: all intervals, in the file's order.
        frame_rate: frames per second of the videos (29.4).
        attribute_names: names of the rows of iaMat, as in the file, verbs with their V.
        dataset: the file's name for the data set.
        notes: findings on points that the format leaves open, as full sentences.
    """

    path: Path
    intervals: tuple[Interval, ...]
    frame_rate: float
    attribute_names: tuple[str, ...]
    dataset: str
    notes: tuple[str, ...] = ()


def read_mpii_annotations(path: Path) -> Annotations:
    """Reads ``attributesAnnotations_MPII-Cooking-2.mat``.

    Frames count from 1 and both ends are included. They are compared with the file's own times in seconds, with the
    result in ``notes``; if a file's frames evidently count from 0, they are shifted by one, with a note.

    Raises:
        InputError: the file does not exist, is not a MATLAB v7.3 file, or is damaged, or required data is missing or
            invalid (all problems in one message).
    """
    # h5py is needed only for reading the file; workers that only use intervals start faster without it.
    from dataset_tools.corpora.mpii.columns import read_columns
    from dataset_tools.corpora.mpii.frame_numbers import judge_frame_numbers

    columns = read_columns(path)
    first_frame, notes = judge_frame_numbers(columns)
    names = columns.attribute_names
    things_and_verbs = _Memo(lambda row: _things_and_verbs(np.frombuffer(row, np.bool_), names))
    hyphened = {name.replace("-", " "): name for name in names}
    spelled = _Memo(lambda words: frozenset(hyphened.get(word, word) for word in words))
    intervals = tuple(
        Interval(
            index=index,
            video=columns.videos[index],
            start_frame=start_frame + 1 - first_frame,
            end_frame=end_frame + 1 - first_frame,
            verb=columns.activities[index][:-1],
            things=things,
            verbs=verbs,
            **{role: None if sets[index] is None else spelled[sets[index]] for role, sets in columns.roles.items()},
        )
        for index, (start_frame, end_frame, (things, verbs)) in enumerate(
            zip(
                columns.start_frames.tolist(),
                columns.end_frames.tolist(),
                (things_and_verbs[row.tobytes()] for row in columns.attributes.T),
                strict=True,
            )
        )
    )
    notes += (_note_on_roles(columns.roles),)
    return Annotations(path, intervals, columns.frame_rate, tuple(names), columns.dataset, notes)


class _Memo(dict[Any, Any]):
    """Memoized values of a function: thousands of intervals share a few hundred values."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, key: Any) -> Any:
        self[key] = self._function(key)
        return self[key]


def _things_and_verbs(row: NDArray[np.bool_], names: Sequence[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Splits the attributes [A] of one interval into things and verbs."""
    present = [names[index] for index in np.flatnonzero(row)]
    things = frozenset(name for name in present if not name.endswith("V"))
    return things, frozenset(name[:-1] for name in present if name.endswith("V"))


def _note_on_roles(roles: dict[str, list[frozenset[str] | None]]) -> str:
    counts = ", ".join(f"{role} of {len(sets) - sets.count(None)}" for role, sets in roles.items())
    return f"Readable roles: {counts} intervals."
