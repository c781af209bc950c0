"""Recordings of a folder or CSV file, matched to classes or clips.

Supported layouts:

- ``DIR/<class id>/<voice>_….wav``, optionally with the sentence in a ``.txt`` of the same name beside it;
- ``DIR/<clip id>.wav`` or ``DIR/<voice>/<clip id>.wav``, likewise;
- a CSV with the columns ``path,class,clip,voice,text,licence,accent,age_band,device``; paths are relative to the folder
  of the CSV, and besides the path, a row needs only ``class`` or ``clip``.

Any audio format that FFmpeg reads is supported, not only WAV. Files that cannot be matched are reported and skipped.
"""

from __future__ import annotations

import csv
import difflib
import io
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import read_input
from dataset_tools.manifests import ClipRow, SpeakerFacts
from dataset_tools.speech.speaker_facts import NOTHING_SAID
from dataset_tools.speech.voice_names import voice_slug

SOUND_SUFFIXES = frozenset(
    [".aac", ".aif", ".aiff", ".flac", ".m4a", ".mka", ".mp3", ".mp4", ".oga", ".ogg", ".opus", ".wav", ".webm", ".wma"]
)
_SHOWN = 3
_MOST_SENTENCE_BYTES = 2**16
_COLUMNS = ("path", "class", "clip", "voice", "text", "licence", *SpeakerFacts.__struct_fields__)


@dataclass(frozen=True)
class FoundRecording:
    """An audio file with its stated metadata.

    Attributes:
        path: the file.
        class_id: its class. clip_id: the clip that it describes, if stated.
        voice: the speaker (`voice_slug`), ``unknown`` if none is stated.
        text: the sentence, empty if not stated.
        licence: empty if not stated. speaker: metadata of the speaker.
        named: the speaker's name as written, empty if none is stated.
    """

    path: Path
    class_id: str
    clip_id: str | None
    voice: str
    text: str = ""
    licence: str = ""
    speaker: SpeakerFacts = NOTHING_SAID
    named: str = ""

    def __str__(self) -> str:
        return in_unicode(str(self.path))


@dataclass
class Found:
    """Result of the search for recordings.

    Attributes:
        recordings: in the order of their paths, or of the CSV.
        mismatches: files and rows that cannot be matched, a message each.
    """

    recordings: list[FoundRecording] = field(default_factory=list)
    mismatches: list[str] = field(default_factory=list)


def find_recordings(source: Path, classes: ClassFile, clips: Sequence[ClipRow]) -> Found:
    """Finds the recordings in a folder, or reads a CSV file.

    Raises:
        InputError: there is no such folder or file, the CSV cannot be read or has other columns, or there is no
            recording of this data set.
    """
    names = _Names({one.id for one in classes.classes}, {clip.id: clip.class_id for clip in clips})
    found = Found()
    if source.is_dir():
        found = _in_folder(source, names)
    elif source.suffix.lower() == ".csv" and source.is_file():
        found = _in_csv(source, names)
    if found.recordings:
        return found
    more = f" and {len(found.mismatches) - _SHOWN} more" if len(found.mismatches) > _SHOWN else ""
    raise InputError(
        "; ".join(["There are no recordings to import", *found.mismatches[:_SHOWN]]) + more,
        where=source,
        expected="a folder of <class id>/<voice>_….wav or <clip id>.wav, or a CSV file that lists recordings",
        next_step="check the path and the names; fmn-data classes lists the classes",
    )


def _voice(name: str) -> str:
    """Voice of a speaker's name, or ``unknown``."""
    return voice_slug(name) or "unknown"


def in_unicode(path: str) -> str:
    """Makes a path, or a text with a path, valid UTF-8; other bytes are escaped with a backslash."""
    return path.encode("utf-8", "surrogateescape").decode(errors="backslashreplace")


@dataclass(frozen=True)
class _Names:
    """Valid class ids, and the class of each clip id."""

    class_ids: Collection[str]
    clip_classes: Mapping[str, str]

    def suggestion(self, name: str) -> str:
        near = difflib.get_close_matches(name, [*self.class_ids, *self.clip_classes], n=1)
        return f" (did you mean {near[0]}?)" if near else ""


