from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.markup import escape

import fmn.comparison.comparison_runs
import fmn.models.baselines
from dataset_tools.core.errors import InputError, StoppedError
from fmn.comparison.compare import _shared, compare
from fmn.comparison.comparison_plan import Comparison, describe, plan
from fmn.comparison.comparison_runs import _kill, _pool, read_scores, run_tasks
from fmn.comparison.output_files import write_files
from fmn.comparison.rendering import rich_tables
from fmn.comparison.results import Results
from fmn.comparison.table import QUOTED, blocks, significantly_best
from fmn.config import Config
from fmn.data.items import load_items
from fmn.metrics.retrieval_metrics import query_metrics, recall_at_k
from fmn.training.run_state import read_run_state

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")

# One that cannot be trained, beside those that can.
BROKEN = """
from fmn.models.baselines.cca import CanonicalCorrelation
from fmn.models.system_interface import System


class Broken(CanonicalCorrelation):
    def losses(self, batch):
        raise RuntimeError("this one is broken")


SYSTEM = System(name="broken", summary="fails", build=Broken)
"""
GREEDY = """
from dataclasses import replace
from fmn.models.baselines.cca import SYSTEM as CCA

SYSTEM = replace(CCA, name="greedy", grid=lambda config: [{"options.dims": 10 + number} for number in range(30)])
"""
KILLED = """
import os, signal, time
from fmn.comparison.comparison_runs import _pool

if __name__ == "__main__":
    pool = _pool(1)
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 60)
    os.kill(os.getpid(), signal.SIGKILL)
"""
CHANGES = {
    "audio.n_mfcc": 4,
    "audio.n_mels": 8,
    "audio.deltas": 1,
    "model.hidden_size": 8,
    "model.frame_stack": 2,
    "model.embed_dim": 8,
    "model.head_hidden_size": 16,
    "memory.capacity": 10,
    "training.epochs": 2,
    "training.batch_size": 8,
    "training.pairs_per_epoch": 32,
    "training.validate_every": 1,
    "training.threads": 1,
    "training.augment.coefficient_mask_width": 1,
}


