"""Video name resolution: the file of each annotated video, and its unique name in ids."""

from __future__ import annotations

import os
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import slug
from dataset_tools.corpora.annotations.interval_list import ListedInterval
from dataset_tools.corpora.annotations.plain_text import plain_text
from dataset_tools.corpora.mpii.mpii_corpus import VIDEO_SUFFIXES

MPII_NAME = re.compile(r"(s\d{2,3}-d\d{2,3})(-[A-Za-z0-9]+)*")
SUFFIXES = {
    *VIDEO_SUFFIXES,
    *(".3gp", ".asf", ".dv", ".f4v", ".flv", ".m2ts", ".m4v", ".mov", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv"),
    *(".ts", ".vob", ".webm", ".wmv"),
}
"""Suffixes that identify video files in a folder, and that the names of videos in a list may omit."""


@dataclass(frozen=True)
class ListedVideo:
    """A video named in an annotation file.

    Attributes:
        place: position of its first occurrence. path: POSIX path, with the suffix even if a row omits it.
        file: None if the file does not exist.
        same: equal for all spellings of one file's path, absolute or relative, with or without suffix.
    """

    place: str
    path: str
    file: Path | None
    same: str

    @property
    def parts(self) -> tuple[str, str]:
        """Slug of the path without a known suffix, and the suffix; of an absolute path, only the file name is used."""
        path = posixpath.basename(self.path) if posixpath.isabs(self.path) else self.path
        stem, suffix = posixpath.splitext(path)
        return (slug(stem), suffix) if suffix.lower() in SUFFIXES else (slug(path), "")


def find_videos(rows: Iterable[ListedInterval], root: Path, listing: Path, prefix: str = "") -> dict[str, ListedVideo]:
    """Returns the video of each name in the list; names may omit ``prefix``, or have it where the file lacks it.

    A file of exactly that name takes precedence; else names that are equal as plain text count as the same.

    Raises:
        InputError: a suffix is omitted, and several files match.
    """
    folders = _Folders(root)
    videos: dict[str, ListedVideo] = {}
    for row in rows:
        if row.video in videos:
            continue
        path = posixpath.normpath(row.video.replace("\\", "/"))
        if not _is_file(root / path):
            parent, name = posixpath.split(path)
            parent = folders.written(parent)
            names = {name} | ({prefix + name, name.removeprefix(prefix)} if prefix else set())
            fitting = folders.files(parent, names)
            if len(fitting) > 1:
                raise InputError(
                    f"{row.video!r} matches several videos: {', '.join(fitting)}",
                    where=f"{listing}, {row.place}",
                    expected="the name of one file",
                    next_step="add the suffix",
                )
            path = posixpath.join(parent, *(fitting or [plain_text(name)]))
        file = root / path
        videos[row.video] = ListedVideo(row.place, path, file if _is_file(file) else None, os.path.realpath(file))
    return videos


def name_videos(videos: Iterable[ListedVideo], listing: Path) -> dict[ListedVideo, str]:
    """Returns a name for every video: the slug of its path, with the suffix only if it is needed to be unique.

    Raises:
        InputError: two files would get the same name, or one would get none.
    """
    videos = list(videos)
    files = defaultdict(set)
    for video in videos:
        files[video.parts[0]].add(video.same)
    names: dict[ListedVideo, str] = {}
    owners: dict[str, ListedVideo] = {}
    for video in videos:
        short, suffix = video.parts
        name = short if len(files[short]) == 1 else slug(f"{short}-{suffix}").replace("-.", "-")
        owner = owners.setdefault(name, video)
        if not name or owner.same != video.same:
            both = f"Two videos would both be called {short!r}: {owner.path!r} and {video.path!r}"
            raise InputError(
                both if name else f"The name of the video {video.path!r} has no letters or digits",
                where=f"{listing}, {video.place}",
                expected="videos whose names differ in letters or digits",
                next_step="rename one of them",
            )
        names[video] = name
    return names


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Returns the part of each video's name used in ids: of MPII-like names the sequence (``s07-d72``), if unique."""
    distinct = sorted(set(names))
    matched = {name: match.group(1) for name in distinct if (match := MPII_NAME.fullmatch(name))}
    counts = Counter(matched.values())
    return {name: matched[name] if counts[matched.get(name, "")] == 1 else name for name in distinct}


class _Folders:
    """Names in the folders below a root: each folder is listed once, however many names are looked up in it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[str, dict[str, list[str]]] = {}
        self._files: dict[str, tuple[dict[str, list[str]], ...]] = {}

    def written(self, folder: str) -> str:
        """Returns a folder as it is written on the disk; each of its parts as given if no folder, or several, fit."""
        found = ""
        for part in PurePosixPath(folder).parts:
            named = part
            if not _is_there(self._root / found / part):
                if found not in self._folders:
                    self._folders[found] = _by(plain_text, _entries_of(self._root / found))
                fitting = self._folders[found].get(plain_text(part), [])
                named = fitting[0] if len(fitting) == 1 else plain_text(part)
            found = posixpath.join(found, named)
        return found

    def files(self, folder: str, names: Collection[str]) -> list[str]:
        """Returns the files of these names, as exactly as any fit: with or without a suffix, then as plain text."""
        if folder not in self._files:
            files = [name for name in _entries_of(self._root / folder) if _is_file(self._root / folder / name)]
            self._files[folder] = (
                _by(str, files),
                _by(_stem, files),
                _by(plain_text, files),
                _by(lambda file: _stem(plain_text(file)), files),
            )
        plain = {plain_text(name) for name in names}
        for index, wanted in zip(self._files[folder], (names, names, plain, plain), strict=True):
            if found := sorted({file for name in wanted for file in index.get(name, ())}):
                return found
        return []


def _by(key: Callable[[str], str | None], names: Iterable[str]) -> dict[str, list[str]]:
    """Groups names by a key; those whose key is None are left out."""
    groups: dict[str, list[str]] = {}
    for name in names:
        if (found := key(name)) is not None:
            groups.setdefault(found, []).append(name)
    return groups


def _stem(file: str) -> str | None:
    """Returns a file's name without the suffix of a video; None if it has another."""
    stem, suffix = posixpath.splitext(file)
    return stem if suffix.lower() in SUFFIXES else None


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - unlike Path.is_file, it accepts any name


def _is_there(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - unlike Path.exists, it accepts any name


def _entries_of(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208
    except (OSError, ValueError):
        return []
