"""Manifests: row types, reading, writing, validation.

A manifest is a JSONL file: UTF-8, one object per line, sorted by id, every row with ``"schema": "fmn.<kind>/<major>"``.
Paths in rows are POSIX, relative to the workspace (the parent of the folder that holds the manifest), and never
leave it. Unknown major versions are refused; unknown fields of a known major version are ignored, so that newer minor
versions can be read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from dataset_tools.core.errors import InputError, ManifestError
from dataset_tools.core.jsonl import Row, RowType, read_numbered, write_jsonl
from dataset_tools.core.path_parts import FileName, RelativePath, Sha256, checked_length

Side = Literal["train", "test"]
SPLIT_SIDES: tuple[Side, ...] = ("train", "test")
VALIDATION_FOLD = 0
"""Fold of the training rows that is held out for validation; the others are trained on."""
PREDICTIONS_FILE = "predictions.jsonl"
"""Name of the file of a run's `PredictionRow` rows."""


class ItemRow(Row, frozen=True, kw_only=True):
    """A row that belongs to one class ("class" in the file)."""

    class_id: FileName = msgspec.field(name="class")


class FileRow(ItemRow, frozen=True, kw_only=True):
    """A row about a file that is named by its ``id``; names of further files are derived from it."""

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
        id: ``s13-d21_000194-000243``: source and interval as annotated, permanent, even after a trim; a window
            adds ``_w2of3``.
        class_id: id of the class ("class" in the file).
        person: ``sNN``, the human in the footage. dish: ``dNN``.
        video: name of the source video, without suffix.
        start_frame, end_frame: of the interval, or of the window, in the source, 1-based, both included.
        trim: ``[start_frame, end_frame]`` in source frames if a person trimmed the clip, else None.
        fps: frames per second of the clip (constant). frames: frames in the clip.
        width, height: pixels of the clip. duration_s: frames / fps.
        path: the mp4, relative to the workspace. sha256: of that file.
        source_frames: the source frame that each frame of the clip shows, if the source has a variable rate; omitted if
            each frame of the span is shown once.
        sound: true if the clip has the audio of its video; else omitted.
        review: verdict of the decision that is in effect and applied to the clip, or None.
        decided_sha256: SHA-256 of the file at the time of the decision, which decisions refer to; omitted if unchanged.
            It differs if the clip was trimmed since, or encoded again from the same frames.
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
    """Self-reported facts about a speaker; empty if not stated.

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
        """These facts, with empty ones filled from ``earlier``."""
        return SpeakerFacts(*(getattr(self, name) or getattr(earlier, name) for name in self.__struct_fields__))


class Augmentation(msgspec.Struct, frozen=True, kw_only=True):
    """Augmentation that was applied to a copy of an utterance.

    Attributes:
        original: id of the utterance. speed: playback speed. gain_db: final change of level.
        room_s: reverberation time of the simulated room. snr_db: ratio of speech power to that of the added noise.
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
        language: its code of ISO 639, ``en``. voice: the speaker, human or synthetic.
        source: ``recorded`` or ``synthesized``. engine: name and version of the engine, or None.
        path: the wav (16 kHz mono PCM), relative to the workspace. sha256: of that file.
        duration_s: samples / sample_rate_hz.
        quality: measured values by name, and ``warnings``.
        review: verdict of the decision that is in effect, or None.
        speaker: self-reported facts about the speaker of a recorded voice; omitted if nothing is known.
        augmented: only for augmented copies: the original, and how it was changed.
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
            raise ValueError(f"`quality.warnings` is {warnings!r}, expected a list of strings")
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
    """manifests/train.jsonl and test.jsonl: a pair with everything that training needs.

    Attributes:
        label: the class with its triplet ("class" in the file).
        clip, utterance: the whole rows. split: ``train`` or ``test``.
        fold: 0-4 in training rows, None in test rows: the smaller of the folds of clip and utterance, which are
            assigned in the same way as the split. So no item of `VALIDATION_FOLD` appears in a row of
            another fold, and the fold of an item is the largest among its rows.
    """

    label: ClassLabel = msgspec.field(name="class")
    clip: ClipRow
    utterance: UtteranceRow
    split: Side
    fold: Annotated[int, msgspec.Meta(ge=0, le=127)] | None


class PredictionRow(ItemRow, frozen=True, kw_only=True, tag="fmn.prediction/1"):
    """runs/NAME/predictions.jsonl: the class that a model predicts for a clip; ``id`` is the clip's.

    Attributes:
        class_id: the predicted class ("class" in the file).
        clip_sha256: of the file that the model was given.
        confidence, uncertainty: 0-1; the latter orders the clips for reviewers.
        model: name and version of the model.
    """

    id: FileName
    clip_sha256: Sha256
    confidence: float
    uncertainty: float
    model: str


def paired_facts(row: ClipRow | UtteranceRow) -> tuple[str | None, ...]:
    """What pairs, splits and training depend on; not the verdict, which `fmn-data pairs` may ignore."""
    if isinstance(row, ClipRow):
        return row.sha256, row.class_id, row.person, row.dish
    return row.sha256, row.class_id, row.clip, row.voice, row.text


def read_rows(path: Path, row_type: type[RowType], *, missing_ok: bool = False) -> Iterator[RowType]:
    """Yield the rows of a manifest, one at a time, each checked.

    Args:
        path: the JSONL file.
        row_type: the type of its rows.
        missing_ok: whether a missing file is read as empty.

    Raises:
        InputError: there is no such file.
        ManifestError: see `dataset_tools.core.jsonl.read_jsonl`.
    """
    for _, row in read_numbered_rows(path, row_type, missing_ok=missing_ok):
        yield row


def read_numbered_rows(
    path: Path, row_type: type[RowType], *, missing_ok: bool = False
) -> Iterator[tuple[int, RowType]]:
    """`read_rows` with the numbers of the lines, from 1."""
    if not path.is_file():
        if missing_ok:
            return
        raise InputError(
            "There is no such manifest",
            where=path,
            expected=f"a JSONL file of {row_type.__struct_config__.tag} rows",
            next_step="check the path, or make the manifests with: fmn-data build, then fmn-data pairs",
        )
    again = "write the manifest again with fmn-data build or fmn-data pairs"
    yield from read_numbered(path, row_type, next_step=again)


def write_rows(path: Path, rows: Iterable[Row]) -> int:
    """Write a manifest, whose rows must be sorted by id; returns their number. The file appears only when complete."""
    return write_jsonl(path, rows)


def workspace_of(manifest: Path, root: Path | None = None) -> Path:
    """The workspace that the paths of a manifest are relative to: ``root``, else the parent of its folder."""
    return (root or manifest.resolve().parent.parent).resolve()


def resolve(workspace: Path, path: str) -> Path:
    """Resolves and checks the file that a row's ``path`` names.

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
