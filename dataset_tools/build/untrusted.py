"""Safety check of a third-party data set: files in the folder, manifest rows, media contents."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from dataset_tools.build.verify import check_files
from dataset_tools.build_record import ANNOTATION_SUFFIXES, read_build
from dataset_tools.classes.reader import load_classes
from dataset_tools.core import yaml_text
from dataset_tools.core.count_of import first_of
from dataset_tools.core.errors import InputError, ManifestError, ToolkitError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.jsonl import Row, read_lines
from dataset_tools.core.ledger import LedgerRow
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import read_reviews
from dataset_tools.manifests import ClipRow, PairRow, PredictionRow, SplitPairRow, UtteranceRow, resolve
from dataset_tools.pairs.split_record import read_split
from dataset_tools.speech.recordings.consent_rows import ConsentRow
from dataset_tools.speech.recordings.recording_files import SOUND_SUFFIXES
from dataset_tools.speech.recordings.recording_rows import RecordingRow
from dataset_tools.speech.transcripts import TranscriptRow

MIB = 2**20
MOST_LISTED = 100
"""Maximum number of listed problems per manifest."""
MOST_NAMED = 3
"""Maximum number of files that a terminal names of those of a folder with the same problem."""
LONGEST_LINE = MIB
"""Maximum bytes of a row: a reader holds one row in memory at a time."""

KNOWN: Mapping[str, int] = {  # path pattern (* also matches /), and maximum bytes of such a file
    "manifests/*.jsonl": 4096 * MIB,
    "manifests/*.json": 64 * MIB,
    "clips/*.mp4": 1024 * MIB,
    "speech/*.wav": 64 * MIB,
    **{f"recordings/*{suffix}": 256 * MIB for suffix in sorted(SOUND_SUFFIXES)},
    "recordings/*.jsonl": 256 * MIB,
    "annotations/reviews.jsonl": 1024 * MIB,
    "annotations/skips.jsonl": 64 * MIB,
    **{f"annotations/*{suffix}": 64 * MIB for suffix in ANNOTATION_SUFFIXES},
    "annotations/*.yaml": yaml_text.MOST_BYTES,
    "runs/*.safetensors": 16384 * MIB,
    "runs/*tfevents*": 1024 * MIB,
    "runs/*/.lock": 0,
    **{f"runs/*{suffix}": 256 * MIB for suffix in (".csv", ".json", ".jsonl", ".md", ".png", ".tex")},
    "ledger.jsonl": 1024 * MIB,
    "workspace.json": MIB,
    **{f"*{name}": MIB for name in ("README.md", "README", "LICENSE", "NOTICE", "CITATION.cff", "LICENSE.md")},
}
NOT_FROM_OTHERS = {
    "cache": "cached features and records would be used without a check; the toolkit computes them again",
    "annotations/label-studio": "it names a server, and an account there",
}
ROWS: tuple[tuple[str, type[Row]], ...] = (
    ("manifests/clips.jsonl", ClipRow),
    ("manifests/utterances.jsonl", UtteranceRow),
    ("manifests/pairs.jsonl", PairRow),
    ("manifests/train.jsonl", SplitPairRow),
    ("manifests/test.jsonl", SplitPairRow),
    ("manifests/transcripts.jsonl", TranscriptRow),
    ("ledger.jsonl", LedgerRow),
    ("recordings/recordings.jsonl", RecordingRow),
    ("recordings/consents.jsonl", ConsentRow),
    ("runs/*/predictions.jsonl", PredictionRow),
)


@dataclass(frozen=True)
class UntrustedReport:
    """Counts of what was checked in a third-party data set, and every problem found.

    Attributes:
        files: number of files in the folder. rows: number of rows of manifests, ledger, recordings and predictions.
        media: number of media files that were compared with their rows and decoded; 0 if an earlier check failed.
        problems: one sentence each, and one for all files of a folder that have the same; empty: the data set is safe.
        shown: the same for a terminal, with at most `MOST_NAMED` files of a folder named.
    """

    files: int
    rows: int
    media: int
    problems: tuple[str, ...]
    shown: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {"safe": not self.problems, **{name: each for name, each in asdict(self).items() if name != "shown"}}


def check_untrusted(root: Path, *, jobs: int = 1, progress: Progress = silent) -> UntrustedReport:
    """Checks a third-party data set before its first use; writes nothing.

    First the folder: only files of a data set, of bounded sizes; no links, no pickles. Then the rows. Then, unless an
    earlier check failed, the media: hash, format, size and length must match the rows.

    Raises:
        InputError: the folder does not exist, or holds no data set.
    """
    if not (root / "manifests" / "clips.jsonl").is_file():
        raise InputError(
            "There is no data set to check",
            where=root,
            expected="a folder with manifests/clips.jsonl",
            next_step="name the folder that holds manifests/, clips/ and speech/",
        )
    found: dict[tuple[str, str], list[str]] = {}  # file names, by folder and problem
    files = 0
    for path in _entries(root):
        files += 1
        problem = _problem_of(path, root)
        if problem is not None:
            name = path.relative_to(root).as_posix()
            found.setdefault((name.rpartition("/")[0].partition("/")[0], problem), []).append(name)
    problems = [f"{', '.join(names)}: {problem}" for (_, problem), names in found.items()]
    shown = [f"{', '.join(first_of(names, MOST_NAMED))}: {problem}" for (_, problem), names in found.items()]
    rows: list[Row] = []
    counts: Counter[str] = Counter()
    if not problems:
        for pattern, row_type in ROWS:
            for path in sorted(root.glob(pattern)):
                for row in _rows(path, row_type, problems):
                    counts[pattern] += 1
                    if isinstance(row, ClipRow | UtteranceRow | RecordingRow):
                        rows.append(row)
        problems += _unreadable(Workspace(root))
    media = 0
    if not problems:
        problems += [problem for row in rows if isinstance(row, RecordingRow) for problem in _original(row, root)]
        items = [row for row in rows if isinstance(row, ClipRow | UtteranceRow)]
        problems += check_files(items, root, jobs=jobs, progress=progress)
        media = len(items)
    return UntrustedReport(files, counts.total(), media, tuple(problems), tuple(shown or problems))


def _entries(root: Path) -> Iterator[Path]:
    """Yields every file and symbolic link below a folder; links are not followed."""
    for folder, folders, files in os.walk(root, followlinks=False):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        yield from (Path(folder) / name for name in sorted([*links, *files]))


def _problem_of(path: Path, root: Path) -> str | None:
    """Returns why a file is not allowed in a third-party data set; None: it is allowed."""
    name = path.relative_to(root).as_posix()
    for folder, reason in NOT_FROM_OTHERS.items():
        if name.startswith(f"{folder}/"):
            return f"{folder}/ from others must not be used: {reason}; remove the folder"
    if path.is_symlink():
        inside = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
        return f"it is a symbolic link{'' if inside else ' out of the folder'}; replace it with the file itself"
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        return "it is not a file but a pipe, a socket or a device"
    if not name.isprintable():
        return f"its name has nonprintable characters: {name!r}"
    most = next((size for pattern, size in KNOWN.items() if fnmatchcase(name, pattern)), None)
    if most is None:
        return "a data set has no such file; it could contain code (pickles, scripts, pages); remove it"
    if status.st_size > most:
        return f"it has {status.st_size:,} bytes, at most {most:,} are allowed"
    if path.suffix == ".jsonl" and _longest_line(path) > LONGEST_LINE:
        return f"it has a line of more than {LONGEST_LINE:,} bytes"
    return None


def _longest_line(path: Path) -> int:
    """Returns the bytes of the longest line, or, as soon as a line exceeds it, a number above `LONGEST_LINE`."""
    longest = length = 0
    with path.open("rb") as file:
        while longest <= LONGEST_LINE and (part := file.readline(MIB)):
            length += len(part)
            longest = max(longest, length)
            if part.endswith(b"\n"):
                length = 0
    return longest


def _rows(path: Path, row_type: type[Row], problems: list[str]) -> Iterator[Row]:
    """Yields the rows that can be read; the others are added to ``problems``, up to `MOST_LISTED`."""
    errors = 0
    for row in read_lines(path, row_type):
        if not isinstance(row, ManifestError):
            yield row
            continue
        errors += 1
        problems.append(f"{row.where}: {row.found}")
        if errors == MOST_LISTED:
            problems.append(f"{path}: the lines after it were not read")
            return


def _unreadable(workspace: Workspace) -> Iterator[str]:
    """Yields the problems of files that are not JSONL manifests, such as build.json and classes.yaml."""
    readers: list[Callable[[], object]] = [
        lambda: read_build(workspace),
        lambda: read_split(workspace),
        lambda: read_reviews(workspace.annotations / "reviews.jsonl"),
    ]
    if (workspace.annotations / "classes.yaml").is_file():
        readers.append(lambda: load_classes(workspace.annotations / "classes.yaml", count=None))
    for read in readers:
        try:
            read()
        except ToolkitError as error:
            yield f"{error.where}: {error.found}"


def _original(row: RecordingRow, root: Path) -> Iterator[str]:
    try:
        if sha256_of(resolve(root, row.original)) != row.original_sha256:
            yield f"{row.original}: its content does not match recordings.jsonl"
    except ManifestError as error:
        yield f"{row.original}: {error.found}"
