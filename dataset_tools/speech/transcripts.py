"""Transcript verification: phone recognition by pocketsphinx against the sentence (extra ``transcripts``).

Recognized phones are compared, by edit distance, with those of the utterance's own sentence and of up to 20 sentences
of other classes of the data set. The score is the z-score of the own sentence's similarity relative to the others:
voice and microphone affect the similarities of all sentences alike. English only; the check warns and never refuses.
Measured (`docs/recording.md`): reliable for whole sentences read by people, poor for single words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

import numpy as np
from filelock import FileLock

from dataset_tools.core.audio_decoding import decode
from dataset_tools.core.errors import InputError, ToolkitError
from dataset_tools.core.execution import run_each
from dataset_tools.core.extras import install_command
from dataset_tools.core.jsonl import Row
from dataset_tools.core.path_parts import FileName, Sha256
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.seeds import seed_of
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import UtteranceRow, read_rows, write_rows
from dataset_tools.speech.engines.arpabet import pronounce
from dataset_tools.speech.recordings.withdrawn_recordings import with_consent

DOUBTFUL_SCORE = 1.0
"""Lower scores cause a warning: the sentence was possibly not spoken."""

_LANGUAGE = "en"
_WRITTEN_EVERY = 100
_OTHERS = 20
_FEWEST_OTHERS = 5
_LEAST_SPREAD = 0.03  # added to the standard deviation, so that few, nearly equal similarities do not inflate the score
_WARNING = "may be another sentence"


class TranscriptRow(Row, frozen=True, kw_only=True, tag="fmn.transcript/1"):
    """Row of manifests/transcripts.jsonl: whether an utterance speaks its sentence; ``id`` is the utterance's.

    Attributes:
        sha256, text: of the checked utterance; if either has changed, the row is no longer valid.
        checker: name and version of the phone recognizer.
        score: in standard deviations (see the module docstring).
    """

    id: FileName
    sha256: Sha256
    text: str
    checker: str
    score: float

    @property
    def warning(self) -> str | None:
        """Warning in the format of quality warnings; None if there is none."""
        return f"{_WARNING}: score {self.score:.1f}" if self.score < DOUBTFUL_SCORE else None


@dataclass(frozen=True)
class TranscriptSummary:
    """Result of a check.

    Attributes:
        rows: those of transcripts.jsonl.
        skipped: reasons by utterance that cannot be checked. failures: by utterance.
        dry_run: whether nothing was checked and written; ``to_check``: then, the number of utterances to be checked.
    """

    rows: tuple[TranscriptRow, ...]
    skipped: dict[str, str]
    failures: dict[str, ToolkitError]
    dry_run: bool = False
    to_check: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "checked": len(self.rows),
            "doubtful": {row.id: row.score for row in self.rows if row.warning},
            "skipped": self.skipped,
            "failures": {name: error.as_dict() for name, error in self.failures.items()},
            "dry_run": self.dry_run,
            "to_check": self.to_check,
        }


@dataclass(frozen=True)
class _Task:
    """One utterance to check, for a worker process."""

    utterance: UtteranceRow
    path: Path
    others: tuple[str, ...]

    def __str__(self) -> str:
        return self.utterance.id


def check_transcripts(
    workspace: Workspace,
    *,
    recorded: bool = True,
    jobs: int = 1,
    dry_run: bool = False,
    progress: Progress = silent,
) -> TranscriptSummary:
    """Checks the utterances of a data set and writes transcripts.jsonl; valid earlier scores are kept.

    Scores are written during the check, so that it resumes if it is interrupted or killed. Other commands may run
    concurrently.

    Args:
        workspace: of the data set.
        recorded: whether to check only recordings, not synthesized utterances.
        jobs: number of processes; does not affect the scores.
        dry_run: only count the utterances to be checked.
        progress: progress callback.

    Raises:
        InputError: there are no utterances, or the extra ``transcripts`` is not installed.
    """
    _pocketsphinx()
    checker = f"pocketsphinx {version('pocketsphinx')}"
    utterances = with_consent(workspace, read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow))
    known = {row.id: row for row in _read(workspace)}
    found: dict[str, TranscriptRow] = {}
    skipped, failures, todo = {}, {}, []
    for one in utterances:
        before = known.get(one.id)
        if recorded and one.source != "recorded":
            continue
        if before is not None and before.checker == checker and _is_current(before, one):
            continue
        others = _others(one, utterances)
        if reason := _skip_reason(one, others):
            skipped[one.id] = reason
        else:
            todo.append(_Task(one, workspace.root / one.path, others))
    if dry_run:
        return TranscriptSummary(_current(workspace, known), skipped, {}, dry_run=True, to_check=len(todo))
    progress("check", 0, len(todo))
    try:
        for done, outcome in enumerate(run_each(_score, todo, jobs=jobs), start=1):
            one = outcome.item.utterance
            if outcome.result is not None:
                found[one.id] = TranscriptRow(
                    id=one.id, sha256=one.sha256, text=one.text, checker=checker, score=round(outcome.result, 3)
                )
            elif outcome.error is not None:
                failures[one.id] = outcome.error
            if done % _WRITTEN_EVERY == 0:
                _write(workspace, found)
            progress("check", done, len(todo))
    finally:
        rows = _write(workspace, found)
    there = {one.id for one in with_consent(workspace, utterances)}  # without the removed files of withdrawn speakers
    return TranscriptSummary(rows, skipped, {name: error for name, error in failures.items() if name in there})


def transcript_warnings(workspace: Workspace, utterances: Sequence[UtteranceRow]) -> dict[str, str]:
    """Returns the warnings about the current utterances, by id; empty if nothing was checked."""
    rows = {row.id: row for row in _read(workspace)}
    found = ((rows.get(one.id), one) for one in utterances)
    return {one.id: row.warning for row, one in found if row is not None and row.warning and _is_current(row, one)}


def transcript_score(heard: Sequence[str], text: str, others: Sequence[str]) -> float:
    """Z-score of the similarity of a sentence to recognized phones, relative to other sentences.

    Args:
        heard: recognized phones (ARPABET).
        text: the sentence.
        others: sentences to compare with, at least two.

    Raises:
        SampleError: a word cannot be pronounced.
    """
    rest = [_similarity(heard, _phones_of(other)) for other in others]
    return (_similarity(heard, _phones_of(text)) - mean(rest)) / (pstdev(rest) + _LEAST_SPREAD)


def recognize_phones(path: Path) -> list[str]:
    """Phone recognition: returns the phones (ARPABET) in a 16 kHz audio file, without silence and noise.

    Raises:
        SampleError: the file cannot be decoded.
        InputError: the extra ``transcripts`` is not installed.
    """
    samples = decode(path).mono()
    decoder = _decoder()
    decoder.start_utt()
    pcm = np.clip(np.rint(samples * 32767), -32768, 32767).astype("<i2").tobytes()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    words = [segment.word for segment in decoder.seg()] if decoder.hyp() is not None else []
    return [word for word in words if word.isalpha() and word != "SIL"]


def _similarity(heard: Sequence[str], expected: Sequence[str]) -> float:
    """1 - edit distance / length of the longer one."""
    row = list(range(len(expected) + 1))
    for place, phone in enumerate(heard, start=1):
        diagonal, row[0] = row[0], place
        for column, other in enumerate(expected, start=1):
            change = diagonal + (phone != other)
            diagonal, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, change)
    return 1 - row[-1] / max(len(heard), len(expected), 1)


def _phones_of(text: str) -> list[str]:
    return [phone for word in re.findall(r"\w+(?:'\w+)?", text) for phone in _pronounced(word.lower()).split()]


@lru_cache(maxsize=10_000)
def _pronounced(word: str) -> str:
    return pronounce(word)


def _others(one: UtteranceRow, utterances: Sequence[UtteranceRow]) -> tuple[str, ...]:
    """Sentences of other classes in the same language; independent of which utterances are checked."""
    texts = {row.text for row in utterances if row.class_id != one.class_id and row.language == one.language}
    return tuple(sorted(texts - {one.text, ""}, key=lambda text: seed_of(0, "other", one.id, text))[:_OTHERS])


def _skip_reason(one: UtteranceRow, others: Sequence[str]) -> str | None:
    if one.language != _LANGUAGE:
        return f"only English can be checked, not {one.language}"
    if not one.text:
        return "no sentence is known for it"
    if len(others) < _FEWEST_OTHERS:
        return f"fewer than {_FEWEST_OTHERS} sentences of other classes to compare with"
    return None


def _score(task: _Task) -> float:
    """Runs in a worker process."""
    return transcript_score(recognize_phones(task.path), task.utterance.text, task.others)


@contextmanager
def transcripts_lock(workspace: Workspace) -> Iterator[None]:
    """Lock that lets one process at a time change transcripts.jsonl; held only briefly, so it waits without timeout."""
    workspace.cache.mkdir(parents=True, exist_ok=True)
    with FileLock(workspace.cache / "transcripts.lock"):
        yield


def _write(workspace: Workspace, found: dict[str, TranscriptRow]) -> tuple[TranscriptRow, ...]:
    """Adds rows to the file; writes and returns those that are valid now, since speakers may have withdrawn."""
    with transcripts_lock(workspace):
        current = _current(workspace, {row.id: row for row in _read(workspace)} | found)
        write_rows(transcripts_path(workspace), current)
    return current


def _current(workspace: Workspace, rows: Mapping[str, TranscriptRow]) -> tuple[TranscriptRow, ...]:
    now = with_consent(workspace, read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow))
    same = ((rows.get(one.id), one) for one in sorted(now, key=lambda one: one.id))
    return tuple(row for row, one in same if row is not None and _is_current(row, one))


def _is_current(row: TranscriptRow, one: UtteranceRow) -> bool:
    return (row.sha256, row.text) == (one.sha256, one.text) and one.language == _LANGUAGE


def _read(workspace: Workspace) -> list[TranscriptRow]:
    path = transcripts_path(workspace)
    return list(read_rows(path, TranscriptRow, missing_ok=True))


def transcripts_path(workspace: Workspace) -> Path:
    """Path of manifests/transcripts.jsonl."""
    return workspace.manifests / "transcripts.jsonl"


def _pocketsphinx() -> Any:
    try:
        import pocketsphinx
    except (ImportError, OSError) as error:
        raise InputError(
            f"Sentences cannot be checked: {error}",
            expected="the extra transcripts",
            next_step=install_command("transcripts"),
        ) from error
    return pocketsphinx


@lru_cache(maxsize=1)
def _decoder() -> Any:
    package = _pocketsphinx()
    models = Path(package.get_model_path("en-us"))
    return package.Decoder(
        hmm=str(models / "en-us"),
        allphone=str(models / "en-us-phone.lm.bin"),
        lm=None,
        lw=2.0,
        pip=0.3,
        beam=1e-20,
        pbeam=1e-10,
        compallsen=True,
        loglevel="FATAL",
    )
