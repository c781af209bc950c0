"""Recording quality: measurements, warnings and reasons for refusal.

The same rules apply to every utterance, recorded or synthesized, on the decoded audio before normalization.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from dataset_tools.core.audio_decoding import Samples, Sound
from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import SampleError
from dataset_tools.speech.audio.loudness import SILENT_LUFS, integrated_loudness

DECODED_S = 60.0
"""Maximum duration that is decoded of a recording: longer ones exceed any `Limits`."""

_FLOOR_DBFS = -120.0
_FULL_SCALE = 1 - 2**-11  # includes the maximum of 16-bit converters, also after a lossy codec
_ROUNDING = 2**-22  # of 32-bit floating-point numbers
_FRAME_S = 0.02
_LOUD_SHARE, _LOUD_S = 0.05, 0.3
_MAX_AMPLITUDE = 1e9  # times full scale: the squares of larger values would overflow


@dataclass(frozen=True)
class Quality:
    """Measurements. Decibels are relative to full scale (a square wave of ±1 has 0 dBFS), at least -120.

    Attributes:
        duration_s: duration of the audio. speech_s: total length of the 20 ms frames at most 30 dB below the loud ones.
        sample_rate_hz, channels: as decoded.
        peak_dbfs: peak level.
        loudness_lufs: integrated loudness (BS.1770-4) of the mean of the channels; -120 if nothing is above -70 LUFS.
            Like all levels except the peak, it is measured after removal of the DC offset.
        noise_floor_dbfs: 5th percentile of the frame levels.
        snr_db: level of the loud frames minus the noise floor. It is low, too, for clean audio without pauses. The
            level of the loud frames is the one that 5 % of the frames exceed, but at most 0.3 s of them: speech may be
            a small part of a long recording.
        clipped_share: share of the samples in runs of at least three samples at full scale, 0-1; at the peak, if a file
            in floating-point PCM exceeds full scale.
        dc_offset: mean of the samples of the channel with the largest offset, -1 to 1.
        not_finite: number of samples that are NaN, infinite or beyond 1e9 times full scale; they are ignored in the
            other values.
        missing_s: seconds that the file header announces and that are missing or damaged.
        cancelled: whether the channels cancel each other; then the loudest channel replaces their mean.
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
        """Converts to the form in manifests: values by name, rounded to four decimals, and the warnings."""
        measured = {**asdict(self), **more}
        values = {name: value if isinstance(value, bool) else round(value, 4) for name, value in measured.items()}
        return {**values, "warnings": list(warnings)}


@dataclass(frozen=True)
class Limits:
    """Thresholds of warnings and refusals.

    Attributes:
        shortest_speech_s: refused below. longest_s: refused above. long_s: warning above.
        silent_lufs: refused below. quiet_lufs: warning below, since few of the 16 bits are used.
        clipped_share: warning above. most_clipped_share: refused above.
        dc_offset: warning above. snr_db: warning below.
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
    """Measures decoded audio with at least one sample."""
    with np.errstate(invalid="ignore"):  # signaling NaN
        finite = np.abs(sound.samples) < _MAX_AMPLITUDE
    samples = sound.samples if finite.all() else np.where(finite, sound.samples, 0.0)
    heard = replace(sound, samples=samples)
    mono = heard.mono()
    mono = mono - mono.mean()
    levels = _frame_levels(mono, sound.sample_rate_hz)
    loud_share = min(_LOUD_SHARE, _LOUD_S / (len(levels) * _FRAME_S))
    floor, loud = (float(np.percentile(levels, 100 * share)) for share in (0.05, 1 - loud_share))
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
        clipped_share=max(_clipped_share(channel, sound) for channel in samples.T),
        dc_offset=float(offsets[np.argmax(np.abs(offsets))]),
        not_finite=int((~finite).sum()),
        missing_s=sound.missing_s,
        cancelled=heard.cancelled,
    )


def judge(quality: Quality, limits: Limits, *, where: str) -> tuple[str, ...]:
    """Returns warnings about the quality; none for good audio.

    Raises:
        SampleError: the audio is refused; all reasons are named.
    """
    q = quality
    refusals = [
        (q.not_finite > 0, count_of(q.not_finite, "of its samples is not a number", "of its samples are not numbers")),
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
            "The audio cannot be used: " + "; ".join(reasons),
            where=where,
            expected="a spoken sentence that is neither silent nor truncated nor clipped",
            next_step="record it again, or use another file",
        )
    doubts = [
        (q.missing_s > 0, f"cut off: {q.missing_s:.2f} s of the duration stated in the file are missing or damaged"),
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
    """RMS levels of non-overlapping 20 ms frames in dBFS; an incomplete frame is dropped unless it is the only one."""
    length = round(_FRAME_S * sample_rate_hz)
    if len(mono) < length:
        return np.atleast_1d(_decibels(np.sqrt((mono**2).mean())))
    frames = mono[: len(mono) // length * length].reshape(-1, length)
    return _decibels(np.sqrt((frames**2).mean(axis=1)))


def _clipped_share(channel: Samples, sound: Sound) -> float:
    """Share of samples in runs of at least three at full scale of one sign; unclipped peaks are shorter."""
    clipped = np.zeros(len(channel), dtype=bool)
    for sign in (1, -1):
        limit, peak = min(_FULL_SCALE, sound.full_scale), float((sign * channel).max())
        if sound.float_pcm and peak > 1:
            limit = peak * (1 - _ROUNDING)
        full = np.concatenate([[False], sign * channel >= limit, [False]])
        edges = np.flatnonzero(np.diff(full.astype(np.int8)))
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            if end - start >= 3:
                clipped[start:end] = True
    return float(clipped.mean())


def _decibels(amplitude: Samples | np.float64) -> Samples:
    result: Samples = np.maximum(20 * np.log10(np.maximum(amplitude, 1e-12)), _FLOOR_DBFS)
    return result
