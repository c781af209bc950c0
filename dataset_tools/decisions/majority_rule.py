"""Majority rule: which of several decisions counts, and whether it still applies to the data set.

The rule, for each clip (and each utterance):

1. The last row of every annotation counts, unless it was deleted, was skipped or has a problem.
2. If the item has changed and was shown again, decisions on its earlier content no longer count.
3. The latest annotation of every annotator counts.
4. The annotators vote on the outcome: verdict and class of a clip, verdict of an utterance. The outcome with the most
   votes wins; on a tie, the one that was voted for last wins, and the item is *in conflict*.
5. The latest decision for the winning outcome counts, with its trim and its sentence.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec
from msgspec import UNSET

from dataset_tools.decisions.journal import ReviewRow
from dataset_tools.manifests import ClipRow, UtteranceRow

VerdictAndClass = tuple[str, str]


@dataclass(frozen=True)
class Decision:
    """The decision on a clip or utterance that counts.

    Attributes:
        id: of the clip or utterance.
        verdict: ``accept``, ``trim`` (clips only) or ``reject``.
        trim: source frames to keep, 1-based, inclusive, or None.
        class_id: the class of the clip as decided. corrected: whether another one was shown.
        sentence: the changed description, or None.
        content_sha256: of the file that was judged.
        annotator, time: of the decision that counts.
        votes: how many annotators voted. conflict: no outcome had more votes than every other.
        row: the source row.
    """

    id: str
    verdict: Literal["accept", "trim", "reject"]
    trim: tuple[int, int] | None
    class_id: str
    corrected: bool
    sentence: str | None
    content_sha256: str
    annotator: str
    time: str
    votes: int
    conflict: bool
    row: ReviewRow

    @property
    def may_have_moved(self) -> bool:
        """Whether people may have moved the clip to its class: by this decision, or before it was shown again."""
        return self.corrected or self.row.label_studio.review_round > 1

    def key(self) -> str:
        """Hash of what decides whether a build uses the clip."""
        shown = [self.content_sha256, self.row.shown.source_sha256 or ""]
        inputs = [self.verdict, self.class_id, self.corrected, self.trim, *shown]
        return hashlib.sha256(msgspec.json.encode(inputs)).hexdigest()


def decide(rows: Iterable[ReviewRow], item: Literal["clip", "utterance"]) -> dict[str, Decision]:
    """Returns the decision that counts for every clip (or utterance) that has one, by id.

    Args:
        rows: of reviews.jsonl, in any order.
        item: which of the two.
    """
    return {item_id: _count(votes) for item_id, votes in sorted(votes_by_item(rows, item).items())}


def votes_by_item(rows: Iterable[ReviewRow], item: Literal["clip", "utterance"]) -> dict[str, dict[str, ReviewRow]]:
    """Returns the row that counts (rules 1 to 3), by item id and annotator."""
    usable: dict[str, list[ReviewRow]] = defaultdict(list)
    for row in sorted(live(rows), key=_age):
        if row.item == item and row.problem is None and row.verdict not in (None, "skip"):
            usable[row.id].append(row)
    votes = {}
    for item_id, group in usable.items():
        newest = _content(max(group, key=lambda row: (row.label_studio.review_round, _age(row))))
        votes[item_id] = {row.annotator: row for row in group if _content(row) == newest}
    return votes


def live(rows: Iterable[ReviewRow]) -> list[ReviewRow]:
    """Returns the last row of every annotation and item, without deleted ones."""
    last: dict[tuple[int, str, str], ReviewRow] = {}
    for row in sorted(rows, key=lambda row: (row.time, row.deleted)):
        last[row.source] = row
    return [row for row in last.values() if not row.deleted]


def outcome(row: ReviewRow) -> VerdictAndClass:
    """The outcome that a row votes for: verdict and class; for a rejected clip or an utterance, only the verdict."""
    verdict = row.verdict or ""
    return verdict, "" if verdict == "reject" or row.item == "utterance" else row.corrected_class or row.shown.class_id


def _count(votes: Mapping[str, ReviewRow]) -> Decision:
    by_outcome: dict[VerdictAndClass, list[ReviewRow]] = defaultdict(list)
    for row in votes.values():
        by_outcome[outcome(row)].append(row)
    groups = sorted(by_outcome.values(), key=lambda group: (len(group), max(_age(row) for row in group)))
    winner = max(groups[-1], key=_age)
    assert winner.verdict is not None and winner.verdict != "skip"  # noqa: PT018  # votes_by_item lets none through
    return Decision(
        id=winner.id,
        verdict=winner.verdict,
        trim=winner.trim if winner.verdict == "trim" else None,
        class_id=winner.corrected_class or winner.shown.class_id,
        corrected=winner.corrected_class is not None,
        sentence=winner.sentence,
        content_sha256=winner.content_sha256,
        annotator=winner.annotator,
        time=winner.time,
        votes=len(votes),
        conflict=len(groups) > 1 and len(groups[-2]) == len(groups[-1]),
        row=winner,
    )


def _content(row: ReviewRow) -> tuple[str, ...]:
    """Content that a decision refers to: the file and, for a clip, its class and sentence."""
    return (row.content_sha256,) + ((row.shown.class_id, row.shown.sentence) if row.item == "clip" else ())


def _age(row: ReviewRow) -> tuple[str, int]:
    return row.time, row.label_studio.annotation


def judged_sha256(clip: ClipRow) -> str:
    """SHA-256 of the file that a decision on a clip refers to: as shown on the page, before any trim."""
    return clip.sha256 if clip.decided_sha256 is UNSET else clip.decided_sha256


def still_refers(decision: Decision, clip: ClipRow, utterance: UtteranceRow | None) -> bool:
    """Whether a clip is unchanged since it was judged, or was changed only by the decision itself.

    A decision cuts the clip to its trim and moves it to the corrected class; a new class or a changed sentence also
    changes the sentence and the utterance.

    Args:
        decision: on the clip.
        clip: its current row in the manifest.
        utterance: the one that is shown with it now.
    """
    shown = decision.row.shown
    same_file = judged_sha256(clip) == decision.content_sha256
    cut_as_decided = decision.trim is not None and clip.trim == decision.trim
    same_class = clip.class_id in (shown.class_id, decision.class_id)
    new_words = decision.corrected and decision.sentence is None
    agreed = (shown.sentence, decision.sentence or shown.sentence)
    says_it = utterance is None or new_words or any(same_words(utterance.text, sentence) for sentence in agreed)
    return (same_file or cut_as_decided) and same_class and says_it


def is_followed(decision: Decision, clip: ClipRow) -> bool:
    """Whether a clip in the data set already reflects the decision on it."""
    return (
        decision.verdict != "reject"
        and judged_sha256(clip) == decision.content_sha256
        and clip.class_id == decision.class_id
        and clip.trim == decision.trim
    )


def same_words(one: str, other: str) -> bool:
    """Whether two sentences sound the same: have the same words, regardless of case and punctuation."""

    def heard(text: str) -> str:
        return "".join(letter for letter in text.casefold() if letter.isalnum() or letter.isspace())

    return heard(one).split() == heard(other).split()
