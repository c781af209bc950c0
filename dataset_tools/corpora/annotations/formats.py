"""Annotation formats: detection by content, and reading as a list of intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import msgspec

from dataset_tools.corpora.annotations.activitynet import read_activitynet, read_activitynet_captions
from dataset_tools.corpora.annotations.class_folders import read_class_folders
from dataset_tools.corpora.annotations.cvat import read_cvat
from dataset_tools.corpora.annotations.elan import read_elan
from dataset_tools.corpora.annotations.epic_kitchens import read_epic_kitchens
from dataset_tools.corpora.annotations.interval_csv import COLUMNS, read_interval_csv, read_table
from dataset_tools.corpora.annotations.interval_list import IntervalList, notes_on_persons, read_content
from dataset_tools.corpora.annotations.json_content import read_json
from dataset_tools.corpora.annotations.label_studio import read_label_studio
from dataset_tools.corpora.annotations.person_names import refused, with_persons
from dataset_tools.corpora.annotations.via import read_via
from dataset_tools.corpora.annotations.xml_content import root_tag


class ListOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """The options of `read_intervals`, as recorded in a workspace.

    Attributes:
        format: name of the format in `FORMATS`; None: detected from the content.
        tier: name of the tier that holds the labels, if there are several.
        frame_base: number of a video's first frame, 0 or 1; None: the default of the format.
        fps: frame rate of the re-encoded copies that the frame numbers refer to.
        person: a regular expression whose first group, matched in the name of a video, is the person shown; used for
            intervals whose person the file does not name.
    """

    format: str | None = None
    tier: str | None = None
    frame_base: int | None = None
    fps: float | None = None
    person: str | None = None


DEFAULT_OPTIONS = ListOptions()


@dataclass(frozen=True)
class Content:
    """What the formats of files and folders are told apart by; what a file or folder does not have is empty.

    Attributes:
        first_line: beginning of the first line of a file that is not blank.
        keys: keys of the object in a JSON file.
        entry_keys: keys of the objects that it holds, or its list, or its ``database``.
        root: name of the root element of an XML file.
        columns: columns of any other file, read as CSV, in lower case.
        suffixes: suffixes of the files in a folder, in lower case; None: it is a file.
    """

    first_line: str = ""
    keys: Set[str] = frozenset()
    entry_keys: Set[str] = frozenset()
    root: str = ""
    columns: Set[str] = frozenset()
    suffixes: Set[str] | None = None


@dataclass(frozen=True)
class Format:
    """An annotation format: its reader, whether a content is of it, and what it has.

    Attributes:
        read: reads a file; of the options, ``frame_base`` is set if the format has one.
        detects: whether a file is of the format.
        suffix: the usual suffix of its files, which `read_intervals` reads in a folder.
        frame_base: number of the first frame in its files; None: its times are not frames.
        has_tiers: whether ``tier`` applies to it.
    """

    read: Callable[[Path, ListOptions], IntervalList]
    detects: Callable[[Content], bool]
    suffix: str = ".json"
    frame_base: int | None = None
    has_tiers: bool = False


def _frame_base(options: ListOptions) -> int:
    assert options.frame_base is not None  # read_intervals sets it
    return options.frame_base


FORMATS: Mapping[str, Format] = {
    "epic-kitchens": Format(
        lambda path, options: read_epic_kitchens(path), lambda content: "narration_id" in content.columns, ".csv"
    ),
    "csv": Format(
        lambda path, options: read_interval_csv(path, frame_base=_frame_base(options)),
        lambda content: bool(content.columns & COLUMNS),
        ".csv",
        frame_base=1,
    ),
    "youcook2": Format(
        lambda path, options: read_activitynet(path),
        lambda content: "database" in content.keys and "recipe_type" in content.entry_keys,
    ),
    "activitynet": Format(
        lambda path, options: read_activitynet(path),
        lambda content: "database" in content.keys,
    ),
    "via": Format(
        lambda path, options: read_via(path, tier=options.tier),
        lambda content: content.keys >= {"metadata", "file", "view"},
        has_tiers=True,
    ),
    "activitynet-captions": Format(
        lambda path, options: read_activitynet_captions(path),
        lambda content: bool(content.keys) and "timestamps" in content.entry_keys,
    ),
    "label-studio": Format(
        lambda path, options: read_label_studio(path, tier=options.tier, frame_base=_frame_base(options)),
        lambda content: not content.keys and "data" in content.entry_keys,
        frame_base=1,
        has_tiers=True,
    ),
    "elan": Format(
        lambda path, options: read_elan(path, tier=options.tier),
        lambda content: content.root == "ANNOTATION_DOCUMENT" or ".eaf" in (content.suffixes or ()),
        ".eaf",
        has_tiers=True,
    ),
    "cvat": Format(
        lambda path, options: read_cvat(path, frame_base=_frame_base(options)),
        lambda content: content.root == "annotations",
        ".xml",
        frame_base=0,
    ),
    "folder": Format(lambda path, options: read_class_folders(path), lambda content: content.suffixes is not None, ""),
}
"""The formats by name. A file is of the first one that detects it."""


def read_intervals(path: Path, options: ListOptions = DEFAULT_OPTIONS) -> IntervalList:
    """Reads an annotation file, a folder of such files of one format, or class folders.

    Returns:
        The intervals. With ``fps``, frames are converted to seconds: frame *n* of the copy begins at (n − base) / fps.

    Raises:
        InputError: the format cannot be detected, an option does not apply to it, or the content is invalid.
    """
    name, fps = options.format or format_of(path), options.fps
    if name not in FORMATS:
        raise refused(path, f"There is no format {name!r}", f"one of {', '.join(FORMATS)}", "correct --format")
    kind = FORMATS[name]
    if options.tier is not None and not kind.has_tiers:
        with_tiers = ", ".join(name for name, kind in FORMATS.items() if kind.has_tiers)
        raise refused(path, f"--tier does not apply to the format {name}", f"one of {with_tiers}", "omit it")
    if fps is not None and not 0 < fps <= 1000:
        raise refused(path, f"--fps {fps:g} is not a valid frame rate", "from 0 to 1000", "correct --fps")
    base = kind.frame_base if options.frame_base is None else options.frame_base
    if base not in (None, 0, 1):
        raise refused(path, f"--frame-base {base} is not a valid first frame number", "0 or 1", "correct it")
    based = msgspec.structs.replace(options, frame_base=base)
    listed = kind.read(path, based) if name == "folder" or not path.is_dir() else _read_each(path, kind, based)
    has_frames = not listed.in_seconds and any(row.start is not None for row in listed.rows)
    if not has_frames and (options.frame_base is not None or fps is not None):
        found = "--frame-base and --fps apply only to times in frames; these annotations have " + (
            "seconds" if listed.in_seconds else "whole videos"
        )
        raise refused(path, found, "annotations with times in frames", "omit them")
    if options.person is not None:
        listed = with_persons(path, listed, options.person)
    listed = replace(listed, notes=(*listed.notes, *notes_on_persons(listed.persons)))
    return listed if fps is None else _as_seconds(listed, fps)


def format_of(path: Path) -> str:
    """Detects the format of a file or folder by its content, as suffixes can be wrong; returns its name.

    Raises:
        InputError: the content is of no known format, or cannot be read.
    """
    files = ", ".join(name for name in FORMATS if name != "folder")
    expected = (
        f"a folder, or a file of one of the formats {files} (csv: a first line such as video,start_s,end_s,label)"
    )
    content = _content_of(path, expected)
    for name, kind in FORMATS.items():
        if kind.detects(content):
            return name
    raise refused(
        path,
        "The format of the annotation file cannot be detected: it "
        + (f"begins with {content.first_line!r}" if content.first_line else "is empty"),
        expected,
        "name its format with --format, or convert it to one of these (docs/own-footage.md)",
    )


def _content_of(path: Path, expected: str) -> Content:
    if path.is_dir():
        return Content(suffixes={file.suffix.lower() for file in path.glob("[!.]*") if file.is_file()})
    text = read_content(path, expected).removeprefix(b"\xef\xbb\xbf").lstrip()
    first_line = text[:60].partition(b"\n")[0].decode("utf-8", "replace").strip()
    if text[:1] in (b"{", b"["):
        return Content(first_line, *_keys_of(read_json(path, expected, object)))
    if text[:1] == b"<":
        return Content(first_line, root=root_tag(path, expected))
    return Content(first_line, columns=frozenset(read_table(path, expected).columns))


def _keys_of(found: object) -> tuple[Set[str], Set[str]]:
    """Returns the keys of a JSON object, and those of the objects in it, see `Content`."""
    keys = frozenset(found) if isinstance(found, dict) else frozenset()
    held = found["database"] if isinstance(found, dict) and "database" in found else found
    entries = held.values() if isinstance(held, dict) else held if isinstance(held, list) else ()
    return keys, frozenset(key for entry in entries if isinstance(entry, dict) for key in entry)


def _read_each(folder: Path, kind: Format, options: ListOptions) -> IntervalList:
    """Reads all files of a format in a folder as a single list of intervals."""
    files = sorted(file for file in folder.glob("[!.]*") if file.suffix.lower() == kind.suffix and file.is_file())
    if not files:
        found = f"There are no {kind.suffix} files in the folder"
        raise refused(folder, found, "annotation files of one format", "check the folder, and --format")
    lists = {file.name: kind.read(file, options) for file in files}
    units = {one.in_seconds for one in lists.values() if any(row.start is not None for row in one.rows)}
    if len(units) > 1:
        found = "The times are frames in some of the files, and seconds in others"
        raise refused(folder, found, "the same unit in all files", "convert the times, or name the files one by one")
    return replace(
        next(iter(lists.values())),
        rows=tuple(replace(row, place=f"{name}, {row.place}") for name, one in lists.items() for row in one.rows),
        notes=tuple(dict.fromkeys(note for one in lists.values() for note in one.notes)),
        in_seconds=True in units,
        guessed={label: words for one in lists.values() for label, words in one.guessed.items()},
        persons=frozenset().union(*(one.persons for one in lists.values())),
    )


_NTSC = tuple(Fraction(rate * 1000, 1001) for rate in (24, 30, 48, 60, 120))
"""Frame rates that are written with two or three decimals: 29.97."""


def _as_seconds(listed: IntervalList, fps: float) -> IntervalList:
    written = {round(float(rate), places): float(rate) for rate in _NTSC for places in (2, 3)}
    exact = written.get(fps, fps)
    # 29.97 may also be meant exactly, as by `ffmpeg -r 29.97`. By the later start and the earlier end, frames are right
    # in both cases; by the other rate alone, they are wrong by one after 17 minutes.
    slower, faster = min(fps, exact), max(fps, exact)
    rows = tuple(
        row
        if row.start is None or row.end is None
        else replace(row, start=(row.start - 1) / slower, end=row.end / faster)
        for row in listed.rows
    )
    note = f"Frames refer to copies with {fps:g} frames per second (--fps), and were converted to seconds."
    return replace(listed, rows=rows, in_seconds=True, notes=(*listed.notes, note))
