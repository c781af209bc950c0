"""Your own footage: an annotation file or class folders in place of MPII Cooking 2's annotations.

All formats are converted to a list of intervals. Frames count from 1, both ends included; seconds are those of players,
and the end is excluded. Words are those of the class file (its keys, names, or MPII's own).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec

from dataset_tools.classes.matching import classify
from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.errors import InputError, SampleError
from dataset_tools.core.files import write_bytes
from dataset_tools.core.media_formats import video_stream
from dataset_tools.core.progress import Progress, silent
from dataset_tools.corpora.annotations.class_words import ClassWords
from dataset_tools.corpora.annotations.footage_notes import notes_on
from dataset_tools.corpora.annotations.formats import DEFAULT_OPTIONS, ListOptions, read_intervals
from dataset_tools.corpora.annotations.interval_list import IntervalList, ListedInterval
from dataset_tools.corpora.annotations.seconds import check_timestamps, frames_between, since_first_frame
from dataset_tools.corpora.annotations.video_names import MPII_NAME, find_videos, name_videos, short_names
from dataset_tools.corpora.corpus import Annotations, Corpus, Interval
from dataset_tools.video.frame_index import FALLBACK_RATE, FrameIndex
from dataset_tools.video.source_videos import read_sources
from dataset_tools.video.video_file import open_video


@dataclass(frozen=True, slots=True)
class OwnInterval(Interval):
    """An interval of the user's own footage: what `Interval` derives from MPII's names is given, as names may be any.

    Attributes:
        sequence: name of the video in the interval's id.
        video_file: the video's name in the list, with the suffix even if a row omits it.
        seconds: times of a list in seconds, after the first frame.
        lead_s: by how much they are later in the list.
        frame_rate: of its video, as footage may have several.
        is_measured: False for a whole video that cannot be read: its frames are not known, and set to the first.
    """

    sequence: str = ""
    video_file: str = ""
    person: str = ""
    dish: str = ""
    seconds: tuple[float, float] | None = None
    lead_s: float = 0.0
    frame_rate: float | None = None
    is_measured: bool = True


@dataclass(frozen=True)
class OwnCorpus(Corpus):
    """The user's own footage, with the options that its annotation file was read with."""

    read_with: ListOptions = field(default_factory=ListOptions)

    @property
    def annotation_options(self) -> Mapping[str, Any]:
        return {name: value for name, value in msgspec.structs.asdict(self.read_with).items() if value is not None}


def open_own_footage(
    listing: Path | str,
    classes: ClassFile,
    *,
    read_with: ListOptions = DEFAULT_OPTIONS,
    videos: Path | str | None = None,
    cache: Path | str,
    jobs: int = 1,
    progress: Progress = silent,
) -> OwnCorpus:
    """Reads an annotation file of any format, or class folders; the result is used like MPII Cooking 2.

    If times are seconds, the videos are read to find the frames: a variable frame rate is followed, not averaged, and
    times are those of players, which begin with the sound if that begins before the first frame.

    Args:
        listing: the annotation file or folder.
        classes: class file that defines the words for actions, subjects and objects.
        read_with: options of the reader (`dataset_tools.corpora.annotations.formats.read_intervals`).
        videos: folder that the names of videos are relative to; by default that of the annotation file.
        cache: cache folder of the video contents (`dataset_tools.video.source_videos.read_sources`).
        jobs: number of parallel processes.
        progress: progress callback.

    Raises:
        InputError: the annotation file cannot be read, or has invalid rows (all of them in one message); or times are
            seconds and a video has no timestamps.
    """
    listing, cache = Path(listing), Path(cache)
    listed = read_intervals(listing, read_with)
    rows = listed.rows
    root = _root_of(listed, listing, None if videos is None else Path(videos))
    videos_by_text = find_videos(rows, root, listing, listed.file_prefix)
    names = name_videos(videos_by_text.values(), listing)
    files = {name: video.file for video, name in names.items() if video.file is not None}
    indices: dict[str, FrameIndex] = {}
    if files and (listed.in_seconds or any(row.start is None for row in rows)):
        sources, _ = read_sources(files, cache, jobs=jobs, progress=progress)
        indices = {name: source.index for name, source in sources.items()}
        timed = {names[videos_by_text[row.video]] for row in rows if row.start is not None}
        check_timestamps({name: indices[name] for name in timed & indices.keys()}, files, listing)
    rates = {name: Fraction(index.rate) for name, index in indices.items()} or _stated_rates(files)
    rate = Counter(rates.values()).most_common(1)[0][0] if rates else FALLBACK_RATE
    in_player_time = listed.in_seconds and read_with.fps is None  # frames of copies count from the first one
    leads = {name: lead_s for name, one in indices.items() if in_player_time and (lead_s := Fraction(one.lead_s))}
    footage = short_names(names.values())
    words = ClassWords(classes)
    intervals = []
    for index, row in enumerate(rows):
        video = videos_by_text[row.video]
        name = names[video]
        times = None if row.start is None or row.end is None else (row.start, row.end)
        if times is not None and name in leads:
            times = since_first_frame(*times, leads[name])
        start_frame, end_frame = _span(times, listed.in_seconds, indices.get(name), rate)
        interval = _interval(index, row, video.path, name, footage[name], start_frame, end_frame, words)
        is_measured = times is not None or name in indices
        seconds, frame_rate = times if listed.in_seconds else None, float(rates.get(name, rate))
        interval = replace(interval, seconds=seconds, lead_s=float(leads.get(name, 0)), frame_rate=frame_rate)
        intervals.append(replace(interval, is_measured=is_measured))
    unmatched = [row for row, one in zip(rows, intervals, strict=True) if classify(one, classes).status == "none"]
    remarks = notes_on(rows, words, unmatched, listed.guessed, leads, in_seconds=listed.in_seconds and bool(indices))
    notes = (*listed.notes, *remarks)
    sentences = _write_sentences(rows, intervals, cache.parent / "sentences")
    return OwnCorpus(
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
        sentences=sentences,
        notes=notes,
        is_own=True,
        read_with=read_with,
    )


