"""Download of MPII Cooking 2 from its publisher, once the license is accepted, into the expected layout.

The publisher states no sizes and no hashes. A file is therefore checked against the size that the server announces and
the format of its suffix; archives are verified by their own checksums when unpacked. The SHA-256 of the first download
is recorded in DOWNLOADS.json, and later downloads must match it. Hashes of a few files were published by others: a
difference from those is reported, but is not an error.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import msgspec
from filelock import FileLock

from dataset_tools.core.download import TIMEOUT_S, fetch
from dataset_tools.core.errors import InputError, without_passwords
from dataset_tools.core.files import sha256_of, write_bytes
from dataset_tools.core.json_record import read_record, record_bytes
from dataset_tools.core.progress import Progress, silent
from dataset_tools.corpora.mpii.mpii_corpus import MAT_NAME
from dataset_tools.corpora.mpii.unpacking import UNPACKED, unpack_archive

HOME = "https://datasets.d2.mpi-inf.mpg.de/MPII-Cooking-2/"
LICENCE = "MPII Cooking 2 may be used for scientific purposes only, and may not be redistributed"
_COMMAND = "the same command"
ATTEMPTS = 6

Part = Literal["annotations", "videos", "sentences"]


@dataclass(frozen=True)
class Published:
    """A file of the data set: its address relative to the base URL, its local name, and its magic bytes."""

    part: Part
    address: str
    name: str
    magic: bytes | None = None
    magic_at: tuple[int, ...] = (0,)

    @property
    def is_archive(self) -> bool:
        return self.part in UNPACKED and "/" not in self.name


FILES = (
    Published("annotations", f"annos/{MAT_NAME}", MAT_NAME, b"\x89HDF\r\n\x1a\n", (0, 512)),
    Published("annotations", "annos/annos.mat-README.txt", "annos.mat-README.txt"),
    Published("sentences", "TACoS-Multi-Level-1.0.zip", "TACoS-Multi-Level-1.0.zip", b"PK"),
    Published("videos", "MPII-Cooking-2-videos.tar.gz", "MPII-Cooking-2-videos.tar.gz", b"\x1f\x8b"),
)


KNOWN = {
    MAT_NAME: (114_303_918, "3019d20a8ee198f03b76d6fc23e8f8c44aa931c8eb91d4df3df8d192753268fb"),
    "videos/s07-d72-cam-002.avi": (*(19_839_824, "2d56fe960f1fcf78a970aefb53b9cf51b43064d47ff15dbb1019da852a597134"),),
    "videos/s22-d23-cam-002.avi": (*(39_468_178, "53c201e259a09f51b60f8aa5fa7c02c7b769ae6c90cfe29e793112c6494f5bec"),),
}
"""Sizes in bytes and SHA-256 of files, published by others in September 2026 (github.com/Team-Cyan/material-agent)."""


class _Record(msgspec.Struct, frozen=True):
    """Entry of a file in DOWNLOADS.json."""

    url: str
    sha256: str
    size_bytes: int
    unpacked: int | None = None


@dataclass(frozen=True)
class DownloadSummary:
    """State of the corpus folder after a download, or with ``dry_run`` what a download would do.

    Attributes:
        files: SHA-256 by name. fetched: names of files downloaded by this call. unpacked: total number of files
            extracted from archives.
        sizes_bytes: sizes of the ``fetched`` files by name; None if not known before the download (dry run).
        unchecked: names of files without a matching published hash: they were trusted on first use.
        differing: differences from the published hashes, as full sentences.
        refused: names of single videos that the server does not provide.
        to_unpack: names of archives that a download would unpack (dry run).
        dry_run: whether nothing was written; ``fetched`` are then the files that a download would request.
    """

    root: str
    files: dict[str, str]
    fetched: tuple[str, ...]
    sizes_bytes: dict[str, int | None]
    unpacked: int
    unchecked: tuple[str, ...]
    differing: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    to_unpack: tuple[str, ...] = ()
    dry_run: bool = False

    def and_then(self, later: DownloadSummary) -> DownloadSummary:
        """Returns the combined result of this download and a later one into the same folder."""
        return replace(
            later,
            fetched=self.fetched + later.fetched,
            sizes_bytes=self.sizes_bytes | later.sizes_bytes,
            to_unpack=self.to_unpack + later.to_unpack,
        )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def download_corpus(
    root: Path | str,
    *,
    accept_licence: bool,
    parts: Collection[str] = ("annotations", "videos", "sentences"),
    videos: Sequence[str] | None = None,
    home: str = HOME,
    hash_again: bool = False,
    attempts: int = ATTEMPTS,
    timeout_s: float = TIMEOUT_S,
    dry_run: bool = False,
    progress: Progress = silent,
) -> DownloadSummary:
    """Downloads and unpacks the parts into ``root``; resumes interrupted downloads, and keeps existing files.

    Args:
        root: the folder of the corpus, for ``--mpii``.
        accept_licence: whether the user accepts the license; otherwise nothing is downloaded.
        parts: the parts to download.
        videos: names of single videos (``s07-d72-cam-002``), downloaded one by one instead of the archive of all.
        home: base URL of the data set, or of a mirror.
        hash_again: whether to compare the hashes of existing files; otherwise only their sizes are compared.
        attempts: number of consecutive attempts without data before giving up.
        timeout_s: timeout in seconds for the server to send data.
        dry_run: only report what would be downloaded and unpacked; ask no server, write nothing.
        progress: progress callback, in bytes of downloads and archives.

    Raises:
        InputError: the license is not accepted; the address holds a password; the server refuses the request or sends
            something else; an archive is damaged (it is removed); or a file differs from its first download.
        StoppedError: the connection failed or broke, or the disk is full.
    """
    root = Path(root)
    _check_terms(root, home, accept_licence=accept_licence)
    if dry_run:
        return _plan(root, _files(parts, videos), hash_again)
    root.mkdir(parents=True, exist_ok=True)
    fetched: list[str] = []
    refused: list[str] = []
    with FileLock(root / ".download.lock"):
        records = _read_records(root)
        for file in _files(parts, videos):
            path = root / file.name
            path.parent.mkdir(exist_ok=True)
            record = records.get(file.name)
            if record is None or _is_missing(path, record, hash_again):
                try:
                    _fetch(file, path, record, home, attempts, timeout_s, progress)
                except InputError:
                    if videos is None:
                        raise
                    refused.append(file.name)  # a missing video must not prevent the download of the others
                    continue
                fetched.append(file.name)
                if record is None:
                    record = _Record(home + file.address, sha256_of(path), path.stat().st_size)
                    records[file.name] = record
                    _write_records(root, records)
            if file.is_archive and record.unpacked is None:
                try:
                    count = unpack_archive(path, file.part, root, record.url, _COMMAND, progress)
                except InputError:
                    del records[file.name]  # later downloads need not match a damaged file
                    _write_records(root, records)
                    raise
                records[file.name] = msgspec.structs.replace(record, unpacked=count)
                _write_records(root, records)
    return replace(_state(root, records, fetched), refused=tuple(refused))


def _check_terms(root: Path, home: str, *, accept_licence: bool) -> None:
    """Checks that the license is accepted, and that the address may be stored with the data.

    Raises:
        InputError: they are not.
    """
    if not accept_licence:
        raise InputError(
            f"The license has not been accepted: {LICENCE}",
            where=home,
            expected="your consent to the terms on that page",
            next_step=f"read them there, then run {_COMMAND} with --accept-licence",
        )
    if without_passwords(home) != home:
        raise InputError(
            f"The address of the mirror holds a user name or a password: {home}",
            where="--home",
            expected="an address without them: DOWNLOADS.json stores it with the data, for everyone who gets a copy",
            next_step=f"download the files from there yourself into {root}, and run the command without --home",
        )


def _plan(root: Path, files: Sequence[Published], hash_again: bool) -> DownloadSummary:
    """Returns what a download of ``files`` would do; see `download_corpus`."""
    records = _read_records(root)
    known = [(file, records.get(file.name)) for file in files]
    fetched = [
        file.name for file, record in known if record is None or _is_missing(root / file.name, record, hash_again)
    ]
    to_unpack = [file.name for file, record in known if file.is_archive and (record is None or record.unpacked is None)]
    return replace(_state(root, records, fetched), to_unpack=tuple(to_unpack), dry_run=True)


def _state(root: Path, records: Mapping[str, _Record], fetched: Sequence[str]) -> DownloadSummary:
    sizes = {name: size for name, (size, _) in KNOWN.items()} | {name: one.size_bytes for name, one in records.items()}
    return DownloadSummary(
        root=str(root),
        files={name: record.sha256 for name, record in sorted(records.items())},
        fetched=tuple(fetched),
        sizes_bytes={name: sizes.get(name) for name in fetched},
        unpacked=sum(record.unpacked or 0 for record in records.values()),
        unchecked=tuple(
            sorted(name for name, record in records.items() if KNOWN.get(name, (0, ""))[1] != record.sha256)
        ),
        differing=tuple(_differing(records)),
    )


def _files(parts: Collection[str], videos: Sequence[str] | None) -> list[Published]:
    files = [file for file in FILES if file.part in parts and (file.part != "videos" or videos is None)]
    for name in videos or () if "videos" in parts else ():
        files.append(Published("videos", f"videos/{name}.avi", f"videos/{name}.avi", b"RIFF"))
    return files


def _differing(records: Mapping[str, _Record]) -> Iterator[str]:
    for name in sorted(KNOWN.keys() & records.keys()):
        size, sha256 = KNOWN[name]
        found = records[name]
        if found.sha256 != sha256:
            yield (
                f"{name} differs from the file that others had in September 2026: {found.size_bytes:,} bytes "
                f"instead of {size:,}, SHA-256 {found.sha256[:12]}… instead of {sha256[:12]}…. It may be a newer "
                "version or a mirror's; frame numbers of annotations are only valid for the version they were made on."
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
            return "The downloaded file is empty"
        if file.magic is not None and not any(head[at:].startswith(file.magic) for at in file.magic_at):
            return f"The downloaded content is not the file: it begins with {head[:16]!r}"
        if record is not None and (found := sha256_of(whole)) != record.sha256:
            return (
                f"The file differs from the first download: its SHA-256 is {found}, DOWNLOADS.json has {record.sha256}"
            )
        return None

    fetch(
        home + file.address,
        path,
        check=check,
        command=_COMMAND,
        attempts=attempts,
        timeout_s=timeout_s,
        progress=progress,
    )


def _is_missing(path: Path, record: _Record, hash_again: bool) -> bool:
    """Whether a file that was downloaded before has to be again."""
    if not path.exists():
        return record.unpacked is None  # an archive may be removed after it was unpacked
    return (
        not path.is_file()
        or path.stat().st_size != record.size_bytes
        or (hash_again and sha256_of(path) != record.sha256)
    )


def _read_records(root: Path) -> dict[str, _Record]:
    records = read_record(
        root / "DOWNLOADS.json",
        dict[str, _Record],
        name="record of earlier downloads",
        expected="the JSON object that fmn-data download writes",
        next_step="remove it: the existing files are then trusted again",
    )
    return records or {}


def _write_records(root: Path, records: dict[str, _Record]) -> None:
    write_bytes(root / "DOWNLOADS.json", record_bytes(dict(sorted(records.items()))))
