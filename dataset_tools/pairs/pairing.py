"""Pairing: every clip of a class with every utterance of the class, split into training and test manifests."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from typing import Any

from dataset_tools.build_record import read_build
from dataset_tools.classes.known_classes import check_known
from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import clear_partial, partial_folder
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.core.workspace_lock import workspace_lock
from dataset_tools.decisions.journal import read_reviews, reviews_path
from dataset_tools.decisions.verdicts import ACCEPTED, with_verdicts
from dataset_tools.manifests import (
    SPLIT_SIDES,
    ClipRow,
    ItemRow,
    PairRow,
    Side,
    SplitPairRow,
    UtteranceRow,
    read_rows,
    write_rows,
)
from dataset_tools.pairs.leak_check import find_leaks
from dataset_tools.pairs.pair_assignment import AssignPair, PairOptions, pair_assignment, pairs_of_class
from dataset_tools.pairs.same_content import Content, content_of, read_origins
from dataset_tools.pairs.sides import Sides
from dataset_tools.pairs.split_record import SPLIT_FILE, SplitRecord, read_split, write_split
from dataset_tools.pairs.splits import SplitTask, split_items, split_mpii, split_person
from dataset_tools.speech.recordings.consents import Withdrawal, read_withdrawals
from dataset_tools.speech.recordings.withdrawn_recordings import with_consent

HOW_TO_REVIEW_RECORDINGS = "annotators are shown utterances of clips only; import recordings under the ids of clips"


@dataclass(frozen=True)
class NotAccepted:
    """Numbers of items that annotators did not accept.

    Attributes:
        utterances: of clips. class_utterances: those that describe only a class.
    """

    clips: int = 0
    utterances: int = 0
    class_utterances: int = 0


@dataclass(frozen=True)
class PairSummary:
    """Result of `make_pairs`: counts of rows, pairs on neither side, dropped items.

    Attributes:
        dropped: items on neither side, counted by reason.
        not_accepted: what ``reviewed`` left out.
        merged: ids of items with the same content, which were treated as one; a tuple for each content.
        one_sided: classes that have pairs on one side only. leaks: what is on both sides but should not be.
        moved_to_training: number of clips and utterances of the earlier test manifest that are now in training.
        without_file: paths of items in the workspace where no file is.
    """

    pairs: int
    train: int
    test: int
    neither: int
    classes: int
    clips: int
    utterances: int
    dropped: Mapping[str, int]
    not_accepted: NotAccepted
    merged: tuple[tuple[str, ...], ...]
    one_sided: tuple[str, ...]
    leaks: tuple[str, ...]
    moved_to_training: int
    without_file: tuple[str, ...]
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

    Rows are streamed: memory grows with the items, not with the pairs. Files appear only once they are complete.

    Raises:
        InputError: there are no clips or utterances, one of their classes is not in the class file, the split is
            impossible, or it would leave a side without pairs; nothing was written.
        StoppedError: another command is working in the workspace, or the disk is full.
    """
    writes = not dry_run and (workspace.manifests / "clips.jsonl").is_file()
    with workspace_lock(workspace.root) if writes else nullcontext():  # or a withdrawal would be undone
        return _paired(workspace, classes, options, dry_run=dry_run, progress=progress)


