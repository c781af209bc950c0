"""Recording quality: measurements, warnings and reasons for refusal.

The same for every utterance, recorded or synthesized, on the sound as it was decoded, before it is normalized.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from dataset_tools.core.audio_decoding import Samples, Sound
from dataset_tools.core.errors import SampleError
from dataset_tools.speech.loudness import SILENT_LUFS, integrated_loudness

DECODED_S = 60.0
"""How much of a recording is decoded at most: what is longer is too long by any `Limits`."""

_FLOOR_DBFS = -120.0
_FULL_SCALE = 1 - 2**-11  # an 8- or 16-bit converter's highest values, and what a lossy codec makes of them
_FRAME_S = 0.02
_NO_SOUND = 1e9  # times full scale: squares of what is beyond would overflow


@dataclass(frozen=True)
class Quality:
    """What was measured. Decibels are relative to full scale (a square wave of ±1 has 0 dBFS), at least -120.

    Attributes:
        duration_s: length of the sound. speech_s: of the 20 ms frames in it that are at most 30 dB below the loud ones.
        sample_rate_hz, channels: as decoded.
        peak_dbfs: the highest sample.
        loudness_lufs: integrated loudness (BS.1770-4) of the mean of the channels; -120: nothing above -70 LUFS. It and
            all levels but the peak are measured after the DC offset was taken off.
        noise_floor_dbfs: level that 5 % of the frames stay under.
        snr_db: level that 5 % of the frames exceed, less the noise floor. Without a pause in it, a clean sound has a
            low one too.
        clipped_share: share of the samples that stand at full scale for three samples or longer, 0-1.
        dc_offset: mean of the samples of the channel with the largest one, -1 to 1.
        not_finite: how many samples are NaN, infinite or beyond 1e9 times full scale; other values are of the rest.
        missing_s: seconds that the file says that it has and that are not there, or damaged.
        cancelled: whether the channels cancel each other; then the loudest one stands for their mean.
    """

    duration_s: float
    speech_s: float
    sample_rate_hz: int
    channels: int
    peak_dbfs: float
    loudness_lufs: float
    noise_floor_dbfs: float
    snr_db: float
    clipped_share: float
    dc_offset: float
    not_finite: int
    missing_s: float = 0.0
    cancelled: bool = False

    def as_dict(self, warnings: tuple[str, ...], **more: float) -> dict[str, Any]:
        """As a manifest has it: values by name, rounded to four places, and the warnings."""
        measured = {**asdict(self), **more}
        values = {name: value if isinstance(value, bool) else round(value, 4) for name, value in measured.items()}
        return {**values, "warnings": list(warnings)}


@dataclass(frozen=True)
class Limits:
    """Where doubt begins and where refusal does.

    Attributes:
        shortest_speech_s, longest_s: refused beyond. long_s: doubtful beyond.
        silent_lufs: refused below. quiet_lufs: doubtful below, as little is left of 16 bits.
        clipped_share, most_clipped_share: doubtful and refused above.
        dc_offset: doubtful above. snr_db: doubtful below.
    """

    shortest_speech_s: float = 0.3
    longest_s: float = 30.0
    long_s: float = 15.0
    silent_lufs: float = -60.0
    quiet_lufs: float = -45.0
    clipped_share: float = 0.001
    most_clipped_share: float = 0.05
    dc_offset: float = 0.02
    snr_db: float = 12.0


def measure(sound: Sound) -> Quality:
    """Measures decoded sound; it must have one sample at least."""
    with np.errstate(invalid="ignore"):  # signaling NaN
        finite = np.abs(sound.samples) < _NO_SOUND
    samples = sound.samples if finite.all() else np.where(finite, sound.samples, 0.0)
    heard = replace(sound, samples=samples)
    mono = heard.mono()
    mono = mono - mono.mean()
    levels = _frame_levels(mono, sound.sample_rate_hz)
    floor, loud = (float(np.percentile(levels, share)) for share in (5, 95))
    speech_frames = int((levels > max(loud - 30, _FLOOR_DBFS)).sum())
    offsets = samples.mean(axis=0)
    return Quality(
        duration_s=sound.duration_s,
        speech_s=min(speech_frames * _FRAME_S, sound.duration_s),
        sample_rate_hz=sound.sample_rate_hz,
        channels=samples.shape[1],
        peak_dbfs=float(_decibels(np.abs(samples).max())),
        loudness_lufs=integrated_loudness(mono, sound.sample_rate_hz),
        noise_floor_dbfs=floor,
        snr_db=loud - floor,
        clipped_share=max(_clipped_share(channel) for channel in samples.T),
        dc_offset=float(offsets[np.argmax(np.abs(offsets))]),
        not_finite=int((~finite).sum()),
        missing_s=sound.missing_s,
        cancelled=heard.cancelled,
    )


def judge(quality: Quality, limits: Limits, *, where: str) -> tuple[str, ...]:
    """Warnings about a doubtful sound, none for a good one.

    Raises:
        SampleError: the sound is refused; every reason is named.
    """
    q = quality
    refusals = [
        (q.not_finite > 0, f"{q.not_finite} of its samples are not numbers"),
        (q.loudness_lufs < limits.silent_lufs, f"it is silent ({_loudness(q)}, limit {limits.silent_lufs:g})"),
        (
            q.speech_s < limits.shortest_speech_s,
            f"it is too short ({q.speech_s:.2f} s of sound, limit {limits.shortest_speech_s:g})",
        ),
        (q.duration_s > limits.longest_s, f"it is too long ({q.duration_s:.1f} s, limit {limits.longest_s:g})"),
        (
            q.clipped_share > limits.most_clipped_share,
            f"it is clipped ({q.clipped_share:.1%} of the samples, limit {limits.most_clipped_share:.1%})",
        ),
    ]
    if reasons := [text for refused, text in refusals if refused]:
        raise SampleError(
            "The sound cannot be used: " + "; ".join(reasons),
            where=where,
            expected="a spoken sentence, neither silent nor cut nor overdriven",
            next_step="record it again, or take another file",
        )
    doubts = [
        (q.missing_s > 0, f"cut off: {q.missing_s:.2f} s of what the file says that it has are missing or damaged"),
        (q.cancelled, "opposite phase: the channels cancel each other, and only the loudest is used"),
        (q.loudness_lufs < limits.quiet_lufs, f"quiet: {_loudness(q)}"),
        (q.duration_s > limits.long_s, f"long: {q.duration_s:.1f} s"),
        (q.clipped_share > limits.clipped_share, f"clipped: {q.clipped_share:.2%} of the samples"),
        (abs(q.dc_offset) > limits.dc_offset, f"DC offset: {q.dc_offset:+.3f} of full scale"),
        (q.snr_db < limits.snr_db, f"noisy: the loud parts are only {q.snr_db:.0f} dB above the quiet ones"),
    ]
    return tuple(text for doubtful, text in doubts if doubtful)


def _loudness(quality: Quality) -> str:
    return "below -70 LUFS" if quality.loudness_lufs == SILENT_LUFS else f"{quality.loudness_lufs:.1f} LUFS"


def _frame_levels(mono: Samples, sample_rate_hz: int) -> Samples:
    """RMS of frames of 20 ms in dBFS, without overlap; a shorter rest is left out unless it is all there is."""
    length = round(_FRAME_S * sample_rate_hz)
    if len(mono) < length:
        return np.atleast_1d(_decibels(np.sqrt((mono**2).mean())))
    frames = mono[: len(mono) // length * length].reshape(-1, length)
    return _decibels(np.sqrt((frames**2).mean(axis=1)))


def _clipped_share(channel: Samples) -> float:
    """Share of samples in runs of three or more at full scale of one sign: a sound wave touches it, a cut one stays."""
    clipped = np.zeros(len(channel), dtype=bool)
    for sign in (1, -1):
        full = np.concatenate([[False], sign * channel >= _FULL_SCALE, [False]])
        edges = np.flatnonzero(np.diff(full.astype(np.int8)))
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            if end - start >= 3:
                clipped[start:end] = True
    return float(clipped.mean())


def _decibels(amplitude: Samples | np.float64) -> Samples:
    result: Samples = np.maximum(20 * np.log10(np.maximum(amplitude, 1e-12)), _FLOOR_DBFS)
    return result
