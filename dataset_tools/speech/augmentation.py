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
from dataset_tools.core.files import sha256_of
from dataset_tools.core.ledger import Ledger
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.seeds import generator
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import Augmentation, UtteranceRow
from dataset_tools.speech.audio.audio_io import SAMPLE_RATE_HZ, resampled, segment_of, write_wav
from dataset_tools.speech.audio.loudness import fast_length
from dataset_tools.speech.audio.recording_quality import Limits, judge, measure
from dataset_tools.speech.utterance_tasks import UtteranceTask, make_utterances

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
class _Task(UtteranceTask):
    source: Path
    original_sha256: str
    parameters: Augmentation
    seed: int


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
    rows, failures = make_utterances(
        _copy,
        tasks,
        _STAGE,
        workspace,
        jobs=jobs,
        ledger=ledger,
        dry_run=dry_run,
        progress=progress if tasks else silent,
    )
    current = {task.ledger_id for task in tasks}
    ledger.forget([name for name in ledger.rows if name.startswith("copy/") and name not in current])
    return rows, dict(sorted(failures.items()))


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
    fast = fast_length(length)
    wet = np.fft.irfft(np.fft.rfft(faster, fast) * np.fft.rfft(response, fast), fast)[:length]
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
    inputs = [_VERSION, row.sha256, row.text, row.class_id, seed, number, msgspec.to_builtins(parameters)]
    target = workspace.speech / f"{copy_id}.wav"
    planned = msgspec.structs.replace(
        row, id=copy_id, path=workspace.relative(target), sha256="", review=None, augmented=parameters
    )
    return _Task(
        kind="copy",
        key=hashlib.sha256(msgspec.json.encode(inputs, order="sorted")).hexdigest(),
        target=target,
        planned=planned,
        source=workspace.root / row.path,
        original_sha256=row.sha256,
        parameters=parameters,
        seed=seed,
    )


def _copy(task: _Task) -> UtteranceRow:
    """Runs in a worker process.

    Raises:
        SampleError: the original has changed, or the copy cannot be used.
    """
    if sha256_of(task.source) != task.original_sha256:
        raise SampleError("The original changed while it was copied", where=task.source, next_step="run it again")
    samples = decode(task.source).mono()
    loud = augmented(samples, task.parameters, generator(task.seed, "augment", task.planned.id, "sound"))
    peak = float(np.abs(loud).max())
    parameters = task.parameters
    if peak > _HIGHEST_PEAK:  # record the gain that was applied
        gain_db = round(parameters.gain_db + 20 * log10(_HIGHEST_PEAK / peak), 3)
        parameters = msgspec.structs.replace(parameters, gain_db=gain_db)
        loud *= _HIGHEST_PEAK / peak
    quality = measure(Sound(loud[:, None], SAMPLE_RATE_HZ))
    warnings = judge(quality, Limits(), where=task.planned.id)
    segment = segment_of(loud)
    write_wav(task.target, segment)
    return msgspec.structs.replace(
        task.planned,
        duration_s=int(segment.frame_count()) / SAMPLE_RATE_HZ,
        sha256=sha256_of(task.target),
        quality=quality.as_dict(warnings),
        augmented=parameters,
    )
