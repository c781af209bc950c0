"""Verification of a data set: rows, files, hashes, decoded lengths, and train/test leaks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.core.errors import InputError, ManifestError, SampleError
from dataset_tools.core.execution import run_each
from dataset_tools.core.files import sha256_of
from dataset_tools.core.jsonl import RowType
from dataset_tools.core.ledger import read_ledger
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import (
    SPLIT_SIDES,
    ClipRow,
    PairRow,
    SplitPairRow,
    UtteranceRow,
    paired_facts,
    read_rows,
    resolve,
)
from dataset_tools.pairs.same_content import Content, content_of, interval_of, read_origins
from dataset_tools.pairs.split_record import SPLIT_FILE, SplitRecord, read_split

LENGTH_TOLERANCE_S = 1e-6
MOST_PIXELS = 2**24
"""Maximum pixels of a frame to decode: the header of a small file can claim a large frame."""
_SHOWN = 3


@dataclass(frozen=True)
class VerifyReport:
    """Counts of what was checked, and every problem found.

    Attributes:
        rows: number of manifest rows. checked: number of media files.
        split: name of the split; None if there is no split, or its name is not recorded.
        problems: one sentence each.
    """

    rows: int
    checked: int
    split: str | None
    problems: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _FileCheck:
    """A media file to check against its row in a worker process."""

    row: ClipRow | UtteranceRow
    workspace: Path

    def __str__(self) -> str:
        return self.row.path


def verify_dataset(workspace: Workspace, *, jobs: int = 1, progress: Progress = silent) -> VerifyReport:
    """Checks the manifests of a workspace, and that its files match them.

    Raises:
        InputError: there is no data set in the workspace.
    """
    if not (workspace.manifests / "clips.jsonl").is_file():
        raise InputError(
            "There is no data set to verify",
            where=workspace.manifests,
            expected="clips.jsonl",
            next_step="build one with fmn-data build",
        )
    problems = _missing_manifests(workspace)
    clips = list(_rows(workspace, "clips", ClipRow, problems))
    utterances = list(_rows(workspace, "utterances", UtteranceRow, problems))
    items: list[ClipRow | UtteranceRow] = [*clips, *utterances]
    known = {} if problems else {row.id: paired_facts(row) for row in items}
    problems += _missing_records(workspace)
    problems += check_files(items, workspace.root, jobs=jobs, progress=progress)
    pairs = sum(1 for _ in _rows(workspace, "pairs", PairRow, problems))
    split, in_split = _check_split(workspace, known, problems)
    rows = len(items) + pairs + in_split
    return VerifyReport(rows=rows, checked=len(items), split=split, problems=tuple(sorted(problems)))


def check_files(
    rows: Sequence[ClipRow | UtteranceRow], root: Path, *, jobs: int = 1, progress: Progress = silent
) -> list[str]:
    """Checks that the files of a workspace match their rows: hash, format, size, length. Returns the problems."""
    problems = []
    checks = [_FileCheck(row, root) for row in rows]
    for done, outcome in enumerate(run_each(_check_file, checks, jobs=jobs), start=1):
        if outcome.error is not None:
            problems.append(f"{outcome.item.row.path}: {outcome.error.found}")
        progress("verify", done, len(checks), outcome.item.row.id)
    return problems


def _check_split(
    workspace: Workspace, known: Mapping[str, tuple[str | None, ...]], problems: list[str]
) -> tuple[str | None, int]:
    """Checks the split for train/test leaks; memory grows with the number of items, not of pairs.

    Args:
        workspace: train.jsonl and test.jsonl may be missing.
        known: `paired_facts` of every clip and utterance of the data set, by id; empty: not known.
        problems: list to which problems are appended.

    Returns:
        The name of the split, and its number of rows.
    """
    record = None
    try:
        record = read_split(workspace)
    except ManifestError as error:
        problems.append(f"{error.where}: {error.found}")
    seen: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)  # the first item of each side
    clips: dict[str, ClipRow] = {}
    utterances: dict[str, UtteranceRow] = {}
    sides: dict[str, set[str]] = defaultdict(set)
    counts: Counter[str] = Counter()
    misplaced: Counter[str] = Counter()
    outdated: set[str] = set()
    for side in SPLIT_SIDES:
        for pair in _rows(workspace, side, SplitPairRow, problems):
            counts[side] += 1
            misplaced[side] += pair.split != side
            for kind, name, item in _kinds(pair, record):
                seen[kind, name].setdefault(side, item)
            clips[pair.clip.id], utterances[pair.utterance.id] = pair.clip, pair.utterance
            for row in (pair.clip, pair.utterance):
                sides[row.id].add(side)
                if known and known.get(row.id) != paired_facts(row):
                    outdated.add(row.id)
    content = _content(workspace, [*clips.values()], [*utterances.values()], problems)
    for item, same in (*content.clips.items(), *content.utterances.items()):
        for name in sides[item]:
            seen["content", same].setdefault(name, item)
    problems += _leaks(seen, by_design=record is not None and record.split == "pairs")
    problems += [
        f"{side}.jsonl: {count_of(number, 'row is', 'rows are')} marked as of the other split; run fmn-data pairs again"
        for side, number in misplaced.items()
        if number
    ]
    if outdated:
        problems.append(
            "train.jsonl and test.jsonl: "
            + count_of(len(outdated), "clip or utterance in them differs", "clips or utterances in them differ")
            + f" from those of the data set: {', '.join(first_of(sorted(outdated), _SHOWN))}; run fmn-data pairs again"
        )
    are_there = all((workspace.manifests / f"{side}.jsonl").is_file() for side in SPLIT_SIDES)
    if record is not None and are_there and (record.train, record.test) != (counts["train"], counts["test"]):
        problems.append(
            f"split.json: it records {record.train} training and {record.test} test rows, but there are "
            f"{counts['train']} and {counts['test']}; run fmn-data pairs again"
        )
    return (record.split if record else None), counts.total()


def _leaks(first_items: Mapping[tuple[str, str], Mapping[str, str]], *, by_design: bool) -> list[str]:
    """Returns the train/test leaks, a line per kind.

    Args:
        first_items: by kind and name, the id of the first item of each side that has it.
        by_design: whether the split is by pairs, which shares items.
    """
    advice = " (this split is by pairs, not by items)" if by_design else "; run fmn-data pairs again"
    shared: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for (kind, name), items in first_items.items():
        if len(items) > 1:
            shared[kind].append((name, f"{items['train']} in train, {items['test']} in test"))
    return [
        f"leak: {count_of(len(names), f'{kind} is', f'{kind}s are')} on both sides of the split: "
        + ", ".join(first_of([f"{name} ({where})" for name, where in sorted(names)], _SHOWN))
        + advice
        for kind, names in shared.items()
    ]


def _content(
    workspace: Workspace, clips: list[ClipRow], utterances: list[UtteranceRow], problems: list[str]
) -> Content:
    """Returns which items have the same content; from the rows alone if the records of their origin cannot be read."""
    try:
        return content_of(clips, utterances, read_origins(workspace))
    except ManifestError as error:
        problems.append(f"{error.where}: {error.found}")
        return content_of(clips, utterances)


def _kinds(pair: SplitPairRow, record: SplitRecord | None) -> Iterator[tuple[str, str, str]]:
    """Yields what must not be on both sides of the split: kind, name, and the id of the item."""
    clip, utterance = pair.clip, pair.utterance
    yield "clip", clip.id, clip.id
    yield "utterance", utterance.id, utterance.id
    yield "interval", interval_of(clip.id), clip.id
    if utterance.clip is not None:
        yield "interval", interval_of(utterance.clip), utterance.id
    if record is not None and record.split == "person":
        yield "person", clip.person, clip.id
        yield "voice", utterance.voice, utterance.id
    if record is not None and record.split == "mpii":
        yield "sequence", f"{clip.person}-{clip.dish}", clip.id


def _missing_manifests(workspace: Workspace) -> list[str]:
    """Names the manifests that a command wrote with its record, and that are not there any more."""
    written = {"utterances": ("build.json", "build"), **dict.fromkeys(("pairs", *SPLIT_SIDES), (SPLIT_FILE, "pairs"))}
    return [
        f"{name}.jsonl: there is no such file, but it was written with {record}; run fmn-data {command} again"
        for name, (record, command) in written.items()
        if (workspace.manifests / record).is_file() and not (workspace.manifests / f"{name}.jsonl").is_file()
    ]


def _missing_records(workspace: Workspace) -> list[str]:
    """Names the records that are missing beside what a command wrote along with them; not for manifests made elsewhere.

    Those have no clips in the ledger, or no pairs.jsonl.
    """
    is_built = False
    with suppress(ManifestError):  # `_content` names it
        is_built = any(row_id.startswith("clip/") for row_id in read_ledger(workspace.ledger))
    is_split = (workspace.manifests / "pairs.jsonl").is_file()
    needed = (
        (is_built, "build.json", "build", "the footage, options and licenses of the data set are not known"),
        (is_split, SPLIT_FILE, "pairs", "what the split keeps apart (persons and voices, or items) is not checked"),
    )
    return [
        f"{record}: there is no such file, so {so}; run fmn-data {command} again, with the options that you gave then"
        for is_needed, record, command, so in needed
        if is_needed and not (workspace.manifests / record).is_file()
    ]


def _rows(workspace: Workspace, name: str, row_type: type[RowType], problems: list[str]) -> Iterator[RowType]:
    """Yields the rows of a manifest up to the first unreadable one, which is added to ``problems``."""
    path = workspace.manifests / f"{name}.jsonl"
    if path.is_file():
        try:
            yield from read_rows(path, row_type)
        except ManifestError as error:
            problems.append(f"{error.where}: {error.found}")


def _check_file(check: _FileCheck) -> None:
    """Checks a file against its row; runs in a worker process.

    Raises:
        SampleError: the file does not match its row.
        ManifestError: the file is missing.
    """
    path = resolve(check.workspace, check.row.path)
    found = sha256_of(path)
    if found != check.row.sha256:
        raise SampleError(
            f"The content has changed: its SHA-256 is {found[:12]}…, that of the row is {check.row.sha256[:12]}…"
        )
    if isinstance(check.row, ClipRow):
        _check_clip(check.row, path)
    else:
        _check_utterance(check.row, path)


def _check_clip(row: ClipRow, path: Path) -> None:
    from dataset_tools.video.video_file import open_video

    with open_video(path) as container:
        kinds = sorted(stream.type for stream in container.streams)
        if kinds != ["audio"] * (row.sound is True) + ["video"]:
            raise SampleError(  # other commands may use a different stream than the one checked here
                f"It has the streams {', '.join(kinds)}, expected one video{' and its sound' * (row.sound is True)}"
            )
        stream = container.streams.video[0]
        frames, size = 0, (row.width, row.height)
        if (stream.width, stream.height) == size and row.width * row.height <= MOST_PIXELS:
            of_size = takewhile(lambda frame: (frame.width, frame.height) == size, container.decode(stream))
            frames = sum(1 for _ in islice(of_size, row.frames + 1))
        measured = (frames, stream.width, stream.height, float(stream.average_rate or 0))
    if measured != (row.frames, row.width, row.height, row.fps):
        raise SampleError(
            f"It has (frames, width, height, fps) {measured}, "
            f"the row has {(row.frames, row.width, row.height, row.fps)}"
        )


def _check_utterance(row: UtteranceRow, path: Path) -> None:
    import soundfile

    sound = soundfile.info(path)
    measured = (sound.samplerate, sound.channels, sound.subtype)
    if measured != (row.sample_rate_hz, 1, "PCM_16"):
        raise SampleError(f"It is {measured}, expected ({row.sample_rate_hz}, 1, 'PCM_16')")
    if abs(sound.frames / sound.samplerate - row.duration_s) > LENGTH_TOLERANCE_S:
        raise SampleError(f"It lasts {sound.frames / sound.samplerate} s, the row has {row.duration_s} s")
