from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dataset_tools.core.errors import StoppedError
from fmn.features.cache import CachedFeatures, FeatureCache

KEY = "ab" + "0" * 62


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "cache", "video-0123", dim=4, axes=1)


def test_what_is_put_is_got_by_anyone_with_the_same_source(cache: FeatureCache, tmp_path: Path) -> None:
    assert cache.get(KEY) is None
    value = np.array([1, 2, 3, 4], np.float32)
    cache.put(KEY, value)
    again = FeatureCache(tmp_path / "cache", "video-0123", dim=4, axes=1).get(KEY)
    assert again is not None
    assert np.array_equal(again, value)
    assert again.dtype == np.float32
    assert FeatureCache(tmp_path / "cache", "video-4567", dim=4, axes=1).get(KEY) is None
    assert cache.path(KEY) == tmp_path / "cache" / "video-0123" / "ab" / f"{KEY}.npy"


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"not a feature at all"])
def test_a_torn_file_counts_as_missing(cache: FeatureCache, content: bytes) -> None:
    cache.put(KEY, np.ones(4, np.float32))
    cache.path(KEY).write_bytes(content)
    assert cache.get(KEY) is None


def test_a_file_cut_in_the_middle_counts_as_missing(cache: FeatureCache) -> None:
    cache.put(KEY, np.ones(4, np.float32))
    cache.path(KEY).write_bytes(cache.path(KEY).read_bytes()[:-4])
    assert cache.get(KEY) is None


@pytest.mark.parametrize(
    "value",
    [
        np.ones(5, np.float32),
        np.ones((1, 4), np.float32),
        np.ones(4, np.float64),
        np.array([1, np.nan, 1, 1], np.float32),
        np.array([1, np.inf, 1, 1], np.float32),
    ],
)
def test_what_does_not_fit_is_neither_a_feature_nor_got(cache: FeatureCache, value: np.ndarray) -> None:  # type: ignore[type-arg]
    assert not cache.fits(value)
    cache.put(KEY, value)
    assert cache.get(KEY) is None


def test_an_empty_sequence_is_no_feature(tmp_path: Path) -> None:
    sequences = FeatureCache(tmp_path, "audio-0123", dim=4, axes=2)
    assert sequences.fits(np.ones((3, 4), np.float32))
    assert not sequences.fits(np.ones((0, 4), np.float32))


def test_features_are_read_when_they_are_asked_for(cache: FeatureCache) -> None:
    keys = [f"{number:064x}" for number in (3, 1, 2)]
    for number, key in enumerate(keys):
        cache.put(key, np.full(4, number, np.float32))
    found = CachedFeatures(cache, keys)
    assert (list(found), len(found), keys[0] in found, KEY in found) == (keys, 3, True, False)
    assert [value[0] for value in found.values()] == [0, 1, 2]
    cache.put(keys[0], np.full(4, 9, np.float32))
    assert found[keys[0]][0] == 9  # from the file, not from memory
    with pytest.raises(KeyError):
        found[KEY]
    cache.path(keys[1]).unlink()
    with pytest.raises(StoppedError, match="cached feature was removed"):
        found[keys[1]]


def test_a_feature_that_is_only_written_in_part_stops_the_command(tmp_path: Path) -> None:
    """NumPy then raises an error without a reason: the command has to say more than how many values were written."""
    program = f"""
import resource, sys
from pathlib import Path
import numpy as np
from dataset_tools.core.errors import StoppedError
from fmn.features.cache import FeatureCache

resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
try:
    FeatureCache(Path({str(tmp_path)!r}), "source", dim=5000, axes=1).put("ab" * 32, np.ones(5000, np.float32))
except StoppedError as error:
    sys.exit(f"{{error.found}}; {{error.next_step}}; {{error.where}}")
"""
    done = subprocess.run([sys.executable, "-B", "-c", program], capture_output=True, text=True, check=False)
    assert "written completely: the disk is full, or the limit on file sizes" in done.stderr
    assert "make room or raise the limit" in done.stderr
    assert f"{'ab' * 32}.npy" in done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
