"""Rows of consents.jsonl, and the voices that they bar."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from dataset_tools.core.jsonl import Row
from dataset_tools.core.path_parts import FileName, Sha256
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import SpeakerFacts, read_rows, write_rows
from dataset_tools.speech.recordings.speaker_facts import NOTHING_SAID


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


def consents_path(workspace: Workspace) -> Path:
    """Path of recordings/consents.jsonl."""
    return workspace.recordings / "consents.jsonl"


def read_consents(workspace: Workspace) -> dict[str, ConsentRow]:
    """Reads consents and tombstones, by id."""
    return {row.id: row for row in read_rows(consents_path(workspace), ConsentRow, missing_ok=True)}


def write_consents(workspace: Workspace, rows: dict[str, ConsentRow]) -> None:
    """Writes consents and tombstones, sorted by id. The caller holds the lock of the workspace."""
    write_rows(consents_path(workspace), (rows[name] for name in sorted(rows)))


def voice_sha256(voice: str) -> str:
    """Returns the SHA-256 of a voice's name, as stored in a tombstone."""
    return hashlib.sha256(voice.encode()).hexdigest()


def barred_voices(workspace: Workspace) -> Callable[[str], bool]:
    """Returns a predicate on voice names: whether consent is currently withdrawn (and not renewed)."""
    rows = read_consents(workspace)
    hashes = {row.withdrawn for row in rows.values()} - {msgspec.UNSET}
    agreed = {row.id for row in rows.values() if row.is_consent}
    return lambda voice: bool(hashes) and voice not in agreed and voice_sha256(voice) in hashes
