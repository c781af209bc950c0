"""The manifests: row types, reading, writing, validation.

A manifest is a JSONL file: UTF-8, one object a line, sorted by id, every row with ``"schema": "fmn.<kind>/<major>"``.
Paths in rows are POSIX, relative to the workspace (the parent of the folder that holds the manifest), and never
leave it. Unknown majors are refused; unknown fields of a known major are ignored, so that a newer minor can be read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from dataset_tools.core.errors import InputError, ManifestError
from dataset_tools.core.jsonl import Row, RowType, read_jsonl, write_jsonl
from dataset_tools.core.path_parts import FileName, RelativePath, Sha256, checked_length


class ItemRow(Row, frozen=True, kw_only=True):
    """A row that belongs to one class ("class" in the file)."""

    class_id: FileName = msgspec.field(name="class")


class FileRow(ItemRow, frozen=True, kw_only=True):
    """A row about a file that is named by its ``id``; names of further files are formed of it."""

    id: FileName

    def __post_init__(self) -> None:
        checked_length(self.id)


class IntervalOrigin(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="interval"):
    """The clip is the whole interval (or its trim)."""


class WindowOrigin(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="window"):
    """The clip is window ``index`` (from 1) of ``of`` non-overlapping windows of a long interval."""

    index: int
    of: int


class ClipRow(FileRow, frozen=True, kw_only=True, tag="fmn.clip/1"):
    """manifests/clips.jsonl: a video file cut from an interval.

    Attributes:
        id: ``s13-d21_000194-000243``: source and interval as annotated, for ever, also after a trim; a window
            adds ``_w2of3``.
        class_id: id of the class ("class" in the file).
        person: ``sNN``, the human in the footage. dish: ``dNN``.
        video: name of the source video, without suffix.
        start_frame, end_frame: of the interval, or of the window, in the source, 1-based, both included.
        trim: ``[start_frame, end_frame]`` in source frames when a person trimmed the clip, else None.
        fps: frames per second of the clip (constant). frames: frames in the clip.
        width, height: pixels of the clip. duration_s: frames / fps.
        path: the mp4, relative to the workspace. sha256: of that file.
        source_frames: of a clip of variable rate: the source frame that each frame of the clip shows; left out where
            each frame of the span is shown once.
        sound: true of a clip that has the sound of its video; else left out.
        review: verdict of the decision that counts and that the clip follows, or None.
        decided_sha256: the SHA-256 that the file had when it was decided on, which decisions refer to; left out where
            it is the same: the clip was trimmed since, or encoded again from the same frames.
    """

    person: FileName
    dish: FileName
    video: FileName
    start_frame: int
    end_frame: int
    trim: tuple[int, int] | None
    fps: float
    frames: int
    width: int
    height: int
    duration_s: float
    path: RelativePath
    sha256: Sha256
    origin: IntervalOrigin | WindowOrigin
    review: str | None = None
    decided_sha256: Sha256 | msgspec.UnsetType = msgspec.UNSET
    sound: bool | msgspec.UnsetType = msgspec.UNSET
    source_frames: tuple[int, ...] | msgspec.UnsetType = msgspec.UNSET


_LONGEST_FACT = 80  # characters


class SpeakerFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a speaker says of themselves; empty where it was not said.

    Attributes:
        accent: in their own words, ``Scottish``. device: what they record with, ``headset``.
        age_band: one of ``AGE_BANDS``.
    """

    AGE_BANDS: ClassVar = ("under 18", "18-29", "30-44", "45-59", "60 and over")

    accent: str = ""
    age_band: str = ""
    device: str = ""

    def __post_init__(self) -> None:
        if self.age_band not in ("", *self.AGE_BANDS):
            bands = ", ".join(self.AGE_BANDS)
            raise ValueError(f"the age band is {self.age_band!r}, expected one of {bands}, or nothing")
        for name in ("accent", "device"):
            text = getattr(self, name)
            if len(text) > _LONGEST_FACT or not text.isprintable():
                raise ValueError(
                    f"{name} is {text[:_LONGEST_FACT]!r}, expected a line of at most {_LONGEST_FACT} characters"
                )

    def filled_from(self, earlier: SpeakerFacts) -> SpeakerFacts:
        """These facts, and of ``earlier`` ones what is not said here."""
        return SpeakerFacts(*(getattr(self, name) or getattr(earlier, name) for name in self.__struct_fields__))


