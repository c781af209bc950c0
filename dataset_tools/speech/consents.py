"""Consents of recorded speakers: text, voice, and withdrawals.

When consent is withdrawn (`fmn-data speech forget`), a tombstone replaces the row of the speaker, in a single write:
the date and the SHA-256 of the voice's name. It is never removed. A voice is *barred* while a tombstone names it and
it has no row of its own: its remaining data are not used, and new recordings are refused, until the speaker agrees
again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path

import msgspec

from dataset_tools.core.errors import InputError
from dataset_tools.core.jsonl import Row
from dataset_tools.core.path_parts import FileName, Sha256
from dataset_tools.core.workspace import Workspace
from dataset_tools.core.workspace_lock import workspace_lock
from dataset_tools.manifests import SpeakerFacts, read_rows, write_rows
from dataset_tools.speech.speaker_facts import NOTHING_SAID
from dataset_tools.speech.voice_names import one_line, voice_slug

CONSENT = (
    "Your voice will be recorded, reading short sentences about cooking. The recordings become part of a data set for "
    "research on finding videos by speech; they are stored as they are, with the name that you give here. "
    "Taking part is free, you may stop at any time, and the owner of the data set removes your recordings when you ask."
)


class ConsentRow(Row, frozen=True, kw_only=True, tag="fmn.consent/1"):
    """Row of recordings/consents.jsonl: consent of a speaker (``id`` is the voice in the manifests), or a tombstone.

    Attributes:
        name: as entered by the speaker. text: the text that was agreed to. Both are empty in a tombstone.
        time: of the consent or withdrawal, UTC. Time and text are empty for speakers of imported recordings, whose
            consent is not known.
        speaker: metadata stated by the speaker.
        withdrawn: only in a tombstone: SHA-256 of the voice's name.
    """

    id: FileName
    name: str
    text: str
    time: str
    speaker: SpeakerFacts = NOTHING_SAID
    withdrawn: Sha256 | msgspec.UnsetType = msgspec.UNSET

    @property
    def is_consent(self) -> bool:
        return self.withdrawn is msgspec.UNSET and self.time != ""


class _Spoken(msgspec.Struct, frozen=True):
    """Voice of the utterance in a row of recordings.jsonl."""

    voice: str


class _Recording(Row, frozen=True, kw_only=True, tag="fmn.recording/1"):
    """Row of recordings.jsonl, voice only: `RecordingRow` cannot be imported, since its module imports this one."""

    utterance: _Spoken


class Withdrawal(msgspec.Struct, frozen=True, kw_only=True):
    """A tombstone, as listed in other files: time (UTC), and SHA-256 of the voice's name."""

    time: str
    voice_sha256: Sha256


def voice_sha256(voice: str) -> str:
    """Returns the SHA-256 of a voice's name, as stored in a tombstone."""
    return hashlib.sha256(voice.encode()).hexdigest()


def read_withdrawals(workspace: Workspace) -> tuple[Withdrawal, ...]:
    """Reads the tombstones of a workspace, oldest first."""
    rows = _read(workspace).values()
    found = [
        Withdrawal(time=row.time, voice_sha256=row.withdrawn) for row in rows if row.withdrawn is not msgspec.UNSET
    ]
    return tuple(sorted(found, key=lambda one: (one.time, one.voice_sha256)))


def barred_voices(workspace: Workspace) -> Callable[[str], bool]:
    """Returns a predicate on voice names: whether consent is currently withdrawn (and not renewed)."""
    rows = _read(workspace)
    hashes = {row.withdrawn for row in rows.values()} - {msgspec.UNSET}
    agreed = {row.id for row in rows.values() if row.is_consent}
    return lambda voice: bool(hashes) and voice not in agreed and voice_sha256(voice) in hashes


def consented_voices(workspace: Workspace) -> set[str]:
    """Returns the voices whose speakers agreed and have not withdrawn."""
    return {row.id for row in _read(workspace).values() if row.is_consent}


def withdraw(workspace: Workspace, voice: str) -> None:
    """Replaces the consent of a voice by a tombstone, in a single write; a barred voice gets no second one.

    The caller holds the lock of the workspace.
    """
    if barred_voices(workspace)(voice):
        return
    rows, now = _read(workspace), _now()
    rows.pop(voice, None)
    digest = voice_sha256(voice)
    tombstone = ConsentRow(id=f"withdrawn_{digest}_{now}", name="", text="", time=now, withdrawn=digest)
    _write(workspace, {**rows, tombstone.id: tombstone})


def check_consent(workspace: Workspace, voices: Collection[str], renewed: Collection[str] = ()) -> None:
    """Refuses recordings of barred voices; records renewed consent for the voices in ``renewed``.

    The caller holds the lock of the workspace.

    Raises:
        InputError: a voice is barred, or one of ``renewed`` is not barred or not in ``voices``; nothing was written.
    """
    is_barred = barred_voices(workspace)
    not_withdrawn = sorted(voice for voice in renewed if voice not in voices or not is_barred(voice))
    if not_withdrawn:
        raise InputError(
            f"No withdrawn consent to renew: {', '.join(not_withdrawn)}",
            where="--renewed-consent",
            expected="a voice in these files whose consent was withdrawn: "
            + (", ".join(sorted(filter(is_barred, voices))) or "there is none"),
            next_step="omit the option for that voice",
        )
    barred = sorted(voice for voice in voices if is_barred(voice) and voice not in renewed)
    if barred:
        raise InputError(
            f"Consent was withdrawn for the voice {', '.join(barred)}: its recordings are not imported",
            where=_path(workspace),
            expected="recordings of speakers who consent",
            next_step="remove those files; or, if the speaker has renewed consent, state it: "
            + " ".join(f"--renewed-consent {voice}" for voice in barred),
        )
    if renewed:
        text = "Consent was renewed after a withdrawal, as stated at an import."
        agreed = {voice: ConsentRow(id=voice, name=voice, text=text, time=_now()) for voice in renewed}
        _write(workspace, _read(workspace) | agreed)