def _paired(
    workspace: Workspace, classes: ClassFile, options: PairOptions, *, dry_run: bool, progress: Progress
) -> PairSummary:
    clips = list(read_rows(workspace.manifests / "clips.jsonl", ClipRow))
    utterances = with_consent(workspace, read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow))
    not_accepted = NotAccepted()
    if options.reviewed:
        clips, utterances, not_accepted = _reviewed(workspace, clips, utterances)
    labels = {label.id: label for label in (action_class.label() for action_class in classes.classes)}
    _check_items(workspace, clips, utterances, classes, options, not_accepted)
    built = read_build(workspace)
    content = content_of(clips, utterances, read_origins(workspace))
    sides = _sides(clips, utterances, options, content, built.get("official_split", {}))
    expected = pairs_of_class(clips, utterances, sides, options)
    _check_sides(workspace, expected, options)

    clips_by_id = {clip.id: clip for clip in clips}
    utterances_by_id = {utterance.id: utterance for utterance in utterances}
    clips_in, utterances_in = (Counter(row.class_id for row in rows) for rows in (clips, utterances))
    total = sum(count * utterances_in[class_id] for class_id, count in clips_in.items())
    counts: dict[str, int] = {side: sum(of_class[side] for of_class in expected.values()) for side in SPLIT_SIDES}
    assign = pair_assignment(clips, utterances, sides, options)

    def side_rows(side: Side) -> Iterator[SplitPairRow]:
        for pair in pair_rows(clips, utterances):
            assigned = assign(pair)
            if assigned is None or assigned[0] != side:
                continue
            yield SplitPairRow(
                id=pair.id,
                label=labels[pair.class_id],
                clip=clips_by_id[pair.clip],
                utterance=utterances_by_id[pair.utterance],
                split=side,
                fold=assigned[1],
            )

    is_leaky = options.split == "pairs"
    merged = () if is_leaky else content.merged
    trained = _items_of(pair_rows(clips, utterances), assign) if is_leaky else _items_on(sides)
    moved = _moved_to_training(workspace, trained, is_leaky=is_leaky)
    if not dry_run:
        manifests: dict[str, Iterator[Any]] = {
            "pairs": _reported("pairs", pair_rows(clips, utterances), total, progress),
            **{side: _reported(side, side_rows(side), counts[side], progress) for side in SPLIT_SIDES},
        }
        _write(workspace, manifests, _record(options, counts, sides, merged, read_withdrawals(workspace)))
    paths = (*(clip.path for clip in clips), *(utterance.path for utterance in utterances))
    leaks = () if is_leaky else find_leaks(clips_by_id, utterances_by_id, content, sides, options.split)
    return PairSummary(
        pairs=total,
        train=counts["train"],
        test=counts["test"],
        neither=total - counts["train"] - counts["test"],
        classes=len({clip.class_id for clip in clips}),
        clips=len(clips),
        utterances=len(utterances),
        dropped=dict(sides.dropped),
        not_accepted=not_accepted,
        merged=merged,
        one_sided=tuple(name for name, of_class in sorted(expected.items()) if len(+of_class) == 1),
        leaks=leaks,
        moved_to_training=moved,
        without_file=tuple(path for path in paths if not (workspace.root / path).is_file()),
        is_standin=built.get("stand_in") is not None,
    )


def _reported(stage: str, rows: Iterator[Any], count: int, progress: Progress) -> Iterator[Any]:
    """Yields the rows of a manifest, and reports every thousandth."""
    for number, row in enumerate(rows, start=1):
        if number % 1000 == 0:
            progress(stage, number, max(number, count))
        yield row
    progress(stage, count, count)


def _write(workspace: Workspace, manifests: Mapping[str, Iterator[Any]], record: SplitRecord) -> None:
    """Writes the manifests, by name, and the split record; on a full disk, the earlier ones are unchanged."""
    clear_partial(workspace.manifests)
    with partial_folder(workspace.manifests) as made:
        for name, rows in manifests.items():
            write_rows(made / f"{name}.jsonl", rows)
        write_split(made, record)
        for file in ("test.jsonl", SPLIT_FILE):  # a kill leaves no earlier test split beside new pairs
            (workspace.manifests / file).unlink(missing_ok=True)
        for file in (*(f"{name}.jsonl" for name in manifests), SPLIT_FILE):
            (made / file).replace(workspace.manifests / file)


def _items_of(pairs: Iterable[PairRow], assign: AssignPair) -> Iterator[tuple[str, str]]:
    """Yields kind and id of the items of each training pair: a split of pairs has no sides of items."""
    for pair in pairs:
        if (assigned := assign(pair)) is not None and assigned[0] == "train":
            yield "clip", pair.clip
            yield "utterance", pair.utterance


def _items_on(sides: Sides) -> Iterator[tuple[str, str]]:
    """Yields kind and id of the items on the training side."""
    for kind, of_kind in (("clip", sides.clips), ("utterance", sides.utterances)):
        yield from ((kind, name) for name, side in of_kind.items() if side == "train")


def _moved_to_training(workspace: Workspace, trained: Iterable[tuple[str, str]], *, is_leaky: bool) -> int:
    """Counts the clips and utterances of the earlier test manifest, if there is one, that are in training now.

    From one leaky split to another, none moves: they were in training before.
    """
    tested: set[tuple[str, str]] = set()
    with suppress(InputError):  # it will be replaced anyway
        if is_leaky and (before := read_split(workspace)) is not None and before.split == "pairs":
            return 0
        for row in read_rows(workspace.manifests / "test.jsonl", SplitPairRow, missing_ok=True):
            tested |= {("clip", row.clip.id), ("utterance", row.utterance.id)}
    return len(tested.intersection(trained)) if tested else 0  # reads the training pairs only if there were others


