"""Recordings of a folder or CSV file, matched to classes or clips.

Supported layouts:

- ``DIR/<class id>/<voice>_….wav``, optionally with the sentence in a ``.txt`` of the same name beside it;
- ``DIR/<clip id>.wav`` or ``DIR/<voice>/<clip id>.wav``, likewise;
- a CSV with the columns ``path,class,clip,voice,text,licence,language,accent,age_band,device``; paths are relative to
  the folder of the CSV, and besides the path, a row needs only ``class`` or ``clip``.

The files of a folder count as audio by their suffix (`SOUND_SUFFIXES`); a CSV may list any audio format that FFmpeg
reads. Files that cannot be matched are reported and skipped.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import decode_text, read_input
from dataset_tools.core.languages import language_code
from dataset_tools.core.unicode_names import composed, in_unicode
from dataset_tools.manifests import ClipRow, SpeakerFacts
from dataset_tools.speech.recordings.recording_list import ListedFiles, read_list
from dataset_tools.speech.recordings.speaker_facts import NOTHING_SAID
from dataset_tools.speech.recordings.voice_names import voice_of

SOUND_SUFFIXES = frozenset(
    {".3ga", ".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".au", ".awb", ".caf", ".flac"}
    | {".m4a", ".m4b", ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4", ".oga", ".ogg", ".opus", ".qta", ".snd"}
    | {".spx", ".tta", ".voc", ".w64", ".wav", ".wave", ".webm", ".wma", ".wv"}
)
"""Suffixes of audio files, and of videos that recorders and browsers make."""
_SHOWN = 3
_MOST_SENTENCE_BYTES = 2**16
_OF_WINDOWS = ("desktop.ini", "thumbs.db")


@dataclass(frozen=True)
class FoundRecording:
    """An audio file with its stated metadata.

    Attributes:
        path: the file.
        class_id: its class. clip_id: the clip that it describes, if stated.
        voice: the speaker (`voice_slug`), ``unknown`` if none is stated.
        text: the sentence, empty if not stated.
        licence: empty if not stated. speaker: metadata of the speaker.
        is_whole_name: whether the voice is not stated, and the whole file name was taken for it.
        named: the speaker's name as written, empty if none is stated.
        language: its code (`language_code`), empty if not stated.
    """

    path: Path
    class_id: str
    clip_id: str | None
    voice: str
    text: str = ""
    licence: str = ""
    speaker: SpeakerFacts = NOTHING_SAID
    is_whole_name: bool = False
    named: str = ""
    language: str = ""

    def __str__(self) -> str:
        return in_unicode(str(self.path))


@dataclass(frozen=True)
class Mismatch:
    """A file or row of a CSV that was not matched: the message, and the audio file whose class or clip is not known."""

    message: str
    path: Path | None = None


@dataclass
class RecordingSearch:
    """Result of the search for recordings.

    Attributes:
        recordings: in the order of their paths, or of the CSV.
        mismatches: files and rows that cannot be matched.
        notes: remarks on the recordings that were found.
    """

    recordings: list[FoundRecording] = field(default_factory=list)
    mismatches: list[Mismatch] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_recordings(source: Path, classes: ClassFile, clips: Sequence[ClipRow]) -> RecordingSearch:
    """Finds the recordings in a folder, or reads a CSV file.

    Raises:
        InputError: there is no such folder or file, the CSV cannot be read or has other columns, or there is no
            recording of this data set.
    """
    names = _Names({one.id for one in classes.classes}, {clip.id: clip.class_id for clip in clips})
    found = RecordingSearch()
    if source.is_dir():
        found = _in_folder(source, names)
    elif source.suffix.lower() == ".csv" and source.is_file():
        found = _in_csv(source, names)
    if found.recordings:
        return found
    reasons = [*found.notes, *(one.message for one in found.mismatches)]
    nothing = "There are no recordings to import" if source.exists() else "There is no such file or folder"
    raise InputError(
        "; ".join([nothing, *first_of(reasons, _SHOWN)]),
        where=source,
        expected="a folder of <class id>/<voice>_….wav or <clip id>.wav, or a CSV file that lists recordings",
        next_step="check the path and the names; fmn-data classes lists the classes",
    )


def notes_on_whole_names(recordings: Sequence[FoundRecording]) -> list[str]:
    """Warns about voices that are whole file names: recorders number their files, and each would be a voice."""
    names = [f"{in_unicode(one.path.name)} ({one.voice})" for one in recordings if one.is_whole_name]
    if not names:
        return []
    number = count_of(len(names), "file states no voice, so its", "files state no voice, so their")
    return [
        f"{number} whole name is the voice: {', '.join(first_of(names, _SHOWN))}. If that is not the speaker, name the "
        "files <voice>_….wav, or give the voice in a CSV"
    ]


class _NotInDataSetError(ValueError):
    """The class or clip of a row is not part of the data set."""


class _Names:
    """Valid class ids, and the class of each clip id; they may be spelled with composed or decomposed letters."""

    def __init__(self, class_ids: Collection[str], clip_classes: Mapping[str, str]) -> None:
        self.clip_classes = clip_classes
        self._class_ids = {composed(name): name for name in class_ids} | {name: name for name in class_ids}
        self._clip_ids = {composed(name): name for name in clip_classes} | {name: name for name in clip_classes}

    def class_id(self, name: str) -> str | None:
        return self._class_ids.get(name) or self._class_ids.get(composed(name))

    def clip_id(self, name: str) -> str | None:
        return self._clip_ids.get(name) or self._clip_ids.get(composed(name))

    def suggestion(self, name: str) -> str:
        near = difflib.get_close_matches(composed(name), [*self._class_ids, *self._clip_ids], n=1)
        return f" (did you mean {near[0]}?)" if near else ""


def _in_folder(folder: Path, names: _Names) -> RecordingSearch:
    result = RecordingSearch()
    paths = sorted(_files_in(folder, result))
    texts = {_beside(path): path for path in paths if path.suffix.lower() == ".txt"}
    spoken = {_beside(path) for path in paths if path.suffix.lower() in SOUND_SUFFIXES}
    for path in paths:
        relative = in_unicode(str(path.relative_to(folder)))
        if relative != str(path.relative_to(folder)):
            result.mismatches.append(Mismatch(f"{relative}: the file name is not UTF-8; rename the file"))
        elif path.suffix.lower() == ".txt":
            if _beside(path) not in spoken:
                result.mismatches.append(Mismatch(f"{relative}: a sentence without a recording beside it"))
        elif path.suffix.lower() == ".csv":
            result.notes.append(
                f"{relative}: not read; to import the recordings that it lists, name it, not its folder"
            )
        elif path.suffix.lower() not in SOUND_SUFFIXES:
            said = "the suffix is not that of an audio file; a CSV may list files of any suffix"
            result.mismatches.append(Mismatch(f"{relative}: {said}"))
        elif (recording := _by_name(path, folder, names)) is not None:
            try:
                result.recordings.append(replace(recording, text=_sentence_in(texts.get(_beside(path)))))
            except ValueError as error:
                result.mismatches.append(Mismatch(f"{relative}: not imported: {error}"))
        else:
            name = path.stem if path.parent == folder else path.parent.name
            said = f"neither the folder is a class nor the name a clip of this data set{names.suggestion(name)}"
            result.mismatches.append(Mismatch(f"{relative}: {said}", path))
    return result


def _files_in(folder: Path, result: RecordingSearch) -> Iterator[Path]:
    """Yields the files in a folder and its subfolders, also in linked ones; adds a mismatch for what is no file."""

    def add_unread(error: OSError) -> None:
        relative = in_unicode(os.path.relpath(error.filename, folder))
        result.mismatches.append(Mismatch(f"{relative}: the folder cannot be read: {error.strerror}"))

    seen: set[str] = set()  # a link may lead to a folder that contains it
    for parent, folders, names in os.walk(folder, onerror=add_unread, followlinks=True):
        if (real := os.path.realpath(parent)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort(key=lambda name: (Path(parent, name).is_symlink(), name))  # a folder has its own name, if it can
        for path in (Path(parent, name) for name in names):
            if _is_of_system(path):
                continue
            if path.is_file():
                yield path
            else:
                kind = "a link without a target" if path.is_symlink() else "not a regular file"
                result.mismatches.append(Mismatch(f"{in_unicode(str(path.relative_to(folder)))}: {kind}"))


def _is_of_system(path: Path) -> bool:
    """Whether a file is one that macOS or Windows adds to folders (``.DS_Store``, ``._…``), or another hidden one."""
    return path.name.startswith(".") or path.name.lower() in _OF_WINDOWS


def _beside(path: Path) -> tuple[Path, str]:
    """Returns what a recording and its sentence have in common: the folder, and the name without the suffix."""
    return path.parent, composed(path.stem)


def _by_name(path: Path, folder: Path, names: _Names) -> FoundRecording | None:
    clip_id, class_id = names.clip_id(path.stem), names.class_id(path.parent.name)
    if clip_id is not None:
        name = Path(os.path.abspath(path.parent)).name  # noqa: PTH100 - of the link, not of its target
        return FoundRecording(path, names.clip_classes[clip_id], clip_id, voice_of(name), named=name)
    if path.parent != folder and class_id is not None:
        name, sign, _ = path.stem.partition("_")
        return FoundRecording(path, class_id, None, voice_of(name), is_whole_name=not sign, named=name)
    return None


def _sentence_in(text: Path | None) -> str:
    """Reads the sentence in the ``.txt`` of a recording; empty if there is none.

    Raises:
        ValueError: the ``.txt`` cannot be read as a sentence.
    """
    if text is None:
        return ""
    try:
        content = read_input(text, _MOST_SENTENCE_BYTES)
    except InputError as error:
        raise ValueError(f"{text.name}: {error.found}, expected {error.expected}") from error
    except OSError as error:
        raise ValueError(f"{text.name} cannot be read: {error.strerror}") from error
    try:
        return " ".join(decode_text(content).split())
    except UnicodeDecodeError as error:
        raise ValueError(f"{text.name} is not text in UTF-8; save it as UTF-8") from error


def _in_csv(path: Path, names: _Names) -> RecordingSearch:
    found, files = RecordingSearch(), ListedFiles(path.parent)
    for line, values in read_list(path):
        try:
            found.recordings.append(_from_row(values, files, names))
        except ValueError as error:
            file = files.find(values["path"]) if isinstance(error, _NotInDataSetError) else None
            found.mismatches.append(Mismatch(f"{path.name}, line {line}: {error}", file))
    return found


def _from_row(values: Mapping[str, str], files: ListedFiles, names: _Names) -> FoundRecording:
    if values[""]:
        raise ValueError("more fields than columns")
    file = files.find(values["path"]) if values["path"] else None
    if file is None:
        raise ValueError(f"there is no file {values['path']!r}")
    if values["clip"]:
        clip_id = names.clip_id(values["clip"])
        if clip_id is None:
            found = f"{values['clip']!r} is not a clip of this data set{names.suggestion(values['clip'])}"
            raise _NotInDataSetError(found)
        class_id = names.clip_classes[clip_id]
        if values["class"] and names.class_id(values["class"]) != class_id:
            raise ValueError(f"{clip_id} is a clip of {class_id}, not of {values['class']}")
    else:
        clip_id, stated = None, names.class_id(values["class"])
        if stated is None:
            found = f"{values['class']!r} is not a class of this data set{names.suggestion(values['class'])}"
            raise _NotInDataSetError(found)
        class_id = stated
    of_file, sign, _ = file.stem.partition("_")
    name, is_whole_name = values["voice"] or of_file, not (values["voice"] or sign)
    speaker, text = SpeakerFacts(*(values[fact] for fact in SpeakerFacts.__struct_fields__)), values["text"]
    return FoundRecording(
        file,
        class_id,
        clip_id,
        voice_of(name),
        text,
        values["licence"],
        speaker,
        is_whole_name,
        named=name,
        language=language_code(values["language"]) if values["language"] else "",
    )
