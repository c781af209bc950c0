from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import PARTIAL
from fmn.features.config import DEMO_AUDIO, DEMO_VIDEO, Pooling
from fmn.features.extract import extract_audio, extract_video
from fmn.features.feature_files import load_feature_files, save_feature_files
from fmn.features.media import FeatureSet, Media

ITEMS = [Media(f"{number}" * 64, Path("never read"), f"s0{number}-d01") for number in range(3)]
Arrays = dict[str, NDArray[np.float32]]
POOLINGS: tuple[Pooling, ...] = ("mean", "max", "none")


def arrays(*shape: int) -> Arrays:
    """By id, by id, by SHA-256."""
    random = np.random.default_rng(0)
    return {
        name: random.normal(size=shape).astype(np.float32) for name in (ITEMS[0].name, ITEMS[1].name, ITEMS[2].sha256)
    }


def as_npy(folder: Path, found: Arrays) -> Path:
    folder.mkdir()
    for name, value in found.items():
        np.save(folder / f"{name}.npy", value)
    return folder


def as_safetensors(folder: Path, found: Arrays) -> Path:
    folder.mkdir()
    for name, value in found.items():
        save_file({"any name": value}, folder / f"{name}.safetensors")
    return folder


def as_npz(folder: Path, found: Arrays) -> Path:
    np.savez(folder.with_suffix(".npz"), **found)
    return folder.with_suffix(".npz")


def as_parquet(folder: Path, found: Arrays) -> Path:
    if find_spec("pyarrow") is None:
        pytest.skip("the extra 'parquet' is not installed")
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table({"id": list(found), "vector": [value.tolist() for value in found.values()]})
    parquet.write_table(table, folder.with_suffix(".parquet"))
    return folder.with_suffix(".parquet")


@pytest.mark.parametrize("write", [as_npy, as_safetensors, as_npz, as_parquet])
def test_every_form_gives_vectors_of_clips_and_sequences_of_utterances(
    write: Callable[[Path, Arrays], Path], tmp_path: Path
) -> None:
    given = arrays(5, 4)
    path = write(tmp_path / "features", given)
    audio = extract_audio(ITEMS, replace(DEMO_AUDIO, features=str(path)), cache=tmp_path)
    video = extract_video(ITEMS, replace(DEMO_VIDEO, features=str(path)), cache=tmp_path)
    largest = extract_video(ITEMS, replace(DEMO_VIDEO, features=str(path), pooling="max"), cache=tmp_path)
    assert (audio.dim, video.dim, audio.failures, video.failures) == (4, 4, {}, {})
    for item, value in zip(ITEMS, given.values(), strict=True):
        np.testing.assert_array_equal(audio.values[item.sha256], value)
        np.testing.assert_allclose(video.values[item.sha256], value.mean(axis=0), rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(largest.values[item.sha256], value.max(axis=0))
    other = write(tmp_path / "vectors", arrays(4))
    found = load_feature_files(ITEMS, other, axes=2)
    assert {value.shape for value in found.values.values()} == {(1, 4)}
    assert len({feature.source for feature in (found, audio, video, largest)}) == 4  # nothing of them is the same


def test_what_is_missing_or_not_finite_is_named_and_one_size_is_asked_for(tmp_path: Path) -> None:
    given = arrays(4)
    given.pop(ITEMS[0].name)
    given[ITEMS[1].name][2] = np.nan
    found = load_feature_files(ITEMS, as_npz(tmp_path / "a", given), axes=1)
    assert list(found.values) == [ITEMS[2].sha256]
    assert "no feature for s00-d01" in str(found.failures[ITEMS[0].sha256])
    assert "s01-d01, of shape [4], cannot be used: 1 value is not finite" in str(found.failures[ITEMS[1].sha256])
    given = arrays(4) | {ITEMS[1].name: np.ones(5, np.float32)}
    with pytest.raises(InputError, match="s01-d01 has 5 values, others have 4"):
        load_feature_files(ITEMS, as_npz(tmp_path / "b", given), axes=1)
    (tmp_path / "text.npz").write_text("nothing")
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "text.npz", tmp_path / "empty", tmp_path / "none", Path(__file__)):
        with pytest.raises(InputError, match=r"There are no features|cannot be read|contains no feat|format is not"):
            load_feature_files(ITEMS, path, axes=1)