def _record(
    options: PairOptions,
    counts: Mapping[str, int],
    sides: Sides,
    merged: tuple[tuple[str, ...], ...],
    withdrawn: tuple[Withdrawal, ...],
) -> SplitRecord:
    return SplitRecord(
        split=options.split,
        test_share=options.test_share,
        seed=options.seed,
        reviewed=options.reviewed,
        train=counts["train"],
        test=counts["test"],
        dropped=dict(sides.dropped),
        merged=merged,
        withdrawn=withdrawn,
    )


def _reviewed(
    workspace: Workspace, clips: list[ClipRow], utterances: list[UtteranceRow]
) -> tuple[list[ClipRow], list[UtteranceRow], NotAccepted]:
    """The items that annotators accepted, by reviews.jsonl or, if there is none, by the rows; counts of the others."""
    if reviews_path(workspace).is_file():
        clips, utterances = with_verdicts(clips, utterances, read_reviews(reviews_path(workspace)))
    accepted = {clip.id: clip for clip in clips if clip.review in ACCEPTED}
    heard = [row for row in utterances if row.review == "accept" and (row.clip is None or row.clip in accepted)]
    of_classes = sum(row.clip is None for row in utterances) - sum(row.clip is None for row in heard)
    left_out = NotAccepted(len(clips) - len(accepted), len(utterances) - len(heard) - of_classes, of_classes)
    return list(accepted.values()), heard, left_out


def pair_rows(clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow]) -> Iterator[PairRow]:
    """Yields every clip with every utterance of its class, sorted by id of the pair."""
    by_class: dict[str, list[UtteranceRow]] = defaultdict(list)
    for utterance in sorted(utterances, key=lambda row: row.id):
        by_class[utterance.class_id].append(utterance)
    # Sorted with the separator, so that clip ids that are prefixes of others are in the order of pair ids, too.
    for clip in sorted(clips, key=lambda row: row.id + "__"):
        for utterance in by_class[clip.class_id]:
            yield PairRow(id=f"{clip.id}__{utterance.id}", class_id=clip.class_id, clip=clip.id, utterance=utterance.id)


def _check_items(
    workspace: Workspace,
    clips: Sequence[ClipRow],
    utterances: Sequence[UtteranceRow],
    classes: ClassFile,
    options: PairOptions,
    not_accepted: NotAccepted,
) -> None:
    if not clips or not utterances:
        what = "clips" if not clips else "utterances"
        if not options.reviewed:
            way_out = "run fmn-data build --speech, or fmn-data speech synthesize"
        elif clips and not_accepted.class_utterances:
            way_out = f"{HOW_TO_REVIEW_RECORDINGS}, or leave out --reviewed"
        else:
            way_out = "review with fmn-data annotate, or leave out --reviewed"
        raise InputError(
            f"There are no {'reviewed and accepted ' if options.reviewed else ''}{what} to pair",
            where=workspace.manifests / f"{what}.jsonl",
            expected="at least one clip and one utterance of a class",
            next_step=way_out,
        )
    items: list[ItemRow] = [*clips, *utterances]
    check_known((item.class_id for item in items), classes, workspace.manifests)


def _sides(
    clips: Sequence[ClipRow],
    utterances: Sequence[UtteranceRow],
    options: PairOptions,
    content: Content,
    official: Mapping[str, Sequence[str]],
) -> Sides:
    task = SplitTask(clips, utterances, content, options.test_share, options.seed)
    match options.split:
        case "items":
            return split_items(task)
        case "person":
            return split_person(task)
        case "mpii":
            return split_mpii(task, official)
        case "pairs":
            return Sides({}, {}, {}, {})


def _check_sides(workspace: Workspace, expected: Mapping[str, Counter[Side]], options: PairOptions) -> None:
    uses: dict[Side, str] = {"train": "train on", "test": "test with"}
    for side, what in uses.items():
        if not any(counts[side] for counts in expected.values()):
            raise InputError(
                f"There would be no pairs to {what}: no class has a clip and an utterance on that side",
                where=f"{workspace.manifests}, --split {options.split}, --test-share {options.test_share:g}",
                expected="a class with clips and utterances on both sides: of n clips, the test share times n, rounded,"
                " must be more than 0 and less than n (items with the same content count as one)",
                next_step="choose another --test-share or --split, or build or record more of a class",
            )
