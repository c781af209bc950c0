"""Garbage collection of a workspace: finds and removes the toolkit's files that no manifest names.

Only regular files of the workspace itself are listed, in the folders and with the names that the toolkit uses: files
behind symbolic links and unknown files are kept. Files named by manifests, runs, recordings and unfinished builds are
kept, too. Below annotations/, recordings/, manifests/ and runs/, only partial files of killed commands are listed.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from dataset_tools.build.inputs import drawn_standin, read_inputs
from dataset_tools.core.errors import InputError, ManifestError
from dataset_tools.core.files import PARTIAL, remove_partial
from dataset_tools.core.jsonl import numbered_lines
from dataset_tools.core.ledger import Ledger, read_ledger
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.speech.earlier_speech import earlier_speech_path

KINDS: Mapping[str, str] = {
    "clips": "clips that were rejected or are from older builds",
    "speech": "utterances from older builds",
    "shown": "videos shown in reviews, of clips that are not in the data set",
    "standin": "the synthetic corpus, which the data set is not built from",
    "features": "features of clips and utterances that are not in the data set",
    "partial": "incomplete files of killed commands",
}

_ID = r".+_\d{6,}-\d{6,}(_w\d+of\d+)?"  # clip id: interval, and number of the window in it
_CLIP = re.compile(rf"{_ID}\.mp4")
_UTTERANCE = re.compile(rf"{_ID}_.+\.wav")
_FEATURE = re.compile(r"([0-9a-f]{64})(\.\w+)?\.npy")
_SHOWN = ("in-context", "with-margin")  # the second is from versions before 1.0
_STANDIN = ("STANDIN.json", "videos/*.avi", "annos/*.mat", "experimentalSetup/*.txt", "tacos/*.json")


@dataclass(frozen=True)
class UnnamedFile:
    """A file (or the folder of a partially written file) that can be removed. ``size_bytes``: size of its content."""

    kind: str
    path: Path
    size_bytes: int


@dataclass(frozen=True)
class _Named:
    """References in use: ``paths`` relative to the workspace, ``sha256`` of contents, ids of ``clips``."""

    paths: set[str]
    sha256: set[str]
    clips: set[str]


def unnamed_files(workspace: Workspace, kinds: Sequence[str] = ()) -> list[UnnamedFile]:
    """Returns the files of a workspace that no manifest names, sorted by kind and path; nothing is written.

    Args:
        workspace: the workspace of a data set.
        kinds: kinds of files to list; empty: all.

    Raises:
        InputError: a kind is unknown, or there is no data set, so that the files in use are unknown.
        ManifestError: a manifest cannot be read.
    """
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise InputError(
            f"There is no such kind of files: {', '.join(unknown)}",
            expected=", ".join(KINDS),
            next_step="omit --kind for all of them",
        )
    if not (workspace.manifests / "clips.jsonl").is_file():
        raise InputError(
            "There is no data set, so the files in use are not known",
            where=workspace.manifests,
            expected="clips.jsonl",
            next_step="build it first with fmn-data build; or remove the folder yourself",
        )
    named = _named(workspace)
    find: dict[str, Callable[[], Iterator[Path]]] = {
        "clips": lambda: _media(workspace, "clips", _CLIP, named),
        "speech": lambda: _media(workspace, "speech", _UTTERANCE, named),
        "shown": lambda: _shown(workspace, named),
        "standin": lambda: _standin(workspace),
        "features": lambda: _features(workspace, named),
        "partial": lambda: _partial(workspace),
    }
    return [
        UnnamedFile(kind, path, _size_bytes(path))
        for kind in KINDS
        if kind in (kinds or KINDS)
        for path in sorted(find[kind]())
    ]


def remove_unnamed(
    workspace: Workspace, kinds: Sequence[str] = (), *, progress: Progress = silent
) -> list[UnnamedFile]:
    """Removes `unnamed_files`, listed again under the lock of the workspace; if killed, the next call resumes.

    Returns:
        The removed files.

    Raises:
        InputError, ManifestError: see `unnamed_files`; nothing was removed.
        StoppedError: another command holds the lock of the workspace, or a system call failed.
    """
    listed = unnamed_files(workspace, kinds)  # raises before the ledger is opened, which removes partial files itself
    with Ledger(workspace.ledger) as ledger:
        found = unnamed_files(workspace, kinds)
        for done, file in enumerate(found, start=1):
            if file.kind == "partial":
                remove_partial(file.path)
            elif _is_own_file(workspace, file.path):
                file.path.unlink(missing_ok=True)
            progress("clean", done, len(found), file.path.name)
        known = {file.path: file for file in (*listed, *found)}
        removed = [file for path, file in known.items() if not path.exists()]
        gone = {workspace.relative(file.path) for file in removed}
        ledger.forget([row.id for row in ledger.rows.values() if row.path in gone])
        for folder in {file.path.parent for file in removed}:
            _remove_empty(folder, workspace.cache)
    return removed


def _remove_empty(folder: Path, cache: Path) -> None:
    """Removes a folder of the cache and its parents if they are empty."""
    while folder != cache and folder.is_relative_to(cache) and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _named(workspace: Workspace) -> _Named:
    """Collects the references in the rows of all JSONL files: data set, splits, recordings, runs, and any others."""
    named = _Named(set(), set(), set())
    for path in _jsonl_files(workspace):
        is_manifest = path.is_relative_to(workspace.manifests) or path.is_relative_to(workspace.recordings)
        for number, line in numbered_lines(path):
            try:
                _note(msgspec.json.decode(line), named)
            except (ValueError, RecursionError) as error:
                if is_manifest:
                    raise ManifestError(
                        f"The row cannot be read, so the files that it names are not known: {error}",
                        where=f"{path}, line {number}",
                        expected="one JSON object per line",
                        next_step="correct the line, or move the file out of the workspace",
                    ) from error
    for row in read_ledger(workspace.ledger).values():  # from a killed build, which the next one resumes
        if row.status == "ok" and row.path is not None and Path(row.path).parent.name not in _SHOWN:
            named.paths.add(row.path)
            named.sha256.add(row.sha256 or "")
    return named


def _jsonl_files(workspace: Workspace) -> Iterator[Path]:
    """Yields the JSONL files of a workspace. Symbolic links are followed: files named behind them are in use."""
    apart = {workspace.cache, workspace.annotations, workspace.clips, workspace.speech}
    seen: set[Path] = set()
    for name, folders, files in os.walk(workspace.root, followlinks=True):
        folder = Path(name)
        if folder.resolve() in seen or folder in apart:
            folders.clear()
            continue
        seen.add(folder.resolve())
        folders[:] = [each for each in folders if not each.startswith(".")]
        paths = (folder / each for each in files if each.endswith(".jsonl"))
        yield from (path for path in paths if path.is_file() and path != workspace.ledger)
    if (earlier := earlier_speech_path(workspace)).is_file():
        yield earlier


def _note(value: Any, named: _Named) -> None:
    if isinstance(value, list):
        for one in value:
            _note(one, named)
    elif isinstance(value, dict):
        for name, one in value.items():
            if isinstance(one, dict | list):
                _note(one, named)
            elif isinstance(one, str) and name == "path":
                named.paths.add(posixpath.normpath(one))
            elif isinstance(one, str) and name == "id":
                named.clips.add(one)
            elif isinstance(one, str) and name == "sha256":
                named.sha256.add(one)


def _media(workspace: Workspace, folder: str, name: re.Pattern[str], named: _Named) -> Iterator[Path]:
    for path in (workspace.root / folder).glob("*"):
        if name.fullmatch(path.name) and workspace.relative(path) not in named.paths and _is_own_file(workspace, path):
            yield path


def _shown(workspace: Workspace, named: _Named) -> Iterator[Path]:
    for folder in _SHOWN:
        for path in (workspace.clips / folder).glob("*"):
            is_used = folder == _SHOWN[0] and path.stem in named.clips
            if _CLIP.fullmatch(path.name) and not is_used and _is_own_file(workspace, path):
                yield path


def _standin(workspace: Workspace) -> Iterator[Path]:
    folder = drawn_standin(workspace)
    inputs = read_inputs(workspace)
    if inputs is None or not (folder / _STANDIN[0]).is_file():
        return  # if nothing is recorded, the next build may use it
    used = [Path(each).resolve() for each in (inputs.footage.path, inputs.footage.videos) if each is not None]
    if any(each.is_relative_to(folder.resolve()) for each in used):
        return
    for pattern in _STANDIN:
        yield from (path for path in folder.glob(pattern) if _is_own_file(workspace, path))


def _features(workspace: Workspace, named: _Named) -> Iterator[Path]:
    for pattern in ("features/*/??/*.npy", "finetune/samples-*/*.npy"):
        for path in workspace.cache.glob(pattern):
            match = _FEATURE.fullmatch(path.name)
            if match and match[1] not in named.sha256 and _is_own_file(workspace, path):
                yield path


def _partial(workspace: Workspace) -> Iterator[Path]:
    for folder in (workspace.root, workspace.clips, workspace.speech, workspace.manifests, workspace.recordings):
        yield from (path for path in folder.glob(f"{PARTIAL}*") if _is_own(workspace, path.parent))
    for folder in (workspace.clips / _SHOWN[0], workspace.cache, workspace.runs):
        yield from (path for path in folder.rglob(f"{PARTIAL}*") if _is_own(workspace, path.parent))


def _is_own(workspace: Workspace, path: Path) -> bool:
    """Whether a path lies in the workspace itself: neither it nor any of its parents is a symbolic link."""
    inner = [path, *path.parents]
    return not any(each.is_symlink() for each in inner[: inner.index(workspace.root)])


def _is_own_file(workspace: Workspace, path: Path) -> bool:
    return _is_own(workspace, path) and path.is_file()


def _size_bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file())
