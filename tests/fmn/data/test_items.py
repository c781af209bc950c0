from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from dataset_tools.core.errors import InputError, ManifestError
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from dataset_tools.speech.recordings.consents import withdraw
from fmn.data.footage import Footage
from fmn.data.items import load_items, train_val_split


def lines_of(manifest: Path) -> list[SplitPairRow]:
    return list(read_rows(manifest, SplitPairRow))


def test_every_clip_and_utterance_comes_once_and_pairs_lead_back_to_the_rows(workspace: Path) -> None:
    manifest = workspace / "manifests" / "train.jsonl"
    items, rows = load_items(manifest), lines_of(manifest)
    assert (len(items.clips), len(items.utterances), len(items.classes), len(items.pairs)) == (20, 20, 4, 100)
    for (clip, utterance), fold, row in zip(items.pairs, items.folds, rows, strict=True):
        assert items.clips[clip] == row.clip
        assert items.utterances[utterance] == row.utterance
        assert fold == row.fold
        assert items.classes[items.clip_classes[clip]] == row.label
        assert items.classes[items.utterance_classes[utterance]] == row.label
    assert [clip.id for clip in items.clips] == sorted({row.clip.id for row in rows})
    assert items.split == "train"
    assert items.workspace == workspace.resolve()


def test_recordings_of_a_speaker_who_withdrew_are_refused(workspace: Path) -> None:
    manifest, place = workspace / "manifests" / "train.jsonl", Workspace(workspace)
    rows = lines_of(manifest)
    voice = rows[5].utterance.voice
    withdraw(place, voice)  # and the command that removes the recordings was killed
    assert len(load_items(manifest).pairs) == 100  # an engine's voice of that name withdraws nothing
    recorded = msgspec.structs.replace(rows[5].utterance, source="recorded")
    write_rows(manifest, [*rows[:5], msgspec.structs.replace(rows[5], utterance=recorded), *rows[6:]])
    with pytest.raises(InputError, match="has withdrawn consent") as refused:
        load_items(manifest)
    assert f"speech forget {voice}" in str(refused.value.next_step)


def test_partners_are_the_clips_that_utterances_describe(workspace: Path) -> None:
    items = load_items(workspace / "manifests" / "test.jsonl")
    matrix = items.partner_matrix
    for i, clip in enumerate(items.clips):
        for j, utterance in enumerate(items.utterances):
            assert matrix[i, j] == (utterance.clip == clip.id)
            assert items.relevant[i, j] == (utterance.class_id == clip.class_id)
    assert items.folds.tolist() == [-1] * len(items.pairs)


def test_an_utterance_of_no_clip_here_has_no_partner(workspace: Path) -> None:
    manifest = workspace / "manifests" / "test.jsonl"
    rows = lines_of(manifest)
    free = rows[0].utterance.id
    write_rows(
        manifest,
        [
            msgspec.structs.replace(row, utterance=msgspec.structs.replace(row.utterance, clip=None))
            if row.utterance.id == free
            else row
            for row in rows
        ],
    )
    items = load_items(manifest)
    column = [row.id for row in items.utterances].index(free)
    assert not items.partner_matrix[:, column].any()
    assert items.partner_matrix.sum() == len(items.utterances) - 1


def test_fold_0_is_set_apart_with_all_its_items(workspace: Path) -> None:
    items = load_items(workspace / "manifests" / "train.jsonl")
    parts = train_val_split(items)
    # Item i of a class is in fold i, a mixed pair in the lower fold: 1 of 5 items validates, 4 × 4 pairs are fitted.
    assert (len(parts.train_clips), len(parts.validation_clips), len(parts.train_pairs)) == (16, 4, 64)
    assert {items.clips[index].person for index in parts.validation_clips} == {"s00"}
    assert {items.utterances[index].voice for index in parts.validation_utterances} == {"voice0"}
    assert not set(parts.train_pairs[:, 0]) & set(parts.validation_clips)
    assert not set(parts.train_pairs[:, 1]) & set(parts.validation_utterances)
    assert parts.validates
    assert not parts.leaks


