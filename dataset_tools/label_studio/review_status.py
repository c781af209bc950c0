"""Review progress per class and annotator, and the next step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from dataset_tools.core.count_of import count_of
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.agreement import Agreement, agreement
from dataset_tools.decisions.journal import ReviewRow, read_reviews, reviews_path
from dataset_tools.decisions.majority_rule import Decision, decide, judged_sha256, live
from dataset_tools.decisions.verdicts import final_decisions
from dataset_tools.label_studio.context_videos import source_videos
from dataset_tools.label_studio.expected_tasks import read_items
from dataset_tools.label_studio.projects import remembered_projects, wanted_annotators
from dataset_tools.label_studio.tasks import utterances_to_show
from dataset_tools.manifests import ClipRow

if TYPE_CHECKING:
    from rich.table import Table


# Short, so that a class id of 32 characters fits unwrapped beside its counts in 80 columns.
_HEADS = {
    "to_do": "to do",
    "accepted": "accept",
    "trimmed": "trim",
    "rejected": "reject",
    "corrected": "correct",
    "skipped": "skip",
}
_SHOWN_IDS = 20


@dataclass(frozen=True)
class ClassStatus:
    """Review progress of one class, in clips.

    Attributes:
        class_id: class of the clips in the data set.
        clips: number of clips. to_do: clips without a decision on their current content.
        accepted, trimmed, rejected: by the verdict that counts; with ``to_do`` they add up to ``clips``.
        corrected: kept clips whose class or sentence was changed. conflict: clips that annotators disagree on.
    """

    class_id: str
    clips: int
    to_do: int
    accepted: int
    trimmed: int
    rejected: int
    corrected: int
    conflict: int


@dataclass(frozen=True)
class AnnotatorStatus:
    """Work of one annotator: number of current decisions on clips by verdict, of skips, and of unusable decisions.

    Attributes:
        seconds: median time per clip, or None if Label Studio did not report it.
    """

    annotator: str
    accepted: int
    trimmed: int
    rejected: int
    corrected: int
    skipped: int
    unusable: int
    seconds: float | None


@dataclass(frozen=True)
class ReviewStatus:
    """Progress of the review.

    Attributes:
        classes, annotators: one row each, sorted by name.
        speech: utterances by verdict: ``accepted``, ``rejected``, ``to_do``: shown with a clip, but not judged. Copies
            count with their originals.
        agreement: per field, if two annotators reviewed the same items.
        conflicts: ids of the clips that annotators disagree on.
        wanted_annotators: number of annotators per clip, as of the last push.
        too_few: ids of the clips that have a decision, but of fewer annotators than wanted.
        problems: decisions that cannot be used: clip id, annotator, why.
        unanswered: ids of the clips to do that all wanted annotators skipped, or answered in a way that cannot be used:
            Label Studio does not offer them to these annotators again.
        is_sent: whether clips were pushed to a server, or decisions pulled.
    """

    classes: tuple[ClassStatus, ...]
    annotators: tuple[AnnotatorStatus, ...]
    speech: Mapping[str, int]
    agreement: tuple[Agreement, ...]
    conflicts: tuple[str, ...]
    wanted_annotators: int
    too_few: tuple[str, ...]
    problems: tuple[tuple[str, str, str], ...]
    unanswered: tuple[str, ...]
    is_sent: bool

    def next_step(self, of: str = "", *, pushed: bool = False) -> str:
        """Returns the next step, as a sentence with the command.

        Args:
            of: names the workspace (`workspace_option`).
            pushed: whether all clips to review have a task; else only a push can tell.
        """
        to_do = sum(row.to_do for row in self.classes)
        left = [f"{count_of(to_do, 'clip')} to review"] if to_do else []
        if self.too_few:
            few = count_of(len(self.too_few), "clip was", "clips were")
            left.append(f"{few} decided on by fewer than {self.wanted_annotators} annotators")
        if left and not self.is_sent:
            files = f"after push --out, import what was exported with fmn-data annotate pull{of} --from FILE.json"
            return f"{', '.join(left)}: run fmn-data annotate{of}, which sends them to Label Studio; {files}."
        if left:
            push = "" if pushed else f"run fmn-data annotate push{of}, then "
            return f"{', '.join(left)}: {push}open Label Studio, then run fmn-data annotate pull{of}."
        if self.conflicts:
            conflicts = count_of(len(self.conflicts), "clip is", "clips are")
            return f"{conflicts} in conflict: run fmn-data annotate push{of} --resolve-conflicts."
        return f"Everything is reviewed: run fmn-data build{of}, then fmn-data pairs{of} --reviewed."

    def how_to_ask_again(self, of: str = "") -> str | None:
        """Returns the command that shows unanswered clips again, as a sentence; None if there are none."""
        if not self.unanswered:
            return None
        clips = count_of(len(self.unanswered), "clip was", "clips were")
        ids = ",".join(self.unanswered[:_SHOWN_IDS])
        first = f" (the first {_SHOWN_IDS})" if len(self.unanswered) > _SHOWN_IDS else ""
        again = f"if Label Studio offers none of them any more{first}: fmn-data annotate push{of} --ids {ids}"
        return f"{clips} skipped or answered in an unusable way; {again}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def status(workspace: Workspace) -> ReviewStatus:
    """Counts the decisions pulled so far; contacts no server.

    Raises:
        InputError: there are no clips.
        ManifestError: a manifest or reviews.jsonl cannot be read.
    """
    clips, utterances = read_items(workspace)
    reviews = read_reviews(reviews_path(workspace))
    speech = decide(reviews, "utterance")
    by_id = {clip.id: clip for clip in clips}
    shown = utterances_to_show(utterances)
    decisions = final_decisions(reviews, by_id, shown, source_videos(workspace, clips))
    judged = {
        one.id: speech[one.id].verdict
        for one in utterances
        if one.id in speech and speech[one.id].content_sha256 == one.sha256
    }
    verdicts = list(judged.values())
    rows = [row for row in live(reviews) if row.item == "clip"]
    wanted = wanted_annotators(workspace)
    return ReviewStatus(
        classes=_classes(clips, decisions),
        annotators=_annotators(rows),
        speech={
            "accepted": verdicts.count("accept"),
            "rejected": verdicts.count("reject"),
            "to_do": sum(one.id not in judged for one in shown.values()),
        },
        agreement=agreement(reviews),
        conflicts=tuple(clip_id for clip_id, decision in sorted(decisions.items()) if decision.conflict),
        wanted_annotators=wanted,
        too_few=tuple(clip_id for clip_id, decision in sorted(decisions.items()) if decision.votes < wanted),
        problems=tuple((row.id, row.annotator, row.problem) for row in rows if row.problem is not None),
        unanswered=_unanswered(rows, [by_id[name] for name in by_id if name not in decisions], wanted),
        is_sent=bool(reviews or remembered_projects(workspace)),
    )


def status_tables(found: ReviewStatus) -> tuple[Table, ...]:
    """Returns the status as tables for the terminal: per class, per annotator, and agreement if there is any."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
        made = Table(
            title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0)
        )
        for number, column in enumerate(columns):
            made.add_column(_HEADS.get(column, column), justify="right" if number else "left", overflow="fold")
        for row in rows:
            shown = ("" if cell in (0, None) else f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row)
            made.add_row(*map(Text, shown))  # names of annotators are not markup
        return made

    columns = ("to_do", "accepted", "trimmed", "rejected", "corrected", "conflict")
    cells = [(row.class_id, row.clips, *(getattr(row, name) for name in columns)) for row in found.classes]
    sums = ("all", *(sum(row[place] for row in cells) for place in range(1, len(columns) + 2)))
    tables = [table("clips", ("class", "clips", *columns), [*cells, sums])]
    if found.annotators:
        work = ("accepted", "trimmed", "rejected", "corrected", "skipped", "unusable")
        people = [
            (one.annotator, *(getattr(one, name) for name in work), "" if one.seconds is None else f"{one.seconds:.0f}")
            for one in found.annotators
        ]
        tables.append(table("annotators", ("annotator", *work, "s per clip"), people))
    if found.agreement:
        values = [
            (
                one.field,
                one.items,
                one.annotators,
                one.measure,
                *("–" if value is None else f"{value:.2f}" for value in (one.value, one.ac1)),
            )
            for one in found.agreement
        ]
        columns = ("field", "items", "annotators", "measure", "value", "Gwet's AC1")
        tables.append(table("agreement", columns, values))
    return tuple(tables)


