"""Review journal, annotations/reviews.jsonl: all decisions, append-only (except for `drop_reviews`).

A pull appends rows for annotations that are new or have changed. An annotation that is deleted in Label Studio gets
another row, with ``deleted``; rows are removed only for speakers who withdrew (`drop_reviews`). Rows are appended in
order of time; since an annotation may become visible late, they are sorted again when they are read.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec
from filelock import FileLock, Timeout

from dataset_tools.core.errors import ManifestError, StoppedError
from dataset_tools.core.files import way_out, write_bytes
from dataset_tools.core.jsonl import Row
from dataset_tools.core.path_parts import FileName, Sha256, in_words
from dataset_tools.core.workspace import Workspace

Verdict = Literal["accept", "trim", "reject", "skip"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

MOST_CHARACTERS = 500
"""Longest text that users may enter: sentences are synthesized, at a cost that grows with their length."""

Text = Annotated[str, msgspec.Meta(max_length=MOST_CHARACTERS)]


class LabelStudioIds(msgspec.Struct, frozen=True, kw_only=True):
    """Origin of a decision in Label Studio.

    Attributes:
        server: address of the server, or None if the row comes from an export file.
        project, task, annotation: their ids on that server.
        created: creation time of the annotation, UTC. With ``annotation``, it identifies it across servers.
        review_round: number of times that the clip was sent to annotators, from 1 ("look" in the file).
    """

    server: str | None
    project: int
    task: int
    annotation: int
    created: str
    review_round: int = msgspec.field(default=1, name="look")


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What the page showed when the decision was made, which makes a row self-contained.

    Attributes:
        class_id: id of the class ("class" in the file). sentence: the description.
        first_frame: source frame of the first frame of the video. frames: length of the video.
        interval: first and last source frame of the clip in that video; None if the clip was the whole video.
        source_sha256: of the source video, or None if it was not known. With it, the decision remains valid for a clip
            that is cut again from the same video at another size or by another encoder.
    """

    class_id: Text = msgspec.field(name="class")
    sentence: Text
    first_frame: int
    frames: int
    interval: tuple[int, int] | None = None
    source_sha256: Sha256 | None = None


class ReviewRow(Row, frozen=True, kw_only=True, tag="fmn.review/1"):
    """Row of annotations/reviews.jsonl: decision of one annotator on one clip or one utterance.

    Attributes:
        id: of the clip or utterance. item: which of the two.
        content_sha256: of the clip or utterance file at the time the task was created.
        verdict: ``accept``, ``trim`` (clips only), ``reject``; ``skip`` if the task was skipped; None if there is no
            verdict (on an utterance), or if the row cannot be used (see ``problem``).
        reasons: why a clip was rejected.
        trim: ``[start_frame, end_frame]`` to keep, in source frames, 1-based, inclusive; else None.
        corrected_class: id of the chosen class if it differs from the one shown: it need not be in the class file;
            ``other`` if the right word was not offered. Else None.
        sentence: the description if it was changed; else None.
        rating: of the utterance, 1 to 5, or None. note: free text, or None.
        annotator: e-mail address of the account, else ``user N``.
        time: of the decision or its last change (with ``deleted``: of the detection of the deletion), UTC, ISO 8601.
        deleted: the annotation was deleted in Label Studio; the row repeats its values.
        problem: why the decision cannot be used (a trim without a range, …), or None.
        changed: how the decision was adjusted to be usable (a range that was clamped to the clip), or None.
        lead_time_s: seconds that the annotator took, or None.
    """

    id: FileName
    item: Literal["clip", "utterance"]
    content_sha256: Sha256
    verdict: Verdict | None
    reasons: tuple[Text, ...] = ()
    trim: tuple[int, int] | None = None
    corrected_class: Text | None = None
    sentence: Text | None = None
    rating: int | None = None
    note: Text | None = None
    annotator: Text
    time: str
    deleted: bool = False
    problem: Text | None = None
    changed: Text | None = None
    lead_time_s: float | None = None
    shown: Shown
    label_studio: LabelStudioIds

    @property
    def source(self) -> tuple[int, str, str]:
        """Identifies the subject of the row: the annotation, and which of its two items."""
        return self.label_studio.annotation, self.label_studio.created, self.item

    @property
    def key(self) -> tuple[int, str, str, str, bool]:
        """Identifies the row: two rows with the same key are the same decision, pulled twice."""
        return (*self.source, self.time, self.deleted)


