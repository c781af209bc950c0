"""Reader of projects of VIA 3, the VGG Image Annotator for video: temporal segments and their labels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from dataset_tools.corpora.annotations.interval_list import IntervalList, IntervalRows, refusal
from dataset_tools.corpora.annotations.json_content import part, read_json
from dataset_tools.corpora.annotations.tiers import is_sentence, label_tier
from dataset_tools.corpora.annotations.video_addresses import video_of_address

_EXPECTED = "a project of VIA 3 (JSON) with temporal segments"

_CHECKBOX = 2


class _Attribute(msgspec.Struct):
    aname: str
    type: int = 0
    options: dict[str, str] = {}


class _File(msgspec.Struct):
    fname: str


class _View(msgspec.Struct):
    fid_list: list[str | int]


class _Project(msgspec.Struct):
    attribute: dict[str, _Attribute]
    file: dict[str, _File]
    view: dict[str, _View]
    metadata: dict[str, Any]


class _Metadata(msgspec.Struct):
    vid: str | int
    z: list[float]
    av: dict[str, str] = {}

    @property
    def span(self) -> tuple[str, tuple[float, ...]]:
        """The view (video), and the times in it."""
        return str(self.vid), tuple(self.z)


def read_via(path: Path, *, tier: str | None = None) -> IntervalList:
    """Reads the temporal segments, two times ``z`` in seconds each; ``tier`` is the attribute that holds the label.

    Texts of several words in other attributes, with exactly the times of a label, are its sentences. Regions and points
    in time are left out and counted.

    Raises:
        InputError: the file cannot be read, has several attributes and ``tier`` names none of them, or has invalid
            segments.
    """
    project = read_json(path, _EXPECTED, _Project)
    rows = IntervalRows(path, _EXPECTED)
    segments: dict[str, _Metadata] = {}
    others = 0
    for key, entry in project.metadata.items():
        with rows.at(f"metadata {key[:40]!r}"):
            metadata = part(entry, _Metadata)
            if len(metadata.z) == 2:
                segments[key] = metadata
            else:
                others += 1
    rows.check()
    names = {key: attribute.aname for key, attribute in project.attribute.items()}
    if len(set(names.values())) < len(names):
        raise refusal(path, "has two attributes of the same name", _EXPECTED, "rename one of them in VIA")
    used = [(key, number) for key, segment in segments.items() for number in segment.av if number in names]
    name = label_tier(path, Counter(names[number] for _, number in used), tier)
    sentences: dict[tuple[str, tuple[float, ...]], list[str]] = {}
    for key, number in used:
        text = segments[key].av[number]
        text = project.attribute[number].options.get(text, text)
        if names[number] != name and is_sentence(text):
            sentences.setdefault(segments[key].span, []).append(text)
    for key, number in used:
        place = f"metadata {key[:40]!r}"
        if names[number] == name:
            with rows.at(place):
                segment = segments[key]
                label = _label(project.attribute[number], segment.av[number])
                words, own = rows.words_of(label), sentences.get(segment.span, [])
                rows.add(place, _video(project, str(segment.vid)), segment.z[0], segment.z[1], words, sentences=own)
    if others:
        rows.notes.append(f"{others} regions and points in time are not temporal segments, and were left out.")
    return rows.finished(in_seconds=True)


def _label(attribute: _Attribute, chosen: str) -> str:
    """Returns the label: the text of the selected option, or the entered text."""
    if attribute.type == _CHECKBOX and "," in chosen:
        raise ValueError(f"it has several labels: {chosen[:40]!r}")
    return attribute.options.get(chosen, chosen)


def _video(project: _Project, view: str) -> str:
    files = project.view[view].fid_list if view in project.view else []
    file = project.file.get(str(files[0])) if files else None
    if file is None:
        raise ValueError(f"the view {view[:40]!r} has no file")
    return video_of_address(file.fname)
