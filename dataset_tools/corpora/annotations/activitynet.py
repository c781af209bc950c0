"""Reader of ActivityNet 1.3 (labels), ActivityNet Captions and YouCook2 (sentences) JSON files, as published.

A video is named by its id, with or without ``v_`` (``v_QOlSCBRmfWY``); so is its file, with any known suffix.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.corpora.annotations.interval_list import SHOWN_PROBLEMS, IntervalList, IntervalRows
from dataset_tools.corpora.annotations.json_content import part, read_json

FILE_PREFIX = "v_"
_EXPECTED = '{"database": {ID: {"annotations": [{"segment": [start_s, end_s], "label" or "sentence": …}]}}}'
_EXPECTED_CAPTIONS = '{ID: {"duration": s, "timestamps": [[start_s, end_s], …], "sentences": […]}}'


class _Segment(msgspec.Struct):
    segment: tuple[float, float]
    label: str = ""
    sentence: str = ""


class _Entry(msgspec.Struct):
    annotations: list[Any] = []


class _Database(msgspec.Struct):
    database: dict[str, Any]


class _Captions(msgspec.Struct):
    timestamps: list[tuple[float, float]]
    sentences: list[str]
    fps: float | None = None
    num_frames: float | None = None


def read_activitynet(path: Path) -> IntervalList:
    """Reads ActivityNet 1.3 (a label per segment) or YouCook2 (a sentence, from whose words the class is guessed).

    Unusable segments (an end before the start, no word) are left out.

    Raises:
        InputError: the file cannot be read, or a segment is malformed.
    """
    rows = _Segments(path, _EXPECTED)
    for video, entry in read_json(path, _EXPECTED, _Database).database.items():
        with rows.at(repr(video[:60])):
            annotations = part(entry, _Entry).annotations
            for number, annotation in enumerate(annotations, start=1):
                with rows.at(f"{video[:60]!r}, segment {number}"):
                    segment = part(annotation, _Segment)
                    text = segment.label or segment.sentence
                    rows.add_segment(video, number, segment.segment, text, is_sentence=not segment.label)
    return rows.list_of_segments()


def read_activitynet_captions(path: Path) -> IntervalList:
    """Reads ActivityNet Captions: sentences, from whose words the class is guessed. Unusable segments are left out.

    Raises:
        InputError: the file cannot be read, is TACoS, whose times are frames, or has a video with different numbers of
            sentences and timestamps.
    """
    rows = _Segments(path, _EXPECTED_CAPTIONS)
    for video, entry in read_json(path, _EXPECTED_CAPTIONS, dict[str, Any]).items():
        with rows.at(repr(video[:60])):
            captions = part(entry, _Captions)
            if captions.fps is not None or captions.num_frames is not None:
                raise ValueError("its times are frames, as in TACoS: use it as --sentences of other annotations")
            if len(captions.timestamps) != len(captions.sentences):
                raise ValueError(f"{len(captions.timestamps)} timestamps, {len(captions.sentences)} sentences")
            for number, (times, text) in enumerate(zip(captions.timestamps, captions.sentences, strict=True), start=1):
                with rows.at(f"{video[:60]!r}, segment {number}"):
                    rows.add_segment(video, number, times, text, is_sentence=True)
    return rows.list_of_segments()


class _Segments(IntervalRows):
    """Rows of published files; their few unusable segments, which the user cannot correct, are left out and listed."""

    def __init__(self, path: Path, expected: str) -> None:
        super().__init__(path, expected)
        self._left_out: list[str] = []

    def add_segment(self, video: str, number: int, times: tuple[float, float], text: str, *, is_sentence: bool) -> None:
        place = f"{video[:60]!r}, segment {number}"
        text = "".join(character for character in text if character.isprintable() or character.isspace())
        try:
            words = self.words_of(text, is_sentence=is_sentence)
            self.add(place, video, *times, words, sentences=[text] if is_sentence else [])
        except ValueError as error:
            self._left_out.append(f"{place} ({error})")

    def list_of_segments(self) -> IntervalList:
        if self._left_out:
            segments = count_of(len(self._left_out), "segment is", "segments are")
            self.notes.append(f"{segments} left out: {', '.join(first_of(self._left_out, SHOWN_PROBLEMS))}.")
        return self.finished(in_seconds=True, file_prefix=FILE_PREFIX)
