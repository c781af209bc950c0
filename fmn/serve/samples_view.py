"""Sample cards of the data set, as in its report, with scores and ranks from the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from dataset_tools.core.errors import ToolkitError
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, UtteranceRow, resolve
from dataset_tools.report.card_data import card_data
from dataset_tools.report.cards import read_cards
from fmn.search.search_results import QUERY_KINDS
from fmn.serve.errors_view import Errors
from fmn.serve.shown_items import ShownItems


class Samples:
    """The sample cards of a workspace."""

    def __init__(self, items: ShownItems, errors: Errors) -> None:
        self._items, self._errors = items, errors
        self._paths: set[str] = set()
        rows: list[ClipRow | UtteranceRow] = [*items.clips.values(), *items.utterances.values()]
        self._rows = {row.path: row for row in rows}

    def cards(self) -> dict[str, Any]:
        """Returns all samples, with the run's results for the pairs of the manifest; rereads ledger and decisions.

        Returns:
            ``cards``: as written by `card_data`, with

            - ``score`` of an utterance with its clip, and ``rank`` of that clip in a search by it, from 1;
            - ``rank`` of a card's utterance in a search by its clip.

        Raises:
            ManifestError: the ledger, reviews.jsonl or another file of the workspace cannot be read.
        """
        by_speech, by_clip = ({one["id"]: one for one in self._errors.of(kind)["queries"]} for kind in QUERY_KINDS)
        clips, utterances = list(self._items.clips.values()), list(self._items.utterances.values())
        cards = [
            card_data(one, self._address) for one in read_cards(Workspace(self._items.workspace), clips, utterances)
        ]
        for card in cards:
            if (query := by_clip.get(card["id"])) is not None and query["partner_rank"] is not None:
                card["rank"] = query["partner_rank"]
            for spoken in card.get("utterances", ()):
                if (query := by_speech.get(spoken["id"])) is not None and query["partner_rank"] is not None:
                    spoken |= {"score": query["partner_score"], "rank": query["partner_rank"]}
        return {"cards": cards}

    def file(self, path: str) -> Path | None:
        """Returns the file of a card by its path in the workspace; None if no card has it, or it was replaced."""
        if path not in self._paths:
            return None
        row = self._rows.get(path)
        try:
            return resolve(self._items.workspace, path) if row is None else self._items.file(row)
        except ToolkitError:
            return None

    def _address(self, path: str) -> str:
        self._paths.add(path)
        return f"files/{quote(path)}"