def test_an_export_keeps_its_source_until_a_file_is_changed(tmp_path: Path) -> None:
    values = dict(zip((item.sha256 for item in ITEMS), arrays(4).values(), strict=True))
    exported = FeatureSet(4, values, {}, "video-0123", 0, "A note.", frozenset({ITEMS[1].sha256}))
    save_feature_files(tmp_path / "video", exported)
    found = load_feature_files(ITEMS, tmp_path / "video", axes=1)
    assert (found.source, found.note, found.trained_on) == ("video-0123", "A note.", exported.trained_on)
    save_feature_files(tmp_path / "video", exported)  # again, over itself
    np.save(tmp_path / "video" / f"{ITEMS[0].sha256}.npy", np.ones(4, np.float32))
    changed = load_feature_files(ITEMS, tmp_path / "video", axes=1)
    assert changed.source.startswith("files-")
    (tmp_path / "video" / "mine.npy").write_bytes(b"")
    with pytest.raises(InputError, match=r"other files, such as mine\.npy"):
        save_feature_files(tmp_path / "video", exported)
    (tmp_path / "video" / "features.json").write_text(json.dumps({"schema": "another"}))
    with pytest.raises(InputError, match="cannot be read"):
        load_feature_files(ITEMS, tmp_path / "video", axes=1)


def test_an_export_goes_on_where_another_was_killed(tmp_path: Path) -> None:
    exported = FeatureSet(4, {"0" * 64: np.ones(4, np.float32)}, {}, "video-0123")
    (tmp_path / f"{PARTIAL}killed").mkdir()
    save_feature_files(tmp_path, exported)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{'0' * 64}.npy", "features.json"]


def test_windows_that_are_pooled_when_an_export_is_read_have_a_source_of_their_own(tmp_path: Path) -> None:
    windows = dict(zip((item.sha256 for item in ITEMS), arrays(5, 4).values(), strict=True))
    save_feature_files(tmp_path / "none", FeatureSet(4, windows, {}, "video-0123"))
    sources = {
        pooling: load_feature_files(ITEMS, tmp_path / "none", axes=1, pooling=pooling).source for pooling in POOLINGS
    }
    assert sources["none"] == "video-0123"
    assert len(set(sources.values())) == 3
    pooled = {key: value.mean(axis=0) for key, value in windows.items()}
    save_feature_files(tmp_path / "mean", FeatureSet(4, pooled, {}, "video-4567"))
    assert {load_feature_files(ITEMS, tmp_path / "mean", axes=1, pooling=one).source for one in POOLINGS} == {
        "video-4567"
    }


def test_features_go_with_nothing_that_they_cannot_follow() -> None:
    for changes in ({"encoder": "timm:x"}, {"frames": "middle"}):
        with pytest.raises(InputError, match=r"both set|whole clips"):
            replace(DEMO_VIDEO, features="folder", **changes)  # type: ignore[arg-type]
    assert replace(replace(DEMO_VIDEO, features="folder"), kind="mean_colour").dim == 6


