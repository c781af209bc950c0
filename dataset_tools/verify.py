"""Checks a data set against its manifests: rows, files, hashes, decoded lengths, and leaks between train and test."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dataset_tools.errors import InputError, ManifestError, SampleError
from dataset_tools.execution import run_each
from dataset_tools.files import sha256_of
from dataset_tools.manifests import (
    ClipRow,
    PairRow,
    Row,
    SplitPairRow,
    UtteranceRow,
    read_rows,
    resolve,
)
from dataset_tools.progress import Progress, silent
from dataset_tools.splits import interval_of
from dataset_tools.workspace import Workspace

LENGTH_TOLERANCE_S = 1e-6


@dataclass(frozen=True)
class VerifyReport:
    """What was checked: rows of manifests, media files; and every problem, a sentence each."""

    rows: int
    checked: int
    problems: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Check:
    """A media file to check against its row; a worker process gets it."""

    row: ClipRow | UtteranceRow
    workspace: Path

    def __str__(self) -> str:
        return self.row.path


def verify_dataset(workspace: Workspace, *, jobs: int = 1, progress: Progress = silent) -> VerifyReport:
    """Checks everything that the manifests of a workspace say.

    Raises:
        InputError: there is no data set in the workspace.
    """
    if not (workspace.manifests / "clips.jsonl").is_file():
        raise InputError(
            "There is no data set to verify",
            where=workspace.manifests,
            expected="clips.jsonl",
            next_step="make one with fmn-data build",
        )
    problems: list[str] = []
    clips = _rows(workspace, "clips", ClipRow, problems)
    utterances = _rows(workspace, "utterances", UtteranceRow, problems)
    counted = len(clips) + len(utterances) + len(_rows(workspace, "pairs", PairRow, problems))
    checks = [_Check(row, workspace.root) for row in (*clips, *utterances)]
    for done, outcome in enumerate(run_each(_check, checks, jobs=jobs), start=1):
        if outcome.error is not None:
            problems.append(f"{outcome.item.row.path}: {outcome.error.found}")
        progress("verify", done, len(checks), outcome.item.row.id)
    sides: list[dict[str, set[str]]] = []
    for name in ("train", "test"):
        seen: dict[str, set[str]] = {"clip": set(), "utterance": set(), "interval": set(), "file": set()}
        for pair in _rows(workspace, name, SplitPairRow, problems):
            counted += 1
            seen["clip"].add(pair.clip.id)
            seen["utterance"].add(pair.utterance.id)
            seen["interval"].add(interval_of(pair.clip.id))
            seen["file"] |= {pair.clip.sha256, pair.utterance.sha256}
        sides.append(seen)
    for kind in sides[0]:
        shared = sorted(sides[0][kind] & sides[1][kind])
        if shared:
            problems.append(
                f"leak: {len(shared)} {kind}s stand on both sides of the split: {shared[0]}"
                + (" and others" if len(shared) > 1 else "")
            )
    return VerifyReport(rows=counted, checked=len(checks), problems=tuple(sorted(problems)))


def _rows(workspace: Workspace, name: str, row_type: type[Any], problems: list[str]) -> list[Any]:
    """The rows of a manifest; up to the first that cannot be read, which becomes a problem."""
    path = workspace.manifests / f"{name}.jsonl"
    rows: list[Row] = []
    if path.is_file():
        try:
            for row in read_rows(path, row_type):
                rows.append(row)  # one by one: what comes before a bad row is kept
        except ManifestError as error:
            problems.append(f"{error.where}: {error.found}")
    return rows


def _check(check: _Check) -> None:
    """Runs in a worker process.

    Raises:
        SampleError: the file is not what its row says.
        ManifestError: it is missing.
    """
    path = resolve(check.workspace, check.row.path)
    found = sha256_of(path)
    if found != check.row.sha256:
        raise SampleError(
            f"The content has changed: its SHA-256 is {found[:12]}…, the row says {check.row.sha256[:12]}…"
        )
    if isinstance(check.row, ClipRow):
        _check_clip(check.row, path)
    else:
        _check_utterance(check.row, path)


def _check_clip(row: ClipRow, path: Path) -> None:
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = sum(1 for _ in container.decode(stream))
        measured = (frames, stream.width, stream.height, float(stream.average_rate or 0))
    if measured != (row.frames, row.width, row.height, row.fps):
        raise SampleError(
            f"It has (frames, width, height, fps) {measured}, "
            f"the row says {(row.frames, row.width, row.height, row.fps)}"
        )


def _check_utterance(row: UtteranceRow, path: Path) -> None:
    import soundfile

    sound = soundfile.info(path)
    measured = (sound.samplerate, sound.channels, sound.subtype)
    if measured != (row.sample_rate_hz, 1, "PCM_16"):
        raise SampleError(f"It is {measured}, expected ({row.sample_rate_hz}, 1, 'PCM_16')")
    if abs(sound.frames / sound.samplerate - row.duration_s) > LENGTH_TOLERANCE_S:
        raise SampleError(f"It lasts {sound.frames / sound.samplerate} s, the row says {row.duration_s} s")
