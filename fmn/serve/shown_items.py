"""Items that the page may show: clips and utterances by id or content hash, each with its file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError
from dataset_tools.manifests import ClipRow, UtteranceRow, read_rows, resolve
from fmn.data.items import load_items
from fmn.features.media import Media
from fmn.search.search_results import GallerySource, QueryKind


class ShownItems:
    """The items of a manifest, and those of clips.jsonl and utterances.jsonl next to it, if these exist.

    Attributes:
        source: the manifest, and what of it is searched.
        manifest: the file. workspace: base folder of the relative paths in its rows.
        tested: ids of the clips and utterances of the manifest itself.
        standin: the entry on a stand-in corpus in build.json, or None.
        clips, utterances: the rows by id.

    Raises:
        InputError: a clip and an utterance have the same id, or there is no such manifest.
    """

    def __init__(self, source: GallerySource) -> None:
        self.source, self.manifest, self.workspace = source, source.manifest, source.workspace
        items = load_items(source.manifest, source.root)
        self.tested, self.standin = items.ids, items.standin
        self.clips: dict[str, ClipRow] = _by_id(items.clips, self.manifest.with_name("clips.jsonl"))
        self.utterances: dict[str, UtteranceRow] = _by_id(items.utterances, self.manifest.with_name("utterances.jsonl"))
        if shared := self.clips.keys() & self.utterances.keys():
            raise InputError(
                f"{count_of(len(shared), 'clip has', 'clips have')} the id of an utterance, such as {min(shared)}",
                where=self.manifest,
                expected="an id of its own for each clip and each utterance: the page finds them by it",
                next_step="give the utterances other ids",
            )
        self._utterance_of = {row.clip: row.id for row in self.utterances.values() if row.clip is not None}
        both: list[ClipRow | UtteranceRow] = [*self.utterances.values(), *self.clips.values()]
        self._known = {row.sha256: row for row in both}

    def rows(self, kind: QueryKind) -> list[ClipRow | UtteranceRow]:
        """Returns the gallery for a kind of query: clips for speech, utterances for ``clip``, in order of their ids."""
        of_kind: dict[str, Any] = self.clips if kind == "speech" else self.utterances
        tested = self.tested.clips if kind == "speech" else self.tested.utterances
        return [of_kind[name] for name in sorted(of_kind if self.source.everything else tested)]

    def find(self, name: str) -> ClipRow | UtteranceRow:
        """Returns the clip or the utterance with this id.

        Raises:
            KeyError: there is none.
        """
        return self.clips[name] if name in self.clips else self.utterances[name]

    def of_content(self, sha256: str) -> ClipRow | UtteranceRow | None:
        """Returns the clip or the utterance whose file has this SHA-256, or None."""
        return self._known.get(sha256)

    def file(self, row: ClipRow | UtteranceRow) -> Path:
        """Returns the file of a row.

        Raises:
            ManifestError: it does not exist.
            SampleError: its content is another one, as when the data set was built again in the meantime.
        """
        path = resolve(self.workspace, row.path)
        Media(row.sha256, path, row.id).require_content()
        return path

    def card(self, row: ClipRow | UtteranceRow) -> dict[str, Any]:
        """Returns the page's data for a clip with its utterance, or for an utterance with the clip it describes."""
        clip: str | None
        utterance: str | None
        if isinstance(row, ClipRow):
            clip, utterance = row.id, self._utterance_of.get(row.id)
        else:
            clip, utterance = row.clip if row.clip in self.clips else None, row.id
        spoken = self.utterances[utterance] if utterance is not None else None
        return {
            "id": row.id,
            "class": row.class_id,
            "clip": clip,
            "utterance": utterance,
            "sentence": spoken and spoken.text,
            "voice": spoken and spoken.voice,
            "person": clip and self.clips[clip].person,
        }


def _by_id(rows: Sequence[Any], listing: Path) -> dict[str, Any]:
    """Merges the rows of the manifest and those of the listing next to it; the manifest takes precedence."""
    beside = read_rows(listing, type(rows[0]), missing_ok=True)
    return {row.id: row for row in beside} | {row.id: row for row in rows}


def not_there(what: str) -> InputError:
    """Creates the error for an unknown name, or one that is no longer kept."""
    return InputError(
        f"There is no such {what}",
        next_step="search again: recorded and dropped queries are kept only for a short time",
    )
