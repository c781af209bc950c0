"""A task with work that was not pulled is left alone, whatever was pulled from other servers, addresses and files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from made_up_answers import verdict
from made_up_rows import clips_of

from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import ReviewRow, read_reviews, reviews_path
from dataset_tools.label_studio.projects import remembered
from dataset_tools.label_studio.pull import pull
from dataset_tools.label_studio.review_status import status
from dataset_tools.manifests import write_rows

pytestmark = [pytest.mark.label_studio, pytest.mark.xdist_group("label_studio")]

ACCEPTED = [verdict("accept")]


def change_clips(workspace: Workspace) -> None:
    """What another build might do: all clips have other content."""
    changed = [msgspec.structs.replace(clip, sha256=f"d{clip.sha256[1:]}") for clip in clips_of(workspace)]
    write_rows(workspace.manifests / "clips.jsonl", changed)


def rewrite(workspace: Workspace, **fields: Any) -> None:
    """Gives the decisions another origin."""
    rows = [
        msgspec.structs.replace(row, label_studio=msgspec.structs.replace(row.label_studio, **fields))
        for row in read_reviews(reviews_path(workspace))
    ]
    reviews_path(workspace).write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))


@pytest.mark.parametrize("server", ["http://another:8080", None])
def test_work_is_pulled_if_its_annotations_are(
    label_studio: Any, make_workspace: Callable[..., Workspace], server: str | None
) -> None:
    """Two servers give the same ids to projects, tasks and annotations; one server may have had another address."""
    workspace = make_workspace(("cut_carrot_knife",))
    (task,) = label_studio.tasks_of(label_studio.push_all(workspace).project).values()
    label_studio.client().annotations.create(id=task.id, result=ACCEPTED)
    assert pull(workspace, label_studio.login).decided == 1
    (whole,) = {row.label_studio.created for row in read_reviews(reviews_path(workspace))}
    change_clips(workspace)
    rewrite(workspace, server=server, created="2026-01-01T00:00:00.000000Z")  # of another server, with the same ids
    assert label_studio.push_all(workspace, dry_run=True).waiting == 1
    rewrite(workspace, created=whole)
    found = label_studio.push_all(workspace, dry_run=True)
    assert (found.waiting, found.again) == (0, 1)


def test_decisions_of_a_former_project_with_the_same_id_are_not_taken_as_deleted(
    label_studio: Any, make_workspace: Callable[..., Workspace]
) -> None:
    """A server that was set up anew, at the same address, gives its projects, tasks and annotations the same ids."""
    workspace = make_workspace(("cut_carrot_knife", "wash_apple"))
    first, second = label_studio.tasks_of(label_studio.push_all(workspace).project).values()
    label_studio.client().annotations.create(id=first.id, result=ACCEPTED)
    pull(workspace, label_studio.login)
    rewrite(workspace, annotation=10**6, created="2026-01-01T00:00:00.000000Z")
    label_studio.client().annotations.create(id=second.id, result=ACCEPTED)
    found = pull(workspace, label_studio.login)
    assert (found.decided, found.deleted) == (2, 0)
    assert not [row for row in read_reviews(reviews_path(workspace)) if row.deleted]
    assert pull(workspace, label_studio.login).rows == 0


def test_a_second_annotators_answer_is_to_be_pulled_too(
    label_studio: Any, make_workspace: Callable[..., Workspace], make_review: Callable[..., ReviewRow]
) -> None:
    workspace = make_workspace(("cut_carrot_knife", "wash_apple"))
    project = label_studio.push_all(workspace, annotators=2).project
    link = remembered(workspace, label_studio.target.url)
    assert link is not None
    assert link.annotators == 2
    other = label_studio.client(label_studio.second_annotator("another@example.com"))
    first, second = label_studio.tasks_of(project).values()
    label_studio.client().annotations.create(id=first.id, result=ACCEPTED)
    label_studio.client().annotations.create(id=second.id, result=ACCEPTED)
    other.annotations.create(id=second.id, result=ACCEPTED)
    pull(workspace, label_studio.login)
    found = status(workspace)
    assert (found.wanted_annotators, found.too_few) == (2, (first.data["clip_id"],))
    assert "1 clip was decided on by fewer than 2 annotators: run fmn-data annotate push" in found.next_step()

    other.annotations.create(id=first.id, result=ACCEPTED)
    change_clips(workspace)
    found = label_studio.push_all(workspace)  # which keeps the number of annotators
    assert (found.waiting, found.again) == (1, 1)
    assert status(workspace).wanted_annotators == 2
    pull(workspace, label_studio.login)
    assert label_studio.push_all(workspace).again == 1
