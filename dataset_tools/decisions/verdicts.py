"""Verdicts on the rows of a data set: review status and agreed sentence of each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from dataset_tools.decisions.journal import ReviewRow
from dataset_tools.decisions.majority_rule import Decision, decide, is_followed, live, same_words, still_refers
from dataset_tools.manifests import ClipRow, UtteranceRow

ACCEPTED = ("accept", "trim")
"""Verdicts of the clips that ``fmn-data pairs --reviewed`` uses; a trimmed clip is used once it has been cut."""


def followed(reviews: Iterable[ReviewRow], clips: Iterable[ClipRow]) -> dict[str, Decision]:
    """Returns the decisions to keep a clip that the current clip already reflects, by clip id."""
    decisions = decide(reviews, "clip")
    return {
        clip.id: decisions[clip.id] for clip in clips if clip.id in decisions and is_followed(decisions[clip.id], clip)
    }


def final_decisions(
    reviews: Sequence[ReviewRow],
    clips: Mapping[str, ClipRow],
    shown: Mapping[str, UtteranceRow],
    sources: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Decision]:
    """Returns the decisions that are valid for the current clips and leave nothing to review again.

    Args:
        reviews: the rows of reviews.jsonl.
        clips: by id.
        shown: the utterance that is shown with each clip, by clip id.
        sources: SHA-256 of the source video of each clip, by clip id, if known: a decision on the same frames is
            valid for a clip that was encoded again before the decision was pulled.

    Returns:
        The decisions by clip id.
    """

    def now(decision: Decision) -> ClipRow:
        clip, source = clips[decision.id], decision.row.shown.source_sha256
        if source is None or source != sources.get(clip.id):
            return clip
        return msgspec.structs.replace(clip, decided_sha256=decision.content_sha256)  # as the next build will record

    unheard = not_heard_yet(reviews, shown.values())
    return {
        clip_id: decision
        for clip_id, decision in decide(reviews, "clip").items()
        if clip_id in clips
        and still_refers(decision, now(decision), shown.get(clip_id))
        and (clip_id not in shown or shown[clip_id].id not in unheard)
    }


def judged_bad(reviews: Iterable[ReviewRow]) -> dict[str, int]:
    """Counts the rejected renderings of each utterance, by utterance id; utterances without any are omitted."""
    renderings: dict[tuple[str, str], list[ReviewRow]] = defaultdict(list)
    for row in reviews:
        if row.item == "utterance":
            renderings[row.id, row.content_sha256].append(row)
    decisions = [decide(rows, "utterance").get(name) for (name, _), rows in renderings.items()]
    return dict(Counter(one.id for one in decisions if one is not None and one.verdict == "reject"))


def not_heard_yet(reviews: Sequence[ReviewRow], utterances: Iterable[UtteranceRow]) -> set[str]:
    """Ids of the synthesized utterances that replaced a rejected one and have not been shown since."""
    bad = judged_bad(reviews)
    clip_of = {row.source[:2]: row.id for row in reviews if row.item == "clip"}
    sources = {row.source[:2] for row in reviews if row.item == "utterance" and row.id in bad}
    spoken_anew = {clip_of[source] for source in sources if source in clip_of}
    heard = {(row.id, row.content_sha256) for row in live(reviews) if row.verdict != "skip"}
    return {
        row.id
        for row in utterances
        if row.clip in spoken_anew
        and (row.source, row.augmented) == ("synthesized", msgspec.UNSET)
        and (row.id, row.sha256) not in heard
    }


def agreed_sentences(decisions: Mapping[str, Decision]) -> dict[str, tuple[str, bool]]:
    """Returns the sentence that an annotator agreed with for each clip, and whether the annotator wrote it.

    An annotator who changes nothing agrees with the sentence shown; a corrected class changes the sentence.
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
    """Returns the rows with ``review`` set: the verdict of the decision that counts, if it is valid for the row.

    An utterance without a verdict of its own is accepted with its clip if it speaks the agreed sentence, except one
    that replaced a rejected utterance and has not been heard by annotators.
    """
    kept = followed(reviews, clips)
    agreed = agreed_sentences(kept)
    heard = decide(reviews, "utterance")
    unheard = not_heard_yet(reviews, utterances)
    content = {row.id: row.sha256 for row in utterances}

    def verdict(row: UtteranceRow) -> str | None:
        if row.augmented is not msgspec.UNSET:  # a copy has the verdict of its original
            original = row.augmented.original
            row = msgspec.structs.replace(row, id=original, sha256=content.get(original, row.sha256))
        if row.id in heard and heard[row.id].content_sha256 == row.sha256:
            return heard[row.id].verdict
        decision = kept.get(row.clip or "")
        if decision is None or row.id in unheard:
            return None
        if decision.corrected and decision.sentence is None:
            return "accept"  # the new class changed the sentence
        return "accept" if same_words(agreed.get(decision.id, ("", False))[0], row.text) else None

    return (
        [msgspec.structs.replace(clip, review=kept[clip.id].verdict if clip.id in kept else None) for clip in clips],
        [msgspec.structs.replace(row, review=verdict(row)) for row in utterances],
    )
