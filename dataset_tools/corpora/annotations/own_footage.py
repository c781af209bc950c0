"""Footage of one's own: a CSV of intervals takes the place of MPII Cooking 2's annotation file.

A row is an interval: ``video,start_frame,end_frame,action,subject,object``, or ``start_s,end_s`` for the times. Frames
count from 1, both ends included; seconds count from the first frame, and the end is not included. Words are those of
the class file (its keys, names, or MPII's own). ``person`` and ``dish`` may say who is seen and what is prepared.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

from dataset_tools.classes.triplets import ActionWord, ClassFile, ThingWord
from dataset_tools.core.errors import InputError
from dataset_tools.core.media_formats import OPENED_ALONE
from dataset_tools.core.progress import Progress, silent
from dataset_tools.corpora.annotations.interval_csv import ListedInterval, read_interval_list
from dataset_tools.corpora.annotations.video_names import MPII_NAME, find_videos, name_videos, short_names
from dataset_tools.corpora.mpii.annotations import Annotations, Interval
from dataset_tools.corpora.mpii.mpii_corpus import Corpus
from dataset_tools.video.frame_index import FALLBACK_RATE, FrameIndex
from dataset_tools.video.source_videos import read_sources

_SHOWN_PROBLEMS = 20
_TOLERANCE_S = Fraction(1, 1000)
"""Times are written with a few decimals: a frame that begins a millisecond later is still the one that is meant."""

Word = TypeVar("Word", ActionWord, ThingWord)


@dataclass(frozen=True, slots=True)
class OwnInterval(Interval):
    """An interval of one's own footage, whose video may have any name.

    Attributes:
        footage: names the video in the interval's id. who, what: person and dish.
        listed_as: the video as the list names it, with the suffix that a row left out.
    """

    footage: str = ""
    listed_as: str = ""
    who: str = ""
    what: str = ""

    @property
    def sequence(self) -> str:
        return self.footage

    @property
    def video_file(self) -> str:
        return self.listed_as

    @property
    def person(self) -> str:
        return self.who

    @property
    def dish(self) -> str:
        return self.what


def open_own_footage(
    listing: Path,
    classes: ClassFile,
    *,
    videos: Path | None = None,
    memory: Path,
    jobs: int = 1,
    progress: Progress = silent,
) -> Corpus:
    """Reads a CSV of intervals; what comes out is used like MPII Cooking 2.

    Where times are seconds, the videos are read to find the frames: a variable rate is followed, not averaged.

    Args:
        listing: the CSV, UTF-8, separated by commas, semicolons or tabs.
        classes: whose words the actions, subjects and objects are.
        videos: folder that the names of videos are relative to; the CSV's own by default.
        memory: where is remembered what was read from videos (`dataset_tools.video.source_videos.read_sources`).
        jobs: processes at once.
        progress: is told how far it is.

    Raises:
        InputError: the CSV cannot be read, or lacks columns, or has wrong rows (all of them in one message); or times
            are seconds and a video has none.
    """
    rows, in_seconds = read_interval_list(listing)
    root = listing.parent if videos is None else videos
    if not root.is_dir():
        raise InputError(
            "There is no such folder",
            where=root,
            expected="the folder that the videos' names are relative to",
            next_step="check --videos",
        )
    videos_by_text = find_videos(rows, root, listing)
    names = name_videos(videos_by_text.values(), listing)
    files = {name: video.file for video, name in names.items() if video.file is not None}
    indices: dict[str, FrameIndex] = {}
    if in_seconds and files:
        sources, _ = read_sources(files, memory, jobs=jobs, progress=progress)
        indices = {name: source.index for name, source in sources.items()}
        _check_times(indices, files, listing)
    rate = _usual_rate(indices.values()) if indices else _stated_rate(files.values())
    footage = short_names(names.values())
    words = _Words(classes)
    intervals = []
    for index, row in enumerate(rows):
        video = videos_by_text[row.video]
        name = names[video]
        if in_seconds:
            start_frame, end_frame = frames_between(row.start, row.end, indices.get(name), rate)
        else:
            start_frame, end_frame = int(row.start), int(row.end)
        intervals.append(_interval(index, row, video.path, name, footage[name], start_frame, end_frame, words))
    notes = _notes(rows, words, in_seconds and bool(indices))
    return Corpus(
        root=root,
        annotations=Annotations(
            path=listing,
            intervals=tuple(intervals),
            frame_rate=float(rate),
            attribute_names=_attribute_names(intervals),
            dataset="footage of one's own",
            notes=notes,
        ),
        videos=dict(sorted(files.items())),
        splits={},
        standin=None,
        sentences=None,
        notes=notes,
        is_own=True,
    )


def frames_between(start_s: float, end_s: float, index: FrameIndex | None, rate: Fraction) -> tuple[int, int]:
    """The frames that are seen from ``start_s`` until just before ``end_s``, one at least; 1-based, both included.

    Args:
        start_s: seconds after the first frame appears.
        end_s: likewise.
        index: the video's frames, with their times; None where the video cannot be read.
        rate: frames per second where there is no index.
    """
    if index is not None:
        tick_s = Fraction(index.tick_s)
        first, rate = index.stamps[0], Fraction(index.rate)
        start_frame = bisect_right(index.stamps, first + (Fraction(start_s) + _TOLERANCE_S) / tick_s)
        end_frame = bisect_left(index.stamps, first + (Fraction(end_s) - _TOLERANCE_S) / tick_s)
        past_s = Fraction(end_s) - (index.stamps[-1] - first) * tick_s - 1 / rate
        if past_s > _TOLERANCE_S:
            end_frame = index.frames + math.ceil(past_s * rate)  # planning will refuse it, and say why
    else:
        start_frame = math.floor((Fraction(start_s) + _TOLERANCE_S) * rate) + 1
        end_frame = math.ceil((Fraction(end_s) - _TOLERANCE_S) * rate)
    if end_s < start_s:
        return start_frame, min(end_frame, start_frame - 1)
    return start_frame, max(end_frame, start_frame)


def _check_times(indices: Mapping[str, FrameIndex], files: Mapping[str, Path], listing: Path) -> None:
    """Refuses seconds in videos whose pictures have no times: the rate in a header is no clock.

    Raises:
        InputError: it names all such videos.
    """
    without = [name for name, index in indices.items() if not index.stamps]
    if without:
        shown = ", ".join(f"{files[name]} ({indices[name].no_times})" for name in without[:_SHOWN_PROBLEMS])
        copy = f"ffmpeg -r RATE -i {files[without[0]].name} -c:v libx264 -crf 12 copy.mkv"
        raise InputError(
            f"Seconds cannot be found in {len(without)} of the videos: {shown}",
            where=listing,
            expected="videos whose pictures have time stamps that go forward, or start_frame and end_frame",
            next_step=f"give frames, or make a copy at the true rate: {copy}",
        )


class _Words:
    """What the words of a CSV are in MPII's terms, and which of them the class file does not know."""

    def __init__(self, classes: ClassFile) -> None:
        self._actions = _by_any_name(classes.actions, {key: word.verbs for key, word in classes.actions.items()})
        self._things = _by_any_name(classes.things, {key: word.attributes for key, word in classes.things.items()})
        self.unknown: Counter[str] = Counter()

    def verb(self, text: str) -> str:
        action = self._actions.get(_plain(text))
        if action is None:
            self.unknown[text] += 1
        return text if action is None or text in action.verbs else action.verbs[0]

    def thing(self, text: str) -> str:
        thing = self._things.get(_plain(text))
        if thing is None:
            self.unknown[text] += 1
        return text if thing is None or text in thing.attributes else thing.attributes[0]


