"""Unpacking of MPII Cooking 2's archives: files are moved to their place only after the whole archive is verified."""

from __future__ import annotations

import errno
import gzip
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import clear_partial, written_whole
from dataset_tools.core.progress import Progress
from dataset_tools.corpora.mpii.mpii_corpus import VIDEO_SUFFIXES

_WRONG_NAMES = {None, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.EINVAL}
"""Errors due to the names in an archive: too long, or the same name for a file and a folder."""


_MOST_UNPACKED = 2**30
"""Maximum bytes of all sentences, which have a few megabytes: a small archive can expand to terabytes (zip bomb)."""


def unpack_archive(path: Path, part: str, root: Path, url: str, command: str, progress: Progress) -> int:
    """Unpacks the archive of a part into ``root``; returns its number of files.

    Files are first unpacked to a staging folder: an archive is only verified once its end is read.

    Raises:
        InputError: the archive is damaged; it is removed.
    """
    name, unpack = UNPACKED[part]
    staging, final = root / ".unpacking" / path.name, root / name
    clear_partial(staging, "**/")  # else partial files of a killed command would count as files of the archive
    try:
        count = unpack(path, staging, final, progress)
        if not count:
            raise ValueError("it contains no files of the data set")
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        gzip.BadGzipFile,
        EOFError,
        IndexError,
        struct.error,
        ValueError,
        RuntimeError,
        OSError,
    ) as error:
        if isinstance(error, OSError) and error.errno not in _WRONG_NAMES:
            raise  # an error of the disk, not of the archive

        path.unlink()
        shutil.rmtree(staging, ignore_errors=True)
        raise InputError(
            f"The archive is damaged, and was removed: {error}",
            where=path,
            expected=f"the archive {url}",
            next_step=f"run {command} again to download it; if the error persists, report it to the publisher",
        ) from error
    for staged in sorted(one for one in staging.rglob("*") if one.is_file()):
        target = final / staged.relative_to(staging)
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.replace(target)
    shutil.rmtree(staging.parent, ignore_errors=True)
    return count


def _unpack_videos(path: Path, staging: Path, final: Path, progress: Progress) -> int:
    """Extracts the videos of a tar archive, regardless of their folders in it; existing ones are kept."""
    total = path.stat().st_size
    count = 0
    with path.open("rb") as raw, gzip.open(raw) as content, tarfile.open(fileobj=content, mode="r|") as archive:
        for member in archive:
            name = PurePosixPath(member.name).name
            if not member.isfile() or name.startswith(".") or not name.lower().endswith(VIDEO_SUFFIXES):
                continue
            count += 1
            there = (one for one in (staging / name, final / name) if one.is_file())
            video = archive.extractfile(member)
            if video is not None and all(one.stat().st_size != member.size for one in there):
                _write(staging / name, video)
            progress("unpack", min(raw.tell(), total), total, name)
        while content.read(1 << 20):
            pass  # read to the end, where the checksum of the whole archive is
    return count


def _unpack_folder(path: Path, staging: Path, final: Path, progress: Progress) -> int:
    """Extracts all files of a zip archive; an enclosing folder with the archive's name is omitted."""
    count = 0
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if (size := sum(member.file_size for member in members)) > _MOST_UNPACKED:
            raise ValueError(f"it would unpack to {size:,} bytes, more than {_MOST_UNPACKED:,}")
        for done, member in enumerate(members, start=1):
            parts = PurePosixPath(member.filename.replace("\\", "/")).parts
            parts = parts[1:] if parts[:1] == (path.stem,) else parts
            if not parts or ".." in parts or parts[0] == "/" or "__MACOSX" in parts:
                continue
            with archive.open(member) as content:
                _write(staging / Path(*parts), content)  # reading to the end checks the member's checksum
            count += 1
            progress("unpack", done, len(members), parts[-1])
    return count


UNPACKED: dict[str, tuple[str, Callable[[Path, Path, Path, Progress], int]]] = {
    "videos": ("videos", _unpack_videos),
    "sentences": ("TACoS-Multi-Level-1.0", _unpack_folder),
}


def _write(target: Path, content: IO[bytes]) -> None:
    with written_whole(target) as partial, partial.open("wb") as file:
        while chunk := content.read(1 << 20):
            file.write(chunk)
