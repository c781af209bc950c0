"""What all footage is read into: a corpus of videos, its annotations, and their intervals."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Interval:
    """An annotated interval of a source video.

    Attributes:
        index: position in the annotation file, from 0.
        video: name of the source video, without suffix: ``s07-d72-cam-002``.
        start_frame, end_frame: 1-based, both included, as annotated (the end may precede the start).
        verb: the activity, without its final V: ``cut apart``.
        things: attributes of the interval that are not verbs: ``frying-pan``.
        verbs: attributes of the interval that are verbs, without their V.
        tools, ingredients, containers: the things by role; None if the file has no readable roles.
    """

    index: int
    video: str
    start_frame: int
    end_frame: int
    verb: str
    things: frozenset[str]
    verbs: frozenset[str]
    tools: frozenset[str] | None = None
    ingredients: frozenset[str] | None = None
    containers: frozenset[str] | None = None

    @property
    def seconds(self) -> tuple[float, float] | None:
        """Start and end in seconds after the first frame is displayed, if they were annotated in seconds."""
        return None

    @property
    def lead_s(self) -> float:
        """How much later its times are in the annotations: by `FrameIndex.lead_s`, if those are times of players."""
        return 0.0

    @property
    def frame_rate(self) -> float | None:
        """Frames per second of its video; None: that of all videos (`Annotations.frame_rate`)."""
        return None

    @property
    def is_measured(self) -> bool:
        """Whether its frames are known; those of a whole video that cannot be read are not."""
        return True

    @property
    def sequence(self) -> str:
        """Person and dish: ``s07-d72``."""
        return "-".join(self.video.split("-", 2)[:2])

    @property
    def video_file(self) -> str:
        """The usual file name of the source video: ``s07-d72-cam-002.avi``."""
        return f"{self.video}.avi"

    @property
    def person(self) -> str:
        """The person in the footage: ``s07``."""
        return self.video.split("-", 1)[0]

    @property
    def dish(self) -> str:
        """The dish being prepared: ``d72``."""
        return self.video.split("-", 2)[1]

    @property
    def frames(self) -> int:
        """Number of frames; zero or negative if the end precedes the start."""
        return self.end_frame - self.start_frame + 1

    @property
    def id(self) -> str:
        """Sequence and frames as annotated: ``s07-d72_000194-000243``."""
        return f"{self.sequence}_{self.start_frame:06d}-{self.end_frame:06d}"


@dataclass(frozen=True)
class Annotations:
    """A validated annotation file.

    Attributes:
        path: the file.
        intervals: all intervals, in the file's order.
        frame_rate: frames per second of the videos (29.4); of own footage, that of most.
        attribute_names: names of the rows of iaMat, as in the file, verbs with their V.
        dataset: the file's name for the data set.
        notes: findings on points that the format leaves open, as full sentences.
    """

    path: Path
    intervals: tuple[Interval, ...]
    frame_rate: float
    attribute_names: tuple[str, ...]
    dataset: str
    notes: tuple[str, ...] = ()

    def rate_of(self, interval: Interval) -> float:
        """Frames per second of the video of an interval."""
        return interval.frame_rate or self.frame_rate


@dataclass(frozen=True)
class Corpus:
    """Annotated videos: MPII Cooking 2, a synthetic (stand-in) corpus with its layout, or the user's own footage.

    Attributes:
        root: the folder of the videos.
        annotations: the annotation file.
        videos: video file by name; without suffix in MPII's layout.
        splits: sequences (``s07-d72``) by ``train``, ``val``, ``test``, from experimentalSetup, else from the shipped
            lists; empty for own footage, and for a synthetic corpus without experimentalSetup.
        standin: content of STANDIN.json if this is a synthetic corpus, else None.
        sentences: a file, or folder of files, of sentences in TACoS format, if there is one.
        notes: findings on points that the data leaves open, as full sentences.
        is_own: whether it is the user's own footage, with a list of intervals.
        frames: number of frames of each opened video, by name.
    """

    root: Path
    annotations: Annotations
    videos: dict[str, Path]
    splits: dict[str, frozenset[str]]
    standin: dict[str, Any] | None
    sentences: Path | None
    notes: tuple[str, ...] = ()
    is_own: bool = False
    frames: Mapping[str, int] = field(default_factory=dict)

    @property
    def annotation_options(self) -> Mapping[str, Any]:
        """The options that the annotation file was read with, by name."""
        return {}

    @property
    def draft_command(self) -> str | None:
        """The command that drafts a class file from the user's own annotations; None for MPII Cooking 2."""
        if not self.is_own:
            return None
        return f"fmn-data classes --from {shlex.quote(str(self.annotations.path))} -o annotations/classes.yaml"