def test_a_split_of_pairs_validates_on_items_it_knows_and_says_so(workspace: Path) -> None:
    manifest = workspace / "manifests" / "train.jsonl"
    write_rows(manifest, [msgspec.structs.replace(row, fold=n % 5) for n, row in enumerate(lines_of(manifest))])
    parts = train_val_split(load_items(manifest))
    assert len(parts.train_pairs) == 80
    assert parts.leaks
    assert parts.validates


def test_without_folds_everything_is_fitted(workspace: Path) -> None:
    parts = train_val_split(load_items(workspace / "manifests" / "test.jsonl"))
    assert len(parts.train_pairs) == 36
    assert not parts.validates
    assert not parts.leaks


def test_nothing_but_fold_0_is_refused(workspace: Path) -> None:
    manifest = workspace / "manifests" / "train.jsonl"
    write_rows(manifest, [msgspec.structs.replace(row, fold=0) for row in lines_of(manifest)])
    with pytest.raises(InputError, match="every pair is in fold 0"):
        train_val_split(load_items(manifest))


def test_items_that_failed_leave_with_their_pairs(workspace: Path) -> None:
    items = load_items(workspace / "manifests" / "train.jsonl")
    lost_clip, lost_utterance = items.clips[3], items.utterances[7]
    left = items.of_ids(
        {row.id for row in items.clips} - {lost_clip.id}, {row.id for row in items.utterances} - {lost_utterance.id}
    )
    assert lost_clip not in left.clips
    assert lost_utterance not in left.utterances
    expected = [
        (items.clips[clip].id, items.utterances[utterance].id, fold)
        for (clip, utterance), fold in zip(items.pairs, items.folds, strict=True)
        if items.clips[clip] != lost_clip and items.utterances[utterance] != lost_utterance
    ]
    found = [
        (left.clips[clip].id, left.utterances[utterance].id, fold)
        for (clip, utterance), fold in zip(left.pairs, left.folds, strict=True)
    ]
    assert found == expected
    for i, clip in enumerate(left.clips):
        assert left.classes[left.clip_classes[i]].id == clip.class_id
        for j, utterance in enumerate(left.utterances):
            assert left.partner_matrix[i, j] == (utterance.clip == clip.id)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row["clip"].update(sha256="0" * 64), "The clip .* differs from the same clip"),
        (lambda row: row["utterance"].update(text="?"), "The utterance .* differs from the same utterance"),
        (lambda row: row["class"].update(action="cut"), "The class .* differs from the same class"),
        (lambda row: row["class"].update(id="wash_thing9"), "The pair is of class 'wash_thing9', its clip of"),
        (lambda row: row.update(split="test"), "mixes training and test pairs"),
    ],
)
def test_rows_that_contradict_each_other_are_named(workspace: Path, change: object, message: str) -> None:
    manifest = workspace / "manifests" / "train.jsonl"
    lines = manifest.read_text().splitlines()
    row = json.loads(lines[41])
    change(row)  # type: ignore[operator]
    lines[41] = json.dumps(row)
    manifest.write_text("\n".join(lines) + "\n")
    with pytest.raises(ManifestError, match=message) as raised:
        load_items(manifest)
    assert raised.value.where == f"{manifest}, line 42"


def test_lines_are_counted_with_blank_ones(workspace: Path) -> None:
    manifest = workspace / "manifests" / "train.jsonl"
    lines = manifest.read_text().splitlines()
    manifest.write_bytes(b"\xef\xbb\xbf" + "\n\n".join(lines).encode() + b"\n\n")
    assert len(load_items(manifest).pairs) == 100
    row = json.loads(lines[41])
    row["clip"]["sha256"] = "0" * 64
    lines[41] = json.dumps(row)
    manifest.write_text("\n\n".join(lines))
    with pytest.raises(ManifestError, match="differs from the same clip") as raised:
        load_items(manifest)
    assert raised.value.where == f"{manifest}, line 83"


