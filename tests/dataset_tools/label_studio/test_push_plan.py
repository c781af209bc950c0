from __future__ import annotations

from dataclasses import replace
from typing import Any

from dataset_tools.label_studio.push_plan import PresentTask, PushPlan, plan_push
from dataset_tools.label_studio.tasks import CONTENT_FIELDS, Task

CONTENT = dict.fromkeys(CONTENT_FIELDS, "x")


def wanted(clip: str, **data: Any) -> Task:
    return Task(clip, 1, {"clip_id": clip, "look": 1, "video": "/v", **CONTENT, **data}, ())


def present(task_id: int, clip: str, *, review_round: int = 1, worked_on: bool = False, **data: Any) -> PresentTask:
    return PresentTask(task_id, clip, review_round, {**wanted(clip).data, "look": review_round, **data}, worked_on)


def plan(
    tasks: list[Task],
    there: list[PresentTask],
    *,
    final: tuple[str, ...] = (),
    pulled: tuple[int, ...] = (),
    last_round: dict[str, int] | None = None,
    too_few: tuple[str, ...] = (),
    undecided: dict[str, int] | None = None,
    show_again: bool = False,
) -> PushPlan:
    return plan_push(
        tasks,
        there,
        is_final=final.__contains__,
        pulled=set(pulled).intersection,
        last_round=last_round or {},
        too_few=too_few,
        undecided=undecided or {},
        show_again=show_again,
    )


def test_what_is_there_already_is_left_alone() -> None:
    found = plan([wanted("a"), wanted("b")], [present(1, "a"), present(2, "b", worked_on=True)])
    assert found == PushPlan((), (), (), (), unchanged=2, decided=0, waiting=0, gone=0)


def test_a_new_clip_gets_a_task_and_a_decided_one_needs_none() -> None:
    found = plan([wanted("a"), wanted("b")], [], final=("b",))
    assert ([task.clip_id for task in found.create], found.decided) == (["a"], 1)


def test_a_clip_that_too_few_annotators_decided_on_needs_a_task_in_a_new_project() -> None:
    both = [wanted("a"), wanted("b")]
    found = plan(both, [], final=("a", "b"), too_few=("a",), last_round={"a": 1, "b": 1})
    assert ([(task.clip_id, task.review_round) for task in found.create], found.decided) == ([("a", 2)], 1)
    (in_conflict,) = plan(both, [], final=("a", "b"), undecided={"b": 2}, last_round={"b": 1}).create
    assert (in_conflict.clip_id, in_conflict.review_round) == ("b", 2)
    before_the_decision = present(1, "a", worked_on=True, clip_sha256="before")
    assert not plan(both[:1], [before_the_decision], final=("a",), too_few=("a",)).create  # its task is still open


def test_a_clip_that_was_decided_and_has_changed_is_counted_on_in_a_new_project() -> None:
    (task,) = plan([wanted("a")], [], last_round={"a": 2}).create
    assert (task.review_round, task.data["look"]) == (3, 3)


def test_a_changed_clip_updates_a_task_that_nobody_worked_on() -> None:
    found = plan([wanted("a", clip_sha256="new")], [present(1, "a", review_round=2)])
    ((there, task),) = found.update
    assert (there.id, task.data["clip_sha256"], task.data["look"]) == (1, "new", 2)
    assert not found.create


def test_a_changed_clip_whose_task_was_decided_on_is_shown_again() -> None:
    tasks = [wanted("a", clip_sha256="new")]
    there = [present(1, "a", worked_on=True)]
    (task,) = plan(tasks, there, pulled=(1,)).create
    assert (task.review_round, task.data["look"], task.data["clip_sha256"]) == (2, 2, "new")
    # … and once that task is there, not a third time
    again = plan(tasks, [*there, present(2, "a", review_round=2, clip_sha256="new")], pulled=(1,))
    assert (again.create, again.update, again.unchanged) == ((), (), 1)


def test_a_change_that_the_decision_itself_made_shows_nothing_again() -> None:
    found = plan([wanted("a", clip_sha256="new")], [present(1, "a", worked_on=True)], final=("a",), pulled=(1,))
    assert found == PushPlan((), (), (), (), unchanged=1, decided=0, waiting=0, gone=0)


def test_work_that_was_not_pulled_is_not_touched() -> None:
    found = plan([wanted("a", clip_sha256="new")], [present(1, "a", worked_on=True)])
    assert found == PushPlan((), (), (), (), unchanged=0, decided=0, waiting=1, gone=0)


def test_a_clip_to_look_at_once_more_gets_a_task_unless_one_waits_for_an_answer() -> None:
    decided, asked = [wanted("a")], present(1, "a", worked_on=True)
    (task,) = plan(decided, [asked], final=("a",), pulled=(1,), show_again=True).create
    assert task.review_round == 2
    (elsewhere,) = plan(decided, [], final=("a",), last_round={"a": 1}, show_again=True).create
    assert elsewhere.review_round == 2
    open_already = plan(decided, [asked, present(2, "a", review_round=2)], final=("a",), pulled=(1,), show_again=True)
    assert (open_already.create, open_already.unchanged) == ((), 1)
    not_pulled = plan(decided, [asked], show_again=True)
    assert (not_pulled.create, not_pulled.waiting) == ((), 1)


def test_another_address_is_updated_whoever_worked_on_the_task() -> None:
    found = plan([wanted("a", video="/new")], [present(1, "a", worked_on=True)])
    assert [task.data["video"] for _, task in found.update] == ["/new"]


def test_another_range_to_start_with_is_updated_where_nobody_worked_on_the_task() -> None:
    there = [present(1, "a", trim=None), present(2, "b", trim=None, worked_on=True)]
    found = plan([wanted("a", trim=[3, 9]), wanted("b", trim=[3, 9])], there, final=("a", "b"))
    assert ([task.clip_id for _, task in found.update], found.unchanged, found.create) == (["a"], 1, ())


def test_of_doubled_tasks_the_one_that_was_worked_on_stays() -> None:
    found = plan([wanted("a")], [present(1, "a"), present(2, "a", worked_on=True), present(3, "a")])
    assert (sorted(found.remove), found.unchanged) == ([1, 3], 1)
    both_worked_on = plan([wanted("a")], [present(1, "a", worked_on=True), present(2, "a", worked_on=True)])
    assert both_worked_on.remove == ()


def test_a_clip_that_left_the_data_set_keeps_its_task() -> None:
    found = plan([], [present(1, "a"), present(2, "b", worked_on=True)])
    assert found == PushPlan((), (), (), (), unchanged=0, decided=0, waiting=0, gone=2)


def test_a_clip_in_conflict_is_shown_to_one_more_once() -> None:
    there = [present(1, "a", worked_on=True), present(2, "a", review_round=2, worked_on=True)]
    asked = plan([wanted("a")], there, final=("a",), pulled=(1, 2), undecided={"a": 2, "unknown": 2})
    assert asked.reopen == ((2, 3),)
    assert plan([wanted("a")], [present(1, "a")], final=("a",), undecided={"a": 2}).reopen == ()  # open as it is
    there = [replace(there[1], wanted_annotators=3)]
    assert plan([wanted("a")], there, final=("a",), pulled=(2,), undecided={"a": 2}).reopen == ()
    assert plan([wanted("a")], there, final=("a",), pulled=(2,), undecided={"a": 3}).reopen == ((2, 4),)
