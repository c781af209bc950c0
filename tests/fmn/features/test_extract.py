from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dataset_tools.core.errors import InputError, SampleError, StoppedError
from dataset_tools.core.files import sha256_of
from fmn.features import backbone as backbone_module
from fmn.features import file_contents
from fmn.features.audio import read_audio
from fmn.features.config import DEMO_AUDIO, DEMO_VIDEO, VideoFeatureConfig
from fmn.features.extract import extract_audio, extract_video
from fmn.features.i3d import I3D
from fmn.features.media import FeatureSet, Media
from fmn.features.mfcc import Mfcc
from fmn.features.windows import ClipWindows
from fmn.features.workers import overlapped

WriteClip = Callable[..., Media]


def same(one: FeatureSet, other: FeatureSet) -> bool:
    return list(one.values) == list(other.values) and all(
        np.array_equal(one.values[key], other.values[key]) for key in one.values
    )


@pytest.fixture
def clips(write_clip: WriteClip) -> list[Media]:
    return [write_clip(f"clip{i}", frames=30 + 7 * i, seed=i) for i in range(5)]


def test_jobs_and_company_change_no_bit(clips: list[Media], tiny: VideoFeatureConfig, tmp_path: Path) -> None:
    one = extract_video(clips, tiny, cache=tmp_path / "one", jobs=1)
    three = extract_video(clips, tiny, cache=tmp_path / "three", jobs=3)
    assert same(one, three)
    assert one.source == three.source
    single = extract_video(clips[2:3], tiny, cache=tmp_path / "single")
    assert np.array_equal(single.values[clips[2].sha256], one.values[clips[2].sha256])
    assert all(value.shape == (tiny.dim,) and value.dtype == np.float32 for value in one.values.values())


def test_windows_are_kept_where_nothing_pools_them(
    write_clip: WriteClip, tiny: VideoFeatureConfig, tmp_path: Path
) -> None:
    clip = write_clip("long", frames=100)  # 32 samples: 2 windows of 8
    kept = extract_video([clip], replace(tiny, pooling="none"), cache=tmp_path / "cache")
    windows = kept.values[clip.sha256]
    assert windows.shape == (2, tiny.dim)
    assert not np.allclose(windows[0], windows[1])
    for pooling, expected in (("mean", windows.mean(0)), ("max", windows.max(0))):
        pooled = extract_video([clip], replace(tiny, pooling=pooling), cache=tmp_path / "cache")  # type: ignore[arg-type]
        assert pooled.source != kept.source
        np.testing.assert_allclose(pooled.values[clip.sha256], expected, rtol=1e-5)
    again = extract_video([clip], replace(tiny, pooling="none"), cache=tmp_path / "cache")
    assert again.computed == 0
    assert same(again, kept)


def test_another_device_is_fed_by_the_threads_and_gives_the_same(
    clips: list[Media], tiny: VideoFeatureConfig, tmp_path: Path
) -> None:
    # "cpu:0" is the CPU under a name that takes the way of a GPU: two threads describe, others read.
    bad = Media("0" * 64, tmp_path / "none.mp4", "none")
    usual = extract_video([*clips, bad], tiny, cache=tmp_path / "one")
    fed = extract_video([*clips, bad], tiny, cache=tmp_path / "two", device="cpu:0", jobs=2)
    assert same(usual, fed)
    assert list(fed.failures) == [bad.sha256]


def test_the_second_time_everything_comes_from_the_cache(
    clips: list[Media], tiny: VideoFeatureConfig, tmp_path: Path
) -> None:
    first = extract_video(clips, tiny, cache=tmp_path / "cache")
    moved = [Media(clip.sha256, tmp_path / "gone.mp4", clip.name) for clip in clips]  # content counts, not the place
    second = extract_video(moved, tiny, cache=tmp_path / "cache")
    assert (first.computed, second.computed) == (5, 0)
    assert same(first, second)
    other = extract_video(clips, replace(tiny, windows=1), cache=tmp_path / "cache")
    assert other.computed == 5


def test_what_was_interrupted_goes_on(clips: list[Media], tiny: VideoFeatureConfig, tmp_path: Path) -> None:
    def stop(stage: str, done: int, total: int, note: str = "") -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_video(clips, tiny, cache=tmp_path / "cache", jobs=2, progress=stop)
    rest = extract_video(clips, tiny, cache=tmp_path / "cache", jobs=2)
    assert rest.computed == 2
    assert same(rest, extract_video(clips, tiny, cache=tmp_path / "whole"))


