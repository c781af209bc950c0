"""Files of features: reading the user's own features instead of extracting them, and exporting features.

A folder of .npy or .safetensors files (one array each), one .npz, or one .parquet with the columns ``id`` and
``vector``. Arrays are named by the id of the clip or utterance or by the SHA-256 of its file.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError, SampleError, ToolkitError
from dataset_tools.core.files import PARTIAL, clear_partial, sha256_of, write_bytes, written_whole
from dataset_tools.core.json_record import record_bytes
from fmn.features.config import AudioFeatureConfig, Pooling
from fmn.features.encoders.libraries import library
from fmn.features.media import FeatureSet, Media
from fmn.features.pooling import pooled

Feature = NDArray[np.float32]
SUFFIXES = (".npy", ".safetensors")
ABOUT_FILE = "features.json"
FORMAT = "fmn.features/1"
OWN = "files-"
"""Prefix of the source of the user's own features."""


class AboutFeatures(msgspec.Struct, kw_only=True):
    """features.json of an export: metadata of the features, valid as long as the exported files are unchanged.

    Attributes:
        schema: `FORMAT`.
        source: digest of everything that determines the values.
        note: their caveat.
        trained_on: SHA-256 of the clips on which the network was trained.
        band: number of adjacent values of an audio frame that form one band; None: all.
        space: identifies the joint embedding space of the features; empty: none.
        content: digest of all files.
    """

    schema: str
    source: str
    note: str | None
    trained_on: list[str]
    band: int | None
    space: str = ""
    content: str


@dataclass(frozen=True)
class FeatureFiles:
    """Features in a folder or file, by name, read one at a time.

    Attributes:
        path: the folder or the file.
        content: digest of all its content.
        read: returns the array with a name.
        hashes: SHA-256 digests of all arrays, by name.
    """

    path: Path
    content: str
    read: Callable[[str], Any]
    hashes: Mapping[str, str]


def open_features(path: Path) -> FeatureFiles:
    """Opens a folder or a file of features.

    Raises:
        InputError: it does not exist, or its format is not supported.
    """
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise _unusable(path, "There are no features")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return _from_arrays(path, {name: arrays[name] for name in arrays.files})
        if path.suffix == ".parquet":
            columns = library("pyarrow.parquet", "parquet").read_table(path, columns=["id", "vector"]).to_pydict()
            names = [str(name) for name in columns["id"]]
            _check_unique(path, names)
            return _from_arrays(path, dict(zip(names, columns["vector"], strict=True)))
    except InputError:
        raise
    except Exception as error:  # numpy and pyarrow pass on any error of their parsers
        raise _unusable(path, f"The features cannot be read: {error}") from error
    raise _unusable(path, "The file format is not supported")


def load_feature_files(items: Sequence[Media], path: Path, *, axes: int, pooling: Pooling = "mean") -> FeatureSet:
    """Loads the features of items from files.

    Args:
        items: clips or utterances.
        path: see `open_features`.
        axes: 1 returns vectors [D] (sequences are pooled), 2 returns sequences [T, D] (a vector becomes one frame), as
            does 1 with the pooling ``none``.
        pooling: see ``axes``.

    Returns:
        Their features; an item without features, or with values that are not finite, is a failure. If sequences were
        pooled, the source records it, because the values then differ from those in the files.

    Raises:
        InputError: there are no features, their sizes differ, or items of the same content have different ones.
    """
    files = open_features(path)
    values: dict[str, Feature] = {}
    failures: dict[str, ToolkitError] = {}
    first = pooled_as = ""
    copies: dict[str, dict[str, Media]] = {}
    for item in items:
        copies.setdefault(item.sha256, {})[item.name] = item
    for item, *others in (list(by_name.values()) for by_name in copies.values()):
        feature = _feature(item, files) if not others else _shared_feature((item, *others), files)
        if isinstance(feature, ToolkitError):
            failures[item.sha256] = feature
            continue
        if axes == 2 or pooling == "none":
            feature = np.atleast_2d(feature)
        elif feature.ndim == 2:
            feature, pooled_as = pooled(feature, pooling), f", {pooling}"
        first = first or item.sha256
        if feature.shape[-1] != values.get(first, feature).shape[-1]:
            raise InputError(
                f"The feature of {item.name} has {count_of(feature.shape[-1], 'value')}, others have "
                f"{values[first].shape[-1]}",
                where=path,
                expected="features of the same size",
                next_step="compute all of them with the same encoder",
            )
        values[item.sha256] = feature
    dim = values[first].shape[-1] if first else 0
    about = _about(path)
    if about is not None and about.content == files.content:
        known = frozenset(about.trained_on)
        space = about.space if pooling != "max" else ""  # see `fmn.features.encoding.ClipEncoding`
        source, note = about.source + pooled_as, about.note
        return FeatureSet(dim, values, failures, source, note=note, trained_on=known, band=about.band, space=space)
    source, note = f"{OWN}{files.content[:16]}{pooled_as}", f"Features are read from {path.name}."
    return FeatureSet(dim, values, failures, source, note=note, own=files.hashes)


