"""Which frames an encoder sees, and what becomes of what it says: with an encoder that says what it was shown."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from dataset_tools.core.errors import InputError, SampleError
from fmn.features import encoding
from fmn.features.config import DEMO_AUDIO, DEMO_VIDEO, VideoFeatureConfig
from fmn.features.extract import extract_audio, extract_video
from fmn.features.media import Media

FRAMES, SIDE = 20, 16


class Brightness:
    """The mean of each frame, and one; the mean of a window's first and last frame, where ``frames`` is a number."""

    name, revision, licence, dim, size_px = "brightness", "r1", "public domain", 2, SIDE
    source = "brightness"

    def __init__(self, frames: int | None) -> None:
        self.frames = frames
        self.seen: list[tuple[int, ...]] = []

    def encode(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.seen.append(frames.shape)
        means = frames.mean(axis=(1, 2, 3), dtype=np.float32)
        if self.frames:
            return means[[0, -1]]
        return np.stack([means, np.ones_like(means)], axis=1)


class Pairs:
    """Samples in pairs, as a sequence of two numbers; or their sum, one vector."""

    name, revision, licence, dim, source, sample_rate_hz = "pairs", "", "none", 2, "pairs", 8000

    def __init__(self, *, whole: bool = False) -> None:
        self.whole = whole

    def encode(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = waveform[: len(waveform) // 2 * 2].reshape(-1, 2)
        return rows.sum(axis=0) if self.whole else rows


@pytest.fixture
def clip(write_video: Callable[..., Path], as_media: Callable[[Path], Media]) -> Media:
    """Frame i of 20 has brightness 10 i + 30."""
    levels = np.arange(FRAMES, dtype=np.uint8) * 10 + 30
    return as_media(write_video("clip.mp4", np.broadcast_to(levels[:, None, None, None], (FRAMES, 48, 64, 3))))


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    def put(encoder: object) -> None:
        monkeypatch.setattr(encoding, "open_video_encoder", lambda text, device: encoder)
        monkeypatch.setattr(encoding, "open_speech_encoder", lambda text, device, layer: encoder)

    return put


BASE = replace(DEMO_VIDEO, encoder="any", sample_fps=25.0, window_frames=8, windows=2)


@pytest.mark.parametrize(
    ("changes", "frames", "expected", "views"),
    [
        # Two windows of 8 of 20 frames: the first eight and the last eight, each frame once.
        ({}, None, np.mean([*range(8), *range(12, 20)]), [(16, SIDE, SIDE, 3)]),
        ({"pooling": "max"}, None, 19, [(16, SIDE, SIDE, 3)]),
        ({"frames": "middle"}, None, 10, [(1, SIDE, SIDE, 3)]),
        # 12.5 samples a second: every other frame, ten of them; one window in their middle: samples 1 … 8.
        ({"sample_fps": 12.5, "windows": 1}, None, None, [(8, SIDE, SIDE, 3)]),
        # The encoder's own number of frames: windows 0–4 and 15–19; its rows are pooled with those of the other.
        ({}, 5, np.mean([0, 15]), [(5, SIDE, SIDE, 3)] * 2),
        ({"pooling": "max"}, 5, 15, [(5, SIDE, SIDE, 3)] * 2),
        # More frames than there are: the clip is repeated, for a video model only.
        ({"windows": 1}, 24, 0, [(24, SIDE, SIDE, 3)]),
        ({"window_frames": 24, "windows": 1}, None, np.mean(range(20)), [(20, SIDE, SIDE, 3)]),
    ],
)
def test_what_a_video_encoder_is_shown(
    clip: Media,
    use: Callable[[object], None],
    tmp_path: Path,
    changes: dict[str, object],
    frames: int | None,
    expected: float | None,
    views: list[tuple[int, ...]],
) -> None:
    encoder = Brightness(frames)
    use(encoder)
    if frames:  # first and last frame of each window: only the first is looked at here
        encoder.encode = lambda window: (encoder.seen.append(window.shape), np.array([window[0].mean(), 1], "f4"))[1]  # type: ignore[method-assign,func-returns-value]
    found = extract_video([clip], replace(BASE, **changes), cache=tmp_path / "cache")  # type: ignore[arg-type]
    assert encoder.seen == views
    (value,) = found.values.values()
    assert value.shape == (2,)
    if expected is not None:
        assert value[0] == pytest.approx(10 * expected + 30, abs=2)  # a little is lost in the video's coding
    assert (found.dim, found.failures) == (2, {})
    assert found.note == "Video features are by brightness@r1; license of its weights: public domain."


def test_each_setting_that_counts_has_a_cache_of_its_own(
    clip: Media, use: Callable[[object], None], tmp_path: Path
) -> None:
    use(Brightness(None))

    def source(config: VideoFeatureConfig) -> str:
        return extract_video([clip], config, cache=tmp_path / "cache").source

    changes: tuple[dict[str, object], ...] = (
        *({"pooling": "max"}, {"windows": 1}, {"window_frames": 9}, {"sample_fps": 5.0}),
        *({"frames": "middle"}, {"resize": "short_side"}),
    )
    assert len({source(BASE), *(source(replace(BASE, **change)) for change in changes)}) == 7  # type: ignore[arg-type]
    assert source(replace(BASE, flow="none", crop_px=64, width=1.0)) == source(BASE)  # of the backbone alone
    assert extract_video([clip], BASE, cache=tmp_path / "cache").computed == 0


def test_speech_is_resampled_and_normalized_over_the_utterance(
    use: Callable[[object], None], as_media: Callable[[Path], Media], tmp_path: Path
) -> None:
    samples = np.random.default_rng(0).normal(scale=0.1, size=800).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype="FLOAT")
    item = as_media(tmp_path / "a.wav")
    use(Pairs())
    config = replace(DEMO_AUDIO, encoder="any")
    rows = samples.reshape(-1, 2)
    (found,) = extract_audio([item], replace(config, cmvn=False), cache=tmp_path / "cache").values.values()
    np.testing.assert_array_equal(found, rows)
    (found,) = extract_audio([item], config, cache=tmp_path / "cache").values.values()
    np.testing.assert_allclose(found, (rows - rows.mean(axis=0)) / rows.std(axis=0), atol=1e-4)
    use(Pairs(whole=True))
    (found,) = extract_audio([item], config, cache=tmp_path / "other").values.values()
    np.testing.assert_allclose(found, rows.sum(axis=0)[None], rtol=1e-5)


def test_one_bad_file_does_not_stop_the_others_and_a_wrong_encoder_does(
    clip: Media, use: Callable[[object], None], tmp_path: Path
) -> None:
    use(Brightness(None))
    bad = Media("0" * 64, tmp_path / "none.mp4", "none")
    found = extract_video([bad, clip], BASE, cache=tmp_path / "cache", jobs=2)
    assert isinstance(found.failures[bad.sha256], SampleError)
    assert list(found.values) == [clip.sha256]
    encoder = Brightness(None)
    encoder.dim = 3
    use(encoder)
    with pytest.raises(InputError, match=r"shape \[16, 2\]"):
        extract_video([clip], BASE, cache=tmp_path / "other")


def test_an_encoder_that_exits_fails_on_its_clip(clip: Media, use: Callable[[object], None], tmp_path: Path) -> None:
    encoder = Brightness(None)
    encoder.encode = lambda frames: sys.exit("no license")  # type: ignore[method-assign]
    use(encoder)
    (error,) = extract_video([clip], BASE, cache=tmp_path / "cache").failures.values()
    assert "SystemExit: no license" in error.found


def test_nan_stays_nan_where_features_are_normalized(
    use: Callable[[object], None], as_media: Callable[[Path], Media], tmp_path: Path
) -> None:
    """In the encoder (half precision overflows) or in a recording of floating-point samples; it became zeros."""
    samples = np.random.default_rng(0).normal(scale=0.1, size=16_000).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    samples[5_000] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, 16_000, subtype="FLOAT")
    whole, damaged = as_media(tmp_path / "a.wav"), as_media(tmp_path / "nan.wav")
    found = extract_audio([whole, damaged], DEMO_AUDIO, cache=tmp_path / "cache")
    assert (list(found.values), list(found.failures)) == ([whole.sha256], [damaged.sha256])
    encoder = Pairs()
    encoder.encode = lambda waveform: np.full((5, 2), np.nan, np.float32)  # type: ignore[method-assign]
    use(encoder)
    (error,) = extract_audio([whole], replace(DEMO_AUDIO, encoder="any"), cache=tmp_path / "cache").failures.values()
    assert "contains NaN" in error.found


@pytest.mark.parametrize("source", [None, "", 3])
def test_an_encoder_without_a_source_is_refused(
    source: Any, clip: Media, use: Callable[[object], None], tmp_path: Path
) -> None:
    """All such encoders would share their cached features."""
    encoder = Brightness(None)
    encoder.source = source
    use(encoder)
    with pytest.raises(InputError, match="states as its source"):
        extract_video([clip], BASE, cache=tmp_path / "cache")


def test_an_encoder_that_returns_no_row_is_refused(clip: Media, use: Callable[[object], None], tmp_path: Path) -> None:
    encoder = Brightness(None)
    encoder.encode = lambda frames: np.zeros((0, 2), np.float32)  # type: ignore[method-assign]
    use(encoder)
    with pytest.raises(InputError, match=r"shape \[0, 2\]"):
        extract_video([clip], BASE, cache=tmp_path / "cache")