@pytest.fixture
def planned(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Comparison]:
    (tmp_path / "systems").mkdir()
    (tmp_path / "systems" / "broken.py").write_text(BROKEN)
    monkeypatch.setattr(fmn.models.baselines, "__path__", [*fmn.models.baselines.__path__, str(tmp_path / "systems")])
    monkeypatch.delitem(sys.modules, "fmn.models.baselines.broken", raising=False)

    def made(*models: str, budget: int = 2, seeds: int = 2, **others: Any) -> Comparison:
        manifests = workspace / "manifests"
        return plan(
            manifests / "train.jsonl",
            manifests / "test.jsonl",
            workspace / "runs" / "compare",
            models=models,
            changes=CHANGES,
            budget=budget,
            seeds=seeds,
            device="cpu",
            **others,
        )

    return made


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that are trained, by folder."""
    found: list[str] = []
    usual = fmn.comparison.comparison_runs.train

    def counted(manifest: Path, config: Config, run: Path, **others: Any) -> Any:
        found.append(f"{config.system} {run.parent.name[0]} {run.name}")
        return usual(manifest, config, run, **others)

    monkeypatch.setattr(fmn.comparison.comparison_runs, "train", counted)
    return found


def test_every_system_gets_its_budget_and_every_winner_its_seeds(
    planned: Callable[..., Comparison], trainings: list[str]
) -> None:
    done: list[tuple[int, int]] = []
    comparison = planned("fmn", "cca", "lengths")
    results = compare(comparison, progress=lambda stage, now, total, note="": done.append((now, total)))
    systems = results.values["systems"]
    assert results.failed == {}
    assert [len(systems[name]["configurations"]) for name in ("fmn", "cca", "lengths")] == [2, 2, 1]
    for name in ("fmn", "cca", "lengths"):
        tried = [each["validation_map"] for each in systems[name]["configurations"]]
        chosen = int(np.argmax(tried))
        assert systems[name]["chosen"] == systems[name]["configurations"][chosen]["changes"]
        assert len([run for run in trainings if run.startswith(f"{name} ")]) == len(tried) + 2
        assert f"{name} {chosen} 1" in trainings
        assert [Path(run).name for run in systems[name]["runs"]] == ["0", "1"]
        assert systems[name]["seconds"] > 0
        assert systems[name]["cpu_seconds"] > 0
        assert systems[name]["tuning_cpu_seconds"] > 0
    assert comparison.runs == len(trainings) == 4 + 4 + 3
    counts = [pair for pair in done if pair[1] == comparison.runs]
    assert counts[-1] == (11, 11)
    assert all(now <= total for now, total in done)


def test_every_system_is_tested_with_fold_0_trained_on(planned: Callable[..., Comparison]) -> None:
    comparison = planned("fmn", "class_towers", "two_classifiers", "kcca", "lengths", seeds=2, budget=1)
    items = load_items(comparison.train)
    outside = set(items.pairs[items.folds != 0, 0].tolist())  # clips that are fitted where fold 0 chooses
    assert 0 < len(outside) < len(items.clips)
    values = compare(comparison).values
    for name, system in values["systems"].items():
        (tried,) = system["configurations"]
        chosen = read_run_state(Path(tried["run"]))
        assert chosen is not None
        assert len(chosen.fitted_clips) == len(outside), name
        for run in map(Path, system["runs"]):
            state = read_run_state(run)
            assert state is not None
            assert state.fitted_clips == [row.id for row in items.clips], name
            assert state.fitted_utterances == [row.id for row in items.utterances], name
            assert state.epoch == tried["best_epoch"], name


def test_windows_and_trials_are_the_same_for_every_system(workspace: Path) -> None:
    manifests = workspace / "manifests"
    for budget, expected in ((1, 1), (3, 3), (9, 4)):
        comparison = plan(
            *(manifests / f"{side}.jsonl" for side in ("train", "test")),
            workspace / "runs",
            changes={"video.windows": 4},
            budget=budget,
            device="cpu",
        )
        trials = {name: len(tried) for name, tried in comparison.candidates.items()}
        nothing_to_tune = {name: trials.pop(name) for name in ("lengths", "file_size")}
        assert set(nothing_to_tune.values()) == {1}
        assert set(trials.values()) == {expected}, trials
        every = [each.config for tried in comparison.candidates.values() for each in tried]
        assert {config.video.windows for config in every} == {4}
        assert {config.training.augment for config in every} == {every[0].training.augment}
        assert not any(config.training.refit for config in every)


def test_a_longer_grid_brings_no_more_trials(
    planned: Callable[..., Comparison], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "systems" / "greedy.py").write_text(GREEDY)
    monkeypatch.delitem(sys.modules, "fmn.models.baselines.greedy", raising=False)
    tried = planned("fmn", "greedy", "lengths", budget=20).candidates
    assert {name: len(each) for name, each in tried.items()} == {"fmn": 4, "greedy": 4, "lengths": 1}


def test_what_was_tuned_for_memories_alone_is_said(planned: Callable[..., Comparison]) -> None:
    values = compare(planned("lengths", seeds=1, budget=1)).values
    assert any("memory.capacity" in note and "more than any other system had" in note for note in values["notes"])


def average_precision(scores: NDArray[Any], wanted: NDArray[np.bool_]) -> float:
    """Of scores that are all different: the precision at the place of each wanted item, averaged."""
    places = np.flatnonzero(wanted[np.argsort(-scores)])
    return float(np.mean([(number + 1) / (place + 1) for number, place in enumerate(places)]))


def test_figures_are_means_over_seeds_of_the_scores_that_were_kept(planned: Callable[..., Comparison]) -> None:
    comparison = planned("fmn", "two_classifiers", seeds=3, budget=1)
    values = compare(comparison).values
    items_classes = np.repeat(np.arange(4), 3)
    relevant = items_classes[:, None] == items_classes[None]
    for system in values["systems"].values():
        hits, recalls, precisions = [], [], []
        for run in system["runs"]:
            scores = read_scores(Path(run), comparison.test_sha256)
            assert scores is not None
            order = np.argsort([name.partition("-d")[2] for name in scores.clips], kind="stable")  # by class
            spoken = np.argsort([name.partition("-d")[2] for name in scores.utterances], kind="stable")
            matrix = scores.values[order][:, spoken].T
            hits.append(recall_at_k(matrix, relevant, ks=(1,))[1])
            recalls.append(100 * query_metrics(matrix, relevant, ks=(10,)).recalls[10].mean())
            precisions += [average_precision(row, wanted) for row, wanted in zip(matrix, relevant, strict=True)]
            assert json.loads((Path(run) / "metrics.json").read_text())["audio_to_video"]["class_hit"]["1"] == hits[-1]
        found = system["metrics"]["audio_to_video"]
        assert found["class_hit"]["1"]["mean"] == pytest.approx(np.mean(hits))
        assert found["class_hit"]["1"]["sd"] == pytest.approx(np.std(hits, ddof=1))
        assert found["class_recall"]["10"]["mean"] == pytest.approx(np.mean(recalls))
        assert found["class_map"]["all"]["mean"] == pytest.approx(100 * np.mean(precisions), abs=1e-3)
        by_class = np.reshape(precisions, (3, 4, 3)).mean((0, 2))  # [seeds, classes, queries of each]
        assert system["by_class"]["audio_to_video"]["class_map"]["all"] == pytest.approx(100 * by_class, abs=1e-3)
    assert values["class_queries"]["audio_to_video"]["class_map"] == [3, 3, 3, 3]
    assert values["references"]["ceiling"]["audio_to_video"]["class_map"]["all"] == 100
    by_chance = [average_precision(row, relevant[0]) for row in np.random.default_rng(0).random((4000, 12))]
    found = values["references"]["chance"]["audio_to_video"]["class_map"]["all"]
    assert found == pytest.approx(100 * np.mean(by_chance), abs=1.5)
    apart = values["systems"]["two_classifiers"]["difference"]["audio_to_video"]["class_hit"]["1"]
    means = {
        name: each["metrics"]["audio_to_video"]["class_hit"]["1"]["mean"] for name, each in values["systems"].items()
    }
    assert apart["mean"] == pytest.approx(means["two_classifiers"] - means["fmn"])
    assert apart["low"] <= apart["mean"] <= apart["high"]
    assert apart["levels"] == {"class": 4, "voice": 3, "seed": 3}
    assert "difference" not in values["systems"]["fmn"]


def test_what_is_finished_is_not_trained_again(planned: Callable[..., Comparison], trainings: list[str]) -> None:
    first = compare(planned("fmn", "dcca")).values
    count = len(trainings)
    assert count == 8
    assert compare(planned("fmn", "dcca")).values == first
    assert len(trainings) == count
    more = compare(planned("fmn", "dcca", "cca", seeds=3)).values
    assert sorted(trainings[count:])[-2:] == [f"{name} {_number(more, name)} 2" for name in ("dcca", "fmn")]
    assert len(trainings) == count + 1 + 1 + 5  # one seed more of either, and all of the new one


def test_one_that_fails_does_not_stop_the_others_and_is_tried_again(
    planned: Callable[..., Comparison], trainings: list[str], tmp_path: Path
) -> None:
    results = compare(planned("broken", "cca"))
    assert list(results.failed) == ["broken"]
    assert "this one is broken" in results.failed["broken"]
    assert "metrics" in results.values["systems"]["cca"]
    written = write_files(results.values, tmp_path / "out")
    text = (tmp_path / "out" / "compare.md").read_text()
    assert "| broken | failed |" in text
    assert "broken failed: RuntimeError: this one is broken" in text
    assert (tmp_path / "out" / "compare.png") in written
    count = len(trainings)
    compare(planned("broken", "cca"))
    assert {run.split()[0] for run in trainings[count:]} == {"broken"}


def test_a_configuration_that_fails_has_lost(
    planned: Callable[..., Comparison], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = fmn.comparison.comparison_runs.train

    def failing(manifest: Path, config: Config, run: Path, **others: Any) -> Any:
        if run.parent.name.startswith("0-"):
            raise StoppedError("The memory is full")  # as a large batch can make it
        return usual(manifest, config, run, **others)

    monkeypatch.setattr(fmn.comparison.comparison_runs, "train", failing)
    results = compare(planned("vmnet", seeds=1))
    system = results.values["systems"]["vmnet"]
    assert results.failed == {}
    assert system["configurations"][0]["error"]["found"] == "The memory is full"
    assert system["chosen"] == system["configurations"][1]["changes"]


def test_an_interrupt_stops_everything(planned: Callable[..., Comparison], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise StoppedError("Training was interrupted") from error

    monkeypatch.setattr(fmn.comparison.comparison_runs, "train", interrupted)
    with pytest.raises(StoppedError, match="interrupted"):
        compare(planned("cca", "fmn"))


def test_a_command_that_ends_takes_its_workers_with_it() -> None:
    pool = _pool(1)
    pool.submit(time.sleep, 60)
    started = [*pool._processes.values()]
    _kill(pool)
    for process in started:
        process.join(20)
        assert process.exitcode is not None
    pool.shutdown()


def test_a_command_that_is_killed_takes_its_workers_with_it(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    killed = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)
    worker = int(killed.stdout)
    assert killed.returncode == -signal.SIGKILL
    for _ in range(200):
        if not Path(f"/proc/{worker}").exists():
            return
        time.sleep(0.1)
    pytest.fail("the worker lives on")


def test_with_several_jobs_a_run_has_a_process_of_its_own(planned: Callable[..., Comparison]) -> None:
    # The made-up features are of this process; in another one the empty files are what they are: nothing to train on.
    comparison = planned("lengths", "file_size", seeds=1)
    tasks = [tried[0].task(comparison, 0, is_tested=True) for tried in comparison.candidates.values()]
    found = {outcome.task.system: outcome for outcome in run_tasks(tasks, jobs=2)}
    assert found["lengths"].error is not None
    assert "No pair is left" in found["lengths"].error.found
    assert found["file_size"].error is None  # an empty file has a size
    assert read_scores(tasks[1].run, comparison.test_sha256) is not None


def test_scores_of_another_manifest_do_not_count(planned: Callable[..., Comparison]) -> None:
    comparison = planned("lengths", seeds=1)
    compare(comparison)
    run = comparison.candidates["lengths"][0].refitted(1).folder / "0"
    assert read_scores(run, comparison.test_sha256) is not None
    assert read_scores(run, "0" * 64) is None
    (run / "scores.safetensors").write_bytes(b"torn")
    assert read_scores(run, comparison.test_sha256) is None


def test_what_cannot_be_compared_is_refused(planned: Callable[..., Comparison], workspace: Path) -> None:
    with pytest.raises(InputError, match="There is no system 'gpt'"):
        planned("fmn", "gpt")
    with pytest.raises(InputError, match="no such manifest"):
        plan(workspace / "train.jsonl", workspace / "test.jsonl", workspace / "runs")
    with pytest.raises(InputError, match=r"options\.ridge is unknown"):
        plan(
            workspace / "manifests" / "train.jsonl",
            workspace / "manifests" / "test.jsonl",
            workspace / "runs",
            models=["cca", "fmn"],
            changes={"options.ridge": 0.1},
        )
    with pytest.raises(InputError, match="trains on fold 0"):
        plan(
            workspace / "manifests" / "train.jsonl",
            workspace / "manifests" / "test.jsonl",
            workspace / "runs",
            changes={"training.refit": True},
        )
    assert not (workspace / "runs").exists()


def test_items_of_both_manifests_are_counted(workspace: Path) -> None:
    train, test = (load_items(workspace / "manifests" / f"{name}.jsonl") for name in ("train", "test"))
    assert _shared(train, test) == ()
    count, spoken = len(train.clips), len(train.utterances)
    (note,) = _shared(train, train)
    assert f"{count} of the {count} clips and {spoken} of the {spoken} utterances to test on are in the" in note


def test_changes_are_named_for_people() -> None:
    assert describe({}) == "as it is"
    assert describe({"training.learning_rate": 0.001, "training.negatives": "hard"}) == (
        "learning_rate=0.001, negatives=hard"
    )


@pytest.fixture
def results(planned: Callable[..., Comparison]) -> Results:
    return compare(planned("fmn", "cca", "file_size", "musimnet", seeds=2, budget=1))


@pytest.mark.filterwarnings("ignore:.*Glyph.*")
def test_all_files_are_written_and_agree(results: Results, tmp_path: Path) -> None:
    written = write_files(results.values, tmp_path / "out", latex=True)
    names = {"compare.json", "compare.md", "compare.csv", "compare.tex", "compare.png"}
    assert {path.name for path in written} == names == {path.name for path in (tmp_path / "out").iterdir()}
    values = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert values == results.values

    text = (tmp_path / "out" / "compare.md").read_text()
    figure = values["systems"]["cca"]["metrics"]["audio_to_video"]["class_hit"]["1"]
    assert f"{figure['mean']:.1f}±{figure['sd']:.1f}" in text
    assert "Other data: Table 2 of the paper, as printed" in text
    assert "| FMN | 3.37 | 12.45 | 25.63 | 3.56 | 12.23 | 24.37 |" in text
    assert text.index("Other data") > text.index("video → audio  (12 queries, gallery 12)")
    assert text.count("* musimnet: an approximation") == 5  # below every table that it stands in
    assert "| musimnet |" not in text
    assert text.count("| musimnet * |") == 5
    assert "preset demo with n_mfcc=4, n_mels=8, " in text.splitlines()[0]  # what is not as in the preset
    apart = values["systems"]["cca"]["difference"]["video_to_audio"]["class_map"]["all"]
    shown = text.partition("## Difference to fmn, video → audio")[2].partition("## ")[0]
    row = next(line for line in shown.splitlines() if line.startswith("| cca |"))
    assert f"{apart['mean']:+.1f} [{apart['low']:+.1f}, {apart['high']:+.1f}]" in row.split("|")[2]

    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "compare.csv").read_text())))
    assert len(rows) == (4 + 2) * 2 * (3 * 3 + 2) + len(QUOTED) * 6  # three metrics at three k, mAP and rank in class
    told = {row["system"]: (row["class_cross_entropy"], row["footnote"][:16]) for row in rows if row["parameters"]}
    assert told == {
        "cca": ("speech", ""),
        "musimnet": ("no", "an approximation"),
        "fmn": ("both sides", ""),
        "file_size": ("no", ""),
    }
    row = next(row for row in rows if (row["system"], row["metric"], row["k"]) == ("cca", "class_hit", "1"))
    assert float(row["mean"]) == pytest.approx(figure["mean"])
    assert {row["other_data"] for row in rows if row["system"].endswith("(as printed)")} == {"yes"}

    tex = (tmp_path / "out" / "compare.tex").read_text()
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == 6
    assert r"file\_size" in tex
    for line in tex.splitlines():
        if line.endswith(r"\\") and "cca" in line:
            assert line.count("&") in (12, 4, 7)

    from PIL import Image

    with Image.open(tmp_path / "out" / "compare.png") as picture:
        assert picture.width > 1000


def test_the_rank_in_class_stands_beside_instance_hit(results: Results) -> None:
    """Of the scores that were kept, each query's partner is set against each other item of its class."""
    system = results.values["systems"]["fmn"]
    test = load_items(Path(results.values["test"]))
    ranks: list[float] = []
    for run in system["runs"]:
        scores = read_scores(Path(run), results.values["test_sha256"])
        assert scores is not None
        assert scores.clips == [row.id for row in test.clips]
        for spoken, clip in enumerate(test.partners):
            rivals = [
                other for other in range(12) if test.clip_classes[other] == test.clip_classes[clip] and other != clip
            ]
            column = scores.values[:, spoken]
            ranks += [
                np.mean([(column[other] > column[clip]) + (column[other] == column[clip]) / 2 for other in rivals])
            ]
    expected = 100 * float(np.mean(ranks))
    assert system["metrics"]["audio_to_video"]["partner_rank"]["all"]["mean"] == pytest.approx(expected)
    interval = system["partner_rank"]["audio_to_video"]
    assert interval["mean"] == pytest.approx(expected)
    assert interval["low"] < expected < interval["high"]
    first = blocks(results.values)[0]
    assert list(first.head[:2]) == ["system", "class CE"]
    assert list(first.head[-2:]) == ["instance hit @25", "rank in class"]
    chance = next(row for row in first.sections[1] if row.cells[0] == "chance")
    assert chance.cells[-1] == "50.0"