def with_layers(features: FeatureSet, config: AudioFeatureConfig) -> FeatureSet:
    """Returns audio features unchanged, after checking that they can be used with ``config.layer``.

    Raises:
        InputError: layer weights are to be learned, but the size of a layer in these features is unknown.
    """
    if config.learns_layers and (features.band is None or features.dim % features.band):
        raise InputError(
            "audio.layer is learned, but the layers of these features are unknown",
            where=config.features,
            expected=f"an unchanged export of features with audio.layer=learned, including its {ABOUT_FILE}",
            next_step="export them again, or omit audio.layer=learned",
        )
    return features


def save_feature_files(folder: Path, features: FeatureSet) -> None:
    """Writes features as files named by SHA-256, and their metadata as features.json.

    Raises:
        InputError: the folder contains files other than these features.
        StoppedError: the disk is full or read-only.
    """
    check_feature_folder(folder, features.values.keys())
    clear_partial(folder)
    for sha256, value in features.values.items():
        with written_whole(folder / f"{sha256}.npy") as partial, partial.open("wb") as file:
            np.save(file, value)
    about = AboutFeatures(
        schema=FORMAT,
        source=features.source,
        note=features.note,
        trained_on=sorted(features.trained_on),
        band=features.band,
        space=features.space,
        content=_folder(folder).content,
    )
    write_bytes(folder / ABOUT_FILE, record_bytes(about))


