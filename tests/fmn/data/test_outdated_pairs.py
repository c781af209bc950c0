"""Pairs that are older than the clips and utterances beside them are told, and no others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest
from typer.testing import CliRunner

from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, PairRow, SplitPairRow, UtteranceRow, read_rows, write_rows
from dataset_tools.speech.recordings.consents import withdraw
from fmn.cli.main import app
from fmn.config import Config, with_values
from fmn.data.items import load_items
from fmn.data.outdated_pairs import outdated_pairs
from fmn.evaluation.evaluate import evaluate
from fmn.training.train import train


@pytest.fixture
def manifests(workspace: Path) -> Path:
    """The manifests of a data set whose pairs are up to date."""
    folder = workspace / "manifests"
    pairs = [pair for side in ("train", "test") for pair in read_rows(folder / f"{side}.jsonl", SplitPairRow)]
    clips, utterances = {one.clip.id: one.clip for one in pairs}, {one.utterance.id: one.utterance for one in pairs}
    write_rows(folder / "clips.jsonl", [clips[name] for name in sorted(clips)])
    write_rows(folder / "utterances.jsonl", [utterances[name] for name in sorted(utterances)])
    rows = [PairRow(id=one.id, class_id=one.label.id, clip=one.clip.id, utterance=one.utterance.id) for one in pairs]
    write_rows(folder / "pairs.jsonl", sorted(rows, key=lambda row: row.id))
    (folder / "split.json").write_text('{"schema":"fmn.split/1","reviewed":false}')
    assert outdated_pairs(load_items(folder / "train.jsonl")) == ()
    return folder


def change(folder: Path, changed: Callable[[UtteranceRow], dict[str, Any]], most: int = 1) -> list[str]:
    """Changes the first utterances; returns their ids before."""
    rows = list(read_rows(folder / "utterances.jsonl", UtteranceRow))
    others = [msgspec.structs.replace(row, **changed(row)) for row in rows[:most]] + rows[most:]
    write_rows(folder / "utterances.jsonl", sorted(others, key=lambda row: row.id))
    return [row.id for row in rows[:most]]


def test_speech_that_was_made_again_is_told_and_a_verdict_is_not(
    manifests: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(manifests, lambda row: {"review": "reject"})
    assert outdated_pairs(load_items(manifests / "train.jsonl")) == ()
    changed = change(manifests, lambda row: {"sha256": "0" * 64}, most=4)
    (told,) = outdated_pairs(load_items(manifests / "train.jsonl"))
    assert f"4 clips or utterances of train.jsonl changed or removed: {', '.join(changed[:3])}, and 1 more" in told
    monkeypatch.chdir(manifests)
    assert outdated_pairs(load_items(Path("train.jsonl"))) == (told,)
    assert f"fmn-data pairs --workspace {manifests.parent}, and" in told
    kept = Path(shutil.copytree(manifests, manifests.parent / "kept"))
    shutil.copy(manifests / "train.jsonl", manifests / "own.jsonl")
    for path in (kept / "train.jsonl", manifests / "own.jsonl"):  # fmn-data pairs would not write it again
        assert outdated_pairs(load_items(path)) == ()
    with monkeypatch.context() as patch:
        patch.setattr("fmn.data.outdated_pairs.read_rows", Mock(side_effect=PermissionError))
        assert outdated_pairs(load_items(manifests / "train.jsonl")) == ()
    for name in ("clips", "utterances"):  # a manifest that is alone says nothing
        shutil.copy(manifests / "train.jsonl", manifests.parent)
        assert outdated_pairs(load_items(manifests.parent / "train.jsonl", manifests.parent)) == ()
        (manifests / f"{name}.jsonl").write_text("{}\n")  # nor does one beside rows that cannot be read
        assert outdated_pairs(load_items(manifests / "train.jsonl")) == ()


@pytest.mark.usefixtures("made_features", "one_thread")
def test_recordings_in_place_of_voices_are_told_as_removed_and_as_in_no_pair(manifests: Path, small: Config) -> None:
    [name] = change(manifests, lambda row: {"id": "recording", "clip": None})
    (told,) = outdated_pairs(load_items(manifests / "train.jsonl"))
    assert f"1 clip or utterance of train.jsonl changed or removed: {name}; 1 clip or utterance in no pair" in told
    warnings: list[str] = []
    config = with_values(small, {"training.epochs": 1, "training.pairs_per_epoch": 16})
    run = manifests.parent / "runs" / "one"
    train(manifests / "train.jsonl", config, run, warn=warnings.append)
    assert warnings == [told]
    assert any(note.startswith("test.jsonl is older") for note in evaluate(run, manifests / "test.jsonl").notes)


def test_speech_of_a_speaker_who_withdrew_is_not_missed(manifests: Path) -> None:
    """A killed removal leaves it, and `fmn-data pairs` leaves it out."""
    rows = list(read_rows(manifests / "utterances.jsonl", UtteranceRow))
    left = msgspec.structs.replace(rows[0], id="left", source="recorded", voice="gone")
    write_rows(manifests / "utterances.jsonl", sorted([*rows, left], key=lambda row: row.id))
    assert outdated_pairs(load_items(manifests / "train.jsonl"))
    withdraw(Workspace(manifests.parent), "gone")
    assert outdated_pairs(load_items(manifests / "train.jsonl")) == ()


@pytest.mark.parametrize("split", ['{"reviewed":false}', '{"reviewed":true}', "{", None])
def test_a_clip_that_was_added_is_told_where_all_are_paired(manifests: Path, split: str | None) -> None:
    first, *others = read_rows(manifests / "clips.jsonl", ClipRow)
    alone = msgspec.structs.replace(first, id="zz", class_id="without_speech")  # has nothing to be paired with
    write_rows(manifests / "clips.jsonl", [first, *others, msgspec.structs.replace(first, id="z"), alone])
    (manifests / "split.json").unlink() if split is None else (manifests / "split.json").write_text(split)
    told = outdated_pairs(load_items(manifests / "train.jsonl"))
    if split == '{"reviewed":false}':
        assert "(1 clip or utterance in no pair: z)" in told[0]
        with (manifests / "pairs.jsonl").open("ab") as rows:
            rows.write(b'{"clip":"\xff","utterance":""}\n')
        assert outdated_pairs(load_items(manifests / "train.jsonl")) == ()
        (manifests / "pairs.jsonl").unlink()
    assert outdated_pairs(load_items(manifests / "train.jsonl")) == ()


def test_a_comparison_is_told_before_it_trains(manifests: Path) -> None:
    change(manifests, lambda row: {"sha256": "0" * 64})
    command = ["compare", str(manifests / "train.jsonl"), str(manifests / "test.jsonl"), "--models", "cca", "--dry-run"]
    done = CliRunner().invoke(app, [*command, "--seeds", "1", "--out", str(manifests.parent / "compare")])
    assert done.exit_code == 0, done.output
    assert "train.jsonl is older than" in " ".join(done.output.split())