def _by_any_name(words: Mapping[str, Word], mpii: Mapping[str, Sequence[str]]) -> dict[str, Word]:
    """The words by MPII's names for them, by their own, and by key; what comes later counts."""
    known: dict[str, Word] = {}
    for key, word in words.items():
        for name in mpii[key]:
            known.setdefault(_plain(name), word)
    known.update({_plain(word.name): word for word in words.values()})
    known.update({_plain(key): word for key, word in words.items()})
    return known


def _plain(text: str) -> str:
    return text.lower().replace("-", " ")


def _usual_rate(indices: Iterable[FrameIndex]) -> Fraction:
    return Counter(Fraction(index.rate) for index in indices).most_common(1)[0][0]


def _stated_rate(files: Iterable[Path]) -> Fraction:
    """The rate that most videos state; good enough for lengths that are only shown."""
    import av
    import av.error

    rates: Counter[Fraction] = Counter()
    for path in files:
        with suppress(av.error.FFmpegError, IndexError, OSError), av.open(str(path), **OPENED_ALONE) as container:
            stream = container.streams.video[0]
            rates[Fraction(stream.average_rate or stream.guessed_rate or FALLBACK_RATE)] += 1
    return rates.most_common(1)[0][0] if rates else FALLBACK_RATE


def _interval(
    index: int,
    row: ListedInterval,
    listed_as: str,
    video: str,
    footage: str,
    start_frame: int,
    end_frame: int,
    words: _Words,
) -> OwnInterval:
    verb, subject = words.verb(row.action), words.thing(row.subject)
    things = {subject, words.thing(row.object)} if row.object else {subject}
    person, _, dish = footage.partition("-") if MPII_NAME.fullmatch(footage) else (footage, "", "own")
    return OwnInterval(
        index=index,
        video=video,
        start_frame=start_frame,
        end_frame=end_frame,
        verb=verb,
        things=frozenset(things),
        verbs=frozenset([verb]),
        ingredients=frozenset([subject]),  # what the action is done to stands there, see class_matching
        footage=footage,
        listed_as=listed_as,
        who=row.person or person,
        what=row.dish or dish,
    )


def _attribute_names(intervals: Iterable[Interval]) -> tuple[str, ...]:
    """What MPII's file would list: things as they are, verbs with a V."""
    names = {thing for interval in intervals for thing in interval.things}
    return tuple(sorted(names | {f"{interval.verb}V" for interval in intervals}))


def _notes(rows: Sequence[ListedInterval], words: _Words, in_seconds: bool) -> tuple[str, ...]:
    notes = ["Times are seconds: frames were found by the videos' own time stamps."] if in_seconds else []
    if not any(row.person for row in rows):
        notes.append("No column says who is seen: every video counts as a person of its own, unless its name says so.")
    if words.unknown:
        listed = ", ".join(f"{word!r} ({count})" for word, count in sorted(words.unknown.items())[:_SHOWN_PROBLEMS])
        notes.append(f"The class file does not know {len(words.unknown)} of the words: {listed}.")
    return tuple(notes)