def _in_folder(folder: Path, names: _Names) -> Found:
    found = Found()
    for path in sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith(".")):
        shown = in_unicode(str(path.relative_to(folder)))
        if shown != str(path.relative_to(folder)):
            found.mismatches.append(f"{shown}: the file name is not UTF-8; rename the file")
        elif path.suffix.lower() == ".txt":
            if not any(path.with_suffix(suffix).is_file() for suffix in SOUND_SUFFIXES):
                found.mismatches.append(f"{shown}: a sentence without a recording beside it")
        elif path.suffix.lower() not in SOUND_SUFFIXES:
            found.mismatches.append(f"{shown}: the suffix is not that of an audio file")
        elif (recording := _by_name(path, folder, names)) is not None:
            try:
                found.recordings.append(replace(recording, text=_sentence_beside(path)))
            except ValueError as error:
                found.mismatches.append(f"{shown}: not imported: {error}")
        else:
            name = path.stem if path.parent == folder else path.parent.name
            found.mismatches.append(
                f"{shown}: neither the folder is a class nor the name a clip of this data set{names.suggestion(name)}"
            )
    return found


def _by_name(path: Path, folder: Path, names: _Names) -> FoundRecording | None:
    if path.stem in names.clip_classes:
        name = path.parent.resolve().name
        return FoundRecording(path, names.clip_classes[path.stem], path.stem, _voice(name), named=name)
    if path.parent != folder and path.parent.name in names.class_ids:
        name = path.stem.partition("_")[0]
        return FoundRecording(path, path.parent.name, None, _voice(name), named=name)
    return None


def _sentence_beside(path: Path) -> str:
    """Reads the sentence in the ``.txt`` of a recording; empty if there is none.

    Raises:
        ValueError: the ``.txt`` cannot be read as a sentence.
    """
    text = path.with_suffix(".txt")
    try:
        content = read_input(text, _MOST_SENTENCE_BYTES) if text.is_file() else b""
    except InputError as error:
        raise ValueError(f"{text.name}: {error.found}, expected {error.expected}") from error
    except OSError as error:
        raise ValueError(f"{text.name} cannot be read: {error.strerror}") from error
    try:
        sentence = " ".join(content.decode("utf-8-sig").split())
    except UnicodeDecodeError:
        sentence = "\0"
    if "\0" in sentence:  # UTF-16 without a byte order mark decodes as UTF-8 with null characters
        raise ValueError(f"{text.name} is not text in UTF-8; save it as UTF-8")
    return sentence


def _in_csv(path: Path, names: _Names) -> Found:
    try:
        text = read_input(path).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", strict=True)
        columns = reader.fieldnames or []
        rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"The CSV cannot be read: {error}", where=path, expected="UTF-8, commas", next_step="export it again"
        ) from error
    unknown = [column for column in columns if column not in _COLUMNS]
    if unknown or "path" not in columns or not {"class", "clip"} & set(columns):
        raise InputError(
            f"The CSV has the columns {', '.join(columns) or 'none'}",
            where=f"{path}, line 1",
            expected=f"path, and class or clip; all columns among {', '.join(_COLUMNS)}",
            next_step="correct the first line",
        )
    found = Found()
    for line, row in rows:
        try:
            found.recordings.append(_from_row(row, path, names))
        except ValueError as error:
            found.mismatches.append(f"{path.name}, line {line}: {error}")
    return found


def _from_row(row: Mapping[str, str | None], listing: Path, names: _Names) -> FoundRecording:
    if "" in row:
        raise ValueError("more fields than columns")
    values = {column: (row.get(column) or "").strip() for column in _COLUMNS}
    file = listing.parent / values["path"]
    if not values["path"] or not os.path.isfile(file):  # noqa: PTH113 - unlike Path.is_file, accepts any name
        raise ValueError(f"there is no file {values['path']!r}")
    clip_id, class_id = values["clip"] or None, values["class"]
    if clip_id is not None:
        if clip_id not in names.clip_classes:
            raise ValueError(f"{clip_id!r} is not a clip of this data set{names.suggestion(clip_id)}")
        class_of_clip = names.clip_classes[clip_id]
        if class_id not in ("", class_of_clip):
            raise ValueError(f"{clip_id} is a clip of {class_of_clip}, not of {class_id}")
        class_id = class_of_clip
    elif class_id not in names.class_ids:
        raise ValueError(f"{class_id!r} is not a class of this data set{names.suggestion(class_id)}")
    name = values["voice"] or file.stem.partition("_")[0]
    speaker = SpeakerFacts(*(values[name] for name in SpeakerFacts.__struct_fields__))
    return FoundRecording(file, class_id, clip_id, _voice(name), values["text"], values["licence"], speaker, name)
