"""Data set statistics: counts per class, person and voice, and missing samples with reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.ledger import LedgerRow
from dataset_tools.manifests import ClipRow, UtteranceRow
from dataset_tools.report.cards import Card

NOT_REVIEWED = "not reviewed"


@dataclass(frozen=True)
class ClassLine:
    """One class of the data set.

    Attributes:
        id: of the class. words: the triplet in words.
        wanted: number of clips requested by the build, or None if there is no record of it.
        shortfall: number of missing clips.
        seconds: total length of its clips. shortest_s, median_s, longest_s: lengths of single clips.
        windows: number of clips that are one of several windows of an interval.
        clips, utterances: its rows, sorted by id.
    """

    id: str
    words: str
    wanted: int | None
    shortfall: int
    persons: int
    dishes: int
    seconds: float
    shortest_s: float
    median_s: float
    longest_s: float
    windows: int
    clips: tuple[ClipRow, ...]
    utterances: tuple[UtteranceRow, ...]


@dataclass(frozen=True)
class VoiceLine:
    """A voice: its utterances, and the persons of the footage whose clips it describes."""

    voice: str
    language: str
    source: str
    engine: str
    utterances: int
    seconds: float
    median_lufs: float | None
    persons: tuple[str, ...]


@dataclass(frozen=True)
class Reason:
    """Reason why samples failed or were omitted: the text up to the first colon, and the ledger rows."""

    status: str
    found: str
    rows: tuple[LedgerRow, ...]


@dataclass(frozen=True)
class Statistics:
    """Everything that the report shows.

    Attributes:
        classes: in the order of the class file; classes that occur only in manifests come last.
        persons: of the footage, sorted. counts: clips by (person, class).
        voices: sorted by name. reasons: failures first, then by decreasing frequency.
        reviews: clips and utterances by verdict. warnings: number of utterances with a warning, by kind.
        split: numbers of rows of train.jsonl and test.jsonl, if they exist.
    """

    classes: tuple[ClassLine, ...]
    clips: tuple[ClipRow, ...]
    utterances: tuple[UtteranceRow, ...]
    persons: tuple[str, ...]
    counts: Mapping[tuple[str, str], int]
    voices: tuple[VoiceLine, ...]
    reasons: tuple[Reason, ...]
    reviews: Mapping[str, Mapping[str, int]]
    warnings: Mapping[str, int]
    split: Mapping[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return sum(len(reason.rows) for reason in self.reasons if reason.status == "failed")


def describe_dataset(
    clips: Sequence[ClipRow],
    utterances: Sequence[UtteranceRow],
    classes: ClassFile,
    cards: Sequence[Card],
    ledger: Mapping[str, LedgerRow],
    built: Mapping[str, Any],
    split: Mapping[str, int],
) -> Statistics:
    """Computes the statistics of a data set.

    Args:
        clips: rows of clips.jsonl.
        utterances: rows of utterances.jsonl.
        classes: for words and order of the classes; of those that the build did not use, only classes with rows count.
        cards: for decisions and warnings.
        ledger: for failed and omitted samples.
        built: content of build.json, or empty.
        split: numbers of rows of ``train`` and ``test``.
    """
    options = built.get("options", {})
    known = [one.id for one in classes.classes[: options.get("classes")]]  # a build may use only the first ones
    ids = known + sorted({row.class_id for row in (*clips, *utterances)} - set(known))
    words = {one.id: _words(one, classes) for one in classes.classes}
    wanted = options.get("per_class")
    spoken = [one for card in cards for one in card.utterances]
    return Statistics(
        classes=tuple(
            _class_line(
                class_id,
                words.get(class_id, class_id),
                [row for row in clips if row.class_id == class_id],
                [row for row in utterances if row.class_id == class_id],
                wanted,
            )
            for class_id in ids
        ),
        clips=tuple(clips),
        utterances=tuple(utterances),
        persons=tuple(sorted({clip.person for clip in clips})),
        counts=Counter((clip.person, clip.class_id) for clip in clips),
        voices=_voices(clips, utterances),
        reasons=_reasons(ledger),
        reviews={
            "clips": Counter(card.judgment.verdict or NOT_REVIEWED for card in cards if card.clip is not None),
            "utterances": Counter(one.judgment.verdict or NOT_REVIEWED for one in spoken),
        },
        warnings=Counter(text.split(":")[0] for one in spoken for text in one.doubts),
        split=split,
    )


def loudness_of(row: UtteranceRow) -> float | None:
    """Returns the integrated loudness before normalization, LUFS; None if it was not measured."""
    value = row.quality.get("loudness_lufs")
    return float(value) if isinstance(value, int | float) else None


def _words(one: Any, classes: ClassFile) -> str:
    words = f"{classes.actions[one.action].name} {classes.things[one.subject].name}"
    return words if one.object is None else f"{words}, {one.preposition} {classes.things[one.object].name}"


def _class_line(
    class_id: str, words: str, clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow], wanted: int | None
) -> ClassLine:
    lengths_s = [clip.duration_s for clip in clips]
    return ClassLine(
        id=class_id,
        words=words,
        wanted=wanted,
        shortfall=max(0, (wanted or 0) - len(clips)),
        persons=len({clip.person for clip in clips}),
        dishes=len({clip.dish for clip in clips}),
        seconds=sum(lengths_s),
        shortest_s=min(lengths_s, default=0.0),
        median_s=median(lengths_s) if lengths_s else 0.0,
        longest_s=max(lengths_s, default=0.0),
        windows=sum(hasattr(clip.origin, "of") for clip in clips),
        clips=tuple(clips),
        utterances=tuple(utterances),
    )


def _voices(clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow]) -> tuple[VoiceLine, ...]:
    person_of = {clip.id: clip.person for clip in clips}
    groups: dict[str, list[UtteranceRow]] = {}
    for row in utterances:
        groups.setdefault(row.voice, []).append(row)
    lines = []
    for voice, rows in sorted(groups.items()):
        measured = [value for row in rows if (value := loudness_of(row)) is not None]
        lines.append(
            VoiceLine(
                voice=voice,
                language=", ".join(sorted({row.language for row in rows})),
                source=", ".join(sorted({row.source for row in rows})),
                engine=", ".join(sorted({row.engine or "" for row in rows} - {""})),
                utterances=len(rows),
                seconds=sum(row.duration_s for row in rows),
                median_lufs=median(measured) if measured else None,
                persons=tuple(sorted({person_of[row.clip] for row in rows if row.clip in person_of})),
            )
        )
    return tuple(lines)


def _reasons(ledger: Mapping[str, LedgerRow]) -> tuple[Reason, ...]:
    groups: dict[tuple[str, str], list[LedgerRow]] = {}
    for _, row in sorted(ledger.items()):
        if row.status != "ok":
            found = (row.reason or {}).get("found", "no reason recorded")
            groups.setdefault((row.status, found.split(":")[0]), []).append(row)
    reasons = [Reason(status, found, tuple(rows)) for (status, found), rows in groups.items()]
    return tuple(sorted(reasons, key=lambda reason: (reason.status, -len(reason.rows), reason.found)))
