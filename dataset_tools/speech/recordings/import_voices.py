"""Voices of the files of an import: known voices of their speakers, and names that share a voice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dataset_tools.core.unicode_names import in_unicode
from dataset_tools.core.workspace import Workspace
from dataset_tools.speech.recordings.known_voices import KnownVoices
from dataset_tools.speech.recordings.recording_files import FoundRecording
from dataset_tools.speech.recordings.voice_names import different_names, hashed_before, one_line, voice_slug


def with_known_voices(
    workspace: Workspace, recordings: Sequence[FoundRecording]
) -> tuple[list[FoundRecording], list[str]]:
    """Returns the recordings with the voices that their speakers have in the workspace, and what is doubtful."""
    known = KnownVoices(workspace)
    assigned = [replace(one, voice=known.of(one.named) or one.voice) for one in recordings]
    names: dict[str, list[str]] = {}  # by voice
    for one in reversed(assigned):
        names.setdefault(one.voice, []).append(one_line(one.named))
    return assigned, [text for voice in sorted(names) for text in _doubts(voice, different_names(names[voice]), known)]


def _doubts(voice: str, imported: dict[str, str], known: KnownVoices) -> Iterator[str]:
    before = different_names(known.names.get(voice, ()))
    # Users may state a known voice instead of the name, unless it is itself the only name that is known.
    stated = {voice} if voice in known and known.names[voice] != {voice} else set()
    names = set({**before, **imported}.values()) - {""} - stated
    if len(names) > 1:
        listed = " and ".join(in_unicode(repr(name)) for name in sorted(names))
        yield f"voice {voice}: files name the speaker {listed}; if these are two persons, rename one of them"
        return
    for name in imported.values():
        if same := ", ".join(sorted(known.named(name) - {voice})):
            yield (
                f"voice {voice}: {in_unicode(repr(name))} is also the name of {same}; if the files are of that person,"
                " use that voice as the name"
            )
        if voice not in (voice_slug(name), hashed_before(name), "unknown") and not before:
            yield (
                f"voice {voice}: {in_unicode(repr(name))} gets this voice, which a version before 0.2.0 made of the"
                " name; if it is of another person, rename one of them"
            )
