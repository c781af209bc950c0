"""Build record, manifests/build.json: inputs, options, versions and counts of a build."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NotRequired, TypedDict, get_args

import msgspec

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.classes.usable_intervals import MIN_FRAMES
from dataset_tools.clips.encoding import encoder_version
from dataset_tools.clips.planning import Shortfall
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of, write_bytes
from dataset_tools.core.json_record import read_record, record_bytes
from dataset_tools.core.path_parts import FileName, Sha256
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.corpus import Corpus
from dataset_tools.corpora.sentence_files import sentence_files
from dataset_tools.speech.engines.registry import voice_licences
from dataset_tools.speech.synthesis import SpeechOptions

BUILD_SCHEMA = "fmn.build/1"
FOOTAGE_LICENCE = "MPII Cooking 2: scientific use only, no redistribution (datasets.d2.mpi-inf.mpg.de/MPII-Cooking-2)"
OWN_LICENCE = "footage of one's own: its license is not known to the toolkit"
STANDIN_LICENCE = "the stand-in corpus is made up by this toolkit and may be passed on with it (Apache-2.0)"

ANNOTATION_SUFFIXES = (".csv", ".eaf", ".json", ".tsv", ".txt", ".xml")
"""Suffixes of annotation and sentence files, all of which are text."""


@dataclass(frozen=True)
class BuildOptions:
    """Options of a build.

    Attributes:
        per_class: clips of each class, at most.
        shortfall: what to do if a class has fewer (see `dataset_tools.clips.planning.plan_clips`).
        short_side: short side of the clips in pixels.
        keep_audio: whether clips have the audio of their video.
        min_frames: shorter intervals are refused.
        speech: whether descriptions are spoken.
        voices: options of speech synthesis.
        seed: seed of all random choices among intervals.
        footage_sentences: whether the sentence files are those beside the footage, not chosen by an option.
    """

    per_class: int = 50
    shortfall: Shortfall = "accept"
    short_side: int = 256
    keep_audio: bool = False
    min_frames: int = MIN_FRAMES
    speech: bool = True
    voices: SpeechOptions = field(default_factory=SpeechOptions)
    seed: int = 0
    footage_sentences: bool = True


def check_options(options: BuildOptions) -> None:
    """Checks the values of options that do not come from the command line.

    Raises:
        InputError: a value is not possible; all are named.
    """
    least = {"per_class": 1, "short_side": 16, "min_frames": 1}
    wrong = [
        f"{name}={value!r} (a whole number from {smallest})"
        for name, value, smallest in (
            *((name, getattr(options, name), smallest) for name, smallest in least.items()),
            ("voices.augment", options.voices.augment, 0),
        )
        if isinstance(value, bool) or not isinstance(value, int) or value < smallest
    ]
    if options.shortfall not in get_args(Shortfall):
        wrong.append(f"shortfall={options.shortfall!r} ({', '.join(get_args(Shortfall))})")
    if wrong:
        raise InputError(
            f"The options of the build cannot be used: {'; '.join(wrong)}",
            where="BuildOptions",
            expected="the values in parentheses",
            next_step="correct them",
        )


@dataclass(frozen=True)
class BuildSummary:
    """Result of a build, or (``dry_run``) what it would be.

    Attributes:
        clips, utterances: rows in the manifests, or those that there would be if no sample fails.
        per_class: clips of every class.
        shortfalls: number of clips that a class falls short by.
        refused: intervals that could not be used, counted by the reason's first words.
        failures: ids of the samples that failed.
        reasons: why they failed, as full sentences, the most frequent first; only some if there are many.
        reviewed: number of clips that a reviewers' decision was applied to, by verdict.
        conflicts: ids of those clips that annotators disagree on; the outcome that was voted for last was applied.
        renamed: number of decisions that were matched by content, as their video was renamed.
        notes: messages of the annotation reader.
        speech_notes: warnings about sentences and recordings; not in build.json: later commands may replace the speech.
        without_times: full sentences about the videos that have no times.
        with_sound: number of clips with the audio of their video; None unless it was to be kept.
        with_sentence: number of utterances with a sentence of the sentence files; None unless files were named.
        is_own: whether the footage is the user's own.
        stand_in: content of STANDIN.json if the footage is synthetic.
    """

    clips: int
    utterances: int
    per_class: Mapping[str, int]
    shortfalls: Mapping[str, int]
    refused: Mapping[str, int]
    failures: tuple[str, ...]
    reasons: tuple[str, ...] = ()
    reviewed: Mapping[str, int] = field(default_factory=dict)
    conflicts: tuple[str, ...] = ()
    renamed: int = 0
    notes: tuple[str, ...] = ()
    speech_notes: tuple[str, ...] = ()
    without_times: tuple[str, ...] = ()
    with_sound: int | None = None
    with_sentence: int | None = None
    is_own: bool = False
    stand_in: Mapping[str, Any] | None = None
    dry_run: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def write_build(
    workspace: Workspace,
    corpus: Corpus,
    classes: ClassFile,
    options: BuildOptions,
    summary: BuildSummary,
    sources: Mapping[str, str],
) -> None:
    """Writes build.json, without times and paths of the machine, so that the same inputs result in the same bytes.

    Args:
        workspace: the workspace.
        corpus: the footage.
        classes: the class file.
        options: options of the build.
        summary: result of the build.
        sources: SHA-256 of the videos of the clips, by the names in the clips' rows.
    """
    _write(workspace, _record(corpus, classes, options, summary, sources))


def read_build(workspace: Workspace) -> dict[str, Any]:
    """Reads manifests/build.json; returns an empty dict if there is none (manifests made elsewhere).

    Raises:
        InputError: the file is not a JSON object, or has another schema.
    """
    record = read_record(
        workspace.manifests / "build.json",
        dict[str, Any],
        name="build record",
        expected="the JSON object that fmn-data build writes",
        next_step="run fmn-data build again",
        check=_check,
    )
    return record or {}


def _check(record: Mapping[str, Any]) -> None:
    if record.get("schema", BUILD_SCHEMA) != BUILD_SCHEMA:
        raise ValueError(f"`schema`: found {record['schema']!r}, expected {BUILD_SCHEMA}")
    msgspec.convert(record, _Record)  # present values must have the types that callers rely on


class _File(TypedDict):
    name: str
    sha256: str


class _Annotations(_File):
    intervals: int
    frame_rate: float
    options: NotRequired[dict[str, Any]]


class _ClassFile(_File):
    classes: NotRequired[int]


class _Options(TypedDict, total=False):
    per_class: int
    classes: int
    voices: dict[str, Any]
    footage_sentences: bool


class _Record(TypedDict, total=False):
    """The parts of build.json that are read; a record of another version may lack some of them."""

    stand_in: dict[str, Any] | None
    own_footage: bool
    options: _Options
    class_file: _ClassFile
    annotations: _Annotations
    sources: dict[FileName, Sha256]
    counts: dict[str, Any]
    failures: list[str]
    refused: dict[str, int]
    official_split: dict[str, list[str]]
    versions: dict[str, Any]
    licences: list[str]
    notes: list[str]


def record_speech(workspace: Workspace, options: SpeechOptions, utterances: int, failures: Iterable[str]) -> None:
    """Updates build.json after the utterances were synthesized anew, as a build with these options would write it.

    Manifests that were made elsewhere have no record to update.

    Raises:
        InputError: the record cannot be read.
    """
    record = read_build(workspace)
    if not record:
        return
    files = _named_files(options.sentences)
    settings = record.get("options", {})
    is_same = settings.get("voices", {}).get("sentences") == files
    voices = {**asdict(options), "sentences": files}
    record["options"] = {**settings, "speech": True, "voices": voices}
    record["options"]["footage_sentences"] = is_same and settings.get("footage_sentences", True)
    record["counts"] = {**record.get("counts", {}), "utterances": utterances}
    others = [name for name in record.get("failures", []) if not name.startswith("utterance/")]
    spoken = [f"utterance/{name}" for name in sorted(failures)]
    record["failures"] = sorted([*spoken, *others], key=lambda name: not name.startswith("clip/"))  # clips first
    record["licences"] = [*record.get("licences", [])[:1], *voice_licences(options.engine)]  # the first: the footage's
    _write(workspace, record)


def sha256_of_annotations(path: Path) -> str:
    """SHA-256 of an annotation file; for a folder, of all file names in it and of its annotation and text files."""
    if not path.is_dir():
        return sha256_of(path)
    digest = hashlib.sha256()
    files = [file for pattern in ("[!.]*", "[!.]*/[!.]*") for file in path.glob(pattern) if file.is_file()]
    for file in sorted(files):
        text = sha256_of(file) if file.suffix.lower() in ANNOTATION_SUFFIXES else ""
        digest.update(f"{file.relative_to(path).as_posix()}\n{text}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _record(
    corpus: Corpus, classes: ClassFile, options: BuildOptions, summary: BuildSummary, sources: Mapping[str, str]
) -> dict[str, Any]:
    settings = asdict(options)
    settings["voices"]["sentences"] = _named_files(options.voices.sentences)
    return {
        "schema": BUILD_SCHEMA,
        "stand_in": corpus.standin,
        "own_footage": corpus.is_own,
        "options": {**settings, "classes": len(classes.classes)},
        "class_file": {
            "name": classes.path.name,
            "sha256": sha256_of(classes.path),
            "classes": classes.in_file,
        },
        "annotations": {
            "name": corpus.annotations.path.name,
            "sha256": sha256_of_annotations(corpus.annotations.path),
            "intervals": len(corpus.annotations.intervals),
            "frame_rate": corpus.annotations.frame_rate,
            "options": dict(corpus.annotation_options),
        },
        "sources": dict(sorted(sources.items())),
        "counts": {
            "clips": summary.clips,
            "utterances": summary.utterances,
            "per_class": dict(summary.per_class),
        },
        "shortfalls": dict(summary.shortfalls),
        "refused": dict(summary.refused),
        "reviewed": dict(summary.reviewed),
        "failures": list(summary.failures),
        "notes": list(summary.notes),
        "official_split": {name: sorted(sequences) for name, sequences in sorted(corpus.splits.items())},
        "versions": {"fmn-toolkit": _version("fmn-toolkit"), "av": _version("av"), "encoder": encoder_version()},
        "licences": [
            STANDIN_LICENCE if corpus.standin is not None else OWN_LICENCE if corpus.is_own else FOOTAGE_LICENCE,
            *(voice_licences(options.voices.engine) if options.speech else ()),
        ],
    }


def _named_files(paths: Path | Iterable[Path]) -> list[dict[str, str]]:
    """Name and SHA-256 of the sentence files; without speech, nobody notices those that do not exist."""
    return [{"name": path.name, "sha256": sha256_of(path)} for path in sentence_files(paths) if path.is_file()]


def _write(workspace: Workspace, record: Mapping[str, Any]) -> None:
    write_bytes(workspace.manifests / "build.json", record_bytes(record))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
