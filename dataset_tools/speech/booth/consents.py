"""Consents: who agreed to be recorded, to which text, and the voice that each has in the manifests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path

import msgspec

from dataset_tools.core.errors import InputError
from dataset_tools.core.jsonl import Row
from dataset_tools.core.path_parts import FileName
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import read_rows, write_rows
from dataset_tools.speech.recording_files import voice_slug
from dataset_tools.speech.speaker_facts import NOTHING_SAID, SpeakerFacts

CONSENT = (
    "Your voice will be recorded, reading short sentences about cooking. The recordings become part of a data set for "
    "research on finding videos by speech; they are stored as they are, with the name that you give here. "
    "Taking part is free, you may stop at any time, and the owner of the data set removes your recordings when you ask."
)


class ConsentRow(Row, frozen=True, kw_only=True, tag="fmn.consent/1"):
    """recordings/consents.jsonl: what a speaker agreed to; ``id`` is the voice in the manifests.

    Attributes:
        name: as the speaker gave it. text: what was agreed to. time: when, UTC. Both are empty for the speaker of
            imported recordings, whose consent the toolkit does not know.
        speaker: what they say of themselves.
    """

    id: FileName
    name: str
    text: str
    time: str
    speaker: SpeakerFacts = NOTHING_SAID


class Consents:
    """Those of one workspace.

    Args:
        workspace: where they are kept, in ``recordings/consents.jsonl``.
        text: what a speaker has to agree to now.
    """

    def __init__(self, workspace: Workspace, text: str) -> None:
        self._workspace = workspace
        self.text = text

    def known(self, name: str) -> str | None:
        """The name of the speaker whose voice a name would be, if somebody came by it before."""
        row = self._rows().get(_slug(_one_line(name)))
        return None if row is None else row.name

    def admit(self, name: str, *, agreed: bool, other: bool = False, speaker: SpeakerFacts = NOTHING_SAID) -> str:
        """Notes that a speaker agrees to the consent text; gives the voice's name in the manifests.

        Args:
            name: as the speaker gives it.
            agreed: to the text.
            speaker: what they say of themselves.
            other: whether this is somebody else than the one who came by that name before; the voice gets a number.

        Raises:
            InputError: there is no name, or the speaker did not agree.
        """
        name = _one_line(name)
        if not name or not name.isprintable() or not agreed:
            raise InputError("Please give a name and agree to the text above", expected="both")
        rows = self._rows()
        slug = _slug(name)
        if other:
            slug = next(one for one in chain([slug], (f"{slug}-{n}" for n in count(2))) if one not in rows)
        if not self.is_admitted(slug):
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            earlier = rows[slug].speaker if slug in rows else NOTHING_SAID
            rows[slug] = ConsentRow(id=slug, name=name, text=self.text, time=now, speaker=earlier)
            write_rows(self._path, (rows[voice] for voice in sorted(rows)))
        self.note({slug: speaker})
        return slug

    def note(self, speakers: Mapping[str, SpeakerFacts]) -> None:
        """Notes what is said of speakers, by voice; what was said before and is not said now stays."""
        rows = self._rows()
        before = dict(rows)
        for voice, facts in speakers.items():
            row = rows.get(voice) or ConsentRow(id=voice, name=voice, text="", time="")
            rows[voice] = msgspec.structs.replace(row, speaker=facts.filled_from(row.speaker))
        if rows != before:
            write_rows(self._path, (rows[voice] for voice in sorted(rows)))

    def speakers(self) -> dict[str, SpeakerFacts]:
        """What speakers say of themselves, by voice."""
        return {voice: row.speaker for voice, row in self._rows().items()}

    def is_admitted(self, voice: str) -> bool:
        """Whether a speaker agreed to the text as it is now."""
        row = self._rows().get(voice)
        return row is not None and row.time != "" and row.text == self.text

    @property
    def _path(self) -> Path:
        return self._workspace.recordings / "consents.jsonl"

    def _rows(self) -> dict[str, ConsentRow]:
        path = self._path
        return {row.id: row for row in read_rows(path, ConsentRow)} if path.is_file() else {}


def _one_line(name: str) -> str:
    return " ".join(name.split())[:80]


def _slug(name: str) -> str:
    slug = voice_slug(name)
    return slug if slug != "unknown" else f"speaker-{hashlib.sha256(name.encode()).hexdigest()[:8]}"  # no Latin letters
