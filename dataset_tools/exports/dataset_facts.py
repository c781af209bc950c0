"""Data set facts for the card, counted from manifests, reviews, consents and ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from dataset_tools.build_record import read_build
from dataset_tools.core.jsonl import read_jsonl
from dataset_tools.core.ledger import LedgerRow
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.agreement import Agreement, agreement
from dataset_tools.decisions.journal import ReviewRow, read_reviews, reviews_path
from dataset_tools.decisions.majority_rule import votes_by_item
from dataset_tools.exports.exported_rows import ExportedRows, TableName
from dataset_tools.exports.item_sides import Split
from dataset_tools.exports.rights import Withheld
from dataset_tools.manifests import ClipRow, UtteranceRow, WindowOrigin, read_rows
from dataset_tools.pairs.split_record import SplitRecord, read_split
from dataset_tools.speech.recordings.consents import consented_voices, read_speakers, read_withdrawals
from dataset_tools.speech.recordings.recording_rows import RecordingRow

NOT_SAID = "not stated"
NOT_JUDGED = "not reviewed"


@dataclass
class Durations:
    """Durations of a group of items, in seconds."""

    count: int = 0
    total_s: float = 0.0
    shortest_s: float = float("inf")
    longest_s: float = 0.0

    def add(self, duration_s: float) -> None:
        self.count += 1
        self.total_s += duration_s
        self.shortest_s = min(self.shortest_s, duration_s)
        self.longest_s = max(self.longest_s, duration_s)


@dataclass
class ClipFacts:
    """Counts of clips: ``trimmed`` by annotators, ``windows`` of long intervals, ``sound``: with audio of the video."""

    durations: Durations = field(default_factory=Durations)
    by_class: Counter[str] = field(default_factory=Counter)
    by_verdict: Counter[str] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    persons: set[str] = field(default_factory=set)
    videos: set[str] = field(default_factory=set)
    trimmed: int = 0
    windows: int = 0
    sound: int = 0

    def add(self, row: ClipRow) -> None:
        self.durations.add(row.duration_s)
        self.by_class[row.class_id] += 1
        self.by_verdict[row.review or NOT_JUDGED] += 1
        self.sizes[row.width, row.height] += 1
        self.persons.add(row.person)
        self.videos.add(row.video)
        self.trimmed += row.trim is not None
        self.windows += isinstance(row.origin, WindowOrigin)
        self.sound += row.sound is True


@dataclass
class UtteranceFacts:
    """Counts of utterances: ``copies`` are augmented, ``doubtful`` ones have warnings about their audio quality.

    ``recorded`` has the ids of the recordings, without augmented copies of them.
    """

    durations: Mapping[str, Durations] = field(
        default_factory=lambda: {"recorded": Durations(), "synthesized": Durations()}
    )
    voices: Mapping[str, set[str]] = field(default_factory=lambda: {"recorded": set(), "synthesized": set()})
    by_class: Counter[str] = field(default_factory=Counter)
    by_verdict: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    text_sources: Counter[str] = field(default_factory=Counter)
    engines: Counter[str] = field(default_factory=Counter)
    recorded: set[str] = field(default_factory=set)
    copies: int = 0
    doubtful: int = 0

    def add(self, row: UtteranceRow) -> None:
        self.durations[row.source].add(row.duration_s)
        self.voices[row.source].add(row.voice)
        self.by_class[row.class_id] += 1
        self.by_verdict[row.review or NOT_JUDGED] += 1
        self.languages[row.language] += 1
        self.text_sources[row.text_source if row.text else NOT_SAID] += 1
        if row.engine:
            self.engines[row.engine] += 1
        is_copy = row.augmented is not msgspec.UNSET
        self.recorded |= {row.id} if row.source == "recorded" and not is_copy else set()
        self.copies += is_copy
        self.doubtful += bool(row.quality.get("warnings"))


@dataclass(frozen=True)
class SpeakerCounts:
    """Counts of recorded speakers: those with a recorded consent, and all by self-reported facts (or `NOT_SAID`)."""

    consented: int
    facts: Mapping[str, Counter[str]]


@dataclass(frozen=True)
class Judged:
    """Review statistics: numbers of annotators, of reviewed clips and utterances, of decisions in force; agreement."""

    annotators: int
    clips: int
    utterances: int
    decisions: int
    agreement: tuple[Agreement, ...]


@dataclass(frozen=True)
class DatasetFacts:
    """Facts about a data set, without names of speakers and annotators.

    Attributes:
        built: content of build.json, or empty. split: how the pairs were split, if known.
        counts: rows by table and split. with_media: whether clips and utterances are included.
        recording_licences: recordings in the data set by the license stated at import.
        judged: review statistics.
        withdrawals: number of withdrawals by speakers.
        left_out: samples that failed or were skipped, by (kind, status).
        withheld: parts that may not be redistributed without permission. allowed: those included anyway.
    """

    built: Mapping[str, Any]
    split: SplitRecord | None
    counts: Mapping[TableName, Mapping[Split, int]]
    with_media: bool
    clips: ClipFacts
    utterances: UtteranceFacts
    speakers: SpeakerCounts
    recording_licences: Mapping[str, int]
    judged: Judged
    withdrawals: int
    left_out: Mapping[tuple[str, str], int]
    withheld: tuple[Withheld, ...]
    allowed: tuple[str, ...]

    @property
    def is_standin(self) -> bool:
        """Whether the footage is synthetic."""
        return bool(self.built.get("stand_in"))

    @property
    def is_of_cooking(self) -> bool:
        """Whether the footage is known to show cooking: that of MPII Cooking 2, and the synthetic corpus."""
        return self.is_standin or (bool(self.built) and not self.built.get("own_footage"))


def gather_facts(rows: ExportedRows, withheld: tuple[Withheld, ...], allowed: tuple[str, ...]) -> DatasetFacts:
    """Collects the facts about a data set. Memory grows with classes, persons, videos, voices, recordings and reviews.

    Raises:
        InputError: a record cannot be read.
        ManifestError: a row cannot be read.
    """
    workspace = rows.workspace
    clips, utterances = ClipFacts(), UtteranceFacts()
    for table in ("clips", "utterances"):
        for one in rows.read(table):
            if isinstance(one.row, ClipRow):
                clips.add(one.row)
            elif isinstance(one.row, UtteranceRow):
                utterances.add(one.row)
    reviews = read_reviews(reviews_path(workspace))
    return DatasetFacts(
        built=read_build(workspace),
        split=read_split(workspace),
        counts=rows.counts,
        with_media=rows.with_media,
        clips=clips,
        utterances=utterances,
        speakers=_speakers(workspace, utterances.voices["recorded"]),
        recording_licences=_recording_licences(workspace, utterances.recorded),
        judged=_judged(reviews),
        withdrawals=len(read_withdrawals(workspace)),
        left_out=_left_out(workspace),
        withheld=withheld,
        allowed=allowed,
    )


def _judged(reviews: list[ReviewRow]) -> Judged:
    clips, utterances = votes_by_item(reviews, "clip"), votes_by_item(reviews, "utterance")
    votes = [*clips.values(), *utterances.values()]
    annotators = {who for by_annotator in votes for who in by_annotator}
    return Judged(len(annotators), len(clips), len(utterances), sum(map(len, votes)), agreement(reviews))


def _speakers(workspace: Workspace, voices: set[str]) -> SpeakerCounts:
    speakers = read_speakers(workspace)
    facts = {
        name: Counter((getattr(speakers[voice], name) if voice in speakers else "") or NOT_SAID for voice in voices)
        for name in ("age_band", "accent", "device")
    }
    return SpeakerCounts(len(voices & consented_voices(workspace)), facts)


def _recording_licences(workspace: Workspace, recorded: set[str]) -> Counter[str]:
    path = workspace.recordings / "recordings.jsonl"
    rows = read_rows(path, RecordingRow, missing_ok=True)
    return Counter(row.licence or NOT_SAID for row in rows if row.id in recorded)


def _left_out(workspace: Workspace) -> Counter[tuple[str, str]]:
    path = workspace.ledger
    rows = read_jsonl(path, LedgerRow, next_step="correct the line, or remove it") if path.is_file() else ()
    return Counter((row.id.partition("/")[0], row.status) for row in rows if row.status != "ok")
