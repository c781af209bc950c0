from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_tools.core.errors import InputError, ManifestError
from dataset_tools.core.jsonl import count_rows
from dataset_tools.manifests import (
    ClipRow,
    PairRow,
    SplitPairRow,
    UtteranceRow,
    read_numbered_rows,
    read_rows,
    resolve,
    workspace_of,
    write_rows,
)


def test_rows_come_back_as_they_were_written(tmp_path: Path, make_clip: Callable[..., ClipRow]) -> None:
    rows = [make_clip("wash_apple", 7, 1, 100), make_clip("wash_apple", 7, 1, 300, window=(2, 3))]
    path = tmp_path / "manifests" / "clips.jsonl"
    assert write_rows(path, rows) == 2
    assert list(read_rows(path, ClipRow)) == rows


def test_the_file_is_what_the_format_says(tmp_path: Path, make_clip: Callable[..., ClipRow]) -> None:
    path = tmp_path / "clips.jsonl"
    write_rows(path, [make_clip("wash_apple", 13, 21, 194)])
    (line,) = path.read_text(encoding="utf-8").splitlines()
    row = json.loads(line)
    assert row["schema"] == "fmn.clip/1"
    assert row["id"] == "s13-d21_000194-000243"
    assert row["class"] == "wash_apple"
    assert row["origin"] == {"kind": "interval"}
    assert row["trim"] is None
    assert next(iter(row)) == "schema"
    assert row.keys() == {
        *("schema", "id", "class", "person", "dish", "video", "start_frame", "end_frame", "trim", "fps", "frames"),
        *("width", "height", "duration_s", "path", "sha256", "origin", "review"),
    }


GOOD = {"schema": "fmn.pair/1", "id": "a__b", "class": "c", "clip": "a", "utterance": "b"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"schema": "fmn.pair/2"}, "schema"),
        ({"schema": "fmn.clip/1"}, "schema"),
        ({"schema": None}, "schema"),
        ({"clip": 3}, "clip"),
        ({"utterance": ...}, "utterance"),
        ({"schema": ...}, "schema"),
        ({"id": "a"}, "does not come after"),
        ({"id": "A"}, "does not come after"),
    ],
)
def test_a_wrong_row_is_refused_with_file_line_and_field(tmp_path: Path, change: dict[str, object], named: str) -> None:
    wrong = {name: value for name, value in {**GOOD, "id": "b", **change}.items() if value is not ...}
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({**GOOD, "id": "a"}) + "\n" + json.dumps(wrong) + "\n")
    with pytest.raises(ManifestError) as caught:
        list(read_rows(path, PairRow))
    assert caught.value.where == f"{path}, line 2"
    assert named in caught.value.found
    is_other = change == {"schema": "fmn.clip/1"}  # writing a manifest again does not make it one of the other kind
    assert ("choose a file of fmn.pair/1 rows" in str(caught.value.next_step)) == is_other
    assert ("write the manifest again" in str(caught.value.next_step)) != is_other


@pytest.mark.parametrize("fold", [-1, 128, 10**18, 10**30, 1.5])
def test_a_fold_that_is_none(tmp_path: Path, fold: float) -> None:
    row = json.loads((EXAMPLES / "train.jsonl").read_text("utf-8").splitlines()[0])
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(row | {"fold": fold}) + "\n", "utf-8")
    with pytest.raises(ManifestError, match="fold"):
        list(read_rows(path, SplitPairRow))


def test_a_newer_minor_with_one_more_field_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({**GOOD, "mood": "good"}) + "\n")
    assert [row.id for row in read_rows(path, PairRow)] == ["a__b"]


@given(st.binary(max_size=200))
def test_rubbish_is_refused_and_never_crashes(tmp_path_factory: pytest.TempPathFactory, rubbish: bytes) -> None:
    path = tmp_path_factory.mktemp("rubbish") / "pairs.jsonl"
    path.write_bytes(json.dumps({**GOOD, "id": ""}).encode() + b"\n" + rubbish)
    try:
        rows = list(read_rows(path, PairRow))
    except ManifestError as error:
        assert str(path) in (error.where or "")
    else:
        assert not rubbish.strip()
        assert len(rows) == 1


