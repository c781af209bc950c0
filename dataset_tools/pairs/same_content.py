"""Duplicates by content: clips and utterances that are one content under several names (deduplication).

Content decides, never a name: a video that lies there twice, or a recording imported twice, must not be on both
sides of a split.
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
from dataset_tools.speech.recording_rows import read_recordings

_WINDOW = re.compile(r"_w\d+of\d+$")


@dataclass(frozen=True)
class Origins:
    """What items were made from, as far as the workspace knows.

    Attributes:
        videos: SHA-256 of the source video, by clip id. recordings: of the file as it came, by utterance id.
    """

    videos: Mapping[str, str]
    recordings: Mapping[str, str]


NO_ORIGINS = Origins({}, {})


@dataclass(frozen=True)
class Content:
    """The content of every clip and utterance, by id; items of one content have the same.

    Attributes:
        clips: an interval or, where several are of one content, the first of them: windows of one interval share it,
            as do clips with the same file, with common frames of one video, and those that one recording describes.
        utterances: the id of the first utterance with that content. A copy has the content of its original.
        merged: ids of the items that are one content though their names say otherwise, a tuple for each content.
    """

    clips: Mapping[str, str]
    utterances: Mapping[str, str]
    merged: tuple[tuple[str, ...], ...]


def read_origins(workspace: Workspace) -> Origins:
    """What the ledger and the list of recordings of a workspace say; nothing for manifests that came without them.

    Raises:
        ManifestError: one of the two cannot be read.
    """
    cut = {name.removeprefix("clip/"): row for name, row in read_ledger(workspace.ledger).items()}
    videos = {name: row.values["source_sha256"] for name, row in cut.items() if "source_sha256" in row.values}
    return Origins(videos, {row.id: row.original_sha256 for row in read_recordings(workspace)})


def interval_of(clip_id: str) -> str:
    """The interval that a clip was cut from: all windows of one interval share it, and share a side."""
    return _WINDOW.sub("", clip_id)


def content_of(clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow], origins: Origins = NO_ORIGINS) -> Content:
    """Finds the items that are one content.

    Synthesized utterances with the same samples do not tie the clips that they describe: one voice that says one
    sentence twice makes no one video of two.
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
    """Connected components (union-find) of names that share a mark: the first name of its component, for every name."""
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
    """Intervals of one source video, whatever its name, with a mark that those with common frames share."""
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
