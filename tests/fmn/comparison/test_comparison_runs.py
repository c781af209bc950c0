from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import filelock
import pytest
from safetensors import safe_open

import fmn.comparison.compare
import fmn.comparison.comparison_runs
import fmn.training.train
from dataset_tools.core.errors import InputError, StoppedError
from fmn.comparison.compare import compare
from fmn.comparison.comparison_plan import Comparison
from fmn.comparison.comparison_runs import Task, read_scores, run_task, run_tasks
from fmn.comparison.output_files import write_files
from fmn.config import Config, with_values
from fmn.data.items import Items, load_items
from fmn.data.loading import features_digest
from fmn.features.extract import extract_audio, extract_video
from fmn.training.checkpoint import load_config
from fmn.training.learned_classes import NEW_CLASSES_FILE
from fmn.training.run_state import read_run_state
from fmn.training.train import train

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")


def test_what_is_finished_is_not_trained_again(
    planned: Callable[..., Comparison], trainings: list[str], workspace: Path
) -> None:
    first = compare(planned("fmn", "dcca")).values
    test = hashlib.sha256((workspace / "manifests" / "test.jsonl").read_bytes()).hexdigest()
    for path in [path for system in first["systems"].values() for path in system["runs"]]:
        metrics = json.loads((Path(path) / "metrics.json").read_text("utf-8"))
        assert metrics.pop("manifest") == {"name": "test.jsonl", "sha256": test}
        assert metrics.keys() == {"audio_to_video", "video_to_audio"}
    count = len(trainings)
    assert count == 8
    assert compare(planned("fmn", "dcca")).values == first
    assert len(trainings) == count
    whole = compare(planned("fmn", "dcca", "cca", seeds=3)).values
    assert sorted(trainings[count:])[-2:] == [f"{name} {_number(whole, name)} 2" for name in ("dcca", "fmn")]
    assert len(trainings) == count + 1 + 1 + 5  # one seed more of either, and all of the new one
    run = next((workspace / "runs" / "compare" / "dcca").glob("*-refit*/0"))
    config, state, manifest = load_config(run), read_run_state(run), workspace / "manifests" / "train.jsonl"
    assert state is not None
    trained_on = features_digest(state.features, state.failures)
    task = Task("dcca", config, run, manifest, None, state.manifest_sha256, "", trained_on, "", None, "cpu")
    assert run_task(task).error is None
    (run / NEW_CLASSES_FILE).touch()  # with which its scores moved away
    error = run_task(replace(task, test=workspace / "manifests" / "test.jsonl")).error
    assert error is not None
    assert error.found == "The run has learned new classes since it was trained, which change its scores"
    (run / NEW_CLASSES_FILE).unlink()
    more = config.training.epochs + 1

    def interrupt(stage: str, done: int, total: int, note: str = "") -> None:
        if done * (more + 1) > total * more:
            raise KeyboardInterrupt

    with pytest.raises(StoppedError):
        train(manifest, with_values(config, {"training.epochs": more + 1}), run, progress=interrupt)
    error = run_task(task).error
    assert load_config(run).training.epochs == more + 1  # as it was left
    assert error is not None
    assert error.found == f"The run was trained further since: for {more} epochs, not for {more - 1}"


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
    told = "vmnet: 1 of 2 configurations failed, and could not be selected: as it is (The memory is full)."
    assert told in results.values["notes"]


def test_without_features_of_all_systems_earlier_results_are_kept(
    planned: Callable[..., Comparison], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: Any, **__: Any) -> Any:
        raise InputError("The file 'clips/1.mp4' is missing")

    monkeypatch.setattr(fmn.comparison.compare, "load_features", missing)
    with pytest.raises(InputError, match=r"clips/1\.mp4"):
        compare(planned("cca", "fmn"))