def test_a_byte_order_mark_and_blank_lines_are_skipped_and_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    first, second = (json.dumps({**GOOD, "id": name}).encode() for name in "ab")
    path.write_bytes(b"\xef\xbb\xbf" + first + b"\r\n\r\n" + b"  \n" + second + b"\n\n\n")
    assert [(number, row.id) for number, row in read_numbered_rows(path, PairRow)] == [(1, "a"), (4, "b")]
    assert count_rows(path) == 2
    path.write_bytes(b"\n" + first + b"\n\n" + first + b"\n")
    with pytest.raises(ManifestError, match="does not come after") as caught:
        list(read_rows(path, PairRow))
    assert caught.value.where == f"{path}, line 4"
    path.write_bytes(first + b"\n\xef\xbb\xbf" + second + b"\n")  # two files, concatenated
    with pytest.raises(ManifestError):
        list(read_rows(path, PairRow))


def test_a_missing_manifest_says_which_command_makes_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such manifest") as caught:
        list(read_rows(tmp_path / "clips.jsonl", ClipRow))
    assert "fmn-data build" in (caught.value.next_step or "")


def test_unsorted_rows_are_not_written(tmp_path: Path, make_clip: Callable[..., ClipRow]) -> None:
    rows = [make_clip("a", 8, 1, 1), make_clip("a", 7, 1, 1)]
    with pytest.raises(ValueError, match="does not come after"):
        write_rows(tmp_path / "clips.jsonl", rows)
    assert list(tmp_path.iterdir()) == []


def test_the_workspace_is_the_parent_of_the_manifests_folder(tmp_path: Path) -> None:
    assert workspace_of(tmp_path / "manifests" / "train.jsonl") == tmp_path
    assert workspace_of(Path("x/train.jsonl"), root=tmp_path) == tmp_path


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "clips/../../secret", "clips/link"])
def test_no_path_leaves_the_workspace(tmp_path: Path, path: str) -> None:
    workspace = tmp_path / "workspace"
    (workspace / "clips").mkdir(parents=True)
    (tmp_path / "secret").write_text("x")
    (workspace / "clips" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(ManifestError, match="leaves the workspace"):
        resolve(workspace, path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    with pytest.raises(ManifestError, match=r"clips/a\.mp4"):
        resolve(tmp_path, "clips/a.mp4")
    (tmp_path / "clips" / "a.mp4").write_bytes(b"")
    assert resolve(tmp_path, "clips/a.mp4") == tmp_path / "clips" / "a.mp4"


EXAMPLES = Path(__file__).parents[2] / "manifests" / "example"
ROW_TYPES = {"clips": ClipRow, "utterances": UtteranceRow, "pairs": PairRow, "train": SplitPairRow}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("fmn.clip/1"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(sorted(ROW_TYPES)), data=st.data())
def test_any_change_of_a_row_is_read_or_refused_with_file_line_and_field(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    rows = [json.loads(line) for line in (EXAMPLES / f"{name}.jsonl").read_text("utf-8").splitlines()[:2]]
    place = rows[1]
    while isinstance(deeper := place[key := data.draw(st.sampled_from(sorted(place)))], dict) and deeper:
        if data.draw(st.booleans()):
            break
        place = deeper
    if data.draw(st.booleans()):
        del place[key]
    else:
        place[key] = data.draw(VALUES)
    path = tmp_path_factory.getbasetemp() / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    try:
        read = list(read_rows(path, ROW_TYPES[name]))
    except ManifestError as error:
        assert error.where == f"{path}, line 2"
        assert "$." in error.found or any(word in error.found for word in ("JSON", "`", "id ", "tag")), error.found
    else:
        assert len(read) == 2
        write_rows(path, read)  # and what was read can be written
        assert list(read_rows(path, ROW_TYPES[name])) == read


@pytest.mark.parametrize("at_the_start", [True, False])
def test_the_schema_of_a_nested_row_is_not_that_of_the_row(tmp_path: Path, at_the_start: bool) -> None:
    example = Path(__file__).parents[2] / "manifests" / "example" / "train.jsonl"
    row = json.loads(example.read_text(encoding="utf-8").splitlines()[0])
    schema = row.pop("schema")
    assert row["clip"]["schema"]
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(ManifestError, match="schema"):
        list(read_rows(path, SplitPairRow))
    whole = {"schema": schema} | row if at_the_start else row | {"schema": schema}
    path.write_text(json.dumps(whole) + "\n", encoding="utf-8")
    assert len(list(read_rows(path, SplitPairRow))) == 1