def _classes(clips: Iterable[ClipRow], decisions: Mapping[str, Decision]) -> tuple[ClassStatus, ...]:
    groups: dict[str, list[ClipRow]] = defaultdict(list)
    for clip in clips:
        groups[clip.class_id].append(clip)
    rows = []
    for class_id, group in sorted(groups.items()):
        decided = [decisions[clip.id] for clip in group if clip.id in decisions]
        verdicts = [decision.verdict for decision in decided]
        rows.append(
            ClassStatus(
                class_id=class_id,
                clips=len(group),
                to_do=len(group) - len(decided),
                accepted=verdicts.count("accept"),
                trimmed=verdicts.count("trim"),
                rejected=verdicts.count("reject"),
                corrected=sum(_is_correction(decision.row) for decision in decided),
                conflict=sum(decision.conflict for decision in decided),
            )
        )
    return tuple(rows)


def _unanswered(rows: Iterable[ReviewRow], to_do: Iterable[ClipRow], wanted: int) -> tuple[str, ...]:
    usable: set[tuple[str, str]] = set()
    others: dict[tuple[str, str], set[str]] = defaultdict(set)  # annotators
    for row in rows:
        if row.verdict == "skip" or row.problem is not None:
            others[row.id, row.content_sha256].add(row.annotator)
        else:
            usable.add((row.id, row.content_sha256))
    shown = {clip.id: (clip.id, judged_sha256(clip)) for clip in to_do}
    return tuple(name for name, key in shown.items() if key not in usable and len(others[key]) >= wanted)


def _annotators(rows: Iterable[ReviewRow]) -> tuple[AnnotatorStatus, ...]:
    groups: dict[str, list[ReviewRow]] = defaultdict(list)
    for row in rows:
        groups[row.annotator].append(row)
    found = []
    for name, group in sorted(groups.items()):
        verdicts = [row.verdict for row in group if row.problem is None]
        times = [row.lead_time_s for row in group if row.lead_time_s is not None]
        found.append(
            AnnotatorStatus(
                annotator=name,
                accepted=verdicts.count("accept"),
                trimmed=verdicts.count("trim"),
                rejected=verdicts.count("reject"),
                corrected=sum(row.problem is None and _is_correction(row) for row in group),
                skipped=verdicts.count("skip"),
                unusable=sum(row.problem is not None for row in group),
                seconds=median(times) if times else None,
            )
        )
    return tuple(found)


def _is_correction(row: ReviewRow) -> bool:
    return row.verdict in ("accept", "trim") and (row.corrected_class is not None or row.sentence is not None)
