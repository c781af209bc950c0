from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

import fmn.studies.validation_harness
import fmn.training.train
from dataset_tools.core.errors import InputError
from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from fmn.cli.main import app
from fmn.config import Config, with_values
from fmn.data.items import load_items
from fmn.data.loading import load_features
from fmn.metrics.retrieval_metrics import retrieval_metrics
from fmn.studies.held_out_classes import manifest_without
from fmn.studies.new_classes import _summary, _Trial, learn_new_classes
from fmn.studies.new_classes_leads import draws_of, leads
from fmn.studies.new_classes_table import (
    BASELINES,
    HIDDEN,
    RAW_MEANS,
    UNMAPPED,
    new_classes_table,
    new_classes_text,
)
from fmn.studies.validation_harness import ValidationHarness
from fmn.training.checkpoint import load_config, load_run
from fmn.training.run_state import read_run_state
from fmn.training.train import train

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")
NEW = "wash_thing2"


def manifest_of(workspace: Path) -> Path:
    return workspace / "manifests" / "train.jsonl"


def test_the_held_out_classes_are_not_in_the_manifest(workspace: Path) -> None:
    path = manifest_without(manifest_of(workspace), [NEW], workspace / "out")
    rows, every = list(read_rows(path, SplitPairRow)), list(read_rows(manifest_of(workspace), SplitPairRow))
    assert rows == [row for row in every if row.label.id != NEW]
    assert len(rows) == 3 * 25
    assert manifest_without(manifest_of(workspace), ["wash_thing1"], workspace / "out") != path


@pytest.fixture
def trial(workspace: Path, small: Config) -> _Trial:
    config = with_values(small, {"training.epochs": 4, "memory.novelty_threshold": 0.9})
    fewer = manifest_without(manifest_of(workspace), [NEW], workspace / "out")
    train(fewer, config, workspace / "out" / "run", root=workspace)
    harness = ValidationHarness.of(
        load_features(load_items(manifest_of(workspace)), config, device=torch.device("cpu"))
    )
    return _Trial(workspace / "out" / "run", harness, [NEW])


def test_the_memories_know_the_old_classes_until_pairs_are_written(trial: _Trial) -> None:
    items = trial.harness.prepared.items
    assert set(trial.clip_classes[trial.old_clips]) == {0, 1, 3}
    assert set(trial.clip_classes[trial.new_clips]) == {2}
    assert len(trial.old_clips) == 12  # 4 of each class are outside of fold 0
    assert int(trial.model.memory.counts.sum()) <= 12
    pairs = trial._pairs(3)
    assert len(pairs) == 3
    assert {items.clips[clip].class_id for clip in pairs[:, 0]} == {NEW}
    assert {items.utterances[row].class_id for row in pairs[:, 1]} == {NEW}
    assert not set(pairs[:, 0]) & set(trial.harness.parts.validation_clips)
    assert len(np.unique(pairs[:, 0])) == len(np.unique(pairs[:, 1])) == 3
    np.testing.assert_array_equal(trial._pairs(2), pairs[:2])

    before = trial.model.memory
    grown, written = trial._with_pairs(pairs, -1.0)
    assert written == 3
    assert grown.memory.capacity == before.capacity + 3
    assert int(grown.memory.counts.sum()) == int(before.counts.sum()) + 3
    none, written = trial._with_pairs(pairs, 0.9999999)
    assert written == 0
    assert none.memory.size == before.size
    assert torch.equal(none.memory.video_slots[: before.capacity], before.video_slots)
    for name, tensor in load_run(trial.loaded.path, torch.device("cpu")).model.named_parameters():
        assert torch.equal(tensor, dict(grown.named_parameters())[name]), name  # nothing but the memories changed


def test_each_kind_of_query_searches_the_whole_gallery(trial: _Trial) -> None:
    rows = dict(trial.rows([2]))
    assert list(rows)[:4] == ["S1 alone (memory off)", "before", "2 pairs", "2 pairs, all written"]
    for row in rows.values():
        for direction in ("audio_to_video", "video_to_audio"):
            assert (row["new"][direction]["queries"], row["old"][direction]["queries"]) == (1, 3)
            assert row["new"][direction]["gallery"] == row["old"][direction]["gallery"] == 4
            assert row["new"][direction]["chance"]["class_hit"]["1"] == pytest.approx(25)
    assert rows["before"]["written"] is None
    assert (rows["2 pairs, all written"]["written"], rows["2 pairs"]["shown"]) == (2, 2)