def test_items_without_features_are_listed(planned: Callable[..., Comparison], monkeypatch: pytest.MonkeyPatch) -> None:
    usual = fmn.comparison.compare.load_features

    def damaged(*arguments: Any, **options: Any) -> Any:
        return replace(usual(*arguments, **options), failures={"clip 3": InputError("it cannot be decoded")})

    monkeypatch.setattr(fmn.comparison.compare, "load_features", damaged)
    assert compare(planned("lengths", seeds=1)).left_out == {"clip 3": "it cannot be decoded"}


def test_items_that_are_repaired_are_trained_with(
    planned: Callable[..., Comparison], monkeypatch: pytest.MonkeyPatch, trainings: list[str]
) -> None:
    usual = fmn.comparison.compare.load_features

    def damaged(items: Items, *arguments: Any, **options: Any) -> Any:
        if items.split not in splits:
            return usual(items, *arguments, **options)
        broken = items.clips[0]
        kept = items.of_ids({row.id for row in items.clips[1:]}, {row.id for row in items.utterances})
        left = usual(kept, *arguments, **options)
        return replace(left, failures={broken.id: InputError("it cannot be decoded")})

    splits = ["train", "test"]
    modules = (fmn.comparison.compare, fmn.comparison.comparison_runs, fmn.training.train)
    with monkeypatch.context() as patch:
        for module in modules:
            patch.setattr(module, "load_features", damaged)
        fewer = compare(planned("cca", seeds=1, budget=1))
        assert len(fewer.left_out) == 2  # one of each manifest
        assert len(trainings) == 2  # on fold 0, and on all folds
        assert compare(planned("cca", seeds=1, budget=1)).values == fewer.values
        assert len(trainings) == 2
    repaired = compare(planned("cca", seeds=1, budget=1))
    assert len(trainings) == 4
    assert repaired.values["gallery"]["audio_to_video"] == fewer.values["gallery"]["audio_to_video"] + 1
    assert compare(planned("cca", seeds=1, budget=1)).values == repaired.values
    assert len(trainings) == 4
    splits = ["test"]  # concerns the scores, and no training
    with monkeypatch.context() as patch:
        for module in modules:
            patch.setattr(module, "load_features", damaged)
        tested = compare(planned("cca", seeds=1, budget=1))
    assert len(trainings) == 4
    assert tested.values["gallery"] == fewer.values["gallery"]
    assert compare(planned("cca", seeds=1, budget=1)).values == repaired.values


def test_features_that_are_written_anew_are_trained_with_and_scored(
    planned: Callable[..., Comparison], monkeypatch: pytest.MonkeyPatch, trainings: list[str]
) -> None:
    usual = fmn.comparison.compare.load_features
    anew: list[str] = []

    def rewritten(items: Items, *arguments: Any, **options: Any) -> Any:
        found = usual(items, *arguments, **options)
        return replace(found, sources=("anew", "anew")) if items.split in anew else found

    for module in (fmn.comparison.compare, fmn.comparison.comparison_runs, fmn.training.train):
        monkeypatch.setattr(module, "load_features", rewritten)
    scored: list[Path] = []
    score = fmn.comparison.comparison_runs._score
    monkeypatch.setattr(
        fmn.comparison.comparison_runs, "_score", lambda task, test: (scored.append(task.run), score(task, test))
    )
    calls = (([], 2, 1), ([], 2, 1), (["test"], 2, 2), (["train", "test"], 4, 3), ([], 4, 4))  # and back again
    for splits, trained, scores in calls:
        anew[:] = splits
        compare(planned("cca", seeds=1, budget=1))
        assert (len(trainings), len(scored)) == (trained, scores), splits


