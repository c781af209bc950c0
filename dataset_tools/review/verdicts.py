"""What people's decisions say of the rows of a data set: which are reviewed, and which sentence was agreed on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from dataset_tools.manifests import ClipRow, UtteranceRow
from dataset_tools.review.decisions import Decision, decide, is_followed, same_words
from dataset_tools.review.journal import ReviewRow

ACCEPTED = ("accept", "trim")
"""Verdicts of clips that take part in ``fmn-data pairs --reviewed``: a trimmed clip does once it is cut."""


def followed(reviews: Iterable[ReviewRow], clips: Iterable[ClipRow]) -> dict[str, Decision]:
    """The decisions that keep a clip and that the clip, as it is now, follows; by clip id."""
    decisions = decide(reviews, "clip")
    return {
        clip.id: decisions[clip.id] for clip in clips if clip.id in decisions and is_followed(decisions[clip.id], clip)
    }


def agreed_sentences(decisions: Mapping[str, Decision]) -> dict[str, tuple[str, bool]]:
    """The sentence that a person agreed on for each clip, and whether it was written by that person.

    Who changes nothing agrees with the sentence that was shown; with another class comes another sentence.
    """
    agreed = {}
    for clip_id, decision in decisions.items():
        if decision.sentence is not None:
            agreed[clip_id] = (" ".join(decision.sentence.split()), True)
        elif not decision.corrected and decision.row.shown.sentence:
            agreed[clip_id] = (" ".join(decision.row.shown.sentence.split()), False)
    return agreed


def with_verdicts(
    clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow], reviews: Sequence[ReviewRow]
) -> tuple[list[ClipRow], list[UtteranceRow]]:
    """The rows with their ``review``: the verdict of the decision that counts, where the row is what it decided on.

    An utterance on which nobody said anything was accepted with its clip, whose sentence it speaks.
    """
    standing = followed(reviews, clips)
    agreed = agreed_sentences(standing)
    heard = decide(reviews, "utterance")

    content = {row.id: row.sha256 for row in utterances}

    def verdict(row: UtteranceRow) -> str | None:
        if row.augmented is not msgspec.UNSET:  # a copy is as good as its original
            original = row.augmented.original
            row = msgspec.structs.replace(row, id=original, sha256=content.get(original, row.sha256))
        if row.id in heard and heard[row.id].content_sha256 == row.sha256:
            return heard[row.id].verdict
        decision = standing.get(row.clip or "")
        if decision is None:
            return None
        if decision.corrected and decision.sentence is None:
            return "accept"  # the new class brought a sentence of its own
        return "accept" if same_words(agreed.get(decision.id, ("", False))[0], row.text) else None

    return (
        [
            msgspec.structs.replace(clip, review=standing[clip.id].verdict if clip.id in standing else None)
            for clip in clips
        ],
        [msgspec.structs.replace(row, review=verdict(row)) for row in utterances],
    )