def test_in_a_terminal_a_note_of_several_tables_is_said_once(results: Results) -> None:
    said = "\n".join(str(table.caption or "") for table in rich_tables(results.values)).splitlines()
    noted = [note for block in blocks(results.values) for note in block.notes]
    assert len(noted) > len(set(noted))
    assert sorted(filter(None, said)) == sorted({escape(note) for note in noted if note})


@pytest.mark.parametrize(
    ("intervals", "said"),
    [
        ([(48.0, 45.0, 51.0), (52.0, 50.0, 54.0)], "none of 2 systems: instance hit measures the class"),
        ([(48.0, 45.0, 51.0), (40.0, 35.0, 45.0)], "in 1 of 2 systems (one in twenty does by chance alone): b 40.0"),
    ],
)
def test_whether_instance_hit_is_evidence_is_said(
    results: Results, intervals: list[tuple[float, float, float]], said: str
) -> None:
    values = json.loads(json.dumps(results.values))
    template = values["systems"]["fmn"]
    ranked = [dict(zip(("mean", "low", "high"), each, strict=True)) for each in intervals]
    values["systems"] = {
        name: template | {"partner_rank": {"audio_to_video": each}} for name, each in zip("ab", ranked, strict=True)
    }
    assert any(said in note for note in blocks(values)[0].notes)


