"""Voices of a workspace, and the voice that a speaker's name belongs to."""

from __future__ import annotations

from pathlib import PurePath

import msgspec

from dataset_tools.core.workspace import Workspace
from dataset_tools.speech.recordings.consent_rows import read_consents
from dataset_tools.speech.recordings.recording_rows import RecordingRow, listed_recordings
from dataset_tools.speech.recordings.voice_names import former_voices, hashed_before, name_key, one_line, voice_slug


class KnownVoices:
    """Voices of a workspace, as of now.

    Attributes:
        names: names of the speakers as written in consents, lists and names of imported files, by voice; may be empty.
        recorded: voices with rows in recordings.jsonl.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.names: dict[str, set[str]] = {}
        self.recorded: set[str] = set()
        for consent in read_consents(workspace).values():
            if consent.withdrawn is msgspec.UNSET:
                # The id stands for a name that is not known: of imported speakers, and in exported data sets.
                self.names[consent.id] = {one_line(consent.name)} - {consent.id, ""}
        for row in listed_recordings(workspace):
            self.recorded.add(row.utterance.voice)
            self.names.setdefault(row.utterance.voice, set()).update(_names_in(row))

    def __contains__(self, voice: str) -> bool:
        return voice in self.names

    def named(self, name: str) -> set[str]:
        """Returns the voices whose speakers wrote their name like this, except for upper and lower case."""
        return {voice for voice in self.names if self._is_named(voice, name)}

    def of(self, name: str) -> str:
        """Returns the voice of a speaker's name: the one that it has, possibly from an earlier version, or will get."""
        voice = voice_slug(name)
        before = () if voice in self else (one for one in former_voices(name) if self.may_be(one, name))
        return next(iter(before), voice)

    def may_be(self, former: str, name: str) -> bool:
        """Whether an earlier version may have given a voice to this name, and not to another one that is known."""
        is_open = former in self and (former == hashed_before(name) or not self.names[former])
        return is_open or self._is_named(former, name)

    def _is_named(self, voice: str, name: str) -> bool:
        return name_key(name) in map(name_key, self.names.get(voice, ()))


def _names_in(row: RecordingRow) -> set[str]:
    """Returns the name of the speaker as written: as stored or, by earlier versions, in the name of the file."""
    if row.speaker_name is not msgspec.UNSET:
        return {row.speaker_name}
    written, is_separate, _ = PurePath(row.name).stem.partition("_")
    is_of_voice = is_separate and row.utterance.voice in (voice_slug(written), *former_voices(written))
    return {one_line(written)} if is_of_voice else set()
