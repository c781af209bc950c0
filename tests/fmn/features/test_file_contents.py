"""Whether features are of the files that rows name, if they are computed and if they are cached."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dataset_tools.core.errors import SampleError
from fmn.features import file_contents, media
from fmn.features.config import VideoFeatureConfig
from fmn.features.extract import extract_video
from fmn.features.media import FeatureSet, Media
from fmn.features.sample_store import SampleStore

WriteClip = Callable[..., Media]
SIZES = VideoFeatureConfig(kind="file_size")


@pytest.fixture
def clips(write_clip: WriteClip) -> list[Media]:
    return [write_clip(f"clip{i}", frames=20 + 5 * i, seed=i) for i in range(3)]


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are hashed; files that were just written may be recorded as well."""
    found: list[str] = []
    usual = media.sha256_of

    def counted(path: Path) -> str:
        found.append(path.name)
        return usual(path)

    monkeypatch.setattr(media, "sha256_of", counted)
    monkeypatch.setattr(file_contents, "SETTLED_NS", 0)
    return found


def outcome(found: FeatureSet) -> tuple[list[str], dict[str, str]]:
    return list(found.values), {sha256: error.found for sha256, error in found.failures.items()}


@pytest.mark.usefixtures("hashed")
@pytest.mark.parametrize("kept_mtime", [False, True])
def test_a_file_that_was_changed_has_no_feature_of_its_old_content(
    clips: list[Media], tmp_path: Path, *, kept_mtime: bool
) -> None:
    extract_video(clips, SIZES, cache=tmp_path / "cache")
    path, before = clips[1].path, clips[1].path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # of the same size
    path.write_bytes(content)
    if kept_mtime:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    for cache in ("cache", "none", "cache"):
        found = extract_video(clips, SIZES, cache=tmp_path / cache)
        assert list(found.values) == [clips[0].sha256, clips[2].sha256]
        assert "The content of clip1 has changed" in found.failures[clips[1].sha256].found
    content[-1] ^= 1
    path.write_bytes(content)
    restored = extract_video(clips, SIZES, cache=tmp_path / "cache")
    assert (restored.computed, restored.failures) == (0, {})


@pytest.mark.usefixtures("hashed")
def test_a_row_that_names_another_file_has_no_feature(clips: list[Media], tmp_path: Path) -> None:
    extract_video(clips, SIZES, cache=tmp_path / "cache")
    copied = replace(clips[0], path=clips[1].path, name="copied")
    found = {
        cache: outcome(extract_video([copied, *clips[1:]], SIZES, cache=tmp_path / cache)) for cache in ("cache", "no")
    }
    assert found["cache"] == found["no"]
    assert list(found["no"][1]) == [clips[0].sha256]
    assert f"its SHA-256 is {clips[1].sha256[:12]}" in found["no"][1][clips[0].sha256]


@pytest.mark.usefixtures("hashed")
def test_files_of_one_sha256_are_all_checked(clips: list[Media], tmp_path: Path) -> None:
    same = replace(clips[0], path=tmp_path / "same.mp4", name="same")
    shutil.copy(clips[0].path, same.path)
    other = replace(clips[0], path=clips[2].path, name="other")
    for cached in (False, True):
        cache = tmp_path / f"cache {cached}"
        if cached:
            extract_video(clips, SIZES, cache=cache)
        shared = extract_video([clips[0], same], SIZES, cache=cache)
        assert (shared.computed, list(shared.values)) == (not cached, [clips[0].sha256])
        for items in ([clips[0], other], [other, clips[0]]):
            found = extract_video(items, SIZES, cache=cache)
            assert (list(found.values), found.failures, found.failure_of(clips[0])) == ([clips[0].sha256], {}, None)
            assert "The content of other has changed" in str(found.failure_of(other))
        refused = extract_video([other, replace(other, path=clips[1].path)], SIZES, cache=cache)
        assert (len(refused.values), list(refused.failures), refused.changed) == (0, [clips[0].sha256], {})


def test_files_are_hashed_once(clips: list[Media], tmp_path: Path, hashed: list[str]) -> None:
    extract_video(clips, SIZES, cache=tmp_path / "cache")
    assert sorted(hashed) == ["clip0.mp4", "clip1.mp4", "clip2.mp4"]
    for config in (SIZES, VideoFeatureConfig(kind="duration")):
        extract_video(clips, config, cache=tmp_path / "cache")
    assert len(hashed) == 3
    clips[1].path.touch()
    extract_video(clips, SIZES, cache=tmp_path / "cache")
    assert hashed[3:] == ["clip1.mp4"]
    for record in (tmp_path / "cache" / "contents").rglob("*.npy"):
        record.write_bytes(b"torn")
    extract_video(clips, SIZES, cache=tmp_path / "cache")
    assert len(hashed) == 7
    shutil.rmtree(tmp_path / "cache" / "contents")  # as in a cache of an earlier version
    extract_video(clips, SIZES, cache=tmp_path / "cache")
    assert len(hashed) == 10


def test_a_file_that_was_just_written_is_not_recorded(clips: list[Media], tmp_path: Path) -> None:
    clips[0].path.touch()
    contents = file_contents.FileContents(lambda sha256: tmp_path / "record" / sha256)
    contents.require(clips[0])
    assert not contents.is_known(clips[0])


@pytest.mark.usefixtures("hashed")
def test_the_record_of_a_content_does_not_grow_with_the_number_of_its_paths(clips: list[Media], tmp_path: Path) -> None:
    """A synthesized query lies in a new temporary folder each time."""
    record = tmp_path / "record"
    contents = file_contents.FileContents(lambda _: record)
    copies = [replace(clips[0], path=tmp_path / str(number) / "spoken.mp4") for number in range(40)]
    for copy in copies:
        copy.path.parent.mkdir()
        shutil.copy(clips[0].path, copy.path)
        contents.require(copy)
    assert [contents.is_known(copy) for copy in copies] == [False] * 24 + [True] * 16
    assert len(np.load(record)) == 16


@pytest.mark.usefixtures("hashed")
def test_decoded_samples_are_of_the_files(clips: list[Media], tiny: VideoFeatureConfig, tmp_path: Path) -> None:
    assert SampleStore(tmp_path / "cache", tiny).fill(clips) == {}
    copied = replace(clips[0], path=clips[1].path, name="copied")
    for cache in ("cache", "none"):
        (error,) = SampleStore(tmp_path / cache, tiny).fill([copied, clips[1]]).values()
        assert isinstance(error, SampleError)
        assert "The content of copied has changed" in error.found
        same = SampleStore(tmp_path / cache, tiny).fill([copied, clips[0]])  # of its SHA-256, and as it says
        assert list(same) == [(copied.sha256, copied.path)]
