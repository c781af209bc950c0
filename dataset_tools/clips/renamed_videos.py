"""Renamed videos: reuses decisions for clips with the same frames of the same content under another id."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from dataset_tools.corpora.corpus import Corpus, Interval
from dataset_tools.decisions.journal import ReviewRow
from dataset_tools.decisions.majority_rule import live

_WINDOW = re.compile(r"_w(\d+)of(\d+)$")


def rows_under_new_ids(
    reviews: Sequence[ReviewRow], corpus: Corpus, contents: Callable[[Collection[str]], Mapping[str, str]]
) -> list[ReviewRow]:
    """The live rows whose item has another id now than when it was decided on, with the current id.

    A row refers to frames of a video, which it identifies by SHA-256. If the clip with its id is of another video, or
    there is none, the row is assigned to the interval with these frames in a video of that content; if there is none
    either, or the row does not identify the video, the row is not changed.

    Args:
        reviews: rows of reviews.jsonl.
        corpus: the intervals and videos under their current names.
        contents: returns the SHA-256 of videos by name, of those that can be read; called only for those needed.
    """
    live_rows = [row for row in live(reviews) if row.shown.source_sha256 is not None]
    clips = [row for row in live_rows if row.item == "clip"]
    video_of = {interval.id: interval.video for interval in corpus.annotations.intervals}
    own = {row.source: video_of.get(_WINDOW.sub("", row.id), "") for row in clips}
    found = dict(contents({video for video in own.values() if video in corpus.videos}))
    mismatched = [row for row in clips if found.get(own[row.source]) != row.shown.source_sha256]
    places = {row.source: _intervals_at(row, corpus.annotations.intervals) for row in mismatched}
    needed = {interval.video for group in places.values() for interval in group if interval.video in corpus.videos}
    found |= contents(needed - found.keys())

    ids: dict[tuple[int, str], tuple[str, str]] = {}
    for row in mismatched:
        same = [one.id for one in places[row.source] if found.get(one.video) == row.shown.source_sha256]
        if same:
            window = _WINDOW.search(row.id)
            ids[row.source[:2]] = (row.id, min(same) + (window[0] if window else ""))
    renamed = []
    for row in live_rows:
        old, new = ids.get(row.source[:2], ("", ""))
        if new and row.id.startswith(old):  # the id of an utterance is that of its clip plus a suffix
            renamed.append(msgspec.structs.replace(row, id=new + row.id.removeprefix(old)))
    return renamed


def _intervals_at(row: ReviewRow, intervals: Sequence[Interval]) -> list[Interval]:
    """The intervals whose clip would have the frames that a row was decided on."""
    shown = row.shown
    span = shown.interval or (shown.first_frame, shown.first_frame + shown.frames - 1)
    window = _WINDOW.search(row.id)
    index, of = (int(window[1]), int(window[2])) if window else (1, 1)
    return [one for one in intervals if of and _window(one, index, of) == span]


def _window(interval: Interval, index: int, of: int) -> tuple[int, int]:
    """First and last frame of the ``index``-th (from 1) of ``of`` windows of an interval."""
    first, beyond = (interval.start_frame + interval.frames * edge // of for edge in (index - 1, index))
    return first, beyond - 1
