"""Fetches MPII Cooking 2 from its home, for who accepts its licence, and lays it out as `open_corpus` expects it.

The publisher names no sizes and no hashes. So a file is checked against the size that the server announces and the
format that its name promises, its archive's own checksums decide when it is unpacked, and the SHA-256 that was found is
noted in DOWNLOADS.json: from then on a file must be that one.
"""

from __future__ import annotations

import errno
import gzip
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal

import msgspec
from filelock import FileLock

from dataset_tools.core.download import TIMEOUT_S, fetch
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import clear_partial, sha256_of, write_bytes, written_whole
from dataset_tools.core.progress import Progress, silent
from dataset_tools.corpora.mpii.mpii_corpus import MAT_NAME, VIDEO_SUFFIXES

HOME = "https://datasets.d2.mpi-inf.mpg.de/MPII-Cooking-2/"
LICENCE = "MPII Cooking 2 may be used for scientific purposes only, and may not be passed on"
COMMAND = "fmn-data download --accept-licence"
ATTEMPTS = 6

Part = Literal["annotations", "videos", "sentences"]


@dataclass(frozen=True)
class Published:
    """A file of the data set: its address below the home, its name here, and how its content begins."""

    part: Part
    address: str
    name: str
    magic: bytes | None = None
    magic_at: tuple[int, ...] = (0,)


FILES = (
    Published("annotations", f"annos/{MAT_NAME}", MAT_NAME, b"\x89HDF\r\n\x1a\n", (0, 512)),
    Published("annotations", "annos/annos.mat-README.txt", "annos.mat-README.txt"),
    Published("sentences", "TACoS-Multi-Level-1.0.zip", "TACoS-Multi-Level-1.0.zip", b"PK"),
    Published("videos", "MPII-Cooking-2-videos.tar.gz", "MPII-Cooking-2-videos.tar.gz", b"\x1f\x8b"),
)


class _Record(msgspec.Struct, frozen=True):
    """What DOWNLOADS.json holds of a file."""

    url: str
    sha256: str
    size_bytes: int
    unpacked: int | None = None


@dataclass(frozen=True)
class DownloadSummary:
    """What is there now.

    Attributes:
        files: SHA-256 by name. fetched: names of those that came now. unpacked: files taken out of archives, in all.
        unchecked: names that no published hash vouches for: they were trusted on first use.
    """

    root: str
    files: dict[str, str]
    fetched: tuple[str, ...]
    unpacked: int
    unchecked: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def download_corpus(
    root: Path,
    *,
    accept_licence: bool,
    parts: Collection[str] = ("annotations", "videos", "sentences"),
    home: str = HOME,
    hash_again: bool = False,
    attempts: int = ATTEMPTS,
    timeout_s: float = TIMEOUT_S,
    progress: Progress = silent,
) -> DownloadSummary:
    """Downloads and unpacks the parts into ``root``; goes on where it stopped, and leaves alone what is there.

    Args:
        root: the corpus' folder, for ``--mpii``.
        accept_licence: whether the user accepts the licence; nothing is fetched otherwise.
        parts: what to fetch.
        home: address of the data set, or of a mirror.
        hash_again: read files that are there again, and compare their hash; otherwise their size is compared.
        attempts: in a row without anything coming, before it gives up.
        timeout_s: longest silence of the server.
        progress: is told the bytes of downloads and of archives.

    Raises:
        InputError: the licence is not accepted; or the server refuses or sends something else; or an archive is
            damaged (it is removed); or a file is another than at first.
        StoppedError: no connection, or it broke, or the disk is full.
    """
    if not accept_licence:
        raise InputError(
            f"The licence has not been accepted: {LICENCE}",
            where=home,
            expected="your consent to the terms on that page",
            next_step=f"read them there, then run: {COMMAND}",
        )
    root.mkdir(parents=True, exist_ok=True)
    fetched: list[str] = []
    with FileLock(root / ".download.lock"):
        records = _read_records(root)
        for file in (file for file in FILES if file.part in parts):
            path = root / file.name
            record = records.get(file.name)
            if record is not None and record.unpacked is not None and not path.exists():
                continue  # unpacked, and the archive was removed since: there is nothing to do
            if record is None or not path.is_file() or _is_changed(path, record, hash_again):
                _fetch(file, path, record, home, attempts, timeout_s, progress)
                fetched.append(file.name)
                if record is None:
                    record = _Record(home + file.address, sha256_of(path), path.stat().st_size)
                    records[file.name] = record
                    _write_records(root, records)
            if file.part in _UNPACK and record.unpacked is None:
                try:
                    count = _unpacked(file, path, root, record, progress)
                except InputError:
                    del records[file.name]  # what is damaged is not what later downloads must match
                    _write_records(root, records)
                    raise
                records[file.name] = msgspec.structs.replace(record, unpacked=count)
                _write_records(root, records)
    return DownloadSummary(
        root=str(root),
        files={name: record.sha256 for name, record in sorted(records.items())},
        fetched=tuple(fetched),
        unpacked=sum(record.unpacked or 0 for record in records.values()),
        unchecked=tuple(sorted(records)),
    )