class Augmentation(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to an utterance to make a copy of it.

    Attributes:
        original: id of the utterance. speed: of playing it. gain_db: how much louder it was made in the end.
        room_s: reverberation time of the made-up room. snr_db: power of the speech to that of the noise put to it.
    """

    original: FileName
    speed: float
    gain_db: float
    room_s: float
    snr_db: float


class UtteranceRow(FileRow, frozen=True, kw_only=True, tag="fmn.utterance/1"):
    """manifests/utterances.jsonl: a spoken description, an audio file.

    Attributes:
        class_id: id of the class ("class" in the file).
        clip: id of the clip whose description it speaks, or None.
        text: the sentence. text_source: where it comes from (``grammar``, ``annotations``, ``tacos``, ``review``,
            ``recording``).
        language: ``en`` or ``zh``. voice: the speaker, human or synthetic.
        source: ``recorded`` or ``synthesized``. engine: name and version of the engine, or None.
        path: the wav (16 kHz mono PCM), relative to the workspace. sha256: of that file.
        duration_s: samples / sample_rate_hz.
        quality: measured values by name, and ``warnings``.
        review: verdict of the decision that counts, or None.
        speaker: of a recorded voice: what its speaker says of themselves; left out where nothing is known.
        augmented: of a copy only: what it was copied from, and what was done to it.
    """

    clip: FileName | None
    text: str
    text_source: str
    language: str
    voice: FileName
    source: Literal["recorded", "synthesized"]
    engine: str | None
    path: RelativePath
    sample_rate_hz: int
    duration_s: float
    sha256: Sha256
    quality: dict[str, Any]
    review: str | None = None
    speaker: SpeakerFacts | msgspec.UnsetType = msgspec.UNSET
    augmented: Augmentation | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        FileRow.__post_init__(self)
        warnings, loudness = self.quality.get("warnings", []), self.quality.get("loudness_lufs")
        if not isinstance(warnings, list) or not all(isinstance(text, str) for text in warnings):
            raise ValueError(f"`quality.warnings` is {warnings!r}, expected a list of texts")
        if not isinstance(loudness, int | float | None):
            raise ValueError(f"`quality.loudness_lufs` is {loudness!r}, expected a number or null")


class PairRow(ItemRow, frozen=True, kw_only=True, tag="fmn.pair/1"):
    """manifests/pairs.jsonl: clip × utterance of one class; both are ids."""

    clip: FileName
    utterance: FileName


class ClassLabel(msgspec.Struct, frozen=True, kw_only=True):
    """A class as its triplet; ``object`` may be None."""

    id: FileName
    action: str
    subject: str
    object: str | None


class SplitPairRow(Row, frozen=True, kw_only=True, tag="fmn.split-pair/1"):
    """manifests/train.jsonl and test.jsonl: a pair with all that training needs.

    Attributes:
        label: the class with its triplet ("class" in the file).
        clip, utterance: the whole rows. split: ``train`` or ``test``.
        fold: 0-4 in training rows, None in test rows: the smaller of the folds of clip and utterance, which are dealt
            the way the split is. So no item of fold 0, the validation part, appears in a row of another fold, and
            the fold of an item is the largest among its rows.
    """

    label: ClassLabel = msgspec.field(name="class")
    clip: ClipRow
    utterance: UtteranceRow
    split: Literal["train", "test"]
    fold: Annotated[int, msgspec.Meta(ge=0, le=127)] | None


class PredictionRow(ItemRow, frozen=True, kw_only=True, tag="fmn.prediction/1"):
    """runs/NAME/predictions.jsonl: what a model takes a clip for; ``id`` is the clip's.

    Attributes:
        class_id: the class that it takes the clip for ("class" in the file).
        clip_sha256: of the file that it saw.
        confidence, uncertainty: 0-1; the latter orders the clips for reviewers.
        model: its name and version.
    """

    id: FileName
    clip_sha256: Sha256
    confidence: float
    uncertainty: float
    model: str


def read_rows(path: Path, row_type: type[RowType], *, missing_ok: bool = False) -> Iterator[RowType]:
    """Yield the rows of a manifest, one at a time, each checked.

    Args:
        path: the JSONL file.
        row_type: what its rows are.
        missing_ok: whether a file that is not there has no rows.

    Raises:
        InputError: there is no such file.
        ManifestError: see `dataset_tools.core.jsonl.read_jsonl`.
    """
    if not path.is_file():
        if missing_ok:
            return
        raise InputError(
            "There is no such manifest",
            where=path,
            expected=f"a JSONL file of {row_type.__struct_config__.tag} rows",
            next_step="check the path, or make the manifests with: fmn-data build, then fmn-data pairs",
        )
    yield from read_jsonl(path, row_type, next_step="write the manifest again with fmn-data build or fmn-data pairs")


def write_rows(path: Path, rows: Iterable[Row]) -> int:
    """Write a manifest: rows in the order of their ids. Returns how many; the file appears only when complete."""
    return write_jsonl(path, rows)


def workspace_of(manifest: Path, root: Path | None = None) -> Path:
    """The workspace that the paths of a manifest are relative to: ``root``, else the parent of its folder."""
    return (root or manifest.resolve().parent.parent).resolve()


def resolve(workspace: Path, path: str) -> Path:
    """The file that a row's ``path`` names, checked.

    Raises:
        ManifestError: the path is absolute, leaves the workspace, or names no file.
    """
    relative = PurePosixPath(path)
    target = workspace / relative
    if relative.is_absolute() or not target.resolve().is_relative_to(workspace.resolve()):
        raise ManifestError(
            f"The path {path!r} leaves the workspace",
            where=workspace,
            expected="a POSIX path relative to the workspace",
            next_step="write the manifest again with fmn-data build, or give the workspace with --workspace",
        )
    if not os.path.isfile(target):  # noqa: PTH113 - unlike Path.is_file, it takes any name
        raise ManifestError(
            f"The file {path!r} is missing",
            where=workspace,
            expected="every file that a manifest names",
            next_step="run fmn-data build again (it redoes what is missing), or give the workspace with --workspace",
        )
    return target