def test_an_interrupt_stops_everything(planned: Callable[..., Comparison], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise StoppedError("Training was interrupted") from error

    monkeypatch.setattr(fmn.comparison.comparison_runs, "train", interrupted)
    with pytest.raises(StoppedError, match="interrupted"):
        compare(planned("cca", "fmn"))


@pytest.mark.usefixtures("workers_know_torch")
def test_with_several_jobs_a_run_has_a_process_of_its_own(planned: Callable[..., Comparison], tmp_path: Path) -> None:
    # The made-up features are of this process; in another one the files are what they are: nothing to train on.
    comparison = planned("lengths", "file_size", seeds=1)
    items, config = load_items(comparison.train), comparison.candidates["file_size"][0].config
    video = extract_video(items.clip_media(), config.video, cache=tmp_path / "cache")
    audio = extract_audio(items.utterance_media(), config.audio, cache=tmp_path / "cache")
    sizes = features_digest((video.source, audio.source), ())
    candidates = [tried[0].on_features(sizes, sizes) for tried in comparison.candidates.values()]
    tasks = [candidate.task(comparison, 0, is_tested=True) for candidate in candidates]
    found = {outcome.task.system: outcome for outcome in run_tasks(tasks, jobs=2)}
    assert found["lengths"].error is not None
    assert "No pair is left" in found["lengths"].error.found
    assert found["file_size"].error is None  # every file has a size
    assert read_scores(tasks[1].run, tasks[1].test_digest) is not None


@pytest.mark.parametrize("changed", ["trained_on", "tested_on"])
def test_features_that_change_while_systems_are_trained_fail_the_run(
    planned: Callable[..., Comparison], changed: str
) -> None:
    comparison = planned("cca", seeds=1)
    made = features_digest(("video", "audio"), ())
    digests = {"trained_on": made, "tested_on": made} | {changed: "0" * 8}
    task = comparison.candidates["cca"][0].on_features(**digests).task(comparison, 0, is_tested=True)
    for _ in range(2):  # what was trained on others is not taken for what was asked for
        error = run_task(task).error
        assert error is not None
        assert "The features changed while the systems were trained: those of cca differ" in error.found
    assert read_scores(task.run, task.test_digest) is None


def test_a_manifest_that_changes_while_systems_are_trained_fails_the_run(planned: Callable[..., Comparison]) -> None:
    comparison = planned("cca", seeds=1)
    made = features_digest(("video", "audio"), ())
    task = comparison.candidates["cca"][0].on_features(made, made).task(comparison, 0, is_tested=True)
    for other in (replace(task, train_sha256="0" * 64), replace(task, test_sha256="0" * 64)):
        error = run_task(other).error
        assert error is not None
        assert error.found == "The manifest was changed while the command was running"
        assert (read_run_state(task.run) is None) == (other.train_sha256 != task.train_sha256)  # not trained in vain
        assert read_scores(task.run, other.test_digest) is None
    assert run_task(task).error is None
    assert run_task(replace(task, train_sha256="0" * 64)).error is not None
    assert not task.run.exists()  # it was of another manifest

    comparison.test.write_bytes(comparison.test.read_bytes() + b"\n")  # since it was planned
    with pytest.raises(StoppedError, match="The manifest was changed"):
        compare(comparison)


def test_two_comparisons_do_not_share_a_folder(planned: Callable[..., Comparison]) -> None:
    comparison = planned("cca", seeds=1)
    comparison.folder.mkdir(parents=True)
    with filelock.FileLock(comparison.folder / ".lock"), pytest.raises(StoppedError, match="Another command is"):
        compare(comparison)


def test_a_finished_one_is_summarized_on_a_disk_that_cannot_be_written_to(
    planned: Callable[..., Comparison], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = compare(planned("cca", "lengths")).values

    def refuse(self: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(filelock.FileLock, "__enter__", refuse)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    assert compare(planned("cca", "lengths")).values == whole


def test_scores_of_another_manifest_do_not_count(planned: Callable[..., Comparison]) -> None:
    comparison = planned("lengths", seeds=1)
    run = Path(compare(comparison).values["systems"]["lengths"]["runs"][0])
    with safe_open(run / "scores.safetensors", framework="np") as file:
        digest = file.metadata()["test_digest"]
    assert digest.startswith(comparison.test_sha256)
    assert read_scores(run, digest) is not None
    assert read_scores(run, digest.replace(comparison.test_sha256, "0" * 64)) is None
    (run / "scores.safetensors").write_bytes(b"torn")
    assert read_scores(run, digest) is None


def _number(values: dict[str, Any], name: str) -> str:
    return Path(values["systems"][name]["runs"][0]).parent.name[0]
