"""Interval list, the common representation of all annotation formats: video intervals with labels and sentences."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dataset_tools.core.count_of import first_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import read_input, slug
from dataset_tools.corpora.annotations.labels import parse_label
from dataset_tools.corpora.annotations.plain_text import check_printable, plain_text

MOST_FRAMES = 10**8
"""Upper bound of a time, in frames or seconds."""
SHOWN_PROBLEMS = 20
_LONGEST_NAME = 150
_MOST_NAME_BYTES = 200
"""In UTF-8: ids of clips and utterances begin with it, and file names have at most 255 bytes."""
_LONGEST_LABEL = 200
_LONGEST_SENTENCE = 500
_MOST_SENTENCES = 100


@dataclass(frozen=True)
class ListedInterval:
    """An interval of an annotation file: words and sentences as plain text, person and dish as slugs.

    Attributes:
        place: its position in the file, such as ``line 7``.
        video: name of the video as the file has it, also with two spaces or in decomposed Unicode.
        start, end: seconds, or frames from 1 (both included); both None: the whole video.
        sentences: descriptions of the interval, in any language.
    """

    place: str
    video: str
    start: float | None
    end: float | None
    action: str
    subject: str
    object: str = ""
    person: str = ""
    dish: str = ""
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True)
class IntervalList:
    """The intervals of an annotation file.

    Attributes:
        rows: at least one interval, in the file's order.
        in_seconds: whether times are seconds, with the end excluded; else frames.
        notes: remarks on the file for the user, as full sentences.
        guessed: action, subject and object of each parsed label.
        persons: their names, as written.
        file_prefix: optional prefix of video file names before the name in the list, such as ``v_`` in ActivityNet.
        is_folder: whether the names of videos are relative to the annotated folder itself.
    """

    rows: tuple[ListedInterval, ...]
    in_seconds: bool
    notes: tuple[str, ...] = ()
    guessed: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)
    persons: frozenset[str] = frozenset()
    file_prefix: str = ""
    is_folder: bool = False


class IntervalRows:
    """Collects the intervals of a file and its problems; every reader fills one instance.

    Attributes:
        path: the annotation file. expected: description of the expected content, for error messages.
        notes: remarks on the file for the user, as full sentences.
    """

    def __init__(self, path: Path, expected: str) -> None:
        self.path, self.expected = path, expected
        self.notes: list[str] = []
        self._rows: list[ListedInterval] = []
        self._problems: list[str] = []
        self._parsed: dict[str, tuple[str, str, str]] = {}
        self._persons: set[str] = set()

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        """Records a ValueError as a problem at ``place`` and continues; a list with problems is rejected as a whole."""
        try:
            yield
        except ValueError as error:
            self._problems.append(f"{place}: {error}")

    def add(
        self,
        place: str,
        video: str,
        start: float | None,
        end: float | None,
        words: tuple[str, str, str],
        *,
        sentences: Sequence[str] = (),
        person: str = "",
        dish: str = "",
    ) -> None:
        """Adds an interval; ``words`` are action, subject, and object or an empty string.

        Raises:
            ValueError: a value is invalid, or there is only one of the two times.
        """
        name, person, dish = (plain_text(text) for text in (video, person, dish))
        action, subject, object_ = (plain_text(word) for word in words)
        texts = tuple(dict.fromkeys(filter(None, (plain_text(text) for text in sentences))))
        for text in (name, person, dish, action, subject, object_, *texts):
            check_printable(text)
        _check_video(name)
        if max(len(action), len(subject), len(object_)) > _LONGEST_LABEL:
            raise ValueError(f"a word of the class has more than {_LONGEST_LABEL} characters")
        if subject.lower() == object_.lower():
            raise ValueError(f"`object`: it is the same as the subject, {subject!r}")
        longest = max(map(len, texts), default=0)
        if longest > _LONGEST_SENTENCE:
            raise ValueError(f"`sentence` has {longest} characters, at most {_LONGEST_SENTENCE} are allowed")
        if len(texts) > _MOST_SENTENCES:
            raise ValueError(f"it has {len(texts)} sentences, at most {_MOST_SENTENCES} are allowed")
        _check_times(start, end)
        self._persons.add(person)
        row = ListedInterval(place, video, start, end, action, subject, object_, slug(person), slug(dish), texts)
        self._rows.append(row)

    def words_of(self, label: str, *, is_sentence: bool = False) -> tuple[str, str, str]:
        """Returns action, subject and object of a label (see `dataset_tools.corpora.annotations.labels.parse_label`).

        Raises:
            ValueError: the label has no words, or is too long.
        """
        label = plain_text(label)
        if not is_sentence and len(label) > _LONGEST_LABEL:
            raise ValueError(f"the label {label[:40]!r}… has {len(label)} characters, at most {_LONGEST_LABEL}")
        words = parse_label(label, is_sentence=is_sentence)
        self._parsed.setdefault(label, words)
        return words

    def finished(self, *, in_seconds: bool, file_prefix: str = "", is_folder: bool = False) -> IntervalList:
        """Returns the list.

        Raises:
            InputError: there were problems, or there is no interval.
        """
        self.check()
        if not self._rows:
            raise InputError(
                "The list of intervals has no rows",
                where=self.path,
                expected=self.expected,
                next_step="add an entry for every interval",
            )
        return IntervalList(
            rows=tuple(self._rows),
            in_seconds=in_seconds,
            notes=tuple(self.notes),
            guessed=self._parsed,
            persons=frozenset(self._persons),
            file_prefix=file_prefix,
            is_folder=is_folder,
        )

    def check(self) -> None:
        """Raises an error if there were problems.

        Raises:
            InputError: there were problems; the message lists the first `SHOWN_PROBLEMS`.
        """
        if self._problems:
            raise InputError(
                "The list of intervals cannot be used"
                + "".join(f"\n  - {text}" for text in first_of(self._problems, SHOWN_PROBLEMS)),
                where=self.path,
                expected=self.expected,
                next_step="correct these",
            )


def notes_on_persons(names: Iterable[str]) -> list[str]:
    """Returns a remark on persons whose names differ only in characters that ids do not have, as a full sentence."""
    spellings: dict[str, set[str]] = defaultdict(set)
    for name in filter(slug, names):  # the others are nobody's
        spellings[slug(name)].add(name)
    alike = [" and ".join(map(repr, sorted(several))) for several in spellings.values() if len(several) > 1]
    shown = "; ".join(first_of(sorted(alike), SHOWN_PROBLEMS))
    return [f"Persons whose names differ only in symbols count as one person: {shown}."] if alike else []


def refusal(path: Path, found: str, expected: str, next_step: str, *, line: int | None = None) -> InputError:
    """Returns the error of an annotation file or folder that cannot be read at all, optionally because of one line."""
    where = path if line is None else f"{path}, line {line}"
    what = "The folder" if path.is_dir() else "The annotation file"
    return InputError(f"{what} {found}", where=where, expected=expected, next_step=next_step)


def read_content(path: Path, expected: str) -> bytes:
    """Returns the bytes of an annotation file.

    Raises:
        InputError: the file cannot be read, or is too large.
    """
    try:
        return read_input(path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise refusal(path, f"cannot be read: {why}", expected, "check the path") from error


def _check_video(video: str) -> None:
    if not slug(video):
        raise ValueError(f"`video`: {video[:40]!r} is not a video name")
    size = len((posixpath.basename(video) if posixpath.isabs(video) else video).encode())  # see `ListedVideo.parts`
    for number, most, unit in ((len(video), _LONGEST_NAME, "characters"), (size, _MOST_NAME_BYTES, "bytes in UTF-8")):
        if number > most:
            raise ValueError(
                f"`video`: {video[:40]!r}… has {number} {unit}, at most {most} are allowed: "
                "use shorter names, or shorter paths with --videos"
            )


def _check_times(start: float | None, end: float | None) -> None:
    if start is None and end is None:
        return
    if start is None or end is None:
        found = f"an end, {end:g}, but no start" if end is not None else f"a start, {start:g}, but no end"
        raise ValueError(f"it has {found}: give both times, or neither for the whole video")
    for time in (start, end):
        if not 0 <= time < MOST_FRAMES:
            raise ValueError(f"{time:g} is not a time from 0 to {MOST_FRAMES:,}")
    if end < start:
        raise ValueError(f"the end, {end:g}, is before the start, {start:g}")
