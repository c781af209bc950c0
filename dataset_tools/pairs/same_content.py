"""Deduplication by content: clips and utterances with the same content under several names.

Items are compared by content, never by name: a video that exists twice, or a recording that was imported twice, must
not be on both sides of a split.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec import UNSET

from dataset_tools.core.ledger import read_ledger
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, UtteranceRow
from dataset_tools.speech.recordings.recording_rows import read_recordings

_WINDOW = re.compile(r"_w\d+of\d+$")


@dataclass(frozen=True)
class Origins:
    """Source files of the items, as far as the workspace records them.

    Attributes:
        videos: SHA-256 of the source video, by clip id. recordings: SHA-256 of the imported file, by utterance id.
    """

    videos: Mapping[str, str]
    recordings: Mapping[str, str]


NO_ORIGINS = Origins({}, {})


@dataclass(frozen=True)
class Content:
    """Content key of every clip and utterance, by id; items with the same content have the same key.

    Attributes:
        clips: the interval or, if several intervals have the same content, the first of them. Clips have the same
            content if they are windows of one interval, have identical files, share frames of one video, or are
            described by one recording.
        utterances: id of the first utterance with that content. A copy has the content of its original.
        merged: ids of items with the same content but unrelated names, a tuple for each content.
    """

    clips: Mapping[str, str]
    utterances: Mapping[str, str]
    merged: tuple[tuple[str, ...], ...]


def read_origins(workspace: Workspace) -> Origins:
    """Reads origins from the ledger and the list of recordings; empty for manifests without these files.

    Raises:
        ManifestError: one of the two cannot be read.
    """
    cut = {name.removeprefix("clip/"): row for name, row in read_ledger(workspace.ledger).items()}
    videos = {name: row.value("source_sha256", str) for name, row in cut.items() if "source_sha256" in row.values}
    return Origins(videos, {row.id: row.original_sha256 for row in read_recordings(workspace)})


def interval_of(clip_id: str) -> str:
    """Returns the interval that a clip was cut from: all windows of an interval share it, and share a side."""
    return _WINDOW.sub("", clip_id)


def content_of(clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow], origins: Origins = NO_ORIGINS) -> Content:
    """Finds the items with the same content.

    Synthesized utterances with identical samples do not link the clips that they describe: a voice may speak the same
    sentence for two different videos.
    """
    spoken = group_by_mark({row.id: set(_marks_of_utterance(row, origins)) for row in utterances})
    marks: dict[str, set[Hashable]] = defaultdict(set)
    for clip in clips:
        marks[interval_of(clip.id)].add(clip.sha256)
    for interval, overlap in _overlaps(clips, origins):
        marks[interval].add(overlap)
    for row in utterances:
        if row.source == "recorded" and row.clip is not None and interval_of(row.clip) in marks:
            marks[interval_of(row.clip)].add(("recording", spoken[row.id]))
    shown = group_by_mark(marks)
    originals = [row.id for row in utterances if row.augmented is UNSET]
    return Content(
        clips={clip.id: shown[interval_of(clip.id)] for clip in clips},
        utterances=spoken,
        merged=(*_groups(shown, marks), *_groups(spoken, originals)),
    )


def group_by_mark(marks: Mapping[str, Iterable[Hashable]]) -> dict[str, str]:
    """Connected components (union-find) of names that share a mark; maps each name to the first of its component."""
    parent = {name: name for name in marks}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    first: dict[Hashable, str] = {}
    for name, own in marks.items():
        for mark in own:
            one, other = sorted((root(name), root(first.setdefault(mark, name))))
            parent[other] = one
    return {name: root(name) for name in marks}


def _marks_of_utterance(row: UtteranceRow, origins: Origins) -> Iterator[Hashable]:
    yield "sound", row.sha256
    yield "id", row.id if row.augmented is UNSET else row.augmented.original
    if row.id in origins.recordings:
        yield "file", origins.recordings[row.id]


def _overlaps(clips: Sequence[ClipRow], origins: Origins) -> Iterator[tuple[str, Hashable]]:
    """Yields intervals with a mark that is equal for overlapping intervals of the same source video, by content."""
    spans: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for clip in clips:
        if clip.id in origins.videos:
            start_frame, end_frame = clip.trim or (clip.start_frame, clip.end_frame)
            spans[origins.videos[clip.id]].append((start_frame, end_frame, interval_of(clip.id)))
    for video, of_video in spans.items():
        first = last = 0
        for start_frame, end_frame, interval in sorted(of_video):
            if start_frame > last:
                first = start_frame
            last = max(last, end_frame)
            yield interval, ("frames", video, first)


def _groups(content: Mapping[str, str], names: Iterable[str]) -> Iterator[tuple[str, ...]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        groups[content[name]].append(name)
    return (tuple(group) for _, group in sorted(groups.items()) if len(group) > 1)
