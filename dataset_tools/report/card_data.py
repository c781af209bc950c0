"""JSON data of the sample cards, for card.js and cards.js in the report and in `fmn serve`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dataset_tools.core.ledger import LedgerRow
from dataset_tools.report.cards import Card, Judgment, Spoken
from dataset_tools.report.statistics import loudness_of

SCRIPTS = (Path(__file__).with_name("card.js"), Path(__file__).with_name("cards.js"))
STYLE = Path(__file__).with_name("cards.css")


def card_data(card: Card, media: Callable[[str], str], picture: str | None = None) -> dict[str, Any]:
    """Converts a card to the object that cards.js reads; unknown values are omitted.

    Args:
        card: the card.
        media: maps the path of a file within the workspace to its URL.
        picture: URL of the thumbnail of the clip, if there is one.
    """
    clip = None
    if card.path is not None:
        size = {} if card.clip is None else {"duration_s": round(card.clip.duration_s, 3)}
        clip = _known({"src": media(card.path), "poster": picture, **size})
    return _known(
        {
            "id": card.id,
            "status": card.status,
            "class": card.class_id,
            "person": card.person,
            "split": card.split,
            "clip": clip,
            "sentence": card.sentence,
            "utterances": [_spoken(one, media) for one in card.utterances],
            "disagreement": card.disagreement,
            "problems": [_problem(row) for row in card.problems],
            **_judged(card.judgment),
        }
    )


def _spoken(spoken: Spoken, media: Callable[[str], str]) -> dict[str, Any]:
    row, loudness = spoken.row, loudness_of(spoken.row)
    return _known(
        {
            "id": row.id,
            "src": media(row.path),
            "text": row.text,
            "text_source": row.text_source,
            "voice": row.voice,
            "source": row.source,
            "duration_s": round(row.duration_s, 3),
            "loudness_lufs": None if loudness is None else round(loudness, 1),
            "doubts": list(spoken.doubts),
            **_judged(spoken.judgment),
        }
    )


def _judged(judgment: Judgment) -> dict[str, Any]:
    return {"verdict": judgment.verdict, "votes": [list(vote) for vote in judgment.votes]}


def _problem(row: LedgerRow) -> dict[str, Any]:
    reason = row.reason or {}
    details = {name: reason.get(name) for name in ("where", "next")}
    return _known({"found": reason.get("found", "no reason recorded"), "stage": row.stage, **details})


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None and value != []}
