"""Consents of recorded speakers: text, voice, and withdrawals.

When consent is withdrawn (`fmn-data speech forget`), a tombstone replaces the row of the speaker, in a single write:
the date and the SHA-256 of the voice's name. It is never removed. A voice is *barred* while a tombstone names it and
it has no row of its own: its remaining data are not used, and new recordings are refused, until the speaker agrees
again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path

import msgspec

from dataset_tools.core.count_of import first_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import decode_text
from dataset_tools.core.path_parts import Sha256
from dataset_tools.core.unicode_names import in_unicode
from dataset_tools.core.workspace import Workspace
from dataset_tools.core.workspace_lock import workspace_lock
from dataset_tools.manifests import SpeakerFacts
from dataset_tools.speech.recordings.consent_rows import (
    ConsentRow,
    barred_voices,
    consents_path,
    read_consents,
    voice_sha256,
    write_consents,
)
from dataset_tools.speech.recordings.known_voices import KnownVoices
from dataset_tools.speech.recordings.recording_files import FoundRecording
from dataset_tools.speech.recordings.speaker_facts import NOTHING_SAID
from dataset_tools.speech.recordings.voice_names import former_voices, name_key, one_line, voice_slug

CONSENT = (
    "Your voice will be recorded, reading short sentences about cooking. The recordings become part of a data set for "
    "research on finding videos by speech; they are stored as they are, with the name that you give here. "
    "Taking part is free, you may stop at any time, and the owner of the data set removes your recordings when you ask."
)
_SHOWN = 3


def read_consent_text(path: Path) -> str:
    """Reads the text that speakers agree to.

    Raises:
        InputError: there is no such file, it is not text in UTF-8, or it is empty.
    """
    found = "The consent text is empty: speakers would agree to nothing" if path.is_file() else "There is no such file"
    try:
        text = decode_text(path.read_bytes()) if path.is_file() else ""
    except UnicodeDecodeError:
        found, text = "This is not text in UTF-8", ""
    if text.strip():
        return text
    raise InputError(
        found,
        where=path,
        expected="a consent text for speakers",
        next_step="correct it, or leave out --consent for the shipped text",
    )


class Withdrawal(msgspec.Struct, frozen=True, kw_only=True):
    """A tombstone, as listed in other files: time (UTC), and SHA-256 of the voice's name."""

    time: str
    voice_sha256: Sha256


def read_withdrawals(workspace: Workspace) -> tuple[Withdrawal, ...]:
    """Reads the tombstones of a workspace, oldest first."""
    rows = read_consents(workspace).values()
    found = [
        Withdrawal(time=row.time, voice_sha256=row.withdrawn) for row in rows if row.withdrawn is not msgspec.UNSET
    ]
    return tuple(sorted(found, key=lambda one: (one.time, one.voice_sha256)))


def withdrawn_forms(workspace: Workspace) -> Callable[[str, str], str | None]:
    """Returns a function of a speaker's name and voice: the barred voice that belongs to the name, or None.

    That is the voice itself, or one that this or an earlier version made of the name, unless the voice has a consent
    of its own.
    """
    is_barred, agreed = barred_voices(workspace), consented_voices(workspace)

    def withdrawn(name: str, voice: str) -> str | None:
        forms = (voice, voice_slug(name), *former_voices(name))
        return None if voice in agreed else next(filter(is_barred, forms), None)

    return withdrawn


def consented_voices(workspace: Workspace) -> set[str]:
    """Returns the voices whose speakers agreed and have not withdrawn."""
    return {row.id for row in read_consents(workspace).values() if row.is_consent}


def withdraw(workspace: Workspace, voice: str) -> None:
    """Replaces the consent of a voice by a tombstone, in a single write; a barred voice gets no second one.

    The caller holds the lock of the workspace.
    """
    if barred_voices(workspace)(voice):
        return
    rows, now = read_consents(workspace), _now()
    rows.pop(voice, None)
    digest = voice_sha256(voice)
    tombstone = ConsentRow(id=f"withdrawn_{digest}_{now}", name="", text="", time=now, withdrawn=digest)
    write_consents(workspace, {**rows, tombstone.id: tombstone})


