from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from rich.console import Console

from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import ReviewRow, append_reviews, reviews_path
from dataset_tools.label_studio.projects import ProjectLink, remember
from dataset_tools.label_studio.review_status import status, status_tables
from dataset_tools.manifests import Augmentation, ClipRow, UtteranceRow, read_rows, write_rows

CUT, WASH = "cut_carrot_knife", "wash_apple"


@pytest.fixture
def reviewed(make_workspace: Callable[..., Workspace], make_review: Callable[..., ReviewRow]) -> Workspace:
    """Of four cuts: accepted, trimmed with another sentence, rejected, to do; two washes in conflict and stale."""
    workspace = make_workspace([CUT, CUT, CUT, CUT, WASH, WASH])
    clips = list(read_rows(workspace.manifests / "clips.jsonl", ClipRow))
    spoken = {row.clip: row for row in read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow)}

    def on(number: int, minute: int, **fields: object) -> ReviewRow:
        clip = clips[number]
        shown = {"class_id": clip.class_id, "sentence": spoken[clip.id].text}
        given = {"id": clip.id, "content_sha256": clip.sha256, "shown": shown, "annotation": minute}
        return make_review(minute=minute, **(given | fields))

    heard = {"item": "utterance", "id": spoken[clips[0].id].id, "content_sha256": spoken[clips[0].id].sha256}
    append_reviews(
        reviews_path(workspace),
        [
            on(0, 1, lead_time_s=4.0),
            on(0, 1, **heard),
            on(1, 2, **{**heard, "id": spoken[clips[1].id].id, "content_sha256": "f" * 64}),  # since spoken anew
            on(1, 2, verdict="trim", trim=(110, 120), sentence="Cut!", lead_time_s=10.0),
            on(2, 3, verdict="reject"),
            on(3, 4, verdict="trim", problem="no range to keep was given"),
            on(4, 5),
            on(4, 6, verdict="reject", annotator="bob@example.com"),
            on(5, 7, content_sha256="f" * 64, verdict="accept"),
        ],
    )
    return workspace


def test_every_clip_is_counted_where_it_stands(reviewed: Workspace) -> None:
    found = status(reviewed)
    cut, wash = found.classes
    assert (cut.class_id, cut.clips, cut.to_do, cut.accepted, cut.trimmed, cut.rejected) == (CUT, 4, 1, 1, 1, 1)
    assert (cut.corrected, cut.conflict) == (1, 0)
    # of the washes one is in conflict (the later word, reject, counts), the other has changed since it was accepted
    assert (wash.clips, wash.to_do, wash.accepted, wash.rejected, wash.conflict) == (2, 1, 0, 1, 1)
    assert dict(found.speech) == {"accepted": 1, "rejected": 0, "to_do": 5}
    ann, bob = found.annotators
    assert (ann.annotator, ann.accepted, ann.trimmed, ann.rejected, ann.unusable) == ("ann@example.com", 3, 1, 1, 1)
    assert (ann.corrected, ann.seconds) == (1, 7.0)
    assert (bob.annotator, bob.rejected, bob.seconds) == ("bob@example.com", 1, None)
    assert [problem for _, _, problem in found.problems] == ["no range to keep was given"]
    clips = [clip.id for clip in read_rows(reviewed.manifests / "clips.jsonl", ClipRow)]
    assert found.unanswered == (clips[3],)  # not the last: it has changed, so the next push shows it anyway
    assert str(found.how_to_ask_again(" -w x")).endswith(f"any more: fmn-data annotate push -w x --ids {clips[3]}")
    assert "2 clips to review" in found.next_step()
    assert found.next_step(" --workspace w").endswith("fmn-data annotate pull --workspace w.")


