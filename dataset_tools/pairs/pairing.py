"""Pairs: every clip of a class with every utterance of it, dealt to training and test manifests, checked for leaks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dataset_tools.build_record import read_build
from dataset_tools.classes.known_classes import check_known
from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.errors import InputError
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.seeds import generator
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import read_reviews, reviews_path
from dataset_tools.decisions.verdicts import ACCEPTED, with_verdicts
from dataset_tools.manifests import (
    ClipRow,
    ItemRow,
    PairRow,
    SplitPairRow,
    UtteranceRow,
    read_rows,
    write_rows,
)
from dataset_tools.pairs.folds import FOLDS
from dataset_tools.pairs.split_record import SplitRecord, write_split
from dataset_tools.pairs.splits import (
    Side,
    Sides,
    SplitName,
    interval_of,
    split_items,
    split_mpii,
    split_person,
)

PAPER_PAIRS = 50_000


@dataclass(frozen=True)
class PairOptions:
    """How pairs are dealt.

    Attributes:
        split: ``items``, ``person``, ``mpii`` or ``pairs`` (see `dataset_tools.pairs.splits`).
        test_share: share of the items (for ``pairs``: of the pairs) that test, 0 < share < 1.
        seed: of everything random in it.
        reviewed: whether only items that a person accepted take part.
    """

    split: SplitName = "items"
    test_share: float = 0.3
    seed: int = 0
    reviewed: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.test_share < 1:
            raise InputError(
                f"The test share is {self.test_share}",
                where="--test-share",
                expected="a number between 0 and 1, such as 0.3",
            )


@dataclass(frozen=True)
class PairSummary:
    """What `make_pairs` wrote: counts of rows, the pairs of neither side, what was dropped, and per class."""

    pairs: int
    train: int
    test: int
    neither: int
    classes: int
    clips: int
    utterances: int
    dropped: Mapping[str, int]
    leaks: tuple[str, ...]
    is_standin: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def make_pairs(
    workspace: Workspace,
    classes: ClassFile,
    options: PairOptions,
    *,
    dry_run: bool = False,
    progress: Progress = silent,
) -> PairSummary:
    """Writes manifests/pairs.jsonl, train.jsonl, test.jsonl and split.json from clips.jsonl and utterances.jsonl.

    Rows are streamed: memory grows with the items, not with the pairs. Each file appears only when it is whole.

    Raises:
        InputError: there are no clips or utterances, a class of theirs is not in the class file, or the split is
            impossible.
    """
    clips = list(read_rows(workspace.manifests / "clips.jsonl", ClipRow))
    utterances = list(read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow))
    if options.reviewed:
        clips, utterances = _reviewed(workspace, clips, utterances)
    labels = {label.id: label for label in (action_class.label() for action_class in classes.classes)}
    _check_items(workspace, clips, utterances, classes, options)
    built = read_build(workspace)
    sides = _sides(clips, utterances, options, built.get("official_split", {}))

    clips_by_id = {clip.id: clip for clip in clips}
    utterances_by_id = {utterance.id: utterance for utterance in utterances}
    clips_in, utterances_in = (Counter(row.class_id for row in rows) for rows in (clips, utterances))
    total = sum(count * utterances_in[class_id] for class_id, count in clips_in.items())
    counts = {"train": 0, "test": 0}
    deal = _dealer(clips, utterances, sides, options)

    def side_rows(side: Side) -> Iterator[SplitPairRow]:
        for pair in pair_rows(clips, utterances):
            dealt = deal(pair)
            if dealt is None or dealt[0] != side:
                continue
            counts[side] += 1
            yield SplitPairRow(
                id=pair.id,
                label=labels[pair.class_id],
                clip=clips_by_id[pair.clip],
                utterance=utterances_by_id[pair.utterance],
                split=side,
                fold=dealt[1],
            )

    def shown(stage: str, rows: Iterator[Any], expected: int) -> Iterator[Any]:
        for number, row in enumerate(rows, start=1):
            if number % 1000 == 0:
                progress(stage, number, max(number, expected))
            yield row
        progress(stage, expected, expected)

    if dry_run:
        for side in ("train", "test"):
            sum(1 for _ in side_rows(side))
    else:
        write_rows(workspace.manifests / "pairs.jsonl", shown("pairs", pair_rows(clips, utterances), total))
        write_rows(workspace.manifests / "train.jsonl", shown("train", side_rows("train"), total))
        write_rows(workspace.manifests / "test.jsonl", shown("test", side_rows("test"), total))
        write_split(workspace, _record(options, counts, sides))
    leaks = () if options.split == "pairs" else find_leaks(clips_by_id, utterances_by_id, sides, options.split)
    return PairSummary(
        pairs=total,
        train=counts["train"],
        test=counts["test"],
        neither=total - counts["train"] - counts["test"],
        classes=len({clip.class_id for clip in clips}),
        clips=len(clips),
        utterances=len(utterances),
        dropped=dict(sides.dropped),
        leaks=leaks,
        is_standin=built.get("stand_in") is not None,
    )


def _record(options: PairOptions, counts: Mapping[str, int], sides: Sides) -> SplitRecord:
    return SplitRecord(
        split=options.split,
        test_share=options.test_share,
        seed=options.seed,
        reviewed=options.reviewed,
        train=counts["train"],
        test=counts["test"],
        dropped=dict(sides.dropped),
    )


def _reviewed(
    workspace: Workspace, clips: list[ClipRow], utterances: list[UtteranceRow]
) -> tuple[list[ClipRow], list[UtteranceRow]]:
    """The items that people accepted: as reviews.jsonl has it now, or, where there is none, as the rows say."""
    if reviews_path(workspace).is_file():
        clips, utterances = with_verdicts(clips, utterances, read_reviews(reviews_path(workspace)))
    clips = [clip for clip in clips if clip.review in ACCEPTED]
    accepted = {clip.id for clip in clips}
    return clips, [row for row in utterances if row.review == "accept" and (row.clip is None or row.clip in accepted)]


def pair_rows(clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow]) -> Iterator[PairRow]:
    """Every clip with every utterance of its class, in order of the pair's id."""
    by_class: dict[str, list[UtteranceRow]] = defaultdict(list)
    for utterance in sorted(utterances, key=lambda row: row.id):
        by_class[utterance.class_id].append(utterance)
    # Sorted with the separator, so that ids that are prefixes of others come out in the pairs' order too.
    for clip in sorted(clips, key=lambda row: row.id + "__"):
        for utterance in by_class[clip.class_id]:
            yield PairRow(id=f"{clip.id}__{utterance.id}", class_id=clip.class_id, clip=clip.id, utterance=utterance.id)


