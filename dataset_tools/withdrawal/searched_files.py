"""Files that are searched for a voice: what lies below a folder, and what a file says in words."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

MOST_HEADER_BYTES = 100_000_000  # what the safetensors library reads at most
_PART = 2**20
_OVERLAP = 1024  # characters; no id is longer, since it is the name of a file


def files_below(folder: Path, leave_out: Collection[str] = (), *, links: bool = False) -> tuple[list[Path], list[Path]]:
    """The files below a folder, and the files and folders there that cannot be looked at.

    Args:
        folder: where to look; it need not be there.
        leave_out: names of folders right below it.
        links: whether links to other folders are followed, to each folder once; not to those that ``folder`` lies in.
    """
    files: list[Path] = []
    unread: list[Path] = []
    entered: set[str] = set()
    here = folder.resolve()
    tops = [folder]

    def refused(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # of a folder that vanished meanwhile
            unread.append(Path(error.filename))

    def leads_elsewhere(path: Path) -> bool:
        return links and path.is_symlink() and not here.is_relative_to(path.resolve())

    for top in tops:  # those that are folders before those that links lead to: a file is listed where it lies
        for parent, folders, names in os.walk(top, onerror=refused):
            place = os.path.realpath(parent)
            if place in entered:
                folders.clear()
                continue
            entered.add(place)
            folders[:] = sorted(name for name in folders if Path(parent) != folder or name not in leave_out)
            tops += filter(leads_elsewhere, (Path(parent, name) for name in folders))
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
    """A text in parts that overlap, so that no id is cut in all of them; of a safetensors file, only its header.

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
    """The JSON before the numbers of a safetensors file, which says what they are of.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size_bytes = int.from_bytes(file.read(8), "little")
        return file.read(min(size_bytes, MOST_HEADER_BYTES))
