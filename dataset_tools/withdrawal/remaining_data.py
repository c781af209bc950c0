"""Remaining data of a withdrawn voice that the toolkit cannot remove: users' own files, Label Studio tasks."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from itertools import takewhile
from pathlib import Path

from dataset_tools.core.files import sha256_of
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import read_reviews, reviews_path
from dataset_tools.label_studio.projects import remembered_projects
from dataset_tools.label_studio.tasks import utterances_to_show
from dataset_tools.manifests import UtteranceRow, read_rows
from dataset_tools.speech.recordings.recording_rows import listed_recordings
from dataset_tools.withdrawal.recorded_voice import RecordedVoice
from dataset_tools.withdrawal.searched_files import files_below, header_of
from dataset_tools.withdrawal.trained_runs import SEARCHED

Sizes = Mapping[int, set[str]]
MOST_BYTES = 64 * 2**20
"""Largest file that is searched for the name of a voice."""
_WRITTEN = re.compile(
    r"ledger\.jsonl|manifests/((clips|utterances|pairs|train|test)\.jsonl|(split|build)\.json)"
    r"|recordings/((recordings|consents)\.jsonl|[0-9a-f]{64}\.\w+)"
)
"""Files of the toolkit in folders where users may keep their own: `forget_voice` removes the voice from these."""
_NOT_SEARCHED = ("clips", "speech", "cache", ".git", ".venv")
_FOLLOWED = "runs"  # large studies are on other disks; any other link to a folder may lead to all of a user's footage


def shown_tasks(workspace: Workspace, voice: RecordedVoice) -> dict[str, list[str]]:
    """Clips whose Label Studio tasks may still play the voice, until the next push; by project address.

    Label Studio is not queried: a clip counts if its utterance belongs to the voice now, or did when it was judged.
    """
    path = workspace.manifests / "utterances.jsonl"
    shown = utterances_to_show(read_rows(path, UtteranceRow, missing_ok=True))
    clips = {clip_id for clip_id, row in shown.items() if voice.owns_row(row)}
    reviews = read_reviews(reviews_path(workspace))
    judged = {row.source[:2] for row in reviews if row.item == "utterance" and voice.owns(row.id)}
    clips |= {row.id for row in reviews if row.item == "clip" and row.source[:2] in judged}
    return {address: sorted(clips) for address in remembered_projects(workspace) if clips}


def sizes_of(workspace: Workspace, voice: RecordedVoice) -> Sizes:
    """SHA-256 of the imported files of a voice, by size in bytes; to be called before the files are removed."""
    sizes: dict[int, set[str]] = {}
    for row in listed_recordings(workspace):
        path = workspace.root / row.original
        if row.original_sha256 in voice.originals and path.is_file():
            sizes.setdefault(path.stat().st_size, set()).add(row.original_sha256)
    return sizes


def own_files(workspace: Workspace, voice: RecordedVoice, sizes: Sizes) -> list[str]:
    """Files that `forget_voice` does not clear and that contain, or may contain, the voice or its name as a word.

    Searches the workspace except clips/, speech/ and cache/; for the name, only files up to 64 MiB. Copies of manifests
    beside them are the user's; those in runs/ belong to studies. For runs themselves see `linked_runs`, for targets of
    the toolkit's files `linked_files`. Folders that cannot be listed are included: they may contain the voice.
    """
    root = workspace.root.resolve()

    def is_repeated(path: Path) -> bool:
        return path.is_symlink() and path.resolve().is_relative_to(root)

    files, unread = files_below(workspace.root, (*_NOT_SEARCHED, _FOLLOWED))
    of_runs, unread_of_runs = files_below(workspace.runs, links=True)
    searched = [path for path in files if not _WRITTEN.fullmatch(workspace.relative(path)) and not is_repeated(path)]
    searched += [path for path in of_runs if path.suffix not in SEARCHED or not _is_of_run(workspace, path)]
    # Of files that a killed command already removed, only the beginning of the SHA-256 is known.
    gone = voice.prefixes - {digest[:12] for digests in sizes.values() for digest in digests}
    found = [path for path in searched if _is_of(path, voice, sizes, gone)]
    return sorted(map(workspace.relative, (*unread, *unread_of_runs, *found)))


def _is_of_run(workspace: Workspace, path: Path) -> bool:
    folders = takewhile(lambda folder: folder != workspace.runs, path.parents)
    return any((folder / "config.json").is_file() for folder in folders)


def _is_of(path: Path, voice: RecordedVoice, sizes: Sizes, gone: Collection[str]) -> bool:
    """Whether a file contains the voice or its name; True if it cannot be read."""
    try:
        size_bytes = path.stat().st_size
        if voice.is_named_in(os.fsencode(path.name)):
            return True
        if size_bytes in sizes or gone:
            digest = sha256_of(path)
            if digest in sizes.get(size_bytes, ()) or digest[:12] in gone:
                return True
        if path.suffix == ".safetensors":
            return voice.is_named_in(header_of(path))
        return size_bytes <= MOST_BYTES and voice.is_named_in(path.read_bytes())
    except FileNotFoundError:
        return False
    except OSError:
        return True