def test_one_bad_clip_does_not_stop_the_others(clips: list[Media], tiny: VideoFeatureConfig, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    bad = [Media(sha256_of(text), text, "text"), Media("1" * 64, tmp_path / "none.mp4", "none")]
    found = extract_video([bad[0], *clips, bad[1]], tiny, cache=tmp_path / "cache", jobs=2)
    assert list(found.values) == [clip.sha256 for clip in clips]
    assert list(found.failures) == [bad[0].sha256, "1" * 64]
    assert all(isinstance(error, SampleError) for error in found.failures.values())
    assert same(FeatureSet(tiny.dim, found.values), extract_video(clips, tiny, cache=tmp_path / "without"))
    alone = extract_video(bad, tiny, cache=tmp_path / "cache")
    assert (len(alone.values), len(alone.failures)) == (0, 2)


def test_a_file_of_other_content_gives_no_feature_until_it_is_restored(
    clips: list[Media], tiny: VideoFeatureConfig, tmp_path: Path
) -> None:
    whole = extract_video(clips[:1], tiny, cache=tmp_path / "whole")
    path = tmp_path / "clip.mp4"
    shutil.copy(clips[1].path, path)  # plays, but is another clip
    changed = Media(clips[0].sha256, path, "clip")
    for config in (tiny, VideoFeatureConfig(kind="mean_colour")):
        found = extract_video([changed], config, cache=tmp_path / "cache")
        (error,) = found.failures.values()
        assert isinstance(error, SampleError)
        assert f"its SHA-256 is {clips[1].sha256[:12]}…, not {clips[0].sha256[:12]}…" in error.found
    shutil.copy(clips[0].path, path)
    assert same(extract_video([changed], tiny, cache=tmp_path / "cache"), whole)


def test_a_surprise_in_one_clip_is_its_own(
    clips: list[Media], tiny: VideoFeatureConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fmn.features import windows

    usual = windows.read_windows

    def surprising(path: Path, config: VideoFeatureConfig) -> object:
        if path == clips[1].path:
            raise ZeroDivisionError("never seen before")
        return usual(path, config)

    monkeypatch.setattr(windows, "read_windows", surprising)
    found = extract_video(clips, tiny, cache=tmp_path / "cache", jobs=2)
    assert list(found.failures) == [clips[1].sha256]
    assert "ZeroDivisionError: never seen before" in str(found.failures[clips[1].sha256])
    assert len(found.values) == 4


def test_nan_is_refused_and_not_kept(
    clips: list[Media], tiny: VideoFeatureConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = backbone_module.Backbone.window_features

    def spoiled(self: backbone_module.Backbone, windows: ClipWindows) -> NDArray[np.float32]:
        features = usual(self, windows)
        features[0, 3] = np.nan
        return features

    with monkeypatch.context() as patch:
        patch.setattr(backbone_module.Backbone, "window_features", spoiled)
        found = extract_video(clips[:1], tiny, cache=tmp_path / "cache")
    assert "NaN" in str(found.failures[clips[0].sha256])
    assert extract_video(clips[:1], tiny, cache=tmp_path / "cache").computed == 1


def test_cached_features_need_no_network_and_others_do_before_anything_is_written(
    clips: list[Media], tiny: VideoFeatureConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_contents, "SETTLED_NS", 0)  # the clip may have been written a moment ago
    found = extract_video(clips[:1], tiny, cache=tmp_path / "cache")
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}

    def unfit(config: VideoFeatureConfig) -> NoReturn:
        raise InputError("The weights do not match the network")

    monkeypatch.setattr(backbone_module, "load_networks", unfit)
    again = extract_video(clips[:1], tiny, cache=tmp_path / "cache")
    assert (again.computed, again.source) == (0, found.source)
    for items, dry_run in ((clips[:2], True), (clips[:2], False), ([], False)):
        with pytest.raises(InputError, match="do not match"):
            extract_video(items, tiny, cache=tmp_path / "cache", dry_run=dry_run)
    (tmp_path / "both.safetensors").touch()
    monkeypatch.setattr(backbone_module, "sha256_of", Mock(side_effect=PermissionError(13, "Permission denied")))
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        extract_video(clips[:1], replace(tiny, weights=str(tmp_path / "both.safetensors")), cache=tmp_path / "cache")
    assert kept == {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}


def test_equal_contents_are_computed_once(clips: list[Media], tiny: VideoFeatureConfig, tmp_path: Path) -> None:
    found = extract_video([clips[0], clips[1], clips[0]], tiny, cache=tmp_path / "cache")
    assert found.computed == 2
    assert list(found.values) == [clips[0].sha256, clips[1].sha256]


def test_progress_counts_to_the_end(clips: list[Media], tiny: VideoFeatureConfig, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    extract_video(
        clips, tiny, cache=tmp_path, progress=lambda stage, done, total, note="": seen.append((stage, done, total))
    )
    assert seen == [("video features", done, 5) for done in range(6)]


def test_threads_of_torch_are_as_before(clips: list[Media], tiny: VideoFeatureConfig, tmp_path: Path) -> None:
    torch.set_num_threads(3)
    extract_video(clips[:1], tiny, cache=tmp_path)
    assert torch.get_num_threads() == 3


def test_other_threads_do_not_change_the_number_of_threads_that_compute(
    clips: list[Media], tiny: VideoFeatureConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New threads begin with the number that any thread set last; features must not depend on it."""
    usual, seen = I3D.features, []

    def recorded(network: I3D, pixels: torch.Tensor) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return usual(network, pixels)

    def set_elsewhere(*_: object) -> None:
        other = threading.Thread(target=torch.set_num_threads, args=(3,))
        other.start()
        other.join()

    monkeypatch.setattr(I3D, "features", recorded)
    extract_video(clips[:2], tiny, cache=tmp_path, progress=set_elsewhere)
    assert set(seen) == {1}


def test_random_weights_say_so(clips: list[Media], tiny: VideoFeatureConfig, tmp_path: Path) -> None:
    assert "untrained" in (extract_video(clips[:1], tiny, cache=tmp_path).note or "")
    assert extract_audio([], DEMO_AUDIO, cache=tmp_path).note is None


def test_a_device_that_is_not_there_stops_with_a_message(
    clips: list[Media], tiny: VideoFeatureConfig, tmp_path: Path
) -> None:
    with pytest.raises(StoppedError, match="device"):
        extract_video(clips, tiny, cache=tmp_path, device="cuda:99")


def test_a_flow_method_that_is_not_there_is_an_error_of_the_whole(
    clips: list[Media], tiny: VideoFeatureConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    monkeypatch.delattr(cv2, "optflow", raising=False)
    with pytest.raises(InputError, match="contrib"):
        extract_video(clips, replace(tiny, flow="tvl1"), cache=tmp_path)


@pytest.mark.real_data
def test_real_videos_with_the_demo_network(real_data: Path, as_media: Callable[[Path], Media], tmp_path: Path) -> None:
    items = [as_media(path) for path in sorted((real_data / "video").iterdir())]
    found = extract_video(items, replace(DEMO_VIDEO, weights="random", rgb=True), cache=tmp_path, jobs=2)
    assert [item.name for item in items if item.sha256 in found.failures] == ["damaged"]
    assert len(found.values) == 4
    assert all(value.shape == (512,) and np.isfinite(value).all() for value in found.values.values())
    features = np.stack(list(found.values.values()))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    assert (features @ features.T)[~np.eye(4, dtype=bool)].max() < 0.999


@pytest.mark.real_data
def test_real_speech(real_data: Path, as_media: Callable[[Path], Media], tmp_path: Path) -> None:
    files = sorted(path for path in (real_data / "speech").rglob("*") if path.suffix in (".wav", ".flac"))
    recordings = list({path.resolve(): path for path in files}.values())
    (listing,) = (real_data / "speech" / "cards").glob("*transcription")
    items = [as_media(path) for path in (*recordings, listing)]
    found = extract_audio(items, DEMO_AUDIO, cache=tmp_path, jobs=3)
    assert [item.path for item in items if item.sha256 in found.failures] == [listing]
    assert len(found.values) == len(recordings) > 10
    mfcc = Mfcc(DEMO_AUDIO)
    for item in items:
        if item.sha256 in found.values:
            samples = read_audio(item.path, 16000)
            windows = 1 + (len(samples) - 400) // 160  # of 25 ms every 10 ms
            assert found.values[item.sha256].shape == (windows, 60)
            assert np.array_equal(found.values[item.sha256], mfcc(samples).numpy())
    assert extract_audio(items, DEMO_AUDIO, cache=tmp_path).computed == 0


def test_tasks_come_back_in_order_and_few_are_ahead() -> None:
    started: list[int] = []

    def work(number: int) -> int:
        started.append(number)
        return number * number

    results = overlapped(work, range(100), jobs=2)
    assert next(results) == (0, 0)
    assert len(started) <= 6
    assert list(results) == [(n, n * n) for n in range(1, 100)]
