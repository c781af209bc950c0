"""Measures against closed forms: tones, constants, counted samples."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dataset_tools.core.audio_decoding import Sound, decode
from dataset_tools.core.errors import SampleError
from dataset_tools.speech.audio.recording_quality import Limits, Quality, judge, measure

RATE = 16000
Sine = Callable[[float, float, float, int], np.ndarray]


def of(samples: np.ndarray, sample_rate_hz: int = RATE) -> Quality:
    return measure(Sound(samples.reshape(len(samples), -1), sample_rate_hz))


def refusal(quality: Quality, limits: Limits | None = None) -> str:
    with pytest.raises(SampleError) as caught:
        judge(quality, limits or Limits(), where="take.wav")
    assert caught.value.where == "take.wav"
    return caught.value.found


def test_a_tone(sine: Sine) -> None:
    quality = of(sine(1000, -20, 2.0, RATE))
    assert quality.duration_s == quality.speech_s == 2.0
    assert quality.peak_dbfs == pytest.approx(-20, abs=0.01)
    assert quality.noise_floor_dbfs == pytest.approx(-20 - 10 * math.log10(2), abs=0.01)  # RMS of a sine
    assert quality.snr_db == pytest.approx(0, abs=0.01)
    assert quality.clipped_share == 0
    assert quality.dc_offset == pytest.approx(0, abs=1e-12)


def test_noise_floor_and_snr(sine: Sine) -> None:
    loud, quiet = sine(1000, -10, 1.0, RATE), sine(1000, -50, 0.5, RATE)
    quality = of(np.concatenate([quiet, loud, quiet]))
    assert quality.noise_floor_dbfs == pytest.approx(-53.01, abs=0.05)
    assert quality.snr_db == pytest.approx(40, abs=0.05)
    assert quality.speech_s == pytest.approx(1.0, abs=0.021)


@pytest.mark.parametrize(("pause_dbfs", "snr_db"), [(-60, 40), (-200, 96.99)])  # levels are at least -120 dBFS
def test_speech_in_a_small_part_of_a_long_recording(sine: Sine, pause_dbfs: float, snr_db: float) -> None:
    pause = sine(1000, pause_dbfs, 12.0, RATE)
    quality = of(np.concatenate([pause, sine(1000, -20, 0.8, RATE), pause[: 9 * RATE]]))
    assert quality.snr_db == pytest.approx(snr_db, abs=0.05)
    assert quality.speech_s == pytest.approx(0.8, abs=0.021)
    assert judge(quality, Limits(), where="") == ("long: 21.8 s",)


def test_dc_offset_is_that_of_the_worst_channel(sine: Sine) -> None:
    tone = sine(1000, -20, 1.0, RATE)
    quality = of(np.stack([tone + 0.01, tone - 0.05], axis=1))
    assert quality.dc_offset == pytest.approx(-0.05, abs=1e-9)
    assert quality.channels == 2
    assert judge(of(tone + 0.1), Limits(snr_db=-1), where="") == ("DC offset: +0.100 of full scale",)


def test_clipped_share_counts_samples_that_stay_at_full_scale(sine: Sine) -> None:
    samples = sine(1000, -20, 1.0, RATE)
    samples[1000:1100] = 1.0  # 100 samples
    samples[2000:2060] = -1.0  # 60 samples
    samples[3000:3002] = 1.0  # two only: a wave may touch full scale
    samples[4000:4004] = [1.0, -1.0, 1.0, -1.0]  # not one sign
    assert of(samples).clipped_share == pytest.approx(160 / RATE)
    samples[5000:5003] = 1.0
    assert of(samples).clipped_share == pytest.approx(163 / RATE)


def test_an_overdriven_sine_has_the_share_that_geometry_says(sine: Sine) -> None:
    driven = np.clip(2 * sine(50, 0, 1.0, RATE), -1, 1)
    # |2 sin φ| >= 1 for 2/3 of a period
    assert of(driven).clipped_share == pytest.approx(2 / 3, abs=0.01)
    assert "clipped (66" in refusal(of(driven))


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_s24le", "pcm_u8", "pcm_mulaw", "pcm_alaw"])
def test_an_overdriven_sine_is_clipped_in_every_format(
    codec: str, sine: Sine, tmp_path: Path, ffmpeg: Callable[..., bytes]
) -> None:
    """The largest value of 8 bits is 127/128, that of a telephone (G.711) 0.98."""
    raw, path = tmp_path / "raw", tmp_path / "a.wav"
    for gain, share in ((2, 2 / 3), (0.9, 0)):
        raw.write_bytes(np.clip(gain * sine(50, 0, 1.0, RATE), -1, 1).astype("<f8").tobytes())
        ffmpeg("-f", "f64le", "-ar", RATE, "-ac", 1, "-i", raw, "-c:a", codec, path)
        assert measure(decode(path)).clipped_share == pytest.approx(share, abs=0.03)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("suffix", "codec"), [("m4a", "aac"), ("mp3", "libmp3lame"), ("opus", "libopus"), ("ogg", "libvorbis")]
)
def test_speech_that_was_clipped_before_it_was_encoded_is_doubted(
    suffix: str, codec: str, real_speech: Path, tmp_path: Path, ffmpeg: Callable[..., bytes]
) -> None:
    sound = decode(sorted((real_speech / "people").glob("*.wav"))[0])
    speech, raw, path = sound.samples[:, 0], tmp_path / "raw", tmp_path / f"a.{suffix}"
    for gain in (0.9, 4):
        louder = gain * speech / np.abs(speech).max()
        share = np.mean(np.abs(louder) >= 1)  # 5 to 9 % of the samples with the second gain
        raw.write_bytes(np.clip(louder, -1, 1).astype("<f8").tobytes())
        ffmpeg("-f", "f64le", "-ar", sound.sample_rate_hz, "-ac", 1, "-i", raw, "-c:a", codec, path)
        assert share / 12 <= measure(decode(path)).clipped_share <= 1.1 * share


def float_pcm(samples: np.ndarray) -> Quality:
    return measure(Sound(samples[:, None], RATE, float_pcm=True))


def test_floating_point_beyond_full_scale_is_not_clipped(sine: Sine) -> None:
    assert float_pcm(sine(50, 20, 1.0, RATE)).clipped_share == 0
    assert of(sine(50, 20, 1.0, RATE)).clipped_share > 0.9  # lossy decoders overshoot: clipped before it was encoded
    assert float_pcm(np.clip(2 * sine(50, 0, 1.0, RATE), -1, 1)).clipped_share == pytest.approx(2 / 3, abs=0.01)


@pytest.mark.parametrize("gain", [1.5, 10.0, 10.0 / 3])
def test_floating_point_is_clipped_where_it_stays_at_its_peak(sine: Sine, gain: float) -> None:
    clipped = np.float32(np.clip(2 * sine(50, 0, 1.0, RATE), -1, 1) * gain).astype(float)  # amplified afterwards
    assert float_pcm(clipped).clipped_share == pytest.approx(2 / 3, abs=0.01)
    one_side = np.where(clipped > 0, clipped, clipped * 0.9)
    assert float_pcm(one_side).clipped_share == pytest.approx(2 / 3, abs=0.01)


def test_not_a_number_is_counted_and_refused(sine: Sine) -> None:
    samples = sine(1000, -20, 1.0, RATE)
    samples[[5, 6, 7, 8, 9]] = [np.nan, np.inf, -np.inf, 1e308, -1e308]  # of the last two a mean would overflow
    quality = of(samples)
    assert quality.not_finite == 5
    assert quality.peak_dbfs == pytest.approx(-20, abs=0.01)
    assert "5 of its samples are not numbers" in refusal(quality)


def test_silence_is_refused() -> None:
    assert "it is silent (below -70 LUFS, limit -60)" in refusal(of(np.zeros(RATE)))


def test_too_short_and_too_long(sine: Sine) -> None:
    assert "too short (0.20 s of sound" in refusal(of(sine(1000, -20, 0.2, RATE)))
    padded = np.concatenate([np.zeros(RATE), sine(1000, -20, 0.2, RATE), np.zeros(RATE)])
    assert "too short" in refusal(of(padded))  # two seconds of file, .2 of sound
    assert "too long (2.0 s" in refusal(of(sine(1000, -20, 2.0, RATE)), Limits(longest_s=1.5))


def test_all_reasons_are_named_at_once() -> None:
    samples = np.zeros(1000)
    samples[0] = np.nan
    found = refusal(of(samples))
    assert "not a number" in found
    assert "silent" in found
    assert "too short" in found


def test_doubts(sine: Sine) -> None:
    quiet = of(sine(1000, -46, 1.0, RATE))
    assert [text.split(":")[0] for text in judge(quiet, Limits(), where="")] == ["quiet", "noisy"]
    touched = sine(1000, -20, 1.0, RATE)
    touched[100:140] = 1.0
    assert "clipped: 0.25% of the samples" in judge(of(touched), Limits(), where="")
    assert "long: 2.0 s" in judge(of(sine(1000, -20, 2.0, RATE)), Limits(long_s=1.0), where="")


def test_as_a_manifest_has_it(sine: Sine) -> None:
    quality = of(sine(1000, -20, 1.0, RATE))
    values = quality.as_dict(("quiet: x",), gain_db=1.23456)
    assert set(values) == {field.name for field in dataclasses.fields(Quality)} | {"gain_db", "warnings"}
    assert values["gain_db"] == 1.2346
    assert values["warnings"] == ["quiet: x"]
    assert all(math.isfinite(value) for name, value in values.items() if name != "warnings")


@pytest.mark.real_data
def test_real_speech_is_accepted_without_doubt(real_speech: Path) -> None:
    files = [file for file in sorted(real_speech.rglob("*")) if file.suffix in (".wav", ".flac")]
    assert len(files) > 10
    for file in files:
        quality = measure(decode(file))
        assert judge(quality, Limits(), where=str(file)) == ()
        assert quality.snr_db > 20
        assert 0.5 < quality.speech_s <= quality.duration_s


@pytest.mark.real_data
def test_real_speech_that_is_spoilt_is_doubted(real_speech: Path) -> None:
    sound = decode(sorted((real_speech / "people").glob("*.wav"))[0])
    noise = np.random.default_rng(0).normal(0, 0.05, sound.samples.shape)
    clean = sound.samples
    spoilt = {
        "noisy": clean + noise,
        "DC offset": clean + 0.1,
        "quiet": clean / 30,
        "clipped": np.clip(clean * 4, -1, 1),
    }
    for word, samples in spoilt.items():
        warnings = judge(measure(Sound(samples, sound.sample_rate_hz)), Limits(most_clipped_share=1), where="")
        assert any(text.startswith(word) for text in warnings), word


@pytest.mark.parametrize("offset", [0.06, -0.3, 0.9])
def test_an_offset_does_not_make_a_dead_microphone_heard(offset: float) -> None:
    noise = np.random.default_rng(0).normal(0, 1e-4, 3 * RATE)  # -80 dBFS
    found = refusal(of(noise + offset))
    assert "it is silent (below -70 LUFS" in found
    assert of(noise + offset).noise_floor_dbfs == pytest.approx(of(noise).noise_floor_dbfs, abs=0.1)


def test_an_offset_does_not_make_speech_noisy(sine: Sine) -> None:
    words = np.concatenate([sine(300, -10, 0.5, RATE), sine(300, -60, 0.3, RATE)] * 3)
    clean, offset = of(words), of(words + 0.3)
    assert judge(clean, Limits(), where="") == ()
    assert judge(offset, Limits(), where="") == ("DC offset: +0.300 of full scale",)
    assert offset.snr_db == pytest.approx(clean.snr_db, abs=0.01)
    assert offset.loudness_lufs == pytest.approx(clean.loudness_lufs, abs=0.01)
    assert offset.peak_dbfs > clean.peak_dbfs  # what is left of the range is measured with it


def test_channels_in_opposite_phase_are_used_and_named(sine: Sine) -> None:
    words = np.concatenate([sine(300, -10, 0.5, RATE), np.zeros(RATE // 4)] * 3)
    quality = of(np.stack([words, -words], axis=1))
    assert quality.loudness_lufs == pytest.approx(of(words).loudness_lufs, abs=0.01)
    assert judge(quality, Limits(), where="") == (
        "opposite phase: the channels cancel each other, and only the loudest is used",
    )
    assert quality.as_dict(())["cancelled"] is True
