"""Runs that were trained with a voice, or contain its utterances; they are listed, never changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from dataset_tools.core.files import sha256_of
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import SplitPairRow, read_rows
from dataset_tools.withdrawal.recorded_voice import RecordedVoice

MOST_HEADER_BYTES = 2**28
TEXTS = (".csv", ".json", ".jsonl", ".md", ".tex", ".txt")
Link = Literal["trained", "validated", "learned", "named", "unknown"]


@dataclass(frozen=True)
class LinkedRun:
    """A run, and what it has to do with a voice.

    Attributes:
        run: its folder, relative to the workspace.
        link: ``trained``: weights were fitted to its utterances; ``validated``: its training manifest is the one that
            holds the voice, none of whose utterances were fitted; ``learned``: it holds vectors of its utterances in
            classes that it learned afterwards (``fmn learn``); ``named``: other files of the run name utterances, or
            cannot be read; ``unknown``: the run does not say what it was trained with.
        utterances: how many of the voice it was fitted to.
    """

    run: str
    link: Link
    utterances: int = 0


def linked_runs(workspace: Workspace, voice: RecordedVoice) -> list[LinkedRun]:
    """The runs under runs/ that have to do with a voice, or may have; those of others are not listed."""
    manifest = workspace.manifests / "train.jsonl"
    held = manifest.is_file() and any(voice.owns_row(row.utterance) for row in read_rows(manifest, SplitPairRow))
    digest = sha256_of(manifest) if held else None
    return [
        LinkedRun(workspace.relative(run), link, count)
        for run in sorted(path.parent for path in workspace.runs.rglob("config.json"))
        for link, count in _links(run, voice, digest)
    ]


def _links(run: Path, voice: RecordedVoice, manifest_sha256: str | None) -> Iterator[tuple[Link, int]]:
    state = _state(run)
    if state is None:
        yield "unknown", 0
        return
    count = sum(voice.owns(str(name)) for name in state["fitted_utterances"])
    if count:
        yield "trained", count
    elif manifest_sha256 is not None and state.get("manifest_sha256") == manifest_sha256:
        yield "validated", 0
    elif _names(run / "new_classes.safetensors", voice):
        yield "learned", 0
    elif any(_names(path, voice) for path in sorted(run.rglob("*")) if path.suffix in TEXTS):
        yield "named", 0


def _state(run: Path) -> dict[str, Any] | None:
    """What state.json says, or None where it does not tell what the run was fitted to."""
    try:
        state = msgspec.json.decode((run / "state.json").read_bytes(), type=dict[str, Any])
    except (OSError, ValueError, RecursionError):
        return None
    return state if isinstance(state.get("fitted_utterances"), list) else None


def _names(path: Path, voice: RecordedVoice) -> bool:
    """Whether a file names an utterance of the voice; one that cannot be read may."""
    try:
        text = _header(path) if path.suffix == ".safetensors" else path.read_text("utf-8", "replace")
    except (FileNotFoundError, IsADirectoryError):
        return False
    except OSError:
        return True
    return any(voice.owns(name) for name in re.findall(r"[\w.-]+", text))


def _header(path: Path) -> str:
    """The JSON before the numbers of a safetensors file, which says what they are of."""
    with path.open("rb") as file:
        size_bytes = int.from_bytes(file.read(8), "little")
        return file.read(min(size_bytes, MOST_HEADER_BYTES)).decode("utf-8", "replace")
