"""Augmentation of utterances: speed, gain, reverberation, noise; each copy records its parameters.

A copy belongs to the clip of its original, and is therefore on the same side of every split. It is made from the
finished WAV; its loudness is not normalized again, since the gain is one of the parameters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import log10
from pathlib import Path

import msgspec
import numpy as np

from dataset_tools.core.audio_decoding import Samples, Sound, decode
from dataset_tools.core.errors import SampleError, ToolkitError
from dataset_tools.core.execution import run_each
from dataset_tools.core.files import sha256_of
from dataset_tools.core.ledger import Ledger, LedgerRow, failed, ok
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.seeds import generator
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import Augmentation, UtteranceRow
from dataset_tools.speech.audio.audio_io import SAMPLE_RATE_HZ, resampled, segment_of, write_wav
from dataset_tools.speech.audio.recording_quality import Limits, judge, measure

_VERSION = 1  # version of the algorithm; if it changes, all copies are made again
_STAGE = "augment"
_HIGHEST_PEAK = 0.98


@dataclass(frozen=True)
class Ranges:
    """Ranges of the augmentation parameters, which are drawn uniformly.

    Attributes:
        speed: playback speed, which also changes the pitch. gain_db: applied last.
        room_s: reverberation time (to -60 dB) of a simulated room. snr_db: signal-to-noise ratio of the added noise.
    """

    speed: tuple[float, float] = (0.9, 1.1)
    gain_db: tuple[float, float] = (-9.0, 3.0)
    room_s: tuple[float, float] = (0.1, 0.5)
    snr_db: tuple[float, float] = (5.0, 25.0)


@dataclass(frozen=True)
class _Task:
    original: UtteranceRow
    source: Path
    target: Path
    copy_id: str
    parameters: Augmentation
    seed: int
    number: int

    def __str__(self) -> str:
        return self.copy_id

    def key(self) -> str:
        """Cache key: SHA-256 of everything that the copy depends on."""
        row, parameters = self.original, msgspec.to_builtins(self.parameters)
        inputs = [_VERSION, row.sha256, row.text, row.class_id, self.seed, self.number, parameters]
        return hashlib.sha256(msgspec.json.encode(inputs, order="sorted")).hexdigest()


def augment(
    workspace: Workspace,
    utterances: Sequence[UtteranceRow],
    *,
    copies: int,
    seed: int = 0,
    ranges: Ranges | None = None,
    jobs: int = 1,
    ledger: Ledger,
    dry_run: bool = False,
    progress: Progress = silent,
) -> tuple[list[UtteranceRow], dict[str, ToolkitError]]:
    """Writes augmented copies of the utterances that describe a clip, as ``speech/<utterance id>_augN.wav``.

    Args:
        workspace: of the data set.
        utterances: the originals; those that describe only a class have no clip to share a side with and get no copies.
        copies: number of copies per utterance.
        seed: random seed of the parameters and the noise.
        ranges: ranges of the parameters.
        jobs: number of processes; does not affect the output.
        ledger: open; gets a row ``copy/<id>`` for each copy.
        dry_run: write nothing, as in `dataset_tools.speech.synthesis.synthesize`.
        progress: progress callback.

    Returns:
        The rows of the copies, sorted by id; and the errors of failed copies, by id.
    """
    tasks = [
        _task(row, number, seed, ranges or Ranges(), workspace)
        for row in utterances
        if row.clip is not None
        for number in range(1, copies + 1)
    ]
    rows: list[UtteranceRow] = []
    failures: dict[str, ToolkitError] = {}
    todo: list[_Task] = []
    for task in tasks:
        done = ledger.finished(f"copy/{task.copy_id}", task.key())
        if done is not None:
            rows.append(done.value("row", UtteranceRow))
        elif (died := ledger.died(f"copy/{task.copy_id}", task.key())) is not None:
            failures[task.copy_id] = died
        else:
            todo.append(task)
    if dry_run:
        for task in todo:
            ledger.record(LedgerRow(id=f"copy/{task.copy_id}", status="skipped", stage=_STAGE))
            rows.append(msgspec.structs.replace(task.original, id=task.copy_id, sha256="", augmented=task.parameters))
        todo = []
    if tasks:
        progress(_STAGE, len(rows) + len(failures), len(tasks))
    ledger.mark_for_replacement(f"copy/{task.copy_id}" for task in todo)
    for outcome in run_each(_copy, todo, jobs=jobs):
        task = outcome.item
        if outcome.result is not None:
            row = outcome.result
            values = msgspec.to_builtins(row)
            ledger.record(ok(f"copy/{row.id}", _STAGE, task.key(), task.target, workspace.root, row.sha256, row=values))
            rows.append(row)
        elif outcome.error is not None:
            ledger.record(failed(f"copy/{task.copy_id}", _STAGE, outcome.error, task.key()))
            failures[task.copy_id] = outcome.error
        progress(_STAGE, len(rows) + len(failures), len(tasks))
    wanted = {f"copy/{task.copy_id}" for task in tasks}
    ledger.forget([name for name in ledger.rows if name.startswith("copy/") and name not in wanted])
    return sorted(rows, key=lambda row: row.id), dict(sorted(failures.items()))


def augmented(samples: Samples, parameters: Augmentation, random: np.random.Generator) -> Samples:
    """Applies speed, reverberation, noise and gain, in this order, to samples [n] at 16 kHz.

    The noise falls by 3 dB per octave (pink), as kitchen noise roughly does; its power is relative to the mean power of
    the reverberant signal. The room impulse response is a direct path plus decaying noise 10 dB below it.
    """
    faster = resampled(samples, round(SAMPLE_RATE_HZ * parameters.speed))
    tail_s = np.arange(round(parameters.room_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail = random.standard_normal(len(tail_s)) * 10 ** (-3 * tail_s / parameters.room_s)
    tail *= np.sqrt(0.1 / (tail**2).sum())
    response = np.concatenate([[1.0], tail])
    length = len(faster) + len(response) - 1
    wet = np.fft.irfft(np.fft.rfft(faster, length) * np.fft.rfft(response, length), length)
    spectrum = np.fft.rfft(random.standard_normal(length))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), length)
    noise *= np.sqrt((wet**2).mean() / (noise**2).mean()) * 10 ** (-parameters.snr_db / 20)
    loud: Samples = (wet + noise) * 10 ** (parameters.gain_db / 20)
    return loud


def _task(row: UtteranceRow, number: int, seed: int, ranges: Ranges, workspace: Workspace) -> _Task:
    copy_id = f"{row.id}_aug{number}"
    random = generator(seed, "augment", copy_id)
    drawn = {name: round(float(random.uniform(*between)), 3) for name, between in asdict(ranges).items()}
    parameters = Augmentation(original=row.id, **drawn)
    source, target = workspace.root / row.path, workspace.speech / f"{copy_id}.wav"
    return _Task(row, source, target, copy_id, parameters, seed, number)


def _copy(task: _Task) -> UtteranceRow:
    """Runs in a worker process.

    Raises:
        SampleError: the original has changed, or the copy cannot be used.
    """
    if sha256_of(task.source) != task.original.sha256:
        raise SampleError("The original changed while it was copied", where=task.source, next_step="run it again")
    samples = decode(task.source).mono()
    loud = augmented(samples, task.parameters, generator(task.seed, "augment", task.copy_id, "sound"))
    peak = float(np.abs(loud).max())
    parameters = task.parameters
    if peak > _HIGHEST_PEAK:  # record the gain that was applied
        gain_db = round(parameters.gain_db + 20 * log10(_HIGHEST_PEAK / peak), 3)
        parameters = msgspec.structs.replace(parameters, gain_db=gain_db)
        loud *= _HIGHEST_PEAK / peak
    quality = measure(Sound(loud[:, None], SAMPLE_RATE_HZ))
    warnings = judge(quality, Limits(), where=task.copy_id)
    segment = segment_of(loud)
    write_wav(task.target, segment)
    return msgspec.structs.replace(
        task.original,
        id=task.copy_id,
        path=f"speech/{task.target.name}",
        duration_s=int(segment.frame_count()) / SAMPLE_RATE_HZ,
        sha256=sha256_of(task.target),
        quality=quality.as_dict(warnings),
        review=None,
        augmented=parameters,
    )