def check_consent(
    workspace: Workspace,
    recordings: Sequence[FoundRecording],
    renewed: Collection[str] = (),
    *,
    dry_run: bool = False,
) -> None:
    """Refuses recordings of barred voices; records renewed consent for the speakers in ``renewed``.

    The caller holds the lock of the workspace, unless it is a dry run.

    Args:
        workspace: of the data set.
        recordings: to be added.
        renewed: voices, or names of the speakers as written in the recordings.
        dry_run: record nothing.

    Raises:
        InputError: a voice is barred, or one of ``renewed`` is not barred or has no recordings; nothing was written.
    """
    withdrawn = withdrawn_forms(workspace)
    names = dict.fromkeys((one.voice, one.named) for one in recordings)
    forms = {voice: form for voice, name in names if (form := withdrawn(name, voice)) is not None}
    stated = {text: _barred_voice(text, names, forms) for text in renewed}
    not_withdrawn = sorted(text for text, voice in stated.items() if voice is None)
    if not_withdrawn:
        raise InputError(
            f"No withdrawn consent to renew: {', '.join(not_withdrawn)}",
            where="--renewed-consent",
            expected="a speaker or voice in these files whose consent was withdrawn: "
            + (", ".join(sorted(forms)) or "there is none"),
            next_step="omit the option for that speaker",
        )
    barred = sorted(forms.keys() - set(stated.values()))
    if barred:
        former = {voice: f", formerly {forms[voice]}" if forms[voice] != voice else "" for voice in barred}
        listed = "; ".join(f"{voice}{former[voice]} ({_files_of(voice, recordings)})" for voice in barred)
        another = (
            "if it is another person than the one who withdrew, rename the files; or, " if any(former.values()) else ""
        )
        raise InputError(
            f"Consent was withdrawn for the voice {listed}: its recordings are not imported",
            where=consents_path(workspace),
            expected="recordings of speakers who consent",
            next_step=f"remove those files; or, {another}if the speaker has renewed consent, state it: "
            + " ".join(f"--renewed-consent {voice}" for voice in barred),
        )
    if stated and not dry_run:
        text = "Consent was renewed after a withdrawal, as stated at an import."
        agreed = {
            voice: ConsentRow(id=voice, name=one_line(name) or voice, text=text, time=_now())
            for voice, name in names
            if voice in stated.values()
        }
        write_consents(workspace, read_consents(workspace) | agreed)


def _barred_voice(stated: str, names: Iterable[tuple[str, str]], forms: Mapping[str, str]) -> str | None:
    """Returns the barred voice, of the recordings with these voices and names, that a user means."""
    voices = (stated, voice_slug(stated))
    meant = (
        voice
        for voice, name in names
        if voice in voices or forms.get(voice) in voices or (name and name_key(name) == name_key(stated))
    )
    return next((voice for voice in meant if voice in forms), None)


def _files_of(voice: str, recordings: Sequence[FoundRecording]) -> str:
    files = [f"{one.path.parent.name}/{one.path.name}" for one in recordings if one.voice == voice]
    return in_unicode(", ".join(first_of(files, _SHOWN)))


def note_speakers(workspace: Workspace, speakers: Mapping[str, SpeakerFacts]) -> None:
    """Stores metadata of speakers, by voice; values that are not given now keep their earlier value.

    The caller holds the lock of the workspace.
    """
    rows, is_barred = read_consents(workspace), barred_voices(workspace)
    before = dict(rows)
    for voice, facts in speakers.items():
        if facts != NOTHING_SAID and not is_barred(voice):
            row = rows.get(voice) or ConsentRow(id=voice, name=voice, text="", time="")
            rows[voice] = msgspec.structs.replace(row, speaker=_facts(facts, row))
    if rows != before:
        write_consents(workspace, rows)


def read_speakers(workspace: Workspace) -> dict[str, SpeakerFacts]:
    """Reads the metadata of speakers, by voice."""
    return {row.id: row.speaker for row in read_consents(workspace).values() if row.withdrawn is msgspec.UNSET}


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
        known = KnownVoices(self._workspace)
        voice = known.of(one_line(name))
        row = read_consents(self._workspace).get(voice)
        if row is not None:
            return row.name
        is_used = voice in known.recorded and not barred_voices(self._workspace)(voice)
        return voice if is_used else None

    def withdrawn(self, name: str) -> str | None:
        """Returns the date when consent for the voice of that name was withdrawn; None if it is not barred."""
        name = one_line(name)
        voice = withdrawn_forms(self._workspace)(name, KnownVoices(self._workspace).of(name))
        if voice is None:
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
        slug = KnownVoices(self._workspace).of(name)
        rows = read_consents(self._workspace)
        known = rows.get(slug)
        if known is not None and self.is_admitted(slug) and not other and known.speaker == _facts(speaker, known):
            return slug
        with workspace_lock(self._workspace.root):  # otherwise a concurrent withdrawal would be undone
            rows, is_barred = read_consents(self._workspace), barred_voices(self._workspace)
            known_voices = KnownVoices(self._workspace)
            slug = voice_slug(name) if other else known_voices.of(name)
            if other:
                names = chain([slug], (f"{slug}-{n}" for n in count(2)))
                slug = next(one for one in names if one not in known_voices and not is_barred(one))
            elif not anew and (withdrawn := withdrawn_forms(self._workspace)(name, slug)) is not None:
                raise InputError(
                    f"The recordings of {withdrawn} were removed when consent was withdrawn",
                    expected="renewed consent",
                    next_step="state that you are the same person and agree again, or use another name",
                )
            known = rows.get(slug)
            time = known.time if known is not None and self.is_admitted(slug) else _now()
            row = ConsentRow(id=slug, name=name, text=self.text, time=time, speaker=_facts(speaker, known))
            write_consents(self._workspace, {**rows, slug: row})
        return slug

    def is_admitted(self, voice: str) -> bool:
        """Whether a speaker agreed to the current text."""
        row = read_consents(self._workspace).get(voice)
        return row is not None and row.is_consent and row.text == self.text


def _facts(stated: SpeakerFacts, known: ConsentRow | None) -> SpeakerFacts:
    return stated if known is None else stated.filled_from(known.speaker)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
