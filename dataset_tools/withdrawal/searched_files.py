"""File search for a voice: the files below a folder, and the text of a file."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

MOST_HEADER_BYTES = 100_000_000  # limit of the safetensors library
_PART = 2**20
_OVERLAP = 1024  # characters; no id is longer, since ids are file names


def files_below(folder: Path, leave_out: Collection[str] = (), *, links: bool = False) -> tuple[list[Path], list[Path]]:
    """Lists the files below a folder, and the files and folders there that cannot be read.

    Args:
        folder: the folder to search; it need not exist.
        leave_out: names of direct subfolders to skip.
        links: whether to follow links to other folders, each folder once; never to a parent of ``folder``.
    """
    files: list[Path] = []
    unread: list[Path] = []
    entered: set[str] = set()
    origin = folder.resolve()
    roots = [folder]

    def note_unread(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # a folder that was removed meanwhile
            unread.append(Path(error.filename))

    def leads_elsewhere(path: Path) -> bool:
        return links and path.is_symlink() and not origin.is_relative_to(path.resolve())

    for root in roots:  # real folders before link targets, so that a file is listed under its real path
        for parent, folders, names in os.walk(root, onerror=note_unread):
            place = os.path.realpath(parent)
            if place in entered:
                folders.clear()
                continue
            entered.add(place)
            folders[:] = sorted(name for name in folders if Path(parent) != folder or name not in leave_out)
            roots += filter(leads_elsewhere, (Path(parent, name) for name in folders))
            for path in (Path(parent, name) for name in sorted(names)):
                try:
                    if stat.S_ISREG(path.stat().st_mode):
                        files.append(path)
                except FileNotFoundError:
                    continue
                except OSError:
                    unread.append(path)
    return files, unread


def texts_of(path: Path) -> Iterator[str]:
    """Yields a text in overlapping chunks, so that each id is whole in one; of a safetensors file, only the header.

    Raises:
        OSError: it cannot be read.
    """
    if path.suffix == ".safetensors":
        yield header_of(path).decode("utf-8", "replace")
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        end = ""
        while part := file.read(_PART):
            yield end + part
            end = part[-_OVERLAP:]


def header_of(path: Path) -> bytes:
    """Returns the JSON header of a safetensors file, which names the tensors and holds the metadata.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size_bytes = int.from_bytes(file.read(8), "little")
        return file.read(min(size_bytes, MOST_HEADER_BYTES))