def find_leaks(
    clips: Mapping[str, ClipRow], utterances: Mapping[str, UtteranceRow], sides: Sides, split: SplitName
) -> tuple[str, ...]:
    """Names what stands on both sides: intervals, clips with their descriptions; for ``person`` persons and voices."""
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    for clip_id, side in sides.clips.items():
        seen["interval", interval_of(clip_id)].add(side)
        seen["file", clips[clip_id].sha256].add(side)
        if split == "person":
            seen["person", clips[clip_id].person].add(side)
        if split == "mpii":
            seen["sequence", f"{clips[clip_id].person}-{clips[clip_id].dish}"].add(side)
    for utterance_id, side in sides.utterances.items():
        utterance = utterances[utterance_id]
        seen["file", utterance.sha256].add(side)
        if utterance.clip is not None:
            seen["interval", interval_of(utterance.clip)].add(side)
        if split == "person":
            seen["voice", utterance.voice].add(side)
    return tuple(f"{kind} {name}" for (kind, name), where in sorted(seen.items()) if len(where) > 1)


def _check_items(
    workspace: Workspace,
    clips: Sequence[ClipRow],
    utterances: Sequence[UtteranceRow],
    classes: ClassFile,
    options: PairOptions,
) -> None:
    if not clips or not utterances:
        what = "clips" if not clips else "utterances"
        raise InputError(
            f"There are no {'reviewed and accepted ' if options.reviewed else ''}{what} to pair",
            where=workspace.manifests / f"{what}.jsonl",
            expected="at least one clip and one utterance of a class",
            next_step="review with fmn-data annotate, or leave out --reviewed"
            if options.reviewed
            else "run fmn-data build (without --no-speech), or fmn-data speech synthesize",
        )
    items: list[ItemRow] = [*clips, *utterances]
    check_known((item.class_id for item in items), classes, workspace.manifests)


def _sides(
    clips: Sequence[ClipRow],
    utterances: Sequence[UtteranceRow],
    options: PairOptions,
    official: Mapping[str, Sequence[str]],
) -> Sides:
    match options.split:
        case "items":
            return split_items(clips, utterances, test_share=options.test_share, seed=options.seed)
        case "person":
            return split_person(clips, utterances, test_share=options.test_share, seed=options.seed)
        case "mpii":
            return split_mpii(clips, utterances, official=official, test_share=options.test_share, seed=options.seed)
        case "pairs":
            return Sides({}, {}, {}, {})


def _dealer(
    clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow], sides: Sides, options: PairOptions
) -> Callable[[PairRow], tuple[Side, int | None] | None]:
    """The function that says on which side, and in which fold, a pair stands; None for neither side."""
    if options.split == "pairs":
        return _dealer_of_pairs(clips, utterances, options)

    def deal(pair: PairRow) -> tuple[Side, int | None] | None:
        side = sides.clips.get(pair.clip)
        if side is None or side != sides.utterances.get(pair.utterance):
            return None
        if side == "test":
            return side, None
        return side, min(sides.clip_folds[pair.clip], sides.utterance_folds[pair.utterance])

    return deal


def _dealer_of_pairs(
    clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow], options: PairOptions
) -> Callable[[PairRow], tuple[Side, int | None]]:
    """The paper's literal reading: in every class exactly ``test_share`` of the pairs, at random, are for testing."""
    row_of, row_counts = _positions(clips)
    column_of, column_counts = _positions(utterances)
    ranks = {}
    for class_id, rows in row_counts.items():
        random = generator(options.seed, "split", "pairs", class_id)
        columns = column_counts[class_id]
        ranks[class_id] = random.permutation(rows * columns).reshape(rows, columns)

    def deal(pair: PairRow) -> tuple[Side, int | None]:
        rank = ranks[pair.class_id]
        here = int(rank[row_of[pair.clip], column_of[pair.utterance]])
        return ("test", None) if here < round(options.test_share * rank.size) else ("train", here % FOLDS)

    return deal


def _positions(items: Sequence[ItemRow]) -> tuple[dict[str, int], Counter[str]]:
    """The position of every item within its class, in order of id, and how many items each class has."""
    positions: dict[str, int] = {}
    counts: Counter[str] = Counter()
    for item in sorted(items, key=lambda row: row.id):
        positions[item.id] = counts[item.class_id]
        counts[item.class_id] += 1
    return positions, counts
