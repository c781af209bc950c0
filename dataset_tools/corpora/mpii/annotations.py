"""The annotation file of MPII Cooking 2: intervals of its videos.

``attributesAnnotations_MPII-Cooking-2.mat`` is MATLAB v7.3, that is HDF5. Its group ``annos`` holds cells of strings
(arrays of object references to uint16 character arrays), numbers per interval, and ``iaMat``, attribute × interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_tools.corpora.corpus import Annotations, Interval


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