def note_speakers(workspace: Workspace, speakers: Mapping[str, SpeakerFacts]) -> None:
    """Stores metadata of speakers, by voice; values that are not given now keep their earlier value.

    The caller holds the lock of the workspace.
    """
    rows, is_barred = _read(workspace), barred_voices(workspace)
    before = dict(rows)
    for voice, facts in speakers.items():
        if facts != NOTHING_SAID and not is_barred(voice):
            row = rows.get(voice) or ConsentRow(id=voice, name=voice, text="", time="")
            rows[voice] = msgspec.structs.replace(row, speaker=_facts(facts, row))
    if rows != before:
        _write(workspace, rows)


def read_speakers(workspace: Workspace) -> dict[str, SpeakerFacts]:
    """Reads the metadata of speakers, by voice."""
    return {row.id: row.speaker for row in _read(workspace).values() if row.withdrawn is msgspec.UNSET}


class Consents:
    """Consents of one workspace.

    Args:
        workspace: stores them in ``recordings/consents.jsonl``.
        text: current consent text.
    """

    def __init__(self, workspace: Workspace, text: str) -> None:
        self._workspace = workspace
        self.text = text

    def known(self, name: str) -> str | None:
        """Returns the name of the known speaker (signed in before, or imported) whose voice a name maps to, or None."""
        voice = voice_slug(one_line(name))
        row = _read(self._workspace).get(voice)
        if row is not None:
            return row.name
        is_used = voice in _recorded_voices(self._workspace) and not barred_voices(self._workspace)(voice)
        return voice if is_used else None

    def withdrawn(self, name: str) -> str | None:
        """Returns the date when consent for the voice of that name was withdrawn; None if it is not barred."""
        voice = voice_slug(one_line(name))
        if not barred_voices(self._workspace)(voice):
            return None
        digest = voice_sha256(voice)
        return next(one.time[:10] for one in reversed(read_withdrawals(self._workspace)) if one.voice_sha256 == digest)

    def admit(
        self,
        name: str,
        *,
        agreed: bool,
        other: bool = False,
        anew: bool = False,
        speaker: SpeakerFacts = NOTHING_SAID,
    ) -> str:
        """Records that a speaker agrees to the consent text; returns the name of the voice in the manifests.

        Args:
            name: as entered by the speaker.
            agreed: whether the speaker agrees to the text.
            other: whether this is a different person than the known (signed-in or imported) speaker of that name; the
                voice gets a number.
            anew: whether this is the person who withdrew consent for that voice, and renews it.
            speaker: metadata stated by the speaker.

        Raises:
            InputError: the name is empty or not printable, the speaker did not agree, or withdrew without ``anew``.
            StoppedError: another command is working in the workspace.
        """
        name = one_line(name)
        if not name or not name.isprintable() or not agreed:
            raise InputError("Please give a name and agree to the text above", expected="both")
        slug = voice_slug(name)
        rows = _read(self._workspace)
        known = rows.get(slug)
        if known is not None and self.is_admitted(slug) and not other and known.speaker == _facts(speaker, known):
            return slug
        with workspace_lock(self._workspace.root):  # otherwise a concurrent withdrawal would be undone
            rows, is_barred = _read(self._workspace), barred_voices(self._workspace)
            if other:
                names = chain([slug], (f"{slug}-{n}" for n in count(2)))
                taken = rows.keys() | _recorded_voices(self._workspace)
                slug = next(one for one in names if one not in taken and not is_barred(one))
            elif is_barred(slug) and not anew:
                raise InputError(
                    f"The recordings of {slug} were removed when consent was withdrawn",
                    expected="renewed consent",
                    next_step="state that you are the same person and agree again, or use another name",
                )
            known = rows.get(slug)
            time = known.time if known is not None and self.is_admitted(slug) else _now()
            row = ConsentRow(id=slug, name=name, text=self.text, time=time, speaker=_facts(speaker, known))
            _write(self._workspace, {**rows, slug: row})
        return slug

    def is_admitted(self, voice: str) -> bool:
        """Whether a speaker agreed to the current text."""
        row = _read(self._workspace).get(voice)
        return row is not None and row.is_consent and row.text == self.text


def _facts(stated: SpeakerFacts, known: ConsentRow | None) -> SpeakerFacts:
    return stated if known is None else stated.filled_from(known.speaker)


def _path(workspace: Workspace) -> Path:
    return workspace.recordings / "consents.jsonl"


def _read(workspace: Workspace) -> dict[str, ConsentRow]:
    path = _path(workspace)
    return {row.id: row for row in read_rows(path, ConsentRow, missing_ok=True)}


def _recorded_voices(workspace: Workspace) -> set[str]:
    rows = read_rows(workspace.recordings / "recordings.jsonl", _Recording, missing_ok=True)
    return {row.utterance.voice for row in rows}


def _write(workspace: Workspace, rows: dict[str, ConsentRow]) -> None:
    write_rows(_path(workspace), (rows[name] for name in sorted(rows)))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
