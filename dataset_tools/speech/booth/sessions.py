"""Recording sessions: sentences to record, permitted speakers, and the storage of takes."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import msgspec

from dataset_tools.classes.triplets import ActionClass, ClassFile
from dataset_tools.core.audio_decoding import decode
from dataset_tools.core.errors import InputError, SampleError
from dataset_tools.core.files import clear_partial, partial_folder
from dataset_tools.core.languages import language_of, may_be_in
from dataset_tools.core.ledger import Ledger, read_ledger
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.sentence_files import SentenceSpans
from dataset_tools.decisions.journal import read_reviews, reviews_path
from dataset_tools.decisions.majority_rule import same_words
from dataset_tools.decisions.verdicts import agreed_sentences, followed
from dataset_tools.manifests import ClipRow, UtteranceRow, read_rows, resolve
from dataset_tools.speech.audio.recording_quality import DECODED_S, Limits, judge, measure
from dataset_tools.speech.booth.skips import Skips
from dataset_tools.speech.dataset_speech import assemble, write_utterances
from dataset_tools.speech.earlier_speech import earlier_speech, speech_in_use
from dataset_tools.speech.recordings.consents import CONSENT, Consents
from dataset_tools.speech.recordings.recording_files import FoundRecording
from dataset_tools.speech.recordings.recording_import import add_recording
from dataset_tools.speech.recordings.recording_rows import RecordingRow, merge_recordings, read_recordings
from dataset_tools.speech.sentences.clip_sentences import assign_texts
from dataset_tools.speech.synthesis import no_sentence

HELD_S = 180.0
"""Time for which a line is reserved for a speaker; the page renews the reservation every minute."""


@dataclass(frozen=True)
class Line:
    """A sentence to speak, its language, and the clip that it describes."""

    clip: ClipRow
    sentence: str
    language: str

    def shown(self, **more: bool) -> dict[str, Any]:
        """Data for the page."""
        return {
            "clip": self.clip.id,
            "class": self.clip.class_id,
            "sentence": self.sentence,
            "language": self.language,
            **more,
        }


@dataclass(frozen=True)
class Checked:
    """Quality check of a take: why it cannot be used, or warnings about it."""

    refusal: str | None
    warnings: tuple[str, ...]
    duration_s: float
    loudness_lufs: float | None


class Booth:
    """Recording sessions of one workspace, for any number of speakers.

    Args:
        workspace: with clips.jsonl.
        classes: the class file of the data set.
        language: language of the sentences of clips that have none yet.
        sentences: human-written sentences for these clips, if there are any.
        licence: of the recordings, as stated in their rows.
        consent: text that a speaker has to agree to before the first take.

    Raises:
        InputError: there are no clips, or no sentences in the language, or the recordings would be written outside of
            the workspace.
    """

    def __init__(
        self,
        workspace: Workspace,
        classes: ClassFile,
        *,
        language: str = "en",
        sentences: SentenceSpans | None = None,
        licence: str = "",
        consent: str = CONSENT,
    ) -> None:
        workspace.check_media_folders()
        self.workspace = workspace
        self.classes = classes
        self.language = language
        self.sentences = sentences
        self.licence = licence
        self.consents = Consents(workspace, consent)
        self._reading = threading.Lock()
        self._read_clips()
        if not self.clips:
            raise InputError(
                "The data set has no clips to describe",
                where=workspace.manifests / "clips.jsonl",
                expected="at least one clip",
                next_step="run fmn-data build",
            )
        if not self.lines:
            raise no_sentence(language)
        self.skips = Skips(reviews_path(workspace).with_name("skips.jsonl"))
        self._held: dict[str, tuple[str, float]] = {}

    def _read_clips(self) -> None:
        """Reads the clips and their sentences: a build may change both while the booth is open."""
        with self._reading:  # otherwise a slower thread could replace newer lines by older ones
            found = self._versions()  # before reading: concurrent changes are read the next time
            rows = read_rows(self.workspace.manifests / "clips.jsonl", ClipRow)
            clips = {clip.id: clip for clip in rows}
            self.lines: Mapping[str, Line] = self._lines(clips)
            self.clips: Mapping[str, ClipRow] = clips
            self._seen = found

    def _versions(self) -> list[tuple[int, int, int] | None]:
        """Detects changes of the files that lines are made of, without reading them."""
        manifests = [self.workspace.manifests / name for name in ("clips.jsonl", "utterances.jsonl")]
        return [_version(path) for path in (*manifests, self.workspace.ledger, reviews_path(self.workspace))]

    def _lines(self, clips: Mapping[str, ClipRow]) -> dict[str, Line]:
        """Sentences to record, by clip id: the first of every class, then the second of every class, and so on."""
        # These include utterances that were replaced by a recording, possibly of another clip.
        earlier = earlier_speech(self.workspace)
        spoken = speech_in_use(earlier, read_ledger(self.workspace.ledger))
        rows = [*(row for row in spoken if row.augmented is msgspec.UNSET), *_utterances(self.workspace)]
        class_of = {clip.id: clip.class_id for clip in clips.values()}  # rows of another class are outdated
        current = {row.clip: row for row in rows if row.text and class_of.get(row.clip or "") == row.class_id}
        reviews = read_reviews(reviews_path(self.workspace))
        chosen = assign_texts(
            list(clips.values()),
            self.classes,
            language=self.language,
            seed=0,
            sentences=self.sentences,
            agreed=agreed_sentences(followed(reviews, clips.values())),
        )
        by_class: dict[str, list[Line]] = defaultdict(list)
        for clip in clips.values():
            if (row := current.get(clip.id)) is not None:
                # Before 0.2.0, sentences in all scripts but Chinese were English.
                language = row.language if may_be_in(row.text, row.language) else language_of(row.text, self.language)
                by_class[clip.class_id].append(Line(clip, row.text, language))
            elif clip.id in chosen and chosen[clip.id].text:
                by_class[clip.class_id].append(Line(clip, chosen[clip.id].text, self.language))
        turns = zip_longest(*(by_class[name] for name in sorted(by_class)))
        return {line.clip.id: line for line in chain.from_iterable(turns) if line is not None}

    def line(self, clip_id: str) -> Line:
        """Returns the sentence of a clip, as last read by the booth.

        Raises:
            SampleError: there is none; a build may have removed the clip.
        """
        if (line := self.lines.get(clip_id)) is None:
            raise SampleError(
                "The data set was rebuilt and has no sentence for this clip anymore",
                where=clip_id,
                next_step="discard the take",
            )
        return line

    def recorded(self) -> set[str]:
        """Returns ids of the clips whose current sentence has been recorded."""
        done = set()
        for row in read_recordings(self.workspace):
            line = self.lines.get(row.utterance.clip or "")
            if line is not None and (not row.utterance.text or same_words(row.utterance.text, line.sentence)):
                done.add(line.clip.id)
        return done

    @property
    def folder(self) -> Path:
        """Folder of takes that are not kept yet, and of the secret of the address."""
        return self.workspace.cache / "booth"

    def clean_up(self) -> None:
        """Removes unkept takes of a killed booth, and completes takes that it had begun to keep.

        Raises:
            StoppedError: another command is working in the workspace; the takes may belong to it.
        """
        with Ledger(self.workspace.ledger) as ledger:
            clear_partial(self.folder)  # takes that another booth is checking are locked, and kept
            for path in self.folder.glob("*.wav"):  # written by an earlier version
                path.unlink(missing_ok=True)
            used = {row.id for row in _utterances(self.workspace)}
            if any(row.id not in used for row in merge_recordings((), read_recordings(self.workspace))):
                self._use_recordings(ledger)

    def hold(self, clip_ids: Collection[str], voice: str) -> list[str]:
        """Reserves lines for a speaker for `HELD_S` seconds, replacing the earlier reservations of the speaker.

        Returns:
            Lines that another speaker has reserved; their reservation is unchanged.
        """
        others = [clip_id for clip_id in clip_ids if self._is_held(clip_id, voice)]
        self._held = {clip_id: held for clip_id, held in self._held.items() if held[0] != voice}
        until = time.monotonic() + HELD_S
        self._held |= {clip_id: (voice, until) for clip_id in clip_ids if clip_id not in others}
        return others

    def _is_held(self, clip_id: str, voice: str) -> bool:
        holder, until = self._held.get(clip_id, (voice, 0.0))
        return holder != voice and time.monotonic() < until

    def state(self, voice: str = "") -> dict[str, Any]:
        """Progress of the recording: counts by class, and all lines in order.

        For each line: whether it was recorded, whether ``voice`` recorded it, and whether another speaker reserved it.

        Raises:
            InputError: a build left clips.jsonl or utterances.jsonl in a state that cannot be read.
        """
        if self._versions() != self._seen:
            self._read_clips()
        done = self.recorded()
        own = {row.utterance.clip for row in read_recordings(self.workspace) if row.utterance.voice == voice} & done
        words: dict[str, ActionClass] = {one.id: one for one in self.classes.classes}
        counts: dict[str, list[int]] = {}
        for line in self.lines.values():
            count = counts.setdefault(line.clip.class_id, [0, 0])
            count[0] += line.clip.id in done
            count[1] += 1
        return {
            "consent": self.consents.text,
            "classes": [
                {"id": name, "label": self._label(words[name]) if name in words else name, "done": done, "of": of}
                for name, (done, of) in sorted(counts.items())
            ],
            "lines": [
                line.shown(recorded=name in done, own=name in own, held=self._is_held(name, voice))
                for name, line in self.lines.items()
            ],
        }

    def _label(self, one: ActionClass) -> str:
        words = [self.classes.actions[one.action].name, self.classes.things[one.subject].name]
        words += [one.preposition or "with", self.classes.things[one.object].name] if one.object else []
        return " ".join(words)

    def check(self, sound: bytes) -> Checked:
        """Checks the quality of a take; nothing is stored."""
        with self._file_of(sound) as path:
            return _check(path)

    def recording(self, clip_id: str, voice: str) -> Path | None:
        """Returns the original file of the last take of a clip by a voice."""
        rows = [row for row in read_recordings(self.workspace) if row.utterance.clip == clip_id]
        takes = {row.take: row.original for row in rows if row.utterance.voice == voice}
        return resolve(self.workspace.root, takes[max(takes)]) if takes else None

    def keep(self, clip_id: str, voice: str, sentence: str, sound: bytes) -> RecordingRow:
        """Stores a take: a new file in recordings/, and the utterance of the clip in utterances.jsonl.

        Args:
            clip_id: of a clip that the booth showed.
            voice: as returned by `Consents.admit`.
            sentence: the sentence shown during the recording, which may differ from the current one after a build.
            sound: content of a WAV file.

        Raises:
            SampleError: the take cannot be used, or a build removed the clip or changed its sentence.
            StoppedError: another command is working in the workspace, or the disk is full.
        """
        with Ledger(self.workspace.ledger) as ledger, self._file_of(sound) as path:
            self._read_clips()
            line = self.line(clip_id)
            if not same_words(line.sentence, sentence):
                raise SampleError(
                    "The data set was rebuilt, and the sentence of this clip has changed",
                    where=clip_id,
                    next_step="reload the page and record the new sentence",
                )
            found = FoundRecording(path, line.clip.class_id, clip_id, voice, line.sentence, self.licence)
            row = add_recording(self.workspace, found, ledger=ledger, language=line.language, name=f"{voice}.wav")
            self._use_recordings(ledger)
        return row

    @contextmanager
    def _file_of(self, sound: bytes) -> Iterator[Path]:
        """Temporary file of a take, locked against commands that remove leftovers of a killed booth."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with partial_folder(self.folder) as folder:
            path = folder / "take.wav"
            path.write_bytes(sound)
            yield path

    def _use_recordings(self, ledger: Ledger) -> None:
        """Updates utterances.jsonl with the recordings."""
        clips = list(self.clips.values())
        write_utterances(self.workspace, clips, assemble(self.workspace, clips, self.classes, ledger))


def _utterances(workspace: Workspace) -> list[UtteranceRow]:
    path = workspace.manifests / "utterances.jsonl"
    return list(read_rows(path, UtteranceRow, missing_ok=True))


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _check(path: Path) -> Checked:
    try:
        quality = measure(decode(path, longest_s=DECODED_S))
    except SampleError as error:
        return Checked(error.found, (), 0.0, None)
    try:
        warnings = judge(quality, Limits(), where="the take")
    except SampleError as error:
        return Checked(error.found.partition(": ")[2], (), quality.duration_s, quality.loudness_lufs)
    return Checked(None, warnings, quality.duration_s, quality.loudness_lufs)


def as_json(checked: Checked) -> dict[str, Any]:
    """Converts the check of a take to JSON for the page."""
    found: dict[str, Any] = msgspec.to_builtins(checked)
    return found