def test_numbers_of_any_size_and_byte_order_are_read_and_what_is_no_number_is_named(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file as save_tensors

    values = [0.5, -2.0, 96.0]
    readable = {"half": "<f2", "double": "<f8", "big": ">f4", "integers": "<i2"}
    items = [Media(f"{number:064x}", Path("never read"), name) for number, name in enumerate([*readable, "bfloat"])]
    for name, dtype in readable.items():
        np.save(tmp_path / f"{name}.npy", np.array(values).astype(dtype))
    save_tensors({"x": torch.tensor(values, dtype=torch.bfloat16)}, tmp_path / "bfloat.safetensors")
    found = load_feature_files(items, tmp_path, axes=1)
    assert not found.failures
    for item in items:
        expected = [0, -2, 96] if item.name == "integers" else values
        assert found.values[item.sha256].tolist() == expected
        assert found.values[item.sha256].dtype == np.float32

    wrong = {
        "complex": np.array(values) + 1j,
        "text": np.array(["1", "2", "3"]),
        "objects": np.array([1, None, 2], object),
        "large": np.array([1e300, 0, 0]),
    }
    for name, value in wrong.items():
        np.save(tmp_path / f"{name}.npy", value, allow_pickle=True)
    save_file({"x": np.ones(3, np.float32), "y": np.ones(3, np.float32)}, tmp_path / "several.safetensors")
    (tmp_path / "folder.npy").mkdir()
    others = [Media(f"{number:064x}", Path("never read"), name) for number, name in enumerate(wrong, 20)]
    others += [Media("e" * 64, Path("never read"), "several"), Media("f" * 64, Path("never read"), "folder")]
    found = load_feature_files([*items, *others], tmp_path, axes=1)
    assert set(found.failures) == {item.sha256 for item in others}
    assert "contains 2 arrays" in found.failures["e" * 64].found


def test_two_features_of_one_item_are_not_chosen_between(tmp_path: Path) -> None:
    folder = as_npy(tmp_path / "both", arrays(4))
    np.save(folder / f"{ITEMS[0].sha256}.npy", np.zeros(4, np.float32))  # beside the one by its id
    found = load_feature_files(ITEMS, folder, axes=1)
    assert list(found.failures) == [ITEMS[0].sha256]
    assert "two features" in found.failures[ITEMS[0].sha256].found
    save_file({"x": np.zeros(4, np.float32)}, folder / f"{ITEMS[1].name}.safetensors")
    with pytest.raises(InputError, match=f"several features with the name {ITEMS[1].name}"):
        load_feature_files(ITEMS, folder, axes=1)
    if find_spec("pyarrow"):
        import pyarrow
        from pyarrow import parquet

        file = tmp_path / "rows.parquet"
        parquet.write_table(pyarrow.table({"id": ["a", "b", "a"], "vector": [[1.0], [2.0], [3.0]]}), file)
        with pytest.raises(InputError, match="several features with the name a"):
            load_feature_files(ITEMS, file, axes=1)


def test_items_of_one_content_share_a_feature_and_have_no_two(tmp_path: Path) -> None:
    first, copy = ITEMS[0], replace(ITEMS[0], name="s09-d09")
    given = arrays(4)
    folder = as_npy(tmp_path / "one", given)
    for items in ([first, copy, *ITEMS[1:]], [copy, *ITEMS]):
        found = load_feature_files(items, folder, axes=1)
        assert (len(found.values), found.failures) == (3, {})
        np.testing.assert_array_equal(found.values[first.sha256], given[first.name])
    np.save(folder / f"{copy.name}.npy", given[first.name].astype(np.float64))  # the same numbers
    assert load_feature_files([first, copy, *ITEMS[1:]], folder, axes=1).failures == {}
    np.save(folder / f"{copy.name}.npy", given[first.name] + 1)
    with pytest.raises(InputError, match=f"{first.name} and {copy.name} have the same content") as refused:
        load_feature_files([first, copy, *ITEMS[1:]], folder, axes=1)
    assert first.sha256 in str(refused.value.expected)
    np.testing.assert_array_equal(
        load_feature_files([copy, *ITEMS[1:]], folder, axes=1).values[first.sha256], given[first.name] + 1
    )
    np.save(folder / f"{copy.name}.npy", given[first.name] * np.nan)
    assert list(load_feature_files([first, copy], folder, axes=1).failures) == [first.sha256]
    for name in (first.name, copy.name):
        (folder / f"{name}.npy").unlink()
    lost = load_feature_files([first, copy, *ITEMS[1:]], folder, axes=1).failures
    assert "no feature for s00-d01" in lost[first.sha256].found