def utc(time: str | datetime) -> str:
    """Formats a time as in rows: UTC, microseconds, ``Z``; lexicographic order is chronological order."""
    moment = datetime.fromisoformat(time) if isinstance(time, str) else time
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def reviews_path(workspace: Workspace) -> Path:
    """Path of the workspace's reviews.jsonl."""
    return workspace.annotations / "reviews.jsonl"


def read_reviews(path: Path) -> list[ReviewRow]:
    """Reads all rows, sorted by time; returns an empty list if the file does not exist.

    An incomplete last line, left by a killed process, is ignored: `append_reviews` moves it to a file of its own.

    Raises:
        ManifestError: a line is not a row; file and line are named.
    """
    if not path.is_file():
        return []
    decoder = msgspec.json.Decoder(ReviewRow)
    rows = []
    *lines, last = path.read_bytes().split(b"\n")
    for number, line in enumerate([*lines, *([last] if _is_row(last) else [])], start=1):
        try:
            if b'"schema"' not in line:  # msgspec accepts a missing tag
                raise ValueError("the field `schema` is missing, expected 'fmn.review/1'")
            row = decoder.decode(line)
            # Else the newest decision could be another: times are compared as texts.
            rows.append(row if row.time == (time := utc(row.time)) else msgspec.structs.replace(row, time=time))
        except (ValueError, OverflowError, RecursionError) as error:
            raise ManifestError(
                f"The row cannot be read: {in_words(error)}",
                where=f"{path}, line {number}",
                expected="one fmn.review/1 object a line",
                next_step="correct or remove that line; pulling again restores what Label Studio still has",
            ) from error
    return sorted(rows, key=lambda row: row.time)


def append_reviews(path: Path, rows: Sequence[ReviewRow]) -> None:
    """Appends rows and flushes them to disk. The caller holds `reviews_lock`.

    If the process is killed, the file may end with an incomplete line. The next call moves that line to a file of its
    own beside the raw exports; its row is pulled again, since the file does not contain it.

    Raises:
        StoppedError: the disk is full or read-only; the file is unchanged.
    """
    if not rows:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    _repair_last_line(path)
    content = b"".join(msgspec.json.encode(row) + b"\n" for row in sorted(rows, key=lambda row: row.time))
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        try:
            while content:
                content = content[file.write(content) :]
            os.fsync(file.fileno())
        except OSError as error:
            os.truncate(path, size)
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise StoppedError(
                    f"The decisions cannot be written: {os.strerror(error.errno)}",
                    where=path,
                    next_step=f"{way_out(error.errno)}, then run fmn-data annotate pull again to resume",
                ) from error
            raise


def drop_reviews(path: Path, is_dropped: Callable[[ReviewRow], bool]) -> None:
    """Removes rows, for speakers who withdrew their consent; the other rows remain byte for byte.

    The caller holds `reviews_lock`.
    """
    lines = path.read_bytes().splitlines(keepends=True)
    write_bytes(
        path,
        b"".join(
            line for line in lines if not (_is_row(line) and is_dropped(msgspec.json.decode(line, type=ReviewRow)))
        ),
    )


@contextmanager
def reviews_lock(workspace: Workspace, wait_s: float = 30) -> Iterator[None]:
    """Lock that lets one process at a time pull into a workspace, or push from it.

    Raises:
        StoppedError: another process held the lock for longer than ``wait_s`` seconds.
    """
    folder = workspace.annotations / "label-studio"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=wait_s):
            yield
    except Timeout:
        raise StoppedError(
            "Another command is pushing or pulling in this workspace",
            where=folder,
            next_step="wait until it has ended, then run the same command again",
        ) from None


def _is_row(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=ReviewRow)
    except (ValueError, RecursionError):
        return False
    return b'"schema"' in line


def _repair_last_line(path: Path) -> None:
    """Makes the file end with a complete line: completes the last one, or moves an incomplete one to its own file."""
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    last = content[whole:]
    if not last:
        return
    if _is_row(last):
        with path.open("ab") as file:
            file.write(b"\n")
        return
    write_bytes(path.parent / "label-studio" / f"torn-{utc(datetime.now(UTC)).replace(':', '-')}.txt", last)
    os.truncate(path, whole)
