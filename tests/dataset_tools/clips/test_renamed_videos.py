"""Content decides what a decision refers to: a renamed video keeps what people said, another of its name does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataset_tools.build.building import build_dataset
from dataset_tools.build_record import BuildOptions
from dataset_tools.classes.reader import load_classes
from dataset_tools.core.files import sha256_of
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.corpus import Corpus, Interval
from dataset_tools.decisions.journal import (
    LabelStudioIds,
    ReviewRow,
    Shown,
    append_reviews,
    read_reviews,
    reviews_path,
)
from dataset_tools.manifests import ClipRow, SplitPairRow, UtteranceRow, read_rows
from dataset_tools.pairs.pairing import PairOptions, make_pairs

CLASSES = load_classes()
OPTIONS = BuildOptions(per_class=4, short_side=64)
SENTENCE = "She halves the carrot with a big knife."
CAMERA = "-cam-002"


@pytest.fixture
def corpus(make_interval: Callable, make_corpus: Callable, write_video: Callable, tmp_path: Path) -> Corpus:
    """Two videos of different pictures, two intervals of the same frames in each."""
    sizes = {"s07-d20": (128, 96), "s08-d21": (160, 120)}
    videos = {name + CAMERA: write_video(tmp_path / f"{name}.avi", 130, size=size) for name, size in sizes.items()}
    return make_corpus([make_interval(name, start, start + 39) for name in sizes for start in (1, 61)], videos)


def called(corpus: Corpus, names: Mapping[str, str]) -> Corpus:
    """The same videos, frames and classes, after the videos (and the list of intervals) got other names."""
    intervals = tuple(replace(one, video=names.get(one.video, one.video)) for one in corpus.annotations.intervals)
    videos = {names.get(name, name): path for name, path in corpus.videos.items()}
    return replace(corpus, annotations=replace(corpus.annotations, intervals=intervals), videos=videos)


def build(place: Workspace, corpus: Corpus, options: BuildOptions = OPTIONS) -> tuple[dict[str, ClipRow], int]:
    summary = build_dataset(place, corpus, CLASSES, options, jobs=2)
    return {row.id: row for row in read_rows(place.manifests / "clips.jsonl", ClipRow)}, summary.renamed


def decided(place: Workspace, corpus: Corpus, clips: Mapping[str, ClipRow]) -> None:
    """A trim, a rejection, another sentence with bad speech, and an acceptance; on the clips in order of id."""
    spoken = {row.clip: row for row in read_rows(place.manifests / "utterances.jsonl", UtteranceRow)}
    said: list[dict[str, Any]] = [
        {"verdict": "trim", "trim": (11, 30)},
        {"verdict": "reject", "reasons": ("cannot be seen",)},
        {"verdict": "accept", "sentence": SENTENCE},
        {"verdict": "accept"},
    ]
    for number, (clip, what) in enumerate(zip(clips.values(), said, strict=True)):
        utterance = spoken[clip.id]
        time = f"2026-11-22T08:{number:02d}:00.000000Z"
        common: dict[str, Any] = {
            "annotator": "ann@example.com",
            "time": time,
            "shown": Shown(
                class_id=clip.class_id,
                sentence=utterance.text,
                first_frame=max(1, clip.start_frame - 10),
                frames=60,
                interval=(clip.start_frame, clip.end_frame),
                source_sha256=sha256_of(corpus.videos[clip.video]),
            ),
            "label_studio": LabelStudioIds(server=None, project=1, task=number, annotation=number + 1, created=time),
        }
        heard = "reject" if number == 3 else None
        rows = [
            ReviewRow(id=clip.id, item="clip", content_sha256=clip.sha256, **what, **common),
            ReviewRow(id=utterance.id, item="utterance", content_sha256=utterance.sha256, verdict=heard, **common),
        ]
        append_reviews(reviews_path(place), rows)


def test_a_renamed_video_keeps_what_people_decided(
    corpus: Corpus, tmp_path: Path, read_numbers: Callable[[Path], list[int]]
) -> None:
    place = Workspace(tmp_path / "set")
    clips, _ = build(place, corpus)
    decided(place, corpus, clips)
    trimmed, rejected, worded, accepted = clips
    journal = reviews_path(place).read_bytes()

    anew = called(corpus, {f"s07-d20{CAMERA}": f"s31-d09{CAMERA}", f"s08-d21{CAMERA}": f"s32-d08{CAMERA}"})
    new = {old: old.replace("s07-d20", "s31-d09").replace("s08-d21", "s32-d08") for old in clips}
    dry = build_dataset(place, anew, CLASSES, OPTIONS, dry_run=True)
    assert (dry.renamed, dry.reviewed) == (4, {"accept": 2, "reject": 1, "trim": 1})
    assert reviews_path(place).read_bytes() == journal

    after, renamed = build(place, anew)
    assert renamed == 4
    assert set(after) == {new[trimmed], new[worded], new[accepted]}
    assert {name: row.review for name, row in after.items()} == {
        new[trimmed]: "trim",
        new[worded]: "accept",
        new[accepted]: "accept",
    }
    assert read_numbers(place.root / after[new[trimmed]].path) == list(range(11, 31))
    spoken = {row.clip: row for row in read_rows(place.manifests / "utterances.jsonl", UtteranceRow)}
    assert spoken[new[worded]].text == SENTENCE
    assert spoken[new[accepted]].review is None  # spoken anew, since it was bad; nobody heard that yet
    assert reviews_path(place).read_bytes().startswith(journal)
    make_pairs(place, CLASSES, PairOptions(reviewed=True, test_share=0.5))
    sides = [read_rows(place.manifests / f"{side}.jsonl", SplitPairRow) for side in ("train", "test")]
    assert {row.utterance.clip for side in sides for row in side} <= {new[trimmed], new[worded]}

    # and that is that: nothing more is written, whatever is built, until the names change again
    content = reviews_path(place).read_bytes()
    assert build(place, anew) == (after, 0)
    assert reviews_path(place).read_bytes() == content
    back, renamed = build(place, corpus)
    assert (set(back), renamed) == ({trimmed, worded, accepted}, 4)
    assert {row.review for row in back.values()} == {"trim", "accept"}
    assert rejected not in back


def test_of_two_videos_that_swapped_their_names_each_keeps_its_own(corpus: Corpus, tmp_path: Path) -> None:
    place = Workspace(tmp_path / "set")
    clips, _ = build(place, corpus)
    decided(place, corpus, clips)
    trimmed, rejected, worded, accepted = clips
    one, other = f"s07-d20{CAMERA}", f"s08-d21{CAMERA}"
    after, renamed = build(place, called(corpus, {one: other, other: one}))
    assert renamed == 4
    # the intervals are at the same frames in both videos, so that by name alone each decision would fit the other
    assert {name: (row.review, row.trim) for name, row in after.items()} == {
        worded: ("trim", (11, 30)),
        trimmed: ("accept", None),
        rejected: ("accept", None),
    }
    assert accepted not in after


def test_another_video_of_the_same_name_gets_no_decision(
    corpus: Corpus, tmp_path: Path, write_video: Callable[..., Path]
) -> None:
    place = Workspace(tmp_path / "set")
    clips, _ = build(place, corpus)
    decided(place, corpus, clips)
    content = reviews_path(place).read_bytes()
    for name, path in corpus.videos.items():
        write_video(path, 130, size=(96, 64) if name.startswith("s07") else (64, 96))
    after, renamed = build(place, corpus)
    assert renamed == 0
    assert {name: row.review for name, row in after.items()} == dict.fromkeys(clips)
    assert reviews_path(place).read_bytes() == content


def test_windows_of_a_renamed_video_are_recognized(
    make_interval: Callable[..., Interval], make_corpus: Callable, write_video: Callable, tmp_path: Path
) -> None:
    name = f"s07-d20{CAMERA}"
    video = write_video(tmp_path / "long.avi", 290, size=(128, 96))
    corpus = make_corpus([make_interval("s07-d20", 11, 280)], {name: video})
    options = replace(OPTIONS, shortfall="windows")
    place = Workspace(tmp_path / "set")
    clips, _ = build(place, corpus, options)
    assert [clip_id.rpartition("_")[2] for clip_id in clips] == ["w1of4", "w2of4", "w3of4", "w4of4"]
    decided(place, corpus, {**clips})
    after, renamed = build(place, called(corpus, {name: f"s31-d09{CAMERA}"}), options)
    assert renamed == 4
    reviews = {row.id for row in read_reviews(reviews_path(place)) if row.item == "clip"}
    assert {clip_id.replace("s07-d20", "s31-d09") for clip_id in clips} <= reviews
    assert all(clip_id.startswith("s31-d09") for clip_id in after)
