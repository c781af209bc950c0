"""Class folders, ``DIR/<label>/*.mp4``: every video is one clip of its folder's class.

Sentences of a video may be in a ``.txt`` file of the same name next to it, one sentence per line.
"""

from __future__ import annotations

import os
from pathlib import Path

from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.core.files import decode_text
from dataset_tools.corpora.annotations.interval_list import SHOWN_PROBLEMS, IntervalList, IntervalRows, refusal
from dataset_tools.corpora.annotations.plain_text import plain_text
from dataset_tools.corpora.annotations.video_names import SUFFIXES

_EXPECTED = "a folder for every class, with its videos: DIR/open_door/one.mp4"
_MOST_TEXT_BYTES = 2**20


def read_class_folders(path: Path) -> IntervalList:
    """Reads every video of every class folder, as a whole. Hidden files are ignored; other files are noted.

    Raises:
        InputError: there is no class folder, a class folder has a subfolder, or a text file cannot be used.
    """
    folders, others = _entries(path)
    rows = IntervalRows(path, _EXPECTED)
    nested: list[str] = []
    empty: list[str] = []
    for folder in folders:
        inner, files = _entries(path / folder)
        nested += [f"{folder}/{name}" for name in inner]
        videos = [name for name in files if _suffix(name) in SUFFIXES]
        texts = {_stem(name): name for name in files if _suffix(name) == ".txt"}
        used = {_stem(name) for name in videos} & texts.keys()
        others += [f"{folder}/{name}" for name in files if name not in {*videos, *(texts[stem] for stem in used)}]
        empty += [] if videos else [folder]
        for name in videos:
            video, text = f"{folder}/{name}", texts.get(_stem(name))
            with rows.at(video if text is None else f"{video} with {text}"):
                sentences = [] if text is None else _lines(path / folder / text)
                rows.add(video, video, None, None, rows.words_of(folder), sentences=sentences)
    if nested:
        named = ", ".join(first_of(nested, SHOWN_PROBLEMS))
        found = f"has {count_of(len(nested), 'folder')} within the folders of classes: {named}"
        raise refusal(path, found, _EXPECTED, "move the videos to the folders of their classes, and remove these")
    if len(empty) == len(folders):
        entries = f"{count_of(len(folders), 'folder')} and {count_of(len(others), 'file')}"
        found = f"has no folder with videos in it; it has {entries}"
        next_step = "name the folder that contains the class folders, or an annotation file"
        raise refusal(path, found, _EXPECTED, next_step)
    if others:
        counted = count_of(len(others), "file is not a video", "files are not videos")
        rows.notes.append(f"{counted} of a class, and ignored: {', '.join(first_of(others, SHOWN_PROBLEMS))}.")
    if empty:
        counted = count_of(len(empty), "folder without videos is", "folders without videos are")
        rows.notes.append(f"{counted} ignored: {', '.join(first_of(empty, SHOWN_PROBLEMS))}.")
    return rows.finished(in_seconds=False, is_folder=True)


def _entries(folder: Path) -> tuple[list[str], list[str]]:
    """Returns the sorted names of the folders and of the files in a folder, without hidden ones."""
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208
    except OSError as error:
        raise refusal(folder, f"cannot be read: {error.strerror}", _EXPECTED, "check the path") from error
    folders = [name for name in names if (folder / name).is_dir()]
    return folders, [name for name in names if name not in set(folders)]


def _stem(name: str) -> str:
    return plain_text(os.path.splitext(name)[0])  # noqa: PTH122


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122


def _lines(path: Path) -> list[str]:
    """Returns the sentences in the text file next to a video.

    Raises:
        ValueError: the file cannot be read.
    """
    try:
        if not path.is_file() or path.stat().st_size > _MOST_TEXT_BYTES:
            raise ValueError(f"{path.name} is not a file of at most {_MOST_TEXT_BYTES:,} bytes")
        return decode_text(path.read_bytes()).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} is not readable UTF-8 text: {error}") from error
