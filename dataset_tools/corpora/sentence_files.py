"""Files of sentences for intervals of videos: TACoS (of MPII Cooking 2), the same format for other videos, and tables.

A file is a JSON object: ``{"s17-d69.avi": {"timestamps": [[start_frame, end_frame], …], "sentences": […],
"fps": 29.4, "num_frames": n}}``. Videos may be named as in a list of intervals (``clips/a_01.mp4``) or as in ids.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import read_input, slug
from dataset_tools.corpora.corpus import Corpus
from dataset_tools.corpora.sentence_table import read_sentence_table

Span = tuple[int, int, str]
_VIDEO = re.compile(r"(s\d{2,3}-d\d{2,3})(-[A-Za-z0-9]+)*(\.\w+)?")


@dataclass(frozen=True)
class SentenceSpans:
    """Sentences by video.

    Attributes:
        spans: for each video (see `video_key`) its (start_frame, end_frame, sentence) tuples, sorted by frames.
        invalid: number of spans left out: the start is negative, or the end not after it, or after the last frame.
        listed: videos whose sentences are from a list of intervals; each describes exactly its interval.
    """

    spans: dict[str, list[Span]]
    invalid: int
    listed: frozenset[str] = frozenset()

    def covering(self, video: str, start_frame: int, end_frame: int) -> list[Span]:
        """Returns the spans of a video that contain all the frames from ``start_frame`` to ``end_frame``."""
        spans = self.spans.get(video_key(video), [])
        return [span for span in spans if span[0] <= start_frame and end_frame <= span[1]]

    def is_list(self, video: str) -> bool:
        """Whether the sentences of a video are from a list of intervals."""
        return video_key(video) in self.listed


def video_key(video: str) -> str:
    """Returns the key of a video: of an MPII-like name the sequence (``s07-d72``), else its path as in ids."""
    name = _VIDEO.fullmatch(video)
    if name is not None:
        return name.group(1)
    path = posixpath.normpath(video.replace("\\", "/"))
    stem, suffix = posixpath.splitext(path)
    return slug(stem if re.fullmatch(r"\.\w{2,5}", suffix) else path)


def read_sentences(paths: Path | str | Iterable[Path | str]) -> SentenceSpans:
    """Reads one or several files, JSON in TACoS format or tables (`read_sentence_table`), or all files of a folder.

    Raises:
        InputError: a file does not exist, or is in neither format.
    """
    spans: dict[str, list[Span]] = {}
    invalid = 0
    listed: set[str] = set()
    for file in sentence_files(paths):
        for video, rows, frames, is_listed in _read_file(file):
            valid = [row for row in rows if 0 <= row[0] < row[1] + is_listed and row[1] <= frames]
            invalid += len(rows) - len(valid)
            spans.setdefault(video, []).extend(valid)
            listed |= {video} if is_listed else set()
    by_video = {video: sorted(set(rows)) for video, rows in sorted(spans.items())}
    return SentenceSpans(by_video, invalid, frozenset(listed))


def sentence_files(paths: Path | str | Iterable[Path | str]) -> tuple[Path, ...]:
    """Returns the files that ``paths`` name; for a folder, the ``*.json`` files in it, else all ``*.tsv`` below it."""
    given = [Path(path) for path in ([paths] if isinstance(paths, Path | str) else paths)]
    return tuple(file for path in given for file in (_files_of(path) if path.is_dir() else [path]))


def footage_sentences(corpus: Corpus) -> tuple[Path, ...]:
    """Returns the sentence files beside the footage (TACoS), or with the sentences of its interval list; may be empty.

    A build uses them only if its options name them: ``BuildOptions(voices=SpeechOptions(sentences=…))``.
    """
    return () if corpus.sentences is None else sentence_files(corpus.sentences)


def _files_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json")) or sorted(file for file in folder.rglob("*.[tT][sS][vV]") if file.is_file())


def _read_file(path: Path) -> list[tuple[str, list[Span], float, bool]]:
    """Returns, for each video, its key, spans and number of frames, and whether they are from an interval list."""
    if path.suffix.lower() == ".tsv":
        return [
            (video_key(video), [(start, end, _sentence(text))], float("inf"), False)
            for video, start, end, text in read_sentence_table(path)
        ]
    try:
        content = json.loads(read_input(path))
    except OSError as error:
        raise InputError(
            f"The file of sentences cannot be read: {error.strerror}",
            where=path,
            expected="a file in TACoS format",
            next_step="check the path",
        ) from error
    except (ValueError, RecursionError) as error:
        raise _refusal(path, f"it is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise _refusal(path, "it is not an object")
    return [_read_video(path, video, row) for video, row in content.items()]


def _read_video(path: Path, video: str, row: Any) -> tuple[str, list[Span], float, bool]:
    name = video_key(video)
    if not name:
        raise _refusal(path, f"{video!r} is not a video name")
    try:
        times, sentences = row["timestamps"], row["sentences"]
        frames = row.get("num_frames", float("inf"))
        if len(times) != len(sentences) or not isinstance(frames, int | float):
            raise ValueError
        spans = [
            (_frame(start), _frame(end), _sentence(text)) for (start, end), text in zip(times, sentences, strict=True)
        ]
    except (TypeError, KeyError, ValueError, OverflowError, AttributeError) as error:
        raise _refusal(path, f"the entry of {video!r} does not have one sentence per timestamp") from error
    return name, spans, frames, row.get("source") == "annotations"


def _frame(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise ValueError(f"{value!r} is not a frame number")
    return int(value)


def _sentence(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a sentence")
    value.encode()  # raises on a lone surrogate
    return " ".join(value.split())


def _refusal(path: Path, found: str) -> InputError:
    return InputError(
        f"The file of sentences cannot be used: {found}",
        where=path,
        expected='TACoS format: {"s17-d69.avi": {"timestamps": [[start_frame, end_frame], …], "sentences": […]}}',
        next_step="use TACoS' train.json, val.json and test.json, a file in the same format, or a table with tabs and "
        "the ending .tsv",
    )
