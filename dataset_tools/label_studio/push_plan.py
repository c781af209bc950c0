"""Push plan: the changes from the tasks of the project to the expected ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from dataset_tools.label_studio.tasks import CONTENT_FIELDS, PREFILL_FIELDS, Task


@dataclass(frozen=True)
class PresentTask:
    """A task on the server.

    Attributes:
        id: its id on the server. clip_id, review_round: what it shows, see `Task`.
        data: its fields. worked_on: whether it has an annotation, a skip or a draft.
        wanted_annotators: number of annotators who have to decide before Label Studio considers the task completed.
    """

    id: int
    clip_id: str
    review_round: int
    data: Mapping[str, Any]
    worked_on: bool
    wanted_annotators: int = 1


@dataclass(frozen=True)
class PushPlan:
    """Changes that a push has to make.

    Attributes:
        create: tasks to create. update: tasks to update, each with the present one.
        remove: ids of duplicate tasks without annotations.
        reopen: ids of tasks to show to one more annotator, with the new number of annotators.
        unchanged: number of tasks that are up to date. decided: number of clips without a task that need none.
        waiting: number of clips to show again whose present task has work not pulled yet, and so must not be changed.
        gone: number of tasks whose clip is no longer in the data set.
    """

    create: tuple[Task, ...]
    update: tuple[tuple[PresentTask, Task], ...]
    remove: tuple[int, ...]
    reopen: tuple[tuple[int, int], ...]
    unchanged: int
    decided: int
    waiting: int
    gone: int

    def counts(self) -> dict[str, int]:
        """Returns the numbers of tasks as `PushSummary` has them."""
        return {
            "created": sum(task.review_round == 1 for task in self.create),
            "again": sum(task.review_round > 1 for task in self.create),
            "updated": len(self.update),
            "unchanged": self.unchanged,
            "decided": self.decided,
            "waiting": self.waiting,
            "removed": len(self.remove),
            "reopened": len(self.reopen),
            "gone": self.gone,
        }


def plan_push(
    wanted: Sequence[Task],
    present: Iterable[PresentTask],
    *,
    is_final: Callable[[str], bool],
    pulled: Callable[[Collection[int]], Collection[int]],
    last_round: Mapping[str, int],
    too_few: Container[str] = (),
    undecided: Mapping[str, int] = MappingProxyType({}),
    show_again: bool = False,
) -> PushPlan:
    """Compares the expected tasks with those of the project.

    Args:
        wanted: expected tasks, one per clip.
        present: all tasks of the project.
        is_final: whether the clip with an id has a decision on its current content.
        pulled: returns those of some tasks, by id, all of whose decisions were pulled.
        last_round: number of times that a clip was shown, by clip id, according to the decisions.
        too_few: clips that fewer annotators decided on than the project asks for: they need a task, too.
        undecided: clips that need one more annotator, with the number of annotators who decided. Their task is shown to
            one more, unless nobody has worked on it yet; they get a task if they have none.
        show_again: whether to show clips again that are decided and have not changed.
    """
    remove: list[int] = []
    newest: dict[str, PresentTask] = {}
    rounds: dict[tuple[str, int], list[PresentTask]] = defaultdict(list)
    for one in present:
        rounds[one.clip_id, one.review_round].append(one)
    for same in rounds.values():
        kept, *duplicates = sorted(same, key=lambda one: (not one.worked_on, one.id))
        remove += [one.id for one in duplicates if not one.worked_on]
        if kept.clip_id not in newest or newest[kept.clip_id].review_round < kept.review_round:
            newest[kept.clip_id] = kept

    reopen = [
        (newest[clip_id].id, voters + 1)
        for clip_id, voters in sorted(undecided.items())
        if clip_id in newest and newest[clip_id].worked_on and newest[clip_id].wanted_annotators <= voters
    ]
    create: list[tuple[int | None, Task]] = []  # each with the decided task that it follows
    update: list[tuple[PresentTask, Task]] = []
    unchanged = decided = 0
    for task in wanted:
        current = newest.pop(task.clip_id, None)
        if current is None:
            lacks_votes = task.clip_id in too_few or task.clip_id in undecided
            if is_final(task.clip_id) and not lacks_votes and not show_again:
                decided += 1
            else:
                create.append((None, _with_round(task, last_round.get(task.clip_id, 0) + 1)))
            continue
        wanted_now = _with_round(task, current.review_round)
        changed = {name for name, value in wanted_now.data.items() if current.data.get(name) != value}
        if current.worked_on and (show_again or changed.intersection(CONTENT_FIELDS)):
            if is_final(task.clip_id) and not show_again:
                unchanged += 1
            else:
                create.append((current.id, _with_round(task, current.review_round + 1)))
        elif changed.difference(PREFILL_FIELDS if current.worked_on else ()):
            update.append((current, wanted_now))
        else:
            unchanged += 1
    before = [task_id for task_id, _ in create if task_id is not None]
    ready = {None, *(pulled(before) if before else ())}
    return PushPlan(
        create=tuple(task for task_id, task in create if task_id in ready),
        update=tuple(update),
        remove=tuple(remove),
        reopen=tuple(reopen),
        unchanged=unchanged,
        decided=decided,
        waiting=sum(task_id not in ready for task_id in before),
        gone=len(newest),
    )


def _with_round(task: Task, review_round: int) -> Task:
    return replace(task, review_round=review_round, data={**task.data, "look": review_round})