def test_clips_that_fewer_annotators_decided_on_than_the_push_asked_for_are_counted(reviewed: Workspace) -> None:
    assert (status(reviewed).wanted_annotators, status(reviewed).too_few) == (1, ())
    link = ProjectLink(project=1, title="set", config="", annotators=2)
    remember(reviewed, "http://127.0.0.1:8080", link)
    clips = [clip.id for clip in read_rows(reviewed.manifests / "clips.jsonl", ClipRow)]
    found = status(reviewed)
    assert (found.wanted_annotators, found.too_few) == (2, tuple(clips[:3]))  # two decided on the fifth
    assert (found.unanswered, found.how_to_ask_again()) == ((), None)  # the other annotator is still to be asked
    said = "2 clips to review, 3 clips were decided on by fewer than 2 annotators: "
    assert f"{said}run fmn-data annotate push, then open" in found.next_step()
    assert f"{said}open Label Studio" in found.next_step(pushed=True)
    assert said.partition(", ")[2] in replace(found, classes=()).next_step()
    remember(reviewed, "http://127.0.0.1:8080", ProjectLink(project=1, title="set", config=""))
    assert status(reviewed).too_few == ()


def test_the_next_step_before_the_first_push_is_to_push(make_workspace: Callable[..., Workspace]) -> None:
    workspace = make_workspace([CUT])
    said = status(workspace).next_step(" -w x")
    assert said.startswith("1 clip to review: run fmn-data annotate -w x, which")
    assert "after push --out, import what was exported with fmn-data annotate pull -w x --from" in said
    remember(workspace, "http://127.0.0.1:8080", ProjectLink(project=1, title="set", config=""))
    assert status(workspace).next_step().startswith("1 clip to review: run fmn-data annotate push, then open Label")


def test_copies_and_speech_that_is_not_shown_are_not_to_do(reviewed: Workspace) -> None:
    path = reviewed.manifests / "utterances.jsonl"
    rows = list(read_rows(path, UtteranceRow))
    parameters = Augmentation(original=rows[0].id, speed=1.0, gain_db=0.0, room_s=0.1, snr_db=20.0)
    copy = msgspec.structs.replace(rows[0], id=f"{rows[0].id}_aug1", augmented=parameters)
    of_class = msgspec.structs.replace(rows[1], id=f"{CUT}_anna_0123456789ab", clip=None, source="recorded")
    write_rows(path, sorted([*rows, copy, of_class], key=lambda row: row.id))
    assert dict(status(reviewed).speech) == {"accepted": 1, "rejected": 0, "to_do": 5}


def test_the_tables_add_up(reviewed: Workspace) -> None:
    console = Console(width=120, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        for table in status_tables(status(reviewed)):
            console.print(table)
    text = capture.get()
    assert [line.split() for line in text.splitlines() if line.startswith("all")] == [
        ["all", "6", "2", "1", "1", "2", "1", "1"]
    ]
    assert "bob@example.com" in text
    assert "agreement" in text
    assert "Gwet's AC1" in text


def test_at_80_columns_the_table_of_classes_is_whole(reviewed: Workspace) -> None:
    found = status(reviewed)
    long = "take-out_spatula_frying-pan"  # the longest class that is shipped
    found = replace(found, classes=tuple(replace(one, class_id=long, clips=1234) for one in found.classes))
    console = Console(width=80)
    with console.capture() as capture:
        console.print(status_tables(found)[0])
    head = next(line for line in capture.get().splitlines() if line.startswith("class"))
    assert head.split() == ["class", "clips", "to", "do", "accept", "trim", "reject", "correct", "conflict"]
    assert capture.get().count(f"{long} ") == len(found.classes)


@pytest.mark.parametrize("name", ["[/]@x.org", "[red]ann[/red]", "[link=https://x.org]bob"])
def test_annotators_names_are_shown_as_they_are(reviewed: Workspace, name: str) -> None:
    found = status(reviewed)
    found = replace(found, annotators=tuple(replace(one, annotator=name) for one in found.annotators))
    console = Console(width=160)
    with console.capture() as capture:
        for table in status_tables(found):
            console.print(table)
    assert name in capture.get()


def test_before_the_first_pull_everything_is_to_do(make_workspace: Callable[..., Workspace]) -> None:
    found = status(make_workspace([CUT, WASH], speech=False))
    assert [row.to_do for row in found.classes] == [1, 1]
    assert (found.annotators, found.agreement, found.conflicts) == ((), (), ())


def test_without_clips_there_is_nothing_to_review(make_workspace: Callable[..., Workspace]) -> None:
    with pytest.raises(InputError, match="has no clips"):
        status(make_workspace([]))
