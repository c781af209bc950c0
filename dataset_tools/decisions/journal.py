"""Review journal, annotations/reviews.jsonl: all decisions, append-only (except for `drop_reviews`).

A pull appends the rows of the annotations that are new or have changed. Nothing is ever taken out: an annotation that
is deleted in Label Studio gets one more row, with ``deleted``. Rows are appended in the order of their times; since an
annotation may become visible late, reading sorts them again.
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
from dataset_tools.core.files import write_bytes
from dataset_tools.core.jsonl import Row
from dataset_tools.core.path_parts import FileName, Sha256, in_words
from dataset_tools.core.workspace import Workspace

Verdict = Literal["accept", "trim", "reject", "skip"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

MOST_CHARACTERS = 500
"""Of any text that people give: a sentence is spoken, at a cost that grows with its length."""

Text = Annotated[str, msgspec.Meta(max_length=MOST_CHARACTERS)]


class LabelStudioIds(msgspec.Struct, frozen=True, kw_only=True):
    """Where in Label Studio a decision was made.

    Attributes:
        server: address of the server, or None when the row comes from an export file.
        project, task, annotation: their ids on that server.
        created: time the annotation was made, UTC. With ``annotation`` it names it across servers.
        look: counts the times that the clip was put before people, from 1.
    """

    server: str | None
    project: int
    task: int
    annotation: int
    created: str
    look: int = 1


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What the page showed when the decision was made, so that a row can be understood alone.

    Attributes:
        class_id: id of the class ("class" in the file). sentence: the description.
        first_frame: source frame of the first frame of the video. frames: how many the video had.
        interval: first and last source frame of the clip in that video; None: the clip was the whole video.
        source_sha256: of the source video, or None where it was not known: with it the decision still refers to the
            clip when that is cut again, at another size or by another encoder, from the same video.
    """

    class_id: Text = msgspec.field(name="class")
    sentence: Text
    first_frame: int
    frames: int
    interval: tuple[int, int] | None = None
    source_sha256: Sha256 | None = None


class ReviewRow(Row, frozen=True, kw_only=True, tag="fmn.review/1"):
    """annotations/reviews.jsonl: what one person decided about one clip or one utterance.

    Attributes:
        id: of the clip or utterance. item: which of the two.
        content_sha256: of the clip or utterance file as it was when the task was made.
        verdict: ``accept``, ``trim`` (clips only), ``reject``; ``skip`` when the task was skipped; None when nothing
            was said (an utterance), or when the row is not usable (see ``problem``).
        reasons: why a clip was rejected.
        trim: ``[start_frame, end_frame]`` to keep, in source frames, 1-based, both included; else None.
        corrected_class: class id when another class than the one shown was chosen: it need not be one of the class
            file; ``other`` when the right word was not offered. Else None.
        sentence: the description, when it was changed; else None.
        rating: of the utterance, 1 to 5, or None. note: free text, or None.
        annotator: who decided: the e-mail address of the account, else ``user N``.
        time: when it was decided or last changed (or, with ``deleted``, noticed to be gone), UTC, ISO 8601.
        deleted: the annotation is gone from Label Studio; the row repeats what it said.
        problem: why the decision cannot be used (a trim without a range, …), or None.
        changed: how what was said was changed to be used (a range that was cut to the clip), or None.
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
        """Names what the row is about: which annotation, and which of its two items."""
        return self.label_studio.annotation, self.label_studio.created, self.item

    @property
    def key(self) -> tuple[int, str, str, str, bool]:
        """Names the row: two rows with one key are the same decision, pulled twice."""
        return (*self.source, self.time, self.deleted)


def utc(time: str | datetime) -> str:
    """A time as rows write it: UTC, microseconds, ``Z``; so that the order of texts is that of times."""
    moment = datetime.fromisoformat(time) if isinstance(time, str) else time
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def reviews_path(workspace: Workspace) -> Path:
    """Path of the workspace's reviews.jsonl."""
    return workspace.annotations / "reviews.jsonl"


def read_reviews(path: Path) -> list[ReviewRow]:
    """Reads all rows, sorted by time; an empty list when there is no such file yet.

    What a killed process left of a last line is passed over: `append_reviews` puts it aside.

    Raises:
        ManifestError: a line is not a row; file and line are named.
    """
    if not path.is_file():
        return []
    decoder = msgspec.json.Decoder(ReviewRow)
    rows = []
    *lines, last = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            if b'"schema"' not in line:  # msgspec takes a missing tag for the right one
                raise ValueError("the field `schema` is missing, expected 'fmn.review/1'")
            rows.append(decoder.decode(line))
        except (ValueError, RecursionError) as error:
            raise ManifestError(
                f"The row cannot be read: {in_words(error)}",
                where=f"{path}, line {number}",
                expected="one fmn.review/1 object a line",
                next_step="correct or remove that line by hand; pulling again brings back what Label Studio still has",
            ) from error
    if _is_row(last):
        rows.append(decoder.decode(last))
    return sorted(rows, key=lambda row: row.time)


def append_reviews(path: Path, rows: Sequence[ReviewRow]) -> None:
    """Appends rows and waits until the disk has them. The caller holds `reviews_lock`.

    Killed on the way, the file ends with a part of a line at most. The next call puts that part into a file of its
    own beside the raw exports, and the row it belonged to is pulled again, as the file does not have it.

    Raises:
        StoppedError: the disk is full or read-only; the file is as it was.
    """
    if not rows:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    _mend_last_line(path)
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
                    next_step="make room, then run fmn-data annotate pull again to resume",
                ) from error
            raise


def drop_reviews(path: Path, is_dropped: Callable[[ReviewRow], bool]) -> None:
    """Takes rows out, for speakers who withdrew their consent; the others stay byte for byte.

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
    """Lets one process at a time pull into a workspace, or push from it.

    Raises:
        StoppedError: another one holds it for longer than ``wait_s`` seconds.
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


def _mend_last_line(path: Path) -> None:
    """Makes the file end with a whole line: completes the last one, or puts its torn part aside."""
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
