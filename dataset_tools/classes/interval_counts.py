"""Class statistics: annotated intervals per class, and shortfalls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from dataset_tools.classes.matching import classify
from dataset_tools.classes.triplets import ActionClass, ClassFile
from dataset_tools.classes.usable_intervals import MIN_FRAMES, why_unusable
from dataset_tools.core.count_of import count_of

if TYPE_CHECKING:
    from rich.table import Table

    from dataset_tools.corpora.corpus import Annotations, Corpus, Interval


@dataclass(frozen=True)
class ClassSupport:
    """Number of annotated intervals of one class, by usability.

    Attributes:
        class_id: the class.
        intervals: intervals that belong to it.
        seconds, median_s: total and median length of the valid intervals.
        persons, dishes: number of distinct persons and dishes in the valid intervals.
        usable: valid, long enough, and within their video (if the corpus has any).
        invalid: the end precedes the start, or the start precedes frame 1.
        too_short: valid, but with fewer frames than the minimum.
        without_video: valid and long enough, but the video is missing or cannot be read.
        past_end: valid and long enough, but they end after the end of their video.
        ambiguous: intervals that also match other classes, and therefore belong to none.
        shortfall: number of usable intervals missing to the requested number.
        notes: words of the class that the annotation file lacks, as full sentences.
    """

    class_id: str
    intervals: int
    seconds: float
    median_s: float
    persons: int
    dishes: int
    usable: int
    invalid: int
    too_short: int
    without_video: int
    past_end: int
    ambiguous: int
    shortfall: int
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Returns the attributes by name (for ``--json``)."""
        return asdict(self)


def audit(corpus: Corpus, classes: ClassFile, *, per_class: int = 50) -> tuple[ClassSupport, ...]:
    """Counts the intervals of each class in a corpus, in the class file's order.

    Args:
        corpus: the annotation file, and which videos there are.
        classes: the classes.
        per_class: number of intervals that a class should have.
    """
    members: dict[str, list[Interval]] = {one.id: [] for one in classes.classes}
    ambiguous = dict.fromkeys(members, 0)
    for interval in corpus.annotations.intervals:
        classification = classify(interval, classes)
        if classification.class_id is not None:
            members[classification.class_id].append(interval)
        else:
            for candidate in classification.candidates:
                ambiguous[candidate] += 1
    return tuple(
        _support(one, members[one.id], ambiguous[one.id], corpus, classes, per_class) for one in classes.classes
    )


def _support(
    action_class: ActionClass,
    members: Sequence[Interval],
    ambiguous: int,
    corpus: Corpus,
    classes: ClassFile,
    per_class: int,
) -> ClassSupport:
    reasons = [why_unusable(interval, corpus) for interval in members]
    valid = [interval for interval, reason in zip(members, reasons, strict=True) if reason != "invalid"]
    count = Counter(reasons)
    lengths_s = [one.frames / corpus.annotations.rate_of(one) for one in valid if one.is_measured]
    return ClassSupport(
        class_id=action_class.id,
        intervals=len(members),
        seconds=round(sum(lengths_s), 3),
        median_s=round(median(lengths_s), 3) if lengths_s else 0.0,
        persons=len({interval.person for interval in valid}),
        dishes=len({interval.dish for interval in valid}),
        usable=count[None],
        invalid=count["invalid"],
        too_short=count["too_short"],
        without_video=count["without_video"],
        past_end=count["past_end"],
        ambiguous=ambiguous,
        shortfall=max(0, per_class - count[None]),
        notes=_missing_words(action_class, classes, corpus.annotations),
    )


def _missing_words(action_class: ActionClass, classes: ClassFile, annotations: Annotations) -> tuple[str, ...]:
    """Returns which words of a class the annotation file lacks (all its verbs, all attributes of a thing), if any.

    Such a class can have no intervals.
    """
    notes = []
    activities = {interval.verb for interval in annotations.intervals}
    activities.update(name[:-1] for name in annotations.attribute_names if name.endswith("V"))
    if activities.isdisjoint(action_class.verbs):
        notes.append(f"The annotation file has no activity {' or '.join(action_class.verbs)}.")
    for thing in (action_class.subject, action_class.object):
        if thing is not None:
            attributes = classes.things[thing].attributes
            if not set(annotations.attribute_names).intersection(attributes):
                notes.append(f"The annotation file has no attribute {' or '.join(attributes)}.")
    return tuple(notes)


def support_table(support: Sequence[ClassSupport]) -> Table:
    """Returns the support of all classes (see `audit`) as a table for the terminal, with totals in the footer."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    columns: dict[str, list[str]] = {
        "count": [f"{row.intervals:,}" for row in support],
        "sec.": [f"{row.seconds:.0f}" for row in support],
        "median": [f"{row.median_s:.1f}" for row in support],
        "persons": [str(row.persons) for row in support],
        "dishes": [str(row.dishes) for row in support],
        "usable": [f"{row.usable:,}" for row in support],
        "ambig.": [str(row.ambiguous or "") for row in support],
        "short": [f"[yellow]{row.shortfall}[/yellow]" if row.shortfall else "" for row in support],
    }
    sums = {
        "count": f"{sum(row.intervals for row in support):,}",
        "sec.": f"{sum(row.seconds for row in support):.0f}",
        "usable": f"{sum(row.usable for row in support):,}",
        "short": f"{sum(row.shortfall for row in support):,}",
    }
    shown = [name for name, cells in columns.items() if any(cells)]
    table = Table(box=box.SIMPLE_HEAD, show_footer=True, show_edge=False, pad_edge=False, padding=0)
    table.add_column("class", footer="all", no_wrap=True)
    for name in shown:
        table.add_column(name, justify="right", footer=sums.get(name, ""))
    for row, *cells in zip(support, *(columns[name] for name in shown), strict=True):
        table.add_row(row.class_id, *cells)
    remarks = "\n".join(_remarks(support))
    table.caption = Text(remarks) if remarks else None  # the class file's words must not be parsed as markup
    table.caption_justify = "left"
    return table


def _remarks(support: Sequence[ClassSupport]) -> list[str]:
    """Returns why intervals are not usable, and what the annotation file lacks."""
    remarks = []
    if invalid := sum(row.invalid for row in support):
        several = "intervals end before they start, or start before frame 1."
        remarks.append(count_of(invalid, "interval ends before it starts, or starts before frame 1.", several))
    if too_short := sum(row.too_short for row in support):
        remarks.append(f"{count_of(too_short, 'interval has', 'intervals have')} fewer than {MIN_FRAMES} frames.")
    if without_video := sum(row.without_video for row in support):
        remarks.append(f"{count_of(without_video, 'interval has', 'intervals have')} no readable video.")
    if past_end := sum(row.past_end for row in support):
        several = "intervals end after the end of their video."
        remarks.append(count_of(past_end, "interval ends after the end of its video.", several))
    return remarks + [f"{row.class_id}: {note}" for row in support for note in row.notes]
