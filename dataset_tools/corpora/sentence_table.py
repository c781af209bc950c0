"""Sentence table, ``.tsv``: video, first frame, last frame, sentence.

Columns are detected by a header (``video``, ``start_frame``, ``end_frame``, ``sentence``, and common synonyms), else by
their content: one of video names, two of frames, one of sentences. Ambiguous tables are rejected. Quotes around a whole
cell, which spreadsheets and R write, are not part of its text. The columns of TACoS Multi-Level are not documented, and
none of its files was available, so its exact format is unknown.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mode

from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import decode_text, read_input

_NAMES = {
    "video": {"video", "video_id", "file", "filename", "sequence", "clip"},
    "start": {"start", "start_frame", "startframe", "begin", "from"},
    "end": {"end", "end_frame", "endframe", "stop", "to"},
    "sentence": {"sentence", "text", "description", "caption"},
}
_VIDEO = re.compile(r"s\d{2,3}-d\d{2,3}(-[A-Za-z0-9]+)*(\.\w+)?")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')  # quotes inside are doubled
_FRAME = re.compile(r"\d{1,15}")
_EXPECTED = "columns video, start_frame, end_frame, sentence, separated by tabs, and a header that names them"

TableRow = tuple[str, int, int, str]


def read_sentence_table(path: Path) -> list[TableRow]:
    """Returns the video, first frame, last frame and sentence of every row.

    Raises:
        InputError: the file cannot be read, its columns cannot be detected, or a row is invalid (the message names its
            line).
    """
    try:
        text = decode_text(read_input(path))
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        found = f"it cannot be read: {getattr(error, 'strerror', None) or error}"
        raise _refusal(path, found, "check the path, and that it is text in UTF-8") from error
    numbered = [(number, cells) for number, line in enumerate(lines, start=1) if any(cells := [*map(_unquoted, line)])]
    if not numbered:
        raise _refusal(path, "it has no rows")
    header = _columns_of_header(path, *numbered[0])
    rows = numbered[1:] if header else numbered
    width = len(numbered[0][1]) if header else mode(len(cells) for _, cells in rows)
    for number, cells in rows:
        if any(cells[width:]):  # a sentence would be cut off, or all cells be those of the column before
            found = f"line {number} has {count_of(len(cells), 'cell')} in {count_of(width, 'column')}"
            raise _refusal(path, found, "remove tabs and line breaks within cells; from R, write row.names = FALSE")
    columns = header or _columns_by_content(path, [cells for _, cells in rows])
    return [_row(path, number, cells, columns) for number, cells in rows]


def _unquoted(cell: str) -> str:
    quoted = _QUOTED.fullmatch(cell.strip())
    return (quoted[1].replace('""', '"') if quoted else cell).strip()


def _columns_of_header(path: Path, number: int, cells: Sequence[str]) -> dict[str, int]:
    """Returns the indices of the columns that a header names; empty if the row is not a header.

    Raises:
        InputError: it names two columns of one kind.
    """
    lower = [re.sub(r"[\s-]+", "_", cell.lower()) for cell in cells]
    named = {kind: [place for place, cell in enumerate(lower) if cell in names] for kind, names in _NAMES.items()}
    places = {kind: found[0] for kind, found in named.items() if found}
    if not {"start", "end", "sentence"} <= places.keys():
        return {}
    for kind, found in named.items():
        if len(found) > 1:
            several = " and ".join(repr(cells[place]) for place in found)
            ambiguous = f"line {number}: the columns {several} both name the {kind}"
            raise _refusal(path, ambiguous, "keep or rename one of them")
    return places


def _columns_by_content(path: Path, rows: Sequence[Sequence[str]]) -> dict[str, int]:
    width = min(map(len, rows))
    columns = [[row[place] for row in rows] for place in range(width)]
    videos = [place for place, cells in enumerate(columns) if all(map(_VIDEO.fullmatch, cells))]
    numbers = [place for place, cells in enumerate(columns) if all(map(_FRAME.fullmatch, cells))]
    texts = [place for place, cells in enumerate(columns) if all(" " in cell for cell in cells)]
    if len(numbers) != 2 or len(texts) != 1 or len(videos) > 1:
        found = f"{len(videos)} columns name videos, {len(numbers)} have whole numbers, {len(texts)} sentences"
        raise _refusal(path, f"its columns cannot be detected: {found}")
    places = {"start": numbers[0], "end": numbers[1], "sentence": texts[0]}
    return places | ({"video": videos[0]} if videos else {})


def _row(path: Path, number: int, cells: Sequence[str], columns: Mapping[str, int]) -> TableRow:
    if len(cells) <= max(columns.values()):
        raise _refusal(path, f"line {number} has {count_of(len(cells), 'column')}")
    named = _VIDEO.search(path.name)
    video = cells[columns["video"]] if "video" in columns else named.group() if named else ""
    if not video:
        raise _refusal(path, f"line {number} names no video, and neither does the file name")
    start, end, sentence = (cells[columns[name]] for name in ("start", "end", "sentence"))
    if not (_FRAME.fullmatch(start) and _FRAME.fullmatch(end)):
        raise _refusal(path, f"line {number}: {start[:20]!r} and {end[:20]!r} are not frame numbers")
    return video, int(start), int(end), sentence


def _refusal(path: Path, found: str, next_step: str = "correct it, or add such a header") -> InputError:
    return InputError(
        f"The table of sentences cannot be used: {found}",
        where=path,
        expected=_EXPECTED,
        next_step=next_step,
    )