def test_the_study_holds_classes_out_by_seed_and_goes_on(
    workspace: Path, small: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_values(small, {"training.epochs": 2})
    options: dict[str, Any] = {"held_out": 1, "pairs": (1, 2), "seeds": 2}
    found = learn_new_classes(manifest_of(workspace), config, workspace / "out", **options)
    values = json.loads((workspace / "out" / "newclasses.json").read_text())
    assert values == found.values
    assert [len(names) for names in values["held_out"]] == [1, 1]
    for run in sorted((workspace / "out" / "trained").iterdir()):
        state = read_run_state(run)
        assert state is not None
        assert state.classes == 4 - 1
    systems = [load_config(run).system for run in sorted((workspace / "out" / "trained").iterdir())]
    assert sorted(systems) == ["fmn", "fmn", "two_classifiers", "two_classifiers"]
    rows = {row["what"]: row for row in values["rows"]}
    for count in ("1 pair", "2 pairs"):
        names = [f"{count}, {name}" for name in (UNMAPPED, *BASELINES)]
        own, *others = (np.mean([block["class_map"] for block in rows[name]["new"].values()]) for name in names)
        told = next(note for note in values["notes"] if note.startswith(f"{count}, class mAP"))
        for name, other in zip(names[1:], others, strict=True):
            assert f"{name.partition(', ')[2]} {own - other:+.1f} [" in told
    runs = {path: path.stat().st_mtime_ns for path in (workspace / "out" / "trained").glob("*/checkpoint.safetensors")}
    assert (workspace / "out" / "newclasses.png").stat().st_size > 10_000
    options["pairs"] = (1, 1, 2)  # a number that comes twice counts once
    again = learn_new_classes(manifest_of(workspace), config, workspace / "out", **options)
    assert again.values == found.values
    assert {path: path.stat().st_mtime_ns for path in runs} == runs
    text = (workspace / "out" / "newclasses.md").read_text()
    assert text == new_classes_text(values)
    console = Console(width=160, record=True, file=StringIO())
    console.print(new_classes_table(values, title="class hit"))
    shown = console.export_text()
    for row in values["rows"]:
        assert row["what"] in text
        assert row["what"] in shown
    hundreds = values | {  # the widest figures; long names are broken, not they
        "rows": [row | {"what": f"{row['what']}, all of them, written", "shown": 80} for row in values["rows"]]
    }
    for width in (100, 120):
        console = Console(width=width, record=True, file=StringIO())
        console.print(new_classes_table(hundreds | {"notes": []}, title="class hit"))
        assert "…" not in console.export_text()
    many = learn_new_classes(manifest_of(workspace), config, workspace / "out", **(options | {"pairs": (4, 9)}))
    told = [note for note in many.values["notes"] if "in training, on average" in note]
    assert told == ["9 pairs: there are only 4.0 of a new class in training, on average."]
    with monkeypatch.context() as patch:  # on features that were written anew, other networks
        for module in (fmn.studies.validation_harness, fmn.training.train):
            patch.setattr(module, "load_features", lambda *a, **o: replace(load_features(*a, **o), sources=("a", "b")))
        learn_new_classes(manifest_of(workspace), config, workspace / "out", **(options | {"seeds": 1}))
    assert len(list((workspace / "out" / "trained").iterdir())) == len(runs) + 2


def test_chance_is_the_mean_over_draws_of_classes_of_other_sizes() -> None:
    gallery = ["a", "b", "b", "b"]

    def of_draw(held: str) -> dict[str, Any]:
        none = np.zeros((1, 4), dtype=bool)
        blocks = {
            kind: retrieval_metrics(np.zeros((1, 4)), [name], gallery, none)
            for kind, name in (("new", held), ("old", "b" if held == "a" else "a"))
        }
        both_ways = {kind: {"audio_to_video": block, "video_to_audio": block} for kind, block in blocks.items()}
        return {"written": None, "shown": None, **both_ways}

    values = {
        "seeds": [0, 1],
        "held_out": [["a"], ["b"]],
        "rows": [_summary("before", [of_draw("a"), of_draw("b")])],
        "notes": [],
    }
    lines = [line for line in new_classes_text(values).splitlines() if line.startswith("| chance")]
    hits = [line.split("|")[3].strip() for line in lines[2:4]]  # class hit@1 of both kinds of queries
    assert hits == ["50.0", "50.0"]  # 25 of the draw that holds out a, 75 of the other one


def test_classes_that_cannot_be_held_out_are_refused(workspace: Path, small: Config) -> None:
    with pytest.raises(InputError, match="is called wash_thing9"):
        learn_new_classes(manifest_of(workspace), small, workspace / "out", classes=["wash_thing9"])
    with pytest.raises(InputError, match="3 of 4 classes with items on both sides of fold 0 cannot"):
        learn_new_classes(manifest_of(workspace), small, workspace / "out", held_out=3)
    rows = list(read_rows(manifest_of(workspace), SplitPairRow))
    write_rows(manifest_of(workspace), [row for row in rows if row.label.id in ("wash_thing0", "wash_thing1")])
    with pytest.raises(InputError, match="at least three such classes"):
        learn_new_classes(manifest_of(workspace), small, workspace / "out", held_out=1)
    assert not (workspace / "out").exists()


def test_a_dry_run_of_the_command_trains_nothing(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    for held_out in (["--held-out", "2"], ["--held-out-classes", "wash_thing0, wash_thing1"]):
        planned = CliRunner().invoke(app, ["newclasses", *held_out, "--seeds", "5", "--dry-run", "--json"])
        assert planned.exit_code == 0, planned.output
        values = json.loads(planned.stdout)
        assert (values["dry_run"], values["trainings"], values["held_out"]) == (True, 10, 2)
    for held_out, expected in ((["--held-out", "3"], "3 of 4 classes"), (["--held-out-classes", "no_such"], "no_such")):
        refused = CliRunner().invoke(app, ["newclasses", *held_out, "--dry-run"])
        assert refused.exit_code == 2
        assert expected in refused.output
    assert not (workspace / "runs").exists()


def test_the_command_refuses_pairs_that_are_no_numbers(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    for pairs in ("few", "0", "1,-2", ""):
        refused = CliRunner().invoke(app, ["newclasses", "--pairs", pairs])
        assert refused.exit_code == 2
        assert "number of pairs" in refused.output


def test_a_lead_is_the_mean_over_draws_with_the_interval_of_students_t() -> None:
    def figures(*values: float, old: tuple[float, ...] = (80, 80, 80)) -> list[dict[str, Any]]:
        return [
            {kind: {way: {"class_map": value} for way in ("a", "b")} for kind, value in (("new", new), ("old", was))}
            for new, was in zip(values, old, strict=True)
        ]

    rows = {
        "before": figures(0, 0, 0),
        f"5 pairs, {UNMAPPED}": figures(50, 54, 58, old=(79, 78, 80)),
        **{f"5 pairs, {name}": figures(10, 10, 10) for name in BASELINES},
        f"5 pairs, {HIDDEN}": figures(47, 50, 53),
    }
    # differences 3, 4, 5: sd 1, and t of 2 degrees of freedom is 4.303; 40, 44, 48: sd 4; −1, −2, 0: sd 1
    ahead, cost = leads([draws_of(rows)], [1, 5])
    assert f"{HIDDEN} +4.0 [+1.5, +6.5]" in ahead
    assert f"{RAW_MEANS} +44.0 [+34.1, +53.9]" in ahead
    assert f"{UNMAPPED} less before: -1.0 [-3.5, +1.5]" in cost

    second = {**draws_of(rows), f"5 pairs, {UNMAPPED}": {"new": [56.0], "old": [79.0]}}
    second |= {f"5 pairs, {name}": {"new": [50.0], "old": [0.0]} for name in BASELINES} | {
        "before": {"new": [0.0], "old": [80.0]}
    }
    # of data sets: means 4 and 6, sd of both √2, t of one degree of freedom 12.706
    ahead, _ = leads([draws_of(rows), second], [5])
    assert f"{HIDDEN} +5.0 [-7.7, +17.7]" in ahead
