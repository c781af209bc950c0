"""Exports that are none of this data set's decisions are refused, with what is wrong and where; no server is needed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_up_answers import verdict
from typer.testing import CliRunner

from dataset_tools.cli.main import app
from dataset_tools.core.shipped_files import shipped_file
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import read_reviews, reviews_path
from dataset_tools.decisions.majority_rule import decide
from dataset_tools.manifests import ClipRow, read_rows

MakeWorkspace = Callable[..., Workspace]
TIMES = {"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "lead_time": 3.0}
REJECT = verdict("reject")


@pytest.fixture
def place(make_workspace: MakeWorkspace) -> Workspace:
    return make_workspace(["cut_carrot_knife"])


def data_of(place: Workspace, **changed: Any) -> dict[str, Any]:
    clip = next(iter(read_rows(place.manifests / "clips.jsonl", ClipRow)))
    fields = {"clip_id": clip.id, "clip_sha256": clip.sha256, "class": clip.class_id, "fps": clip.fps}
    return {**fields, "first_frame": clip.start_frame, "frames": clip.frames, "sentence": "", **changed}


def exported(data: dict[str, Any], **changed: Any) -> dict[str, Any]:
    annotation = {"id": 7, "completed_by": 1, "result": [REJECT], "was_cancelled": False, **TIMES, **changed}
    return {"id": 3, "project": 2, "data": data, "annotations": [annotation]}


def pulled(place: Workspace, content: Any, *options: str) -> tuple[int, str]:
    export = place.root / "export.json"
    export.write_text(json.dumps(content))
    arguments = ["annotate", "pull", "--from", str(export), "--workspace", str(place.root), *options]
    ended = CliRunner().invoke(app, arguments)
    return ended.exit_code, " ".join(ended.output.split())


def test_decisions_of_this_data_set_come_once(place: Workspace) -> None:
    mine = {"id": 4, "project": 2, "data": {"image": "cat.png"}, "annotations": [{"id": 8, "result": []}]}
    assert pulled(place, [exported(data_of(place)), mine])[0] == 0
    content = reviews_path(place).read_bytes()
    assert [row.verdict for row in read_reviews(reviews_path(place))] == ["reject"]
    assert pulled(place, [exported(data_of(place)), mine])[0] == 0
    assert reviews_path(place).read_bytes() == content
    assert pulled(place, [])[0] == 0


def test_a_dry_run_counts_what_the_pull_adds_and_writes_nothing(place: Workspace) -> None:
    def files() -> dict[Path, bytes | None]:
        return {path: path.read_bytes() if path.is_file() else None for path in place.root.rglob("*")}

    def planned(content: Any) -> dict[str, Any]:
        (place.root / "export.json").write_text(json.dumps(content))
        before = files()
        found = as_json(content, "--dry-run")
        assert files() == before
        return found

    def as_json(content: Any, *options: str) -> dict[str, Any]:
        code, output = pulled(place, content, "--json", *options)
        assert code == 0
        found: dict[str, Any] = json.loads(output[output.index("{") :])["pull"]
        return found

    first, later = data_of(place), {"updated_at": "2026-01-02T00:00:00Z", "id": 7}
    for content, revised, said in (
        ([exported(first)], 0, "would pull: decisions on 1 clip"),
        ([exported(first, **later)], 1, "would pull: decisions on 1 clip, changed ones on 1 of them"),
    ):
        expected = planned(content)
        assert (expected["dry_run"], expected["decided"], expected["revised"]) == (True, 1, revised)
        assert said in pulled(place, content, "--dry-run")[1]
        wrote = as_json(content)
        assert Path(wrote.pop("raw")).is_file()
        assert wrote == {name: value for name, value in expected.items() if name != "raw"} | {"dry_run": False}
        assert "would pull: nothing new" in pulled(place, content, "--dry-run")[1]
    assert pulled(place, {"a": 1}, "--dry-run")[0] == 2


def test_the_same_number_on_two_servers_is_two_annotators(place: Workspace) -> None:
    """Every server numbers its accounts from 1; an annotation that is known tells who has a number."""

    def annotators() -> dict[str, str | None]:
        return {row.annotator: row.verdict for row in read_reviews(reviews_path(place))}

    accept = {**REJECT, "value": {"choices": ["accept"]}}
    here = exported(data_of(place))
    there = exported(data_of(place), result=[accept], created_at="2026-02-02T00:00:00Z")
    for _ in range(2):
        for content in ([here], [there]):
            assert pulled(place, content)[0] == 0
        assert annotators() == {"user 1": "reject", "user 1 (2)": "accept"}
    assert decide(read_reviews(reviews_path(place)), "clip")[data_of(place)["clip_id"]].votes == 2
    for month, (content, who) in enumerate(((here, "user 1"), (there, "user 1 (2)")), start=3):
        time = f"2026-0{month}-01T00:00:00Z"  # of the next file of each, which has one more answer
        content["annotations"].append({**content["annotations"][0], "id": 8, "created_at": time, "updated_at": time})
        assert pulled(place, [content])[0] == 0
        assert read_reviews(reviews_path(place))[-1].annotator == who


def test_an_annotator_of_decisions_that_were_pulled_from_the_server_keeps_the_name(place: Workspace) -> None:
    assert pulled(place, [exported(data_of(place), completed_by={"email": "ann@example.com"})])[0] == 0
    given = exported(data_of(place))
    later = {"id": 8, "created_at": "2026-02-02T00:00:00Z", "updated_at": "2026-02-02T00:00:00Z"}
    given["annotations"].append({**given["annotations"][0], **later})
    assert pulled(place, [given])[0] == 0
    assert {row.annotator for row in read_reviews(reviews_path(place))} == {"ann@example.com"}


def test_a_task_that_an_export_holds_twice_is_one_decision(place: Workspace) -> None:
    assert pulled(place, [exported(data_of(place))] * 2)[0] == 0
    assert len(read_reviews(reviews_path(place))) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([{"id": 1, "clip_id": "x", "clip_sha256": "0", "verdict": "reject", "annotator": 1, **TIMES}], "JSON-MIN"),
        ([{"id": 1, "data": {"image": "x"}, "annotations": [{"id": 1, "result": []}]}], "made by fmn-data annotate"),
        ([{"id": 1, "data": "x"}], "made by fmn-data annotate"),
        ({"a": 1}, "Expected `array`"),
    ],
)
def test_what_is_no_export_of_a_push_is_refused(place: Workspace, content: Any, said: str) -> None:
    code, output = pulled(place, content)
    assert code == 2
    assert said in output
    assert "not JSON-MIN" in output
    assert not reviews_path(place).exists()


def test_tasks_without_annotations_are_no_decisions(place: Workspace) -> None:
    code, output = pulled(place, [{"data": data_of(place), "predictions": []}])
    assert (code, "no `annotations`" in output) == (2, True)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"result": "x"}, "$.annotations[0].result"),
        ({"result": [3]}, "$.annotations[0].result[0]"),
        ({"updated_at": "yesterday"}, "yesterday"),
        ({"completed_by": {"email": "x" * 501}}, "501 characters"),
    ],
)
def test_a_field_of_another_form_is_named_with_its_task(place: Workspace, wrong: dict[str, Any], said: str) -> None:
    code, output = pulled(place, [exported(data_of(place), **wrong)])
    assert code == 2
    assert said in output
    assert "export.json, task 3" in output.replace("- ", "-")
    assert not reviews_path(place).exists()


def test_an_export_of_another_data_set_is_refused_unless_the_videos_are_the_same(place: Workspace) -> None:
    other = data_of(place, clip_id="a-b_000001-000040", source_sha256="f" * 64)
    code, output = pulled(place, [exported(other)])
    assert code == 2
    assert "another data set" in output
    assert "a-b_000001-000040" in output
    (clip,) = read_rows(place.manifests / "clips.jsonl", ClipRow)
    row = {"id": f"clip/{clip.id}", "status": "ok", "stage": "cut", "path": clip.path, "key": "k"}
    place.ledger.write_text(json.dumps({"schema": "fmn.ledger/1", **row, "values": {"source_sha256": "f" * 64}}) + "\n")
    assert pulled(place, [exported(other)])[0] == 0


def test_a_range_that_was_cut_to_the_clip_is_told_by_name(place: Workspace) -> None:
    drawn = {"from_name": "trim", "value": {"ranges": [{"start": 30, "end": 200}]}}
    trim = {"from_name": "verdict", "value": {"choices": ["trim"]}}
    code, output = pulled(place, [exported(data_of(place), result=[trim, drawn])])
    assert code == 0
    assert "frames 30 to 200, was limited to the clip: 30 to 60 (task 3)" in output


@pytest.mark.parametrize("changed", [{"clip_id": "../x"}, {"clip_sha256": "../../o"}, {"utterance_id": "a/b"}])
def test_an_export_whose_names_lead_elsewhere_adds_nothing(place: Workspace, changed: dict[str, str]) -> None:
    code, said = pulled(place, [exported(data_of(place, **changed))])
    assert code == 2
    assert next(iter(changed)) in said
    assert "regex" not in said
    assert not reviews_path(place).exists()


def test_the_page_replaces_no_file_of_something_else(place: Workspace, tmp_path: Path) -> None:
    def push(name: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["annotate", "push", "--out", str(tmp_path / name), "-w", str(place.root)])
        return done.exit_code, " ".join(done.output.split())

    mine = tmp_path / "cvat.xml"
    for content in ("<annotations>my work</annotations>", '<View><Image name="image" value="$image"/></View>'):
        mine.write_text(content)
        code, said = push("cvat.json")
        assert (code, mine.read_text()) == (2, content)
        assert "Another file" in said
        assert not (tmp_path / "cvat.json").exists()
    own = place.annotations / "labeling.xml"  # the workspace's own page, which lists no classes
    own.parent.mkdir(exist_ok=True)
    template = shipped_file("labeling.xml").read_text()
    own.write_text(template)
    code, said = push(str(own.with_suffix(".json")))
    assert (code, own.read_text()) == (2, template)
    own.unlink()
    assert push("tasks.xml")[0] == 2
    assert not (tmp_path / "tasks.xml").exists()
    for _ in range(2):  # an earlier page is replaced
        assert push("tasks.json")[0] == 0
    assert (tmp_path / "tasks.xml").read_text().startswith("<View")


@pytest.mark.parametrize(
    ("out", "used"),
    [
        ("labeling.json", "labeling.xml"),
        ("classes.yaml", "classes.yaml"),
        ("reviews.jsonl", "reviews.jsonl"),
        ("instructions.html", "instructions.html"),
    ],
)
@pytest.mark.parametrize("option", [(), ("--dry-run",)])
def test_tasks_and_page_do_not_become_the_files_of_the_workspace(
    place: Workspace, out: str, used: str, option: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above all not labeling.xml: pushes would use it, with the classes of that day."""
    monkeypatch.chdir(place.root)
    place.annotations.mkdir(exist_ok=True)
    before = sorted(place.annotations.iterdir())
    done = CliRunner().invoke(app, ["annotate", "push", "-o", f"annotations/{out}", *option])
    assert done.exit_code == 2
    assert "Other commands would use this file" in done.output
    assert f"where:    annotations/{used}" in done.output
    assert sorted(place.annotations.iterdir()) == before
    done = CliRunner().invoke(app, ["annotate", "push", "-o", "annotations/tasks.json", *option])
    assert done.exit_code == 0, done.output


def test_tasks_replace_no_file_of_something_else(place: Workspace, tmp_path: Path) -> None:
    """Above all no export, which has decisions of people, and no file of the workspace."""

    def push(path: Path) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["annotate", "push", "--out", str(path), "-w", str(place.root)])
        return done.exit_code, " ".join(done.output.split())

    decided = [{"id": 1, "annotations": [{"result": []}], "data": {"clip_id": "s01-d01_000001-000002"}}]
    for name, content in (("mine.json", "{}"), ("export.json", json.dumps(decided)), ("notes.txt", "cut a carrot")):
        mine = tmp_path / name
        mine.write_text(content)
        code, said = push(mine)
        assert (code, mine.read_text()) == (2, content)
        assert "Another file is where the tasks" in said
        assert not mine.with_suffix(".xml").exists()
    rows = (place.manifests / "clips.jsonl").read_bytes()
    assert push(place.manifests / "clips.jsonl")[0] == 2
    assert (place.manifests / "clips.jsonl").read_bytes() == rows
    tasks = tmp_path / "tasks.json"
    assert push(tasks)[0] == 0
    first = tasks.read_bytes()
    assert push(tasks)[0] == 0  # earlier tasks are replaced
    assert tasks.read_bytes() == first