def _root_of(listed: IntervalList, listing: Path, videos: Path | None) -> Path:
    """Returns the folder that the names of videos are relative to.

    Raises:
        InputError: the folder does not exist, or differs from the annotated folder.
    """
    root = listing if listing.is_dir() else listing.parent
    if videos is None or (listed.is_folder and videos.resolve() == listing.resolve()):
        return root
    if listed.is_folder or not videos.is_dir():
        raise InputError(
            "Class folders contain their videos, so there is no separate folder of videos"
            if listed.is_folder
            else "There is no such folder",
            where=videos,
            expected="the folder that the videos' names are relative to",
            next_step="leave --videos out" if listed.is_folder else "check --videos",
        )
    return videos


def _span(
    times: tuple[float, float] | None, in_seconds: bool, index: FrameIndex | None, rate: Fraction
) -> tuple[int, int]:
    """Returns the first and last frame of an interval; the first only, of a whole video that cannot be read."""
    if times is None:
        return 1, 1 if index is None else index.frames
    return frames_between(*times, index, rate) if in_seconds else (int(times[0]), int(times[1]))


def _write_sentences(rows: Sequence[ListedInterval], intervals: Sequence[OwnInterval], folder: Path) -> Path | None:
    """Writes the sentences of the list in TACoS format, the input format of sentences; returns None if there are none.

    The file is named by the hash of its content, so that a changed list does not alter the sentences of earlier builds.
    """
    videos: dict[str, dict[str, Any]] = {}
    for row, interval in zip(rows, intervals, strict=True):
        for sentence in row.sentences:
            video = videos.setdefault(interval.video, {"timestamps": [], "sentences": [], "source": "annotations"})
            video["timestamps"].append([interval.start_frame, interval.end_frame])
            video["sentences"].append(sentence)
    if not videos:
        return None
    content = msgspec.json.encode(dict(sorted(videos.items())))
    path = folder / f"{hashlib.sha256(content).hexdigest()[:16]}.json"
    write_bytes(path, content)
    return path


def _stated_rates(files: Mapping[str, Path]) -> dict[str, Fraction]:
    """Returns the frame rates in the videos' headers, of those that can be opened; for lengths only, not for frames."""
    import av.error

    rates: dict[str, Fraction] = {}
    for name, path in files.items():
        with suppress(av.error.FFmpegError, SampleError), closing(open_video(path)) as container:
            stream = video_stream(container)
            rates[name] = Fraction(stream.average_rate or stream.guessed_rate or FALLBACK_RATE)
    return rates


def _interval(
    index: int,
    row: ListedInterval,
    listed_as: str,
    video: str,
    footage: str,
    start_frame: int,
    end_frame: int,
    words: ClassWords,
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
        ingredients=frozenset([subject]),  # the thing acted on, see dataset_tools.classes.matching
        sequence=footage,
        video_file=listed_as,
        person=row.person or person,
        dish=row.dish or dish,
    )


def _attribute_names(intervals: Iterable[Interval]) -> tuple[str, ...]:
    """Returns the attribute names in the style of MPII's file: things unchanged, verbs with a trailing V."""
    names = {thing for interval in intervals for thing in interval.things}
    return tuple(sorted(names | {f"{interval.verb}V" for interval in intervals}))
