"""Transcript verification: phone recognition by pocketsphinx against the sentence (extra ``transcripts``).

Recognized phones are compared, by edit distance, with those of the utterance's own sentence and of up to 20
sentences of other classes of the data set. The score is how many standard deviations of the others its own stands above
their mean: what a voice or a microphone does to recognition, it does to all of them. English only; it warns and never
refuses. Measured (`docs/recording.md`): whole sentences that people read are told from others, single words poorly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
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
from dataset_tools.speech.arpabet import pronounce
from dataset_tools.speech.withdrawn_recordings import with_consent

DOUBTFUL_SCORE = 1.0
"""Below it the sentence was perhaps not said."""

_LANGUAGE = "en"
_WRITTEN_EVERY = 100
_OTHERS = 20
_FEWEST_OTHERS = 5
_LEAST_SPREAD = 0.03  # of the others' similarities: a few that are alike by chance must not make a score huge
_WARNING = "may be another sentence"


class TranscriptRow(Row, frozen=True, kw_only=True, tag="fmn.transcript/1"):
    """manifests/transcripts.jsonl: whether an utterance says its sentence; ``id`` is the utterance's.

    Attributes:
        sha256, text: of what was checked; where either is another one now, the row counts no more.
        checker: name and version of what recognized the phones.
        score: in standard deviations (see the top of this file).
    """

    id: FileName
    sha256: Sha256
    text: str
    checker: str
    score: float

    @property
    def warning(self) -> str | None:
        """The doubt in words, as warnings of sound quality are written; None where there is none."""
        return f"{_WARNING}: score {self.score:.1f}" if self.score < DOUBTFUL_SCORE else None


@dataclass(frozen=True)
class TranscriptSummary:
    """What a check found. Attributes: skipped: utterances that cannot be checked, and why. failures: by utterance."""

    rows: tuple[TranscriptRow, ...]
    skipped: dict[str, str]
    failures: dict[str, ToolkitError]

    def as_dict(self) -> dict[str, Any]:
        return {
            "checked": len(self.rows),
            "doubtful": {row.id: row.score for row in self.rows if row.warning},
            "skipped": self.skipped,
            "failures": {name: error.as_dict() for name, error in self.failures.items()},
        }


@dataclass(frozen=True)
class _Task:
    """One utterance to check; a worker process gets it."""

    utterance: UtteranceRow
    path: Path
    others: tuple[str, ...]

    def __str__(self) -> str:
        return self.utterance.id


def check_transcripts(
    workspace: Workspace, *, recorded: bool = True, jobs: int = 1, progress: Progress = silent
) -> TranscriptSummary:
    """Checks the utterances of a data set and writes transcripts.jsonl; what was checked before stands.

    Scores are written as the check goes on: interrupted or killed, it resumes. Other commands may work beside it.

    Args:
        workspace: where the data set is.
        recorded: only recordings, not what was synthesized.
        jobs: processes at once; never changes a score.
        progress: is told how far it is.

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
        if reason := _why_not(one, others):
            skipped[one.id] = reason
        else:
            todo.append(_Task(one, workspace.root / one.path, others))
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
    there = {one.id for one in with_consent(workspace, utterances)}  # of a speaker who withdrew, the files are gone
    return TranscriptSummary(rows, skipped, {name: error for name, error in failures.items() if name in there})


def transcript_warnings(workspace: Workspace, utterances: Sequence[UtteranceRow]) -> dict[str, str]:
    """The doubts about the utterances as they are now, by id; none where nothing was checked."""
    rows = {row.id: row for row in _read(workspace)}
    found = ((rows.get(one.id), one) for one in utterances)
    return {one.id: row.warning for row, one in found if row is not None and row.warning and _is_current(row, one)}


def transcript_score(heard: Sequence[str], text: str, others: Sequence[str]) -> float:
    """How far a sentence fits recognized phones better than other sentences do, in their standard deviations.

    Args:
        heard: phones (ARPABET).
        text: the sentence.
        others: sentences to compare with, two at least.

    Raises:
        SampleError: a word cannot be pronounced.
    """
    rest = [_similarity(heard, _phones_of(other)) for other in others]
    return (_similarity(heard, _phones_of(text)) - mean(rest)) / (pstdev(rest) + _LEAST_SPREAD)


def recognize_phones(path: Path) -> list[str]:
    """Phone recognition: the phones (ARPABET) that are heard in a sound file of 16 kHz, without silences and noises.

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
    """Sentences of other classes, in the language, the same ones for an utterance whatever else is checked."""
    texts = {row.text for row in utterances if row.class_id != one.class_id and row.language == one.language}
    return tuple(sorted(texts - {one.text, ""}, key=lambda text: seed_of(0, "other", one.id, text))[:_OTHERS])


def _why_not(one: UtteranceRow, others: Sequence[str]) -> str | None:
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
    """Lets one process at a time change transcripts.jsonl. It is held for a moment only, so it is waited for."""
    workspace.cache.mkdir(parents=True, exist_ok=True)
    with FileLock(workspace.cache / "transcripts.lock"):
        yield


def _write(workspace: Workspace, found: dict[str, TranscriptRow]) -> tuple[TranscriptRow, ...]:
    """Adds rows to the file; gives all that are of utterances as they are now: speakers may have withdrawn since."""
    with transcripts_lock(workspace):
        rows = {row.id: row for row in _read(workspace)} | found
        now = with_consent(workspace, read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow))
        same = ((rows.get(one.id), one) for one in sorted(now, key=lambda one: one.id))
        current = tuple(row for row, one in same if row is not None and _is_current(row, one))
        write_rows(transcripts_path(workspace), current)
    return current


def _is_current(row: TranscriptRow, one: UtteranceRow) -> bool:
    return (row.sha256, row.text) == (one.sha256, one.text) and one.language == _LANGUAGE


def _read(workspace: Workspace) -> list[TranscriptRow]:
    path = transcripts_path(workspace)
    return list(read_rows(path, TranscriptRow, missing_ok=True))


def transcripts_path(workspace: Workspace) -> Path:
    """manifests/transcripts.jsonl."""
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
