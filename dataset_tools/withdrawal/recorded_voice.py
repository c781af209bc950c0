"""Recorded voice: its ids and imported files in a workspace."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.ledger import read_ledger
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import UtteranceRow, read_rows
from dataset_tools.speech.recordings.consent_rows import barred_voices, consents_path
from dataset_tools.speech.recordings.consents import read_speakers
from dataset_tools.speech.recordings.known_voices import KnownVoices
from dataset_tools.speech.recordings.recording_rows import RecordingRow, listed_recordings
from dataset_tools.speech.recordings.voice_names import former_voices, hashed_before, one_line, voice_slug
from dataset_tools.speech.recordings.withdrawn_recordings import named_in

_DIGESTS = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_OF_NOTHING = hashlib.sha256().hexdigest()[:12]  # of an empty file that failed: any other empty file is equal to it


@dataclass(frozen=True)
class RecordedVoice:
    """A recorded voice, with the ids and files that belong to it.

    Attributes:
        name: as in the manifests.
        ids: of its utterances, from rows; including those under another voice that were made from the same file.
        originals: SHA-256 of the imported files that rows name.
        prefixes: the first 12 digits of the SHA-256 of all imported files that are not empty, as contained in ids.
        written: names of the speaker, as in the consent, in names of imported files, or as the user writes it.
        contents: SHA-256 of its utterances' files, as features and scores name them.
    """

    name: str
    ids: frozenset[str] = frozenset()
    originals: frozenset[str] = frozenset()
    prefixes: frozenset[str] = frozenset()
    written: frozenset[str] = frozenset()
    contents: frozenset[str] = frozenset()

    def owns(self, utterance_id: str) -> bool:
        """Whether an utterance or a copy belongs to this voice, also if it was imported under another voice."""
        named = named_in(utterance_id)
        own = named is not None and (named[0] == self.name or named[1] in self.prefixes)
        return own or re.sub(r"_aug\d+\Z", "", utterance_id) in self.ids

    def owns_row(self, row: UtteranceRow) -> bool:
        """Whether a row of utterances.jsonl belongs to this voice."""
        return self.owns(row.id) or (row.source == "recorded" and row.voice == self.name)

    def is_named_in(self, content: bytes) -> bool:
        """Whether a text has the voice's name (as a word or in an id), a written name, or an utterance's SHA-256."""
        if any(digest.decode() in self.contents for digest in _DIGESTS.findall(content)):
            return True
        name = re.escape(self.name.encode())
        if re.search(rb"(?<![A-Za-z0-9-])" + name + rb"(?![A-Za-z0-9-])", content) is not None:
            return True
        return bool(self.written) and self._written.search(content.decode("utf-8", "replace")) is not None

    @cached_property
    def _written(self) -> re.Pattern[str]:
        """Finds the written names in any case, with composed or decomposed accents."""
        forms = {unicodedata.normalize(form, name) for name in self.written for form in ("NFC", "NFD")}
        return re.compile("|".join(map(self._as_word, sorted(forms))), re.IGNORECASE)

    def _as_word(self, name: str) -> str:
        has_ascii = any(one.isascii() and one.isalnum() for one in name)
        if name.lower() == name.upper() and not has_ascii:  # scripts without case need not separate words by spaces
            return re.escape(name)
        # anna-2 is another voice, but Anna-1.wav may be a file of Anna. An underscore ends the name in a file's name.
        before, hyphen = ("(?<!-)", "-") if name == self.name else ("", "")
        return rf"(?<![^\W_]){before}{re.escape(name)}(?![^\W_]|[\u0300-\u036f{hyphen}])"


def find_voice(workspace: Workspace, name: str) -> RecordedVoice:
    """Finds the recorded voice of a name; for a forgotten voice, with whatever a killed command left.

    Raises:
        InputError: no voice of that name was recorded, several were, or it is an engine's voice; or a manifest cannot
            be read.
    """
    recordings, utterances = listed_recordings(workspace), list(_utterances(workspace))
    recorded = {row.utterance.voice for row in recordings}
    recorded |= {row.voice for row in utterances if row.source == "recorded"}
    recorded |= {named[0] for one in _noted_ids(workspace) if (named := named_in(one)) is not None}
    recorded |= set(read_speakers(workspace))
    known, is_barred = KnownVoices(workspace), barred_voices(workspace)
    voices = _voices_of(name, known, recorded, is_barred)
    if len(voices) > 1:
        raise _ambiguous(workspace, name, voices, recordings)
    if not voices:
        synthesized = {row.voice for row in utterances if row.source == "synthesized"}
        former = [
            one for one in former_voices(name) if one in recorded and (one not in known or known.may_be(one, name))
        ]
        raise _unknown(workspace, name, recorded, synthesized, former)
    return as_of_now(workspace, RecordedVoice(name=voices.pop(), written=frozenset([one_line(name)])))


def as_of_now(workspace: Workspace, known: RecordedVoice) -> RecordedVoice:
    """Returns a voice with all ids, files and names that it has by now, besides those that are known.

    Raises:
        ManifestError: a manifest cannot be read.
    """
    voice, recordings = known.name, listed_recordings(workspace)
    originals = {row.original_sha256 for row in recordings if row.utterance.voice == voice} | known.originals
    ids = {row.id for row in recordings if row.utterance.voice == voice or row.original_sha256 in originals}
    utterances = [*_utterances(workspace), *(row.utterance for row in recordings)]
    ids |= {row.id for row in utterances if row.source == "recorded" and row.voice == voice} | known.ids
    marks = [(one, found) for one in (*ids, *_noted_ids(workspace)) if (found := named_in(one)) is not None]
    prefixes = known.prefixes | {digest[:12] for digest in originals}
    prefixes |= {prefix for one, (of, prefix) in marks if of == voice or one in ids}
    prefixes -= {_OF_NOTHING}
    written = known.written | KnownVoices(workspace).names.get(voice, set())
    now = RecordedVoice(
        voice,
        ids=frozenset(ids),
        originals=frozenset(originals),
        prefixes=frozenset(prefixes),
        written=frozenset(written),
    )
    return replace(now, contents=known.contents | {row.sha256 for row in utterances if now.owns_row(row)})


def _voices_of(name: str, known: KnownVoices, recorded: set[str], is_barred: Callable[[str], bool]) -> set[str]:
    """Voices that a user may mean by a name: an exact voice name is only that voice."""
    if name in recorded or is_barred(name):
        return {name}
    slug = voice_slug(name)
    found = known.named(name) | ({slug} if slug in recorded or is_barred(slug) else set())
    # A former voice of the name may be of another person, unless it contains the hash of the name. If it is barred,
    # this completes its withdrawal: the tombstone has already replaced the name.
    former = (one for one in former_voices(name) if is_barred(one) or (one == hashed_before(name) and one in recorded))
    return found or set(former)


def _utterances(workspace: Workspace) -> Iterable[UtteranceRow]:
    path = workspace.manifests / "utterances.jsonl"
    return read_rows(path, UtteranceRow, missing_ok=True)


def _noted_ids(workspace: Workspace) -> Iterator[str]:
    """Ids of recordings in the ledger and in file names: a killed command may have left no other trace."""
    for row_id in read_ledger(workspace.ledger):
        kind, _, name = row_id.partition("/")
        if kind in ("recording", "copy"):
            yield name
    yield from (path.stem for path in workspace.speech.glob("*.wav"))


def _ambiguous(workspace: Workspace, name: str, voices: set[str], recordings: Sequence[RecordingRow]) -> InputError:
    counts = Counter(row.utterance.voice for row in recordings)
    listed = [f"{voice} ({count_of(counts[voice], 'recording')})" for voice in sorted(voices)]
    return InputError(
        f"{name!r} may be any of the voices {', '.join(listed)}",
        where=consents_path(workspace),
        expected="the voice of the speaker who withdraws",
        next_step=f"listen to their recordings, then name the voice: fmn-data speech forget {min(voices)}",
    )


def _unknown(
    workspace: Workspace, name: str, recorded: set[str], synthesized: set[str], former: Sequence[str]
) -> InputError:
    if name in synthesized:
        return InputError(
            f"{name!r} is a voice of a speech engine, not a recorded speaker",
            where=workspace.manifests / "utterances.jsonl",
            expected="a voice that was recorded",
            next_step="to replace it, use another engine (fmn-data speech synthesize --voices ENGINE),"
            " or record speakers (fmn-data speech record)",
        )
    if former:
        return InputError(
            f"No recordings of the voice {name!r}; a version before 0.2.0 may have named it {' or '.join(former)}",
            where=workspace.root,
            expected="the voice of the speaker who withdraws",
            next_step="listen to the recordings of that voice; if they are of this speaker, run"
            f" fmn-data speech forget {former[0]}",
        )
    return InputError(
        f"No recordings of the voice {name!r}",
        where=workspace.root,
        expected=f"one of {', '.join(sorted(recorded))}" if recorded else "recordings; there are none",
        next_step="check the name, and --workspace",
    )
