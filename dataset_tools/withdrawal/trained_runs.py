"""Runs that were trained with a voice, or contain its utterances; they are listed, never changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from dataset_tools.core.files import sha256_of
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import SplitPairRow, read_rows
from dataset_tools.speech.recordings.withdrawn_recordings import ids_in
from dataset_tools.withdrawal.recorded_voice import RecordedVoice
from dataset_tools.withdrawal.searched_files import files_below, texts_of

TEXTS = (".csv", ".json", ".jsonl", ".md", ".tex", ".txt")
SEARCHED = (*TEXTS, ".safetensors")
"""Suffixes of files of runs and studies that may name utterances; of safetensors files, only the header is read."""
Link = Literal["trained", "validated", "learned", "named", "unread", "unknown"]


@dataclass(frozen=True)
class LinkedRun:
    """A run, and how it is linked to a voice.

    Attributes:
        run: its folder, relative to the workspace.
        link: ``trained``: weights were fitted to the voice's utterances; ``validated``: it was validated on them, or
            its training manifest is the one that contains the voice, but no weights were fitted to it; ``learned``: it
            contains vectors of the utterances, in classes added after training (``fmn learn``); ``named``: other files
            of the run name utterances; ``unread``: none does, but some cannot be read; ``unknown``: its training data
            are not recorded.
        utterances: number of the voice's utterances that weights were fitted to.
    """

    run: str
    link: Link
    utterances: int = 0


def linked_runs(workspace: Workspace, voice: RecordedVoice) -> list[LinkedRun]:
    """Lists the runs under runs/ that are, or may be, linked to a voice.

    Symbolic links are followed: large runs are stored on other disks.
    """
    manifest = workspace.manifests / "train.jsonl"
    in_training = manifest.is_file() and any(voice.owns_row(row.utterance) for row in read_rows(manifest, SplitPairRow))
    digest = sha256_of(manifest) if in_training else None
    return [
        LinkedRun(workspace.relative(run), link, count)
        for run in sorted(
            path.parent for path in files_below(workspace.runs, links=True)[0] if path.name == "config.json"
        )
        for link, count in _links(run, voice, digest)
    ]


def _links(run: Path, voice: RecordedVoice, manifest_sha256: str | None) -> Iterator[tuple[Link, int]]:
    state = _state(run)
    if state is None:
        yield "unknown", 0
        return
    count = sum(map(voice.owns, state.fitted_utterances))
    validated = any(map(voice.owns, state.validated_utterances or ()))
    if count:
        yield "trained", count
    elif validated or (manifest_sha256 is not None and state.manifest_sha256 == manifest_sha256):
        yield "validated", 0
    elif _names(run / "new_classes.safetensors", voice):
        yield "learned", 0
    else:
        files, unread = files_below(run, links=True)
        named = {_names(path, voice) for path in files if path.suffix in SEARCHED}
        if True in named:
            yield "named", 0
        elif unread or None in named:
            yield "unread", 0


class _State(msgspec.Struct):
    """What state.json says of the data of a run."""

    fitted_utterances: list[str]
    validated_utterances: list[str] | None = None
    manifest_sha256: str = ""


def _state(run: Path) -> _State | None:
    """Content of state.json, or None if it does not list the utterances that the run was fitted to."""
    try:
        return msgspec.json.decode((run / "state.json").read_bytes(), type=_State)
    except (OSError, ValueError, RecursionError):
        return None


def _names(path: Path, voice: RecordedVoice) -> bool | None:
    """Whether a file names an utterance of the voice; None if it cannot be read."""
    try:
        return any(voice.owns(word) for text in texts_of(path) for word in ids_in(text))
    except FileNotFoundError:
        return False
    except OSError:
        return None
