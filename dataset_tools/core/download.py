"""Resumable downloads of large files, verified before they get their final name.

Partial data is kept beside the target as ``.<name>.part``, with a note on the server's version of the file; the next
attempt requests the rest of exactly that version (RFC 9110: Range with If-Range), and starts over if the server has
another. Not pooch: it restarts a broken download from the beginning, which is impractical for archives of many
gigabytes.
"""

from __future__ import annotations

import errno
import json
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from dataset_tools.core.errors import InputError, StoppedError
from dataset_tools.core.files import way_out, write_bytes
from dataset_tools.core.progress import Progress, silent

TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 18
_LONGEST_WAIT_S = 30.0


@dataclass(frozen=True)
class _Version:
    """Version of a file on a server: its validators and its size, if stated."""

    url: str
    etag: str | None = None
    modified: str | None = None
    size_bytes: int | None = None

    @property
    def validator(self) -> str | None:
        """Validator for If-Range, which requires a strong one."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


def fetch(
    url: str,
    path: Path,
    *,
    check: Callable[[Path], str | None],
    command: str,
    attempts: int = 1,
    timeout_s: float = TIMEOUT_S,
    progress: Progress = silent,
) -> None:
    """Downloads ``url`` to ``path``; the file gets that name once it is complete and ``check`` accepts it.

    Args:
        url: the source.
        path: the target; its folder must exist.
        check: takes the complete file under a temporary name; returns what is wrong with it, or None.
        command: the command with which the user resumes.
        attempts: consecutive attempts without any data before giving up; 1: a single attempt.
        timeout_s: longest time without data from the server.
        progress: progress callback, called with bytes.

    Raises:
        StoppedError: the connection failed, broke or timed out, or the disk is full; partial data is kept.
        InputError: the server refuses, or sends something other than the file (which is deleted).
    """
    failed = 0
    while True:
        before = _size(_part_of(path))
        try:
            _fetch_rest(url, path, command, timeout_s, progress)
            break
        except _BrokenError as error:
            failed = 0 if _size(_part_of(path)) > before else failed + 1
            if attempts == 1 or failed >= attempts:
                raise StoppedError(
                    f"The file cannot be downloaded: {error}",
                    where=url,
                    expected="a connection to the internet",
                    next_step=f"run {command} again to resume, or download the file yourself and put it at {path}",
                ) from error
            time.sleep(min(2.0**failed, _LONGEST_WAIT_S))
    part = _part_of(path)
    if problem := check(part):
        _forget(path)
        raise InputError(
            problem,
            where=url,
            next_step=f"run {command} again; if it fails again, download the file yourself and put it at {path}",
        )
    part.replace(path)
    _forget(path)


class _BrokenError(Exception):
    """The connection failed or broke: a retry may help."""


def _fetch_rest(url: str, path: Path, command: str, timeout_s: float, progress: Progress) -> None:
    """Appends to the partial file until it is complete."""
    import http.client
    import urllib.error
    import urllib.request

    part = _part_of(path)
    known = _read_note(path, url)
    have = _size(part)
    request = urllib.request.Request(url, headers={"User-Agent": "fmn-toolkit", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        if known.validator:
            request.add_header("If-Range", known.validator)
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            _refuse_web_page(response, url, path)
            begin, total = _span(response, have)
            version = _Version(url, response.headers.get("ETag"), response.headers.get("Last-Modified"), total)
            if begin != have or (begin and known.size_bytes not in (None, total)):
                # Not the requested range, or another version of the file: start over.
                if begin:
                    _forget(path)
                    raise _BrokenError("the server sent another range than requested")
                have = 0
            write_bytes(_note_of(path), json.dumps(asdict(version)).encode())
            _need_room(part, have, total, command)
            progress(path.name, have, total or have)
            with part.open("ab" if have else "wb") as file:
                have = _copy(response, file, have, lambda done: progress(path.name, done, max(total or done, done)))
        if total is not None and have < total:
            raise _BrokenError(f"the connection closed after {have} of {total} bytes")
        if total is not None and have > total:
            _forget(path)
            raise _BrokenError(f"the server sent {have} bytes, but had announced {total}")
    except urllib.error.HTTPError as error:
        error.close()
        # 416: nothing follows the partial data, so it is complete, or it is another file, which the check detects.
        if error.code == 416 and have:
            size = error.headers.get("Content-Range", "").rpartition("/")[2]
            if size.isdigit() and int(size) != have:
                _forget(path)
                raise _BrokenError(f"the file has {size} bytes on the server, but {have} were downloaded") from error
            return
        if error.code in (408, 429) or error.code >= 500:
            raise _BrokenError(f"the server answered {error.code} {error.reason}") from error
        raise InputError(
            f"The server refused the download: {error.code} {error.reason}",
            where=url,
            next_step=f"download it yourself from its project and put it at {path}",
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:  # URLError, timeouts, resets, malformed responses
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG):
            raise StoppedError(
                f"The file cannot be written: {error.strerror}",
                where=part.parent,
                next_step=f"{way_out(error.errno)}, then run {command} again to resume",
            ) from error
        raise _BrokenError(str(getattr(error, "reason", error)) or type(error).__name__) from error


def _copy(response: Any, file: IO[bytes], have: int, done: Callable[[int], None]) -> int:
    while chunk := response.read1(_CHUNK_BYTES):
        file.write(chunk)
        have += len(chunk)
        done(have)
    return have


def _span(response: Any, have: int) -> tuple[int, int | None]:
    """Offset of the response within the file, and the size of the file, if stated."""
    length = response.headers.get("Content-Length")
    if response.status != 206:  # the server ignores Range and sends the file from the start
        return 0, None if length is None else int(length)
    unit, _, span = response.headers.get("Content-Range", "").partition(" ")
    if unit != "bytes":
        return have, None if length is None else have + int(length)
    place, _, size = span.partition("/")
    return int(place.partition("-")[0]), None if size == "*" else int(size)


def _refuse_web_page(response: Any, url: str, path: Path) -> None:
    if response.headers.get_content_type() == "text/html" and path.suffix not in (".html", ".htm"):
        raise InputError(
            "The server returned a web page instead of the file",
            where=url,
            expected=path.name,
            next_step=f"open the address in a browser, download the file and put it at {path}",
        )


def _need_room(part: Path, have: int, total: int | None, command: str) -> None:
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - have > free:
        raise StoppedError(
            "Not enough disk space for the file: "
            f"{(total - have) / 1e9:.1f} GB remaining, {free / 1e9:.1f} GB are free",
            where=part.parent,
            next_step=f"make room, then run {command} again to resume",
        )


def _part_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _note_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.part.json")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _read_note(path: Path, url: str) -> _Version:
    """The server's version of the file that the partial data belongs to; data from another address is deleted."""
    with suppress(OSError, ValueError, TypeError):
        version = _Version(**json.loads(_note_of(path).read_bytes()))
        if version.url == url:
            return version
        _forget(path)
    return _Version(url)


def _forget(path: Path) -> None:
    _part_of(path).unlink(missing_ok=True)
    _note_of(path).unlink(missing_ok=True)
