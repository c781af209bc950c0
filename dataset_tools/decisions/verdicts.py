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
"""Verdicts of clips that take part in ``fmn-data pairs --reviewed``: a trimmed clip does once it is cut."""


def followed(reviews: Iterable[ReviewRow], clips: Iterable[ClipRow]) -> dict[str, Decision]:
    """The decisions that keep a clip and that the clip, as it is now, follows; by clip id."""
    decisions = decide(reviews, "clip")
    return {
        clip.id: decisions[clip.id] for clip in clips if clip.id in decisions and is_followed(decisions[clip.id], clip)
    }


def standing(
    reviews: Sequence[ReviewRow],
    clips: Mapping[str, ClipRow],
    shown: Mapping[str, UtteranceRow],
    sources: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Decision]:
    """The decisions that refer to the clips as they are now, and after which nothing is left to look at or to hear.

    Args:
        reviews: the rows of reviews.jsonl.
        clips: by id.
        shown: the utterance that is shown with each clip, by clip id.
        sources: SHA-256 of the source video of each clip, by clip id, where it is known: a decision on the same frames
            refers to a clip that was encoded again before the decision came back.

    Returns:
        The decisions by clip id.
    """

    def now(decision: Decision) -> ClipRow:
        clip, source = clips[decision.id], decision.row.shown.source_sha256
        if source is None or source != sources.get(clip.id):
            return clip
        return msgspec.structs.replace(clip, decided_sha256=decision.content_sha256)  # as the next build says

    unheard = not_heard_yet(reviews, shown.values())
    return {
        clip_id: decision
        for clip_id, decision in decide(reviews, "clip").items()
        if clip_id in clips
        and still_refers(decision, now(decision), shown.get(clip_id))
        and (clip_id not in shown or shown[clip_id].id not in unheard)
    }


def judged_bad(reviews: Iterable[ReviewRow]) -> dict[str, int]:
    """How many renderings of an utterance people judged bad, by utterance id; only those of which there are any."""
    renderings: dict[tuple[str, str], list[ReviewRow]] = defaultdict(list)
    for row in reviews:
        if row.item == "utterance":
            renderings[row.id, row.content_sha256].append(row)
    decisions = [decide(rows, "utterance").get(name) for (name, _), rows in renderings.items()]
    return dict(Counter(one.id for one in decisions if one is not None and one.verdict == "reject"))


def not_heard_yet(reviews: Sequence[ReviewRow], utterances: Iterable[UtteranceRow]) -> set[str]:
    """Ids of the synthesized utterances that took the place of one that was judged bad, and were not shown since."""
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

    An utterance on which nobody said anything was accepted with its clip, whose sentence it speaks; but not one that
    took the place of one that was judged bad, before people have heard it.
    """
    kept = followed(reviews, clips)
    agreed = agreed_sentences(kept)
    heard = decide(reviews, "utterance")
    unheard = not_heard_yet(reviews, utterances)
    content = {row.id: row.sha256 for row in utterances}

    def verdict(row: UtteranceRow) -> str | None:
        if row.augmented is not msgspec.UNSET:  # a copy is as good as its original
            original = row.augmented.original
            row = msgspec.structs.replace(row, id=original, sha256=content.get(original, row.sha256))
        if row.id in heard and heard[row.id].content_sha256 == row.sha256:
            return heard[row.id].verdict
        decision = kept.get(row.clip or "")
        if decision is None or row.id in unheard:
            return None
        if decision.corrected and decision.sentence is None:
            return "accept"  # the new class brought a sentence of its own
        return "accept" if same_words(agreed.get(decision.id, ("", False))[0], row.text) else None

    return (
        [msgspec.structs.replace(clip, review=kept[clip.id].verdict if clip.id in kept else None) for clip in clips],
        [msgspec.structs.replace(row, review=verdict(row)) for row in utterances],
    )
