"""What there is to record in the booth, who may record it, and what becomes of a take."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, zip_longest
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import msgspec

from dataset_tools.classes.triplets import ActionClass, ClassFile
from dataset_tools.core.audio_decoding import decode
from dataset_tools.core.errors import InputError, SampleError
from dataset_tools.core.jsonl import Row
from dataset_tools.core.ledger import Ledger
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import read_reviews, reviews_path
from dataset_tools.decisions.majority_rule import same_words
from dataset_tools.decisions.verdicts import with_verdicts
from dataset_tools.manifests import ClipRow, UtteranceRow, read_rows, write_rows
from dataset_tools.speech.clip_sentences import assign_texts
from dataset_tools.speech.dataset_speech import assemble
from dataset_tools.speech.recording_files import FoundRecording, voice_slug
from dataset_tools.speech.recording_quality import DECODED_S, Limits, judge, measure
from dataset_tools.speech.recordings import RecordingRow, add_recording, read_recordings

CONSENT = (
    "Your voice will be recorded, reading short sentences about cooking. The recordings become part of a data set for "
    "research on finding videos by speech; they are stored as they are, with the name that you give here. "
    "Taking part is free, you may stop at any time, and the owner of the data set removes your recordings when you ask."
)


class ConsentRow(Row, frozen=True, kw_only=True, tag="fmn.consent/1"):
    """recordings/consents.jsonl: what a speaker agreed to; ``id`` is the voice in the manifests.

    Attributes:
        name: as the speaker gave it. text: what was agreed to. time: when, UTC.
    """

    name: str
    text: str
    time: str


@dataclass(frozen=True)
class Line:
    """A sentence to speak, and the clip that it describes."""

    clip: ClipRow
    sentence: str

    def shown(self, recorded: bool) -> dict[str, Any]:
        """What the page is told."""
        return {"clip": self.clip.id, "class": self.clip.class_id, "sentence": self.sentence, "recorded": recorded}


@dataclass(frozen=True)
class Checked:
    """What was heard in a take: why it cannot be used, or what is doubtful about it."""

    refusal: str | None
    warnings: tuple[str, ...]
    duration_s: float
    loudness_lufs: float | None


class Booth:
    """The recordings of one workspace, for as many speakers as come.

    Args:
        workspace: with clips.jsonl.
        classes: the class file of the data set.
        language: of the sentences, where there are none yet.
        licence: of the recordings, as stated in their rows.
        consent: what a speaker has to agree to before the first take.

    Raises:
        InputError: there are no clips.
    """

    def __init__(
        self,
        workspace: Workspace,
        classes: ClassFile,
        *,
        language: str = "en",
        licence: str = "",
        consent: str = CONSENT,
    ) -> None:
        self.workspace = workspace
        self.classes = classes
        self.language = language
        self.licence = licence
        self.consent = consent
        clips = list(read_rows(workspace.manifests / "clips.jsonl", ClipRow))
        if not clips:
            raise InputError(
                "The data set has no clips to describe",
                where=workspace.manifests / "clips.jsonl",
                expected="at least one clip",
                next_step="run fmn-data build",
            )
        self.clips: Mapping[str, ClipRow] = {clip.id: clip for clip in clips}
        self.lines = self._lines()

    def _lines(self) -> dict[str, Line]:
        """What to say, by clip id: one of every class, then the second of every class, and so on."""
        listing = self.workspace.manifests / "utterances.jsonl"
        rows = list(read_rows(listing, UtteranceRow)) if listing.is_file() else []
        said = {row.clip: row.text for row in rows if row.clip is not None and row.text}
        chosen = assign_texts(list(self.clips.values()), self.classes, language=self.language, seed=0)
        by_class: dict[str, list[Line]] = defaultdict(list)
        for clip in self.clips.values():
            sentence = said.get(clip.id) or (chosen[clip.id].text if clip.id in chosen else "")
            if sentence:
                by_class[clip.class_id].append(Line(clip, sentence))
        turns = zip_longest(*(by_class[name] for name in sorted(by_class)))
        return {line.clip.id: line for line in chain.from_iterable(turns) if line is not None}

    def recorded(self) -> set[str]:
        """Ids of the clips whose sentence, as it is now, somebody recorded."""
        done = set()
        for row in read_recordings(self.workspace):
            line = self.lines.get(row.utterance.clip or "")
            if line is not None and (not row.utterance.text or same_words(row.utterance.text, line.sentence)):
                done.add(line.clip.id)
        return done

    def state(self) -> dict[str, Any]:
        """How far it is: every class with what is done, and every line in its order."""
        done = self.recorded()
        words: dict[str, ActionClass] = {one.id: one for one in self.classes.classes}
        counts: dict[str, list[int]] = {}
        for line in self.lines.values():
            count = counts.setdefault(line.clip.class_id, [0, 0])
            count[0] += line.clip.id in done
            count[1] += 1
        return {
            "consent": self.consent,
            "language": self.language,
            "classes": [
                {"id": name, "label": self._label(words[name]) if name in words else name, "done": done, "of": of}
                for name, (done, of) in sorted(counts.items())
            ],
            "lines": [line.shown(line.clip.id in done) for line in self.lines.values()],
        }

    def _label(self, one: ActionClass) -> str:
        words = [self.classes.actions[one.action].name, self.classes.things[one.subject].name]
        words += [one.preposition or "with", self.classes.things[one.object].name] if one.object else []
        return " ".join(words)

    def admit(self, name: str, *, agreed: bool) -> str:
        """Notes that a speaker agrees to the consent text; gives the voice's name in the manifests.

        Raises:
            InputError: there is no name, or the speaker did not agree.
        """
        name = " ".join(name.split())[:80]
        if not name or not agreed:
            raise InputError("Please give a name and agree to the text above", expected="both")
        slug = voice_slug(name)
        if slug == "unknown":  # a name without Latin letters
            slug = f"speaker-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        rows = self._consents()
        if slug not in rows or rows[slug].text != self.consent:
            time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            rows[slug] = ConsentRow(id=slug, name=name, text=self.consent, time=time)
            write_rows(self._consents_path, (rows[voice] for voice in sorted(rows)))
        return slug

    def is_admitted(self, voice: str) -> bool:
        """Whether a speaker agreed to the text as it is now."""
        row = self._consents().get(voice)
        return row is not None and row.text == self.consent

    @property
    def _consents_path(self) -> Path:
        return self.workspace.recordings / "consents.jsonl"

    def _consents(self) -> dict[str, ConsentRow]:
        path = self._consents_path
        return {row.id: row for row in read_rows(path, ConsentRow)} if path.is_file() else {}

    def check(self, sound: bytes) -> Checked:
        """Listens to a take; nothing is kept."""
        with NamedTemporaryFile(suffix=".wav") as file:
            file.write(sound)
            file.flush()
            return _check(Path(file.name))

    def keep(self, clip_id: str, voice: str, sound: bytes) -> RecordingRow:
        """Keeps a take: a new file in recordings/, and the utterance of the clip in utterances.jsonl.

        Args:
            clip_id: a key of `lines`.
            voice: as `admit` gave it.
            sound: a wav file.

        Raises:
            SampleError: the take cannot be used.
            StoppedError: another command is working in the workspace, or the disk is full.
        """
        line = self.lines[clip_id]
        folder = self.workspace.cache / "booth"
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(suffix=".wav", dir=folder) as file, Ledger(self.workspace.ledger) as ledger:
            file.write(sound)
            file.flush()
            found = FoundRecording(Path(file.name), line.clip.class_id, clip_id, voice, line.sentence, self.licence)
            row = add_recording(self.workspace, found, ledger=ledger, language=self.language, name=f"{voice}.wav")
            clips = list(self.clips.values())
            utterances = assemble(self.workspace, clips, self.classes, ledger)
            _, utterances = with_verdicts(clips, utterances, read_reviews(reviews_path(self.workspace)))
            write_rows(self.workspace.manifests / "utterances.jsonl", utterances)
        return row


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
    """What the page is told of a take."""
    found: dict[str, Any] = msgspec.to_builtins(checked)
    return found
