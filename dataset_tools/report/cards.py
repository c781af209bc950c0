"""Sample cards: every sample of a data set with all its values, including failed and omitted samples."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from dataset_tools.core.jsonl import Row
from dataset_tools.core.ledger import LedgerRow, read_ledger
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.agreement import disagreement
from dataset_tools.decisions.journal import ReviewRow, Shown, read_reviews, reviews_path
from dataset_tools.decisions.majority_rule import decide, judged_sha256, outcome, votes_by_item
from dataset_tools.manifests import SPLIT_SIDES, ClipRow, SplitPairRow, UtteranceRow, read_rows
from dataset_tools.speech.transcripts import transcript_warnings

Status = Literal["ok", "failed", "skipped"]
Split = Literal["train", "test", "both", "neither"]


@dataclass(frozen=True)
class Judgment:
    """Decisions of the annotators on the current content of a clip or an utterance.

    Attributes:
        verdict: of the decision that counts, even if no build has applied it yet; or None.
        votes: number of annotators by decision: ``accept``, ``accept as wash_apple``.
        disagreement: share of pairs of annotators that decided differently; None for fewer than two annotators.
    """

    verdict: str | None = None
    votes: tuple[tuple[str, int], ...] = ()
    disagreement: float | None = None


@dataclass(frozen=True)
class Spoken:
    """An utterance of a card: its row, the decisions on it, and warnings about its audio and its sentence."""

    row: UtteranceRow
    judgment: Judgment
    doubts: tuple[str, ...]


@dataclass(frozen=True)
class Card:
    """A sample: a clip with its utterances, an utterance that describes only a class, or a missing sample.

    Attributes:
        id: of the clip, of the utterance, or of the sample in the ledger without its kind.
        status: ``ok``; ``failed``: a part of the sample is missing; ``skipped``: omitted for a reason.
        class_id, person: None if not known.
        clip: row of clips.jsonl, or None.
        path: of the mp4, relative to the workspace; of an omitted sample too, if its file still exists.
        judgment: on the clip.
        sentence: for an omitted clip, the description that annotators saw.
        utterances: sorted by id. split: side of its pairs. problems: ledger rows of what is missing.
    """

    id: str
    status: Status
    class_id: str | None
    person: str | None
    clip: ClipRow | None = None
    path: str | None = None
    judgment: Judgment = Judgment()
    sentence: str | None = None
    utterances: tuple[Spoken, ...] = ()
    split: Split = "neither"
    problems: tuple[LedgerRow, ...] = ()

    @property
    def disagreement(self) -> float | None:
        """The largest disagreement on the clip or an utterance; None if nothing was judged twice."""
        judged = (self.judgment, *(one.judgment for one in self.utterances))
        return max((one.disagreement for one in judged if one.disagreement is not None), default=None)


def read_cards(workspace: Workspace, clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow]) -> list[Card]:
    """Reads the ledger, decisions, splits and transcript checks, and returns the cards of a data set, sorted by id.

    Args:
        workspace: of the data set.
        clips: rows of clips.jsonl.
        utterances: rows of utterances.jsonl.

    Raises:
        ManifestError: the ledger, reviews.jsonl, transcripts.jsonl, train.jsonl or test.jsonl cannot be read.
    """
    return make_cards(
        clips,
        utterances,
        read_ledger(workspace.ledger),
        read_reviews(reviews_path(workspace)),
        read_splits(workspace),
        doubts=transcript_warnings(workspace, utterances),
        files={path.stem for path in workspace.clips.glob("*.mp4")},
    )


def make_cards(
    clips: Sequence[ClipRow],
    utterances: Iterable[UtteranceRow],
    ledger: Mapping[str, LedgerRow],
    reviews: Sequence[ReviewRow],
    splits: Mapping[str, Split],
    *,
    doubts: Mapping[str, str],
    files: Container[str],
) -> list[Card]:
    """Returns the cards of a data set, sorted by id.

    Args:
        clips: rows of clips.jsonl.
        utterances: rows of utterances.jsonl.
        ledger: rows by id.
        reviews: rows of reviews.jsonl.
        splits: of clips and utterances, by id; empty without pairs.
        doubts: warnings that an utterance may not speak its sentence, by id.
        files: ids of the clips whose mp4 exists.
    """
    of_clips, of_utterances = _Decisions(reviews, "clip"), _Decisions(reviews, "utterance")
    cards = {
        clip.id: Card(
            clip.id,
            "ok",
            clip.class_id,
            clip.person,
            clip,
            clip.path,
            of_clips.judgment(clip.id, {clip.sha256, judged_sha256(clip)}, clip.review),
            split=splits.get(clip.id, "neither"),
        )
        for clip in clips
    }
    spoken_of: dict[str, list[Spoken]] = defaultdict(list)
    for row in sorted(utterances, key=lambda row: row.id):
        warnings = (*row.quality.get("warnings", ()), *([doubts[row.id]] if row.id in doubts else ()))
        spoken = Spoken(row, of_utterances.judgment(row.id, {row.sha256}, row.review), warnings)
        if row.clip in cards:
            spoken_of[row.clip].append(spoken)
        else:
            split = splits.get(row.id, "neither")
            cards[row.id] = Card(row.id, "ok", row.class_id, None, utterances=(spoken,), split=split)
    for clip_id, group in spoken_of.items():
        cards[clip_id] = replace(cards[clip_id], utterances=tuple(group))
    person_of = {f"{clip.person}-{clip.dish}": clip.person for clip in clips}
    for lost in ledger.values():
        if lost.status == "ok":
            continue
        name = lost.id.partition("/")[2]
        owner = _known_prefix(name, cards)  # for utterances, recordings and copies: the clip whose id is a prefix
        if owner is None:
            cards[name] = _card_of_missing(name, lost, of_clips, person_of, files)
        else:
            status: Status = "failed" if "failed" in (cards[owner].status, lost.status) else lost.status
            cards[owner] = replace(cards[owner], status=status, problems=(*cards[owner].problems, lost))
    return [card for _, card in sorted(cards.items())]


def _card_of_missing(
    name: str, row: LedgerRow, decisions: _Decisions, person_of: Mapping[str, str], files: Container[str]
) -> Card:
    """Returns the card of a sample that failed or was left out, by its row in the ledger."""
    sample = name.rpartition("#")[0] or name
    judgment, shown = decisions.judgment_of_missing(sample)
    return Card(
        name,
        row.status,
        None if shown is None else shown.class_id,
        person_of.get(_known_prefix(sample, person_of) or ""),
        path=f"clips/{sample}.mp4" if sample in files else None,
        judgment=judgment,
        sentence=None if shown is None else shown.sentence,
        problems=(row,),
    )


class _Named(msgspec.Struct):
    id: str


class _PairItems(Row, frozen=True, kw_only=True, tag=SplitPairRow.__struct_config__.tag):
    """Only the ids of a row of train.jsonl or test.jsonl: the rest of its two kilobytes is not decoded."""

    clip: _Named
    utterance: _Named


def read_splits(workspace: Workspace) -> dict[str, Split]:
    """Returns the side of the pairs of each clip and utterance, by id; empty if no pairs were made.

    Raises:
        ManifestError: train.jsonl or test.jsonl cannot be read.
    """
    splits: dict[str, Split] = {}
    for side in SPLIT_SIDES:
        path = workspace.manifests / f"{side}.jsonl"
        rows = read_rows(path, _PairItems, missing_ok=True)
        for item in {one.id for row in rows for one in (row.clip, row.utterance)}:
            splits[item] = "both" if item in splits else side
    return splits


class _Decisions:
    """Decisions on all clips, or on all utterances."""

    def __init__(self, reviews: Sequence[ReviewRow], item: Literal["clip", "utterance"]) -> None:
        self._decisions, self._votes = decide(reviews, item), votes_by_item(reviews, item)

    def judgment(self, name: str, contents: Collection[str], review: str | None) -> Judgment:
        """Returns the decisions on an item if they refer to one of ``contents``; else the verdict in its row."""
        decision = self._decisions.get(name)
        if decision is None or decision.content_sha256 not in contents:
            return Judgment(review)
        rows = list(self._votes[name].values())
        counts = Counter(_in_words(row) for row in rows)
        return Judgment(decision.verdict, tuple(counts.most_common()), disagreement(rows))

    def judgment_of_missing(self, name: str) -> tuple[Judgment, Shown | None]:
        """Returns the decisions on a clip that is not in the data set, and what annotators saw."""
        decision = self._decisions.get(name)
        if decision is None:
            return Judgment(), None
        return self.judgment(name, {decision.content_sha256}, None), decision.row.shown


def _in_words(row: ReviewRow) -> str:
    verdict, class_id = outcome(row)
    return f"{verdict} as {class_id}" if class_id and row.corrected_class is not None else verdict


def _known_prefix(name: str, known: Container[str]) -> str | None:
    """Longest prefix of a name, ending before a ``_``, that is in ``known``."""
    parts = name.split("_")
    prefixes = ("_".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((prefix for prefix in prefixes if prefix in known), None)