def _fetch(
    file: Published,
    path: Path,
    record: _Record | None,
    home: str,
    attempts: int,
    timeout_s: float,
    progress: Progress,
) -> None:
    def check(whole: Path) -> str | None:
        with whole.open("rb") as content:
            head = content.read(1024)
        if not head:
            return "The file that came is empty"
        if file.magic is not None and not any(head[at:].startswith(file.magic) for at in file.magic_at):
            return f"What came is not the file: it begins with {head[:16]!r}"
        if record is not None and (found := sha256_of(whole)) != record.sha256:
            return (
                f"What came is not the file that came first: its SHA-256 is {found}, DOWNLOADS.json has {record.sha256}"
            )
        return None

    fetch(
        home + file.address,
        path,
        check=check,
        command=COMMAND,
        attempts=attempts,
        timeout_s=timeout_s,
        progress=progress,
    )


def _is_changed(path: Path, record: _Record, hash_again: bool) -> bool:
    return path.stat().st_size != record.size_bytes or (hash_again and sha256_of(path) != record.sha256)


_WRONG_NAMES = {None, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.EINVAL}
"""Errors of files whose names an archive gives: too long, or one a file and a folder."""


_MOST_UNPACKED = 2**30
"""Bytes of all sentences, which have some megabytes: a small archive can hold terabytes of nothing."""


def _unpacked(file: Published, path: Path, root: Path, record: _Record, progress: Progress) -> int:
    """Unpacks an archive into ``root``; how many files it had.

    They come to a place of their own first: only the end of an archive tells whether all of it was whole.
    """
    name, unpack = _UNPACK[file.part]
    staging, final = root / ".unpacking" / file.name, root / name
    clear_partial(staging, "**/")  # else what a killed command left would pass for a file of the archive
    try:
        count = unpack(path, staging, final, progress)
        if not count:
            raise ValueError("there is nothing in it that belongs to the data set")
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
            raise  # of the disk, not of the archive

        path.unlink()
        shutil.rmtree(staging, ignore_errors=True)
        raise InputError(
            f"The archive is damaged, and was removed: {error}",
            where=path,
            expected=f"the archive {record.url}",
            next_step=f"fetch it again: {COMMAND}; if it stays so, tell those who publish it",
        ) from error
    for staged in sorted(one for one in staging.rglob("*") if one.is_file()):
        target = final / staged.relative_to(staging)
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.replace(target)
    shutil.rmtree(staging.parent, ignore_errors=True)
    return count


def _unpack_videos(path: Path, staging: Path, final: Path, progress: Progress) -> int:
    """Takes the videos out of a tar, whatever folders they are in there; those that are there stay."""
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
            pass  # to the end, where the checksum of the whole is
    return count


def _unpack_folder(path: Path, staging: Path, final: Path, progress: Progress) -> int:
    """Takes everything out of a zip; a folder around it that has its name is left out."""
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


_UNPACK: dict[str, tuple[str, Callable[[Path, Path, Path, Progress], int]]] = {
    "videos": ("videos", _unpack_videos),
    "sentences": ("TACoS-Multi-Level-1.0", _unpack_folder),
}


def _write(target: Path, content: IO[bytes]) -> None:
    with written_whole(target) as partial, partial.open("wb") as file:
        while chunk := content.read(1 << 20):
            file.write(chunk)


def _read_records(root: Path) -> dict[str, _Record]:
    path = root / "DOWNLOADS.json"
    if not path.is_file():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, _Record])
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"The note on earlier downloads cannot be read: {error}",
            where=path,
            expected="what fmn-data download wrote",
            next_step="remove it: the files that are there are then trusted anew",
        ) from error


def _write_records(root: Path, records: dict[str, _Record]) -> None:
    content = msgspec.json.format(msgspec.json.encode(dict(sorted(records.items()))))
    write_bytes(root / "DOWNLOADS.json", content + b"\n")