def test_bold_is_what_lies_beyond_the_interval() -> None:
    def values(apart: dict[str, tuple[float, float, float]]) -> dict[str, Any]:
        systems = {"fmn": _system(50.0, None)}
        systems |= {name: _system(50 + mean, (mean, low, high)) for name, (mean, low, high) in apart.items()}
        return {"systems": systems}

    def best(apart: dict[str, tuple[float, float, float]]) -> str | None:
        return significantly_best(values(apart), "audio_to_video", "class_hit", "1")

    assert best({"a": (5, 1, 9), "b": (-3, -5, -1)}) == "a"
    assert best({"a": (5, -1, 9), "b": (-3, -5, -1)}) is None
    assert best({"a": (-2, -4, -1), "b": (-3, -5, -1)}) == "fmn"
    assert best({"a": (-2, -4, 1), "b": (-3, -5, -1)}) is None
    assert best({}) is None


def _system(mean: float, apart: tuple[float, float, float] | None) -> dict[str, Any]:
    found: dict[str, Any] = {"metrics": {"audio_to_video": {"class_hit": {"1": {"mean": mean}}}}}
    if apart:
        interval = dict(zip(("mean", "low", "high"), apart, strict=True))
        found["difference"] = {"audio_to_video": {"class_hit": {"1": interval}}}
    return found


def _number(values: dict[str, Any], name: str) -> str:
    return Path(values["systems"][name]["runs"][0]).parent.name[0]


def test_the_example_of_the_documentation_is_a_system(
    planned: Callable[..., Comparison], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[3] / "docs" / "comparing.md").read_text()
    code = text.partition("```python\n")[2].partition("```")[0]
    (tmp_path / "systems" / "contrastive.py").write_text(code)
    monkeypatch.delitem(sys.modules, "fmn.models.baselines.contrastive", raising=False)
    comparison = planned("lengths", "contrastive", "vmnet", seeds=1, budget=1)
    assert list(comparison.candidates) == ["vmnet", "contrastive", "lengths"]
    results = compare(comparison)
    assert results.failed == {}
    assert results.values["systems"]["contrastive"]["parameters"] > 0
