"""Utterance writer: checks and normalizes audio and writes it as the WAV file of an utterance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_tools.core.audio_decoding import decode
from dataset_tools.core.files import sha256_of
from dataset_tools.speech.audio.audio_io import SAMPLE_RATE_HZ, write_wav
from dataset_tools.speech.audio.loudness_normalization import Finish, finish
from dataset_tools.speech.audio.recording_quality import DECODED_S, Limits, judge, measure


@dataclass(frozen=True)
class Written:
    """The WAV file of an utterance that was written.

    Attributes:
        duration_s: samples / 16000.
        quality: value of `UtteranceRow.quality`.
        sha256: of the file.
    """

    duration_s: float
    quality: dict[str, Any]
    sha256: str


def write_utterance(sound: Path, target: Path) -> Written:
    """Decodes ``sound``, checks its quality, normalizes it, and writes ``target``.

    Raises:
        SampleError: the audio cannot be decoded, or is refused; nothing is written.
    """
    decoded = decode(sound, longest_s=DECODED_S)
    quality = measure(decoded)
    warnings = judge(quality, Limits(), where=str(sound))
    segment, gain_db = finish(decoded, Finish(), loudness_lufs=quality.loudness_lufs)
    write_wav(target, segment)
    return Written(
        duration_s=int(segment.frame_count()) / SAMPLE_RATE_HZ,
        quality=quality.as_dict(warnings, gain_db=gain_db),
        sha256=sha256_of(target),
    )