def test_a_pair_that_is_listed_twice_is_refused(workspace: Path) -> None:
    manifest = workspace / "manifests" / "train.jsonl"
    rows = lines_of(manifest)
    copies = [msgspec.structs.replace(rows[number], id=f"z-{number}") for number in (70, 30)]
    write_rows(manifest, sorted([*rows, *copies], key=lambda row: row.id))
    with pytest.raises(ManifestError, match="is listed twice") as refused:
        load_items(manifest)
    assert f"{rows[30].id!r} and 'z-30'" in refused.value.found
    assert rows[30].clip.id in refused.value.found
    assert rows[30].utterance.id in refused.value.found


def test_ids_of_classes_that_look_the_same_are_refused(workspace: Path) -> None:
    manifest = workspace / "manifests" / "train.jsonl"
    rows = lines_of(manifest)

    def of_class(row: SplitPairRow, name: str) -> SplitPairRow:
        items = (msgspec.structs.replace(item, class_id=name) for item in (row.clip, row.utterance))
        clip, utterance = items
        label = msgspec.structs.replace(row.label, id=name)
        return msgspec.structs.replace(row, label=label, clip=clip, utterance=utterance)

    names = {"wash_thing0": "caf\u00e9", "wash_thing2": "cafe\u0301"}
    write_rows(manifest, [of_class(row, names.get(row.label.id, row.label.id)) for row in rows])
    with pytest.raises(ManifestError, match="two classes look the same") as refused:
        load_items(manifest)
    assert r"'caf\xe9'" in refused.value.found
    assert r"'cafe\u0301'" in refused.value.found
    write_rows(manifest, [of_class(row, names["wash_thing2"]) for row in rows if row.label.id == "wash_thing2"])
    assert len(load_items(manifest).classes) == 1


def test_an_empty_manifest_is_refused(tmp_path: Path) -> None:
    manifest = tmp_path / "train.jsonl"
    manifest.write_bytes(b"")
    with pytest.raises(InputError, match="The manifest is empty"):
        load_items(manifest)


def test_a_stand_in_is_known_from_build_json(workspace: Path) -> None:
    manifest = workspace / "manifests" / "test.jsonl"
    assert load_items(manifest).standin is None
    build = workspace / "manifests" / "build.json"
    build.write_text(json.dumps({"stand_in": {"seed": 3}}))
    assert load_items(manifest).standin == {"seed": 3}
    build.write_text(json.dumps({"stand_in": None}))
    assert load_items(manifest).standin is None
    build.write_text("{")
    with pytest.raises(InputError, match="not a JSON object"):
        load_items(manifest)


def test_copied_manifests_have_the_footage_of_the_workspace(workspace: Path, tmp_path: Path) -> None:
    copied = tmp_path / "mine" / "train.jsonl"
    copied.parent.mkdir()
    copied.write_bytes((workspace / "manifests" / "train.jsonl").read_bytes())
    assert load_items(copied, workspace).footage == Footage(None, is_recorded=False)
    (workspace / "manifests" / "build.json").write_text(json.dumps({"stand_in": {"seed": 3}}))
    assert load_items(copied, workspace).footage == Footage({"seed": 3}, is_recorded=False)
    assert load_items(copied, tmp_path).footage == Footage(None, is_recorded=False)
    copied.with_name("build.json").write_text(json.dumps({"stand_in": None}))
    assert load_items(copied, workspace).footage == Footage(None, is_recorded=True)


def test_files_are_looked_for_in_the_workspace(workspace: Path, tmp_path: Path) -> None:
    manifest = workspace / "manifests" / "train.jsonl"
    media = load_items(manifest).clip_media()
    assert all(item.path.is_file() for item in media)
    moved = load_items(manifest, tmp_path)
    with pytest.raises(ManifestError, match="is missing"):
        moved.utterance_media()
    assert np.array_equal(moved.pairs, load_items(manifest).pairs)
