"""Synthesized speech of a data set while a synthesis replaces it: if that is killed, the earlier speech stays in use.

Otherwise an import of recordings after the kill would add new utterances to the earlier ones, since the ledger has
both. An earlier utterance whose file has been replaced (another sentence in the same voice) is the new one; if the kill
came between the new file and its row, there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from dataset_tools.core.files import sha256_of
from dataset_tools.core.ledger import Ledger, LedgerRow
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import UtteranceRow, read_rows, write_rows


def earlier_speech_path(workspace: Workspace) -> Path:
    """Path of the list of earlier speech; it exists only while a synthesis is not complete."""
    return workspace.cache / "earlier-speech.jsonl"


def made_speech(ledger: Mapping[str, LedgerRow]) -> list[UtteranceRow]:
    """Returns the synthesized utterances and the augmented copies in a ledger, sorted by id."""
    return sorted((row.value("row", UtteranceRow) for row in _made(ledger)), key=lambda row: row.id)


def _made(ledger: Mapping[str, LedgerRow]) -> Iterator[LedgerRow]:
    return (row for name, row in ledger.items() if row.status == "ok" and name.startswith(("utterance/", "copy/")))


def earlier_speech(workspace: Workspace) -> list[UtteranceRow] | None:
    """Returns the utterances and copies that an incomplete synthesis replaces; None if there is no such synthesis."""
    try:
        path = earlier_speech_path(workspace)
        return list(read_rows(path, UtteranceRow)) if path.is_file() else None
    except FileNotFoundError:  # the synthesis has just been completed
        return None


def speech_in_use(earlier: Sequence[UtteranceRow] | None, ledger: Mapping[str, LedgerRow]) -> list[UtteranceRow]:
    """Returns the synthesized utterances and copies to use, sorted by id.

    Args:
        earlier: of `earlier_speech`, read before the ledger: a synthesis may end in between.
        ledger: its rows.
    """
    made = made_speech(ledger)
    if earlier is None:
        return made
    now = {row.id: row for row in made}
    return [now.get(row.id, row) for row in earlier]


def has_its_file(workspace: Workspace, row: UtteranceRow) -> bool:
    """Whether the file of an utterance is there and has the SHA-256 of the row."""
    path = workspace.root / row.path
    return path.is_file() and sha256_of(path) == row.sha256


def _is_begun(ledger: Ledger) -> bool:
    """Whether files of earlier utterances may have been replaced."""
    return any(row.path is not None and row.size_bytes is None for row in _made(ledger.rows))


@contextmanager
def replacing_speech(workspace: Workspace, ledger: Ledger) -> Iterator[None]:
    """Keeps the list of earlier speech until the block, a synthesis, is complete and its rows are in ledger.jsonl."""
    path, earlier = earlier_speech_path(workspace), made_speech(ledger.rows)
    is_first = not path.is_file()  # otherwise it is the speech before a synthesis that was killed
    if is_first:
        write_rows(path, earlier)
    try:
        yield
    except BaseException:
        if is_first and made_speech(ledger.rows) == earlier and not _is_begun(ledger):
            path.unlink(missing_ok=True)
        raise
    ledger.save()
    path.unlink(missing_ok=True)