def check_feature_folder(folder: Path, sha256s: Collection[str]) -> None:
    """Checks that `save_feature_files` would not mix the features of these contents with other files in a folder.

    Raises:
        InputError: it contains files other than these features and the partial files of an interrupted export.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(
            "This is a file", where=folder, expected="a folder for the features", next_step="choose another path"
        )
    known = {f"{sha256}.npy" for sha256 in sha256s} | {ABOUT_FILE}
    others = sorted(path.name for path in folder.iterdir() if path.name not in known) if folder.is_dir() else []
    others = [name for name in others if not name.startswith(PARTIAL)]
    if others:
        raise InputError(
            f"The folder contains other files, such as {others[0]}",
            where=folder,
            expected="a new or empty folder, or an earlier export of the same items",
            next_step="choose another folder",
        )


def _feature(item: Media, files: FeatureFiles) -> Feature | ToolkitError:
    """Returns the array of an item, [D] or [T, D], or an error if there is no valid one."""
    names = {item.name, item.sha256} & files.hashes.keys()
    if len(names) != 1:
        return SampleError(
            f"There is no feature for {item.name}" if not names else f"There are two features for {item.name}",
            where=files.path,
            expected=f"one named {' or '.join(dict.fromkeys((item.name, item.sha256)))}",
            next_step="add it, or omit the item" if not names else "delete one of them",
        )
    return _array(item, names.pop(), files)


def _shared_feature(items: Sequence[Media], files: FeatureFiles) -> Feature | ToolkitError:
    """Returns the array of several items of the same content, named by the id of any of them or by the SHA-256.

    Raises:
        InputError: they have different arrays.
    """
    sha256 = items[0].sha256
    of_names = {item.name: item for item in items} | {sha256: items[0]}
    named = [name for name in of_names if name in files.hashes]
    if not named:
        return _feature(items[0], files)
    found = [_array(of_names[name], name, files) for name in named]
    if errors := [one for one in found if isinstance(one, ToolkitError)]:
        return errors[0]
    first, *arrays = (one for one in found if not isinstance(one, ToolkitError))
    for name, array in zip(named[1:], arrays, strict=True):
        if not np.array_equal(first, array):
            raise InputError(
                f"{' and '.join(item.name for item in items)} have the same content, but the features {named[0]} and "
                f"{name} differ",
                where=files.path,
                expected=f"one feature for all items with the SHA-256 {sha256}",
                next_step="keep one of the features, or give the items different files",
            )
    return first


def _array(item: Media, name: str, files: FeatureFiles) -> Feature | ToolkitError:
    """Returns the array called ``name`` as the feature of an item, or an error if it is not valid."""
    try:
        array = np.asarray(files.read(name))
        if array.dtype.kind not in "fiub":
            raise ValueError(f"its type is {array.dtype}, not real numbers")
        with np.errstate(over="ignore"):  # infinite values are rejected below
            value = array.astype(np.float32)
    except Exception as error:  # numpy and safetensors raise various errors for invalid files
        found = f"The feature of {item.name} cannot be read: {error}"
        return SampleError(found, where=files.path, expected="an array of numbers", next_step="write the file again")
    wrong = value.size - int(np.isfinite(value).sum())
    if value.ndim not in (1, 2) or not value.size or wrong:
        why = f": {count_of(wrong, 'value is', 'values are')} not finite" if wrong else ""
        return SampleError(
            f"The feature of {item.name}, of shape {list(value.shape)}, cannot be used{why}",
            where=files.path,
            expected="finite numbers, [D] or [T, D]",
            next_step="compute it again",
        )
    return np.ascontiguousarray(value)


def _folder(path: Path) -> FeatureFiles:
    listed = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
    if not listed:
        raise _unusable(path, "The folder contains no features")
    _check_unique(path, [file.stem for file in listed])
    files = {file.stem: file for file in listed}
    hashes = {name: sha256_of(files[name]) for name in sorted(files)}
    listing = "".join(f"{name} {sha256}\n" for name, sha256 in hashes.items())

    def read(name: str) -> Any:
        if files[name].suffix == ".npy":
            return np.load(files[name], allow_pickle=False)
        from safetensors.torch import load_file  # numpy has no bfloat16

        arrays = list(load_file(files[name]).values())
        if len(arrays) != 1:
            raise ValueError(f"{files[name].name} contains {count_of(len(arrays), 'array')}, expected one")
        return arrays[0].float().numpy() if arrays[0].is_floating_point() else arrays[0].numpy()

    return FeatureFiles(path, hashlib.sha256(listing.encode()).hexdigest(), read, hashes)


def _from_arrays(path: Path, arrays: Mapping[str, Any]) -> FeatureFiles:
    hashes = {name: hashlib.sha256(_bytes_of(array)).hexdigest() for name, array in arrays.items()}
    return FeatureFiles(path, sha256_of(path), arrays.__getitem__, hashes)


def _bytes_of(array: Any) -> bytes:
    """An array of a .npz, or a list of a .parquet, which need not be a valid feature."""
    if isinstance(array, np.ndarray):
        return f"{array.dtype} {array.shape} ".encode() + array.tobytes()
    return repr(array).encode()


def _check_unique(path: Path, names: Sequence[str]) -> None:
    """Rejects duplicate names, which are ambiguous."""
    if len(set(names)) < len(names):
        duplicate = next(name for name, count in Counter(names).items() if count > 1)
        raise InputError(
            f"There are several features with the name {duplicate}",
            where=path,
            expected="one array per name",
            next_step="delete the unwanted ones",
        )


def _about(path: Path) -> AboutFeatures | None:
    """Reads features.json in the folder; None if there is none."""
    file = path / ABOUT_FILE
    if not file.is_file():
        return None
    try:
        about = msgspec.json.decode(file.read_bytes(), type=AboutFeatures)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InputError(
            f"The file cannot be read: {error}", where=file, expected=FORMAT, next_step="export again, or delete it"
        ) from error
    if about.schema != FORMAT:
        raise InputError(f"The format is {about.schema!r}", where=file, expected=FORMAT, next_step="export again")
    return about


def _unusable(path: Path, found: str) -> InputError:
    return InputError(
        found,
        where=path,
        expected=f"a folder of {' or '.join(SUFFIXES)} files, a .npz, or a .parquet with the columns id and vector",
        next_step="check the path (of a run: in its config.json); the format: docs/encoders.md, or fmn features export",
    )
