"""Withdrawn recordings: rows and ids of voices that must not be used."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import UtteranceRow
from dataset_tools.speech.recordings.consent_rows import barred_voices, voice_sha256
from dataset_tools.speech.recordings.consents import read_withdrawals
from dataset_tools.speech.recordings.recording_rows import read_recordings

_ID = re.compile(r".+_(?P<voice>[a-z0-9-]+)_(?P<sha256>[0-9a-f]{12})(_aug\d+)?")


def with_consent(workspace: Workspace, utterances: Iterable[UtteranceRow]) -> list[UtteranceRow]:
    """Returns the utterances without those of barred voices, which a killed `fmn-data speech forget` may have left."""
    is_barred = barred_voices(workspace)
    return [row for row in utterances if row.source == "synthesized" or not is_barred(row.voice)]


def named_in(utterance_id: str) -> tuple[str, str] | None:
    """Parses the id of a recording or its copy: voice, and first 12 digits of the SHA-256 of the imported file."""
    found = _ID.fullmatch(utterance_id)
    return None if found is None else (found["voice"], found["sha256"])


def ids_in(text: str) -> set[str]:
    """Returns words of a text that may be ids, even at the end of a sentence, in file names, or escaped for LaTeX."""
    words = {word.strip(".") for word in re.findall(r"[\w.-]+", text.replace("\\_", "_"))}
    return words | {word.rpartition(".")[0] for word in words if "." in word}


def withdrawn_utterances(workspace: Workspace) -> Callable[[str], bool]:
    """Returns a predicate on utterance ids: whether it was a recording that was removed when its speaker withdrew."""
    hashes = {one.voice_sha256 for one in read_withdrawals(workspace)}
    there = {row.id for row in read_recordings(workspace)} if hashes else set()

    def is_withdrawn(utterance_id: str) -> bool:
        named = named_in(utterance_id)
        return named is not None and voice_sha256(named[0]) in hashes and utterance_id not in there

    return is_withdrawn
