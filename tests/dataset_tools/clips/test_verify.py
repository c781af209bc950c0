"""verify sees what was changed, is missing, has another length, or stands on both sides."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from dataset_tools.build.verify import verify_dataset
from dataset_tools.core.errors import InputError
from dataset_tools.core.ledger import Ledger, LedgerRow
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import (
    ClipRow,
    SplitPairRow,
    read_rows,
    write_rows,
)
from dataset_tools.pairs.split_record import SplitRecord, read_split, write_split
from dataset_tools.pairs.splits import SplitName


@pytest.fixture
def workspace(dataset: Workspace) -> Workspace:
    return dataset


def problems(place: Workspace) -> tuple[str, ...]:
    return verify_dataset(place, jobs=2).problems


def leaks(place: Workspace) -> list[str]:
    return [problem for problem in problems(place) if problem.startswith("leak")]


def change(place: Workspace, manifest: str, old: str, new: str) -> None:
    path = place.manifests / manifest
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_what_is_right_has_no_problems(workspace: Workspace) -> None:
    report = verify_dataset(workspace, jobs=2)
    assert report.problems == ()
    assert (report.rows, report.checked) == (12, 8)


def test_a_changed_or_missing_file_is_named(workspace: Workspace) -> None:
    changed, missing = sorted(workspace.clips.iterdir())[:2]
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    missing.unlink()
    found = problems(workspace)
    assert len(found) == 2
    assert f"clips/{changed.name}: The content has changed" in found[0]
    assert f"clips/{missing.name}" in found[1]
    assert "missing" in found[1]


@pytest.mark.parametrize(
    ("manifest", "old", "new"),
    [
        ("clips.jsonl", '"frames":10', '"frames":11'),
        ("clips.jsonl", '"fps":29.4', '"fps":25.0'),
        ("utterances.jsonl", '"duration_s":1.0', '"duration_s":1.5'),
        ("utterances.jsonl", '"sample_rate_hz":16000', '"sample_rate_hz":8000'),
    ],
)
def test_a_row_that_says_something_else_than_the_file(workspace: Workspace, manifest: str, old: str, new: str) -> None:
    change(workspace, manifest, old, new)
    (problem,) = problems(workspace)
    assert problem.startswith(("clips/", "speech/"))


def test_a_broken_row_is_named_and_the_rest_is_checked(workspace: Workspace) -> None:
    change(workspace, "utterances.jsonl", '"language":"en",', "")
    found = problems(workspace)
    assert len(found) == 1
    assert "utterances.jsonl, line 1" in found[0]
    assert "language" in found[0]
    assert verify_dataset(workspace).checked == 4


def test_what_stands_on_both_sides_is_a_leak(workspace: Workspace) -> None:
    train = (workspace.manifests / "train.jsonl").read_text().splitlines()
    test = (workspace.manifests / "test.jsonl").read_text().splitlines()
    (workspace.manifests / "test.jsonl").write_text(
        "\n".join([train[0].replace('"split":"train"', '"split":"test"'), *test]) + "\n"
    )
    found = problems(workspace)
    assert len(found) == 4
    assert all(problem.startswith("leak: ") for problem in found)
    record(workspace, "pairs", train=2)
    write_split(workspace.manifests, msgspec.structs.replace(read_split(workspace), test=3))
    assert all("this split is by pairs, not by items" in problem for problem in problems(workspace))


def record(place: Workspace, split: SplitName, train: int = 2) -> None:
    write_split(
        place.manifests,
        SplitRecord(split=split, test_share=0.5, seed=0, reviewed=False, train=train, test=2, dropped={}),
    )
    (place.manifests / "pairs.jsonl").touch()


def in_both(place: Workspace, field: str, value: str) -> None:
    """Gives the first training row and the first test row the same person, dish or voice."""
    for side in ("train", "test"):
        path = place.manifests / f"{side}.jsonl"
        pairs = list(read_rows(path, SplitPairRow))
        part = "utterance" if field == "voice" else "clip"
        changed = msgspec.structs.replace(getattr(pairs[0], part), **{field: value})
        pairs[0] = msgspec.structs.replace(pairs[0], **{part: changed})
        write_rows(path, pairs)


@pytest.mark.parametrize(
    ("split", "field", "leak"),
    [
        ("person", "person", "1 person is on both sides of the split: s50"),
        ("person", "voice", "1 voice is on both sides of the split: s50"),
        ("mpii", "person", "1 sequence is on both sides of the split: s50-d20"),
        ("items", "person", None),
        ("items", "voice", None),
    ],
)
def test_every_split_is_held_to_what_it_keeps_apart(
    split: SplitName, field: str, leak: str | None, workspace: Workspace
) -> None:
    record(workspace, split)
    assert problems(workspace) == ()
    in_both(workspace, field, "s50")
    first, second = "s07-d20_000001-000050", "s09-d20_000041-000090"
    if field == "voice":
        first, second = f"{first}_voice0", f"{second}_voice2"
    named = f"({first} in train, {second} in test); run fmn-data pairs again"
    assert leaks(workspace) == ([] if leak is None else [f"leak: {leak} {named}"])
    assert verify_dataset(workspace).split == split


def test_an_utterance_apart_from_the_clip_that_it_describes_is_a_leak(workspace: Workspace) -> None:
    train = list(read_rows(workspace.manifests / "train.jsonl", SplitPairRow))
    described = next(read_rows(workspace.manifests / "test.jsonl", SplitPairRow)).clip.id
    spoken = msgspec.structs.replace(train[0].utterance, clip=described)
    write_rows(workspace.manifests / "train.jsonl", [msgspec.structs.replace(train[0], utterance=spoken), train[1]])
    assert leaks(workspace) == [
        f"leak: 1 interval is on both sides of the split: {described} "
        f"({spoken.id} in train, {described} in test); run fmn-data pairs again"
    ]


def test_one_video_under_two_names_is_a_leak_with_its_ids(workspace: Workspace) -> None:
    (workspace.manifests / "build.json").write_text("{}")
    ids = [row.id for row in read_rows(workspace.manifests / "clips.jsonl", ClipRow)]
    with Ledger(workspace.ledger) as ledger:
        for clip_id in ids:  # frames 1-50, 21-70, 41-90, 61-110: the second and the third have some in common
            source = "a" * 64 if clip_id in ids[1:3] else clip_id
            ledger.record(LedgerRow(id=f"clip/{clip_id}", status="ok", stage="cut", values={"source_sha256": source}))
    (problem,) = problems(workspace)
    assert problem.startswith("leak: 1 content is on both sides")
    assert f"({ids[1]} in train, {ids[2]} in test); run fmn-data pairs again" in problem


def test_manifests_of_an_earlier_data_set_are_told(workspace: Workspace) -> None:
    record(workspace, "items", train=5)
    train = list(read_rows(workspace.manifests / "train.jsonl", SplitPairRow))
    older = msgspec.structs.replace(train[0].clip, sha256="0" * 64)
    write_rows(workspace.manifests / "train.jsonl", [msgspec.structs.replace(train[0], clip=older), train[1]])
    counted, outdated = problems(workspace)
    assert "5 training and 2 test rows, but there are 2 and 2" in counted
    assert f"1 clip or utterance in them differs from those of the data set: {older.id}" in outdated
    spoken = [msgspec.structs.replace(row.utterance, sha256="1" * 64) for row in train]
    write_rows(
        workspace.manifests / "train.jsonl",
        [msgspec.structs.replace(row, clip=older, utterance=one) for row, one in zip(train, spoken, strict=True)],
    )
    ids = ", ".join(sorted({older.id, *(row.id for row in spoken)}))
    assert any(
        f"{ids.count(',') + 1} clips or utterances in them differ from those of the data set: {ids};" in one
        for one in problems(workspace)
    )


@pytest.mark.parametrize(("values", "differs"), [({"person": "s99"}, True), ({"review": "accept"}, False)])
def test_rows_that_say_something_else_of_the_same_file_are_told(
    values: dict[str, str], differs: bool, workspace: Workspace
) -> None:
    first, *others = read_rows(workspace.manifests / "clips.jsonl", ClipRow)
    write_rows(workspace.manifests / "clips.jsonl", [msgspec.structs.replace(first, **values), *others])
    found = problems(workspace)
    assert [f"those of the data set: {first.id}; run fmn-data pairs again" in one for one in found] == [True] * differs


def test_a_broken_record_of_the_split_is_named(workspace: Workspace) -> None:
    (workspace.manifests / "pairs.jsonl").touch()
    (workspace.manifests / "split.json").write_text('{"schema":"fmn.split/1","split":"dice"}')
    (problem,) = problems(workspace)
    assert "split.json: The record of the split cannot be read" in problem


@pytest.mark.parametrize("name", ["utterances", "pairs", "train", "test"])
def test_a_manifest_that_was_written_and_is_missing_is_named(workspace: Workspace, name: str) -> None:
    record(workspace, "items")
    (workspace.manifests / "build.json").write_text("{}")
    assert problems(workspace) == ()
    (workspace.manifests / f"{name}.jsonl").unlink()
    by, command = ("build.json", "build") if name == "utterances" else ("split.json", "pairs")
    there = f"{name}.jsonl: there is no such file, but it was written with {by}; run fmn-data {command} again"
    assert problems(workspace) == (there,)


@pytest.mark.parametrize(("name", "command"), [("build.json", "build"), ("split.json", "pairs")])
def test_a_record_that_was_written_and_is_missing_is_named(workspace: Workspace, name: str, command: str) -> None:
    record(workspace, "items")
    (workspace.manifests / "build.json").write_text("{}")
    with Ledger(workspace.ledger) as ledger:
        ledger.record(LedgerRow(id="clip/a", status="failed", stage="cut"))
    assert problems(workspace) == ()
    (workspace.manifests / name).unlink()
    (problem,) = problems(workspace)
    assert problem.startswith(f"{name}: there is no such file, so ")
    assert problem.endswith(f"; run fmn-data {command} again, with the options that you gave then")


def test_manifests_that_were_made_elsewhere_need_no_records(workspace: Workspace) -> None:
    with Ledger(workspace.ledger) as ledger:
        ledger.record(LedgerRow(id="utterance/a", status="failed", stage="speak"))  # of a synthesis for them
    assert not (workspace.manifests / "pairs.jsonl").exists()
    assert problems(workspace) == ()


def test_nothing_to_verify(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no data set to verify"):
        verify_dataset(Workspace(tmp_path))


def test_rows_that_name_the_other_split_are_told(workspace: Workspace) -> None:
    change(workspace, "test.jsonl", '"split":"test"', '"split":"train"')
    assert problems(workspace) == ("test.jsonl: 1 row is marked as of the other split; run fmn-data pairs again",)
