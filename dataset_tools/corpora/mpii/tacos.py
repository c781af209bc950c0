"""TACoS: sentences that people wrote for spans of MPII Cooking 2's videos.

A file is a JSON object: ``{"s17-d69.avi": {"timestamps": [[start_frame, end_frame], …], "sentences": […],
"fps": 29.4, "num_frames": n}}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import read_input

Span = tuple[int, int, str]
_VIDEO = re.compile(r"(s\d{2,3}-d\d{2,3})(-[A-Za-z0-9]+)*(\.\w+)?")


@dataclass(frozen=True)
class SentenceSpans:
    """Sentences by sequence.

    Attributes:
        spans: for a sequence (``s07-d72``) its (start_frame, end_frame, sentence), sorted by frames.
        invalid: how many were left out: the end is not after the start, or past the video's last frame.
    """

    spans: dict[str, list[Span]]
    invalid: int

    def covering(self, sequence: str, start_frame: int, end_frame: int) -> list[str]:
        """The sentences whose span has all the frames from ``start_frame`` to ``end_frame``."""
        return [text for start, end, text in self.spans.get(sequence, []) if start <= start_frame and end_frame <= end]


def read_sentences(paths: Path | Iterable[Path]) -> SentenceSpans:
    """Reads one or several files, or all ``*.json`` of a folder.

    Raises:
        InputError: there is no such file, or it is not in TACoS' form.
    """
    spans: dict[str, list[Span]] = {}
    invalid = 0
    for file in sentence_files(paths):
        for sequence, rows, frames in _read_file(file):
            valid = [row for row in rows if 0 <= row[0] < row[1] <= frames]
            invalid += len(rows) - len(valid)
            spans.setdefault(sequence, []).extend(valid)
    return SentenceSpans({sequence: sorted(set(rows)) for sequence, rows in sorted(spans.items())}, invalid)


def sentence_files(paths: Path | Iterable[Path]) -> tuple[Path, ...]:
    """The files that ``paths`` name: of a folder, all its ``*.json``."""
    given = [paths] if isinstance(paths, Path) else list(paths)
    return tuple(file for path in given for file in (sorted(path.glob("*.json")) if path.is_dir() else [path]))


def _read_file(path: Path) -> list[tuple[str, list[Span], float]]:
    """Of each video: its sequence, all its spans, its number of frames."""
    try:
        content = json.loads(read_input(path))
    except OSError as error:
        raise InputError(
            f"The file of sentences cannot be read: {error.strerror}",
            where=path,
            expected="a file in TACoS' form",
            next_step="check the path",
        ) from error
    except (ValueError, RecursionError) as error:
        raise _refusal(path, f"it is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise _refusal(path, "it is not an object")
    return [_read_video(path, video, row) for video, row in content.items()]


def _read_video(path: Path, video: str, row: Any) -> tuple[str, list[Span], float]:
    name = _VIDEO.fullmatch(video)
    if name is None:
        raise _refusal(path, f"{video!r} is no video name")
    try:
        times, sentences = row["timestamps"], row["sentences"]
        frames = row.get("num_frames", float("inf"))
        if len(times) != len(sentences) or not isinstance(frames, int | float):
            raise ValueError
        spans = [
            (_frame(start), _frame(end), _sentence(text)) for (start, end), text in zip(times, sentences, strict=True)
        ]
    except (TypeError, KeyError, ValueError, OverflowError, AttributeError) as error:
        raise _refusal(path, f"the entry of {video!r} has no timestamps with a sentence each") from error
    return name.group(1), spans, frames


def _frame(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise ValueError(f"{value!r} is no frame")
    return int(value)


def _sentence(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no sentence")
    value.encode()  # half of a surrogate pair is no sign
    return " ".join(value.split())


def _refusal(path: Path, found: str) -> InputError:
    return InputError(
        f"The file of sentences cannot be used: {found}",
        where=path,
        expected='TACoS\' form: {"s17-d69.avi": {"timestamps": [[start_frame, end_frame], …], "sentences": […]}}',
        next_step="give TACoS' train.json, val.json and test.json, or a file in their form",
    )
