"""Features as files by the public commands."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dataset_tools.manifests import PredictionRow, SplitPairRow, read_rows, write_rows

pytestmark = pytest.mark.usefixtures("one_thread")


def test_training_from_an_export_gives_the_same_bytes(
    files: Path, monkeypatch: pytest.MonkeyPatch, fmn: Callable, done: Callable, small_settings: list[str]
) -> None:
    monkeypatch.chdir(files)
    train = ("train", "manifests/train.jsonl", "--epochs", 2, *small_settings)
    done(*train, "--run", "runs/computed")
    done("eval", "runs/computed")
    export = fmn("features", "export", "runs/computed", "features", "--json")
    exported, (advised,) = json.loads(export.stdout), re.findall(r"next: fmn (train .*)", export.output)
    rows = [row for name in ("train", "test") for row in read_rows(files / "manifests" / f"{name}.jsonl", SplitPairRow)]
    contents = {row.clip.sha256 for row in rows}, {row.utterance.sha256 for row in rows}
    assert (exported["clips"], exported["utterances"], exported["audio_dim"]) == (*map(len, contents), 60)
    assert {path.stem for path in (files / "features" / "video").glob("*.npy")} == contents[0]

    shutil.rmtree(files / "cache")
    for path in (*(files / "clips").iterdir(), *(files / "speech").iterdir()):
        path.write_bytes(b"")  # nothing is left to compute features from
    done(*shlex.split(advised))
    read = "runs/computed-features"
    evaluated = done("eval", read)
    for name in ("checkpoint.safetensors", "metrics.json"):
        assert (files / read / name).read_bytes() == (files / "runs" / "computed" / name).read_bytes(), name
    assert not any("features differ from those of the training" in note for note in evaluated["notes"])

    lost = rows[-1].utterance
    (files / "features" / "audio" / f"{lost.sha256}.npy").unlink()
    partial = fmn("eval", read)
    assert partial.exit_code == 1
    assert f"There is no feature for {lost.id}" in partial.output


def test_the_command_after_an_export_of_single_frames_trains_a_system_that_can_use_them(
    files: Path, monkeypatch: pytest.MonkeyPatch, fmn: Callable, done: Callable, small_settings: list[str]
) -> None:
    """Features are taken for those of whole clips, which the system one_frame refuses."""
    monkeypatch.chdir(files)
    done("train", "--model", "one_frame", "--epochs", 1, *small_settings, "--run", "runs/one")
    export = fmn("features", "export", "runs/one", "features")
    (advised,) = re.findall(r"next: fmn (train .*)", export.output)
    done(*shlex.split(advised), "--epochs", 1)


def test_an_export_of_one_manifest_says_what_the_test_needs(
    files: Path, monkeypatch: pytest.MonkeyPatch, fmn: Callable, done: Callable, small_settings: list[str]
) -> None:
    monkeypatch.chdir(files)
    exported = fmn("features", "export", "manifests/train.jsonl", "made", *small_settings)
    assert exported.exit_code == 0
    assert (
        "  only of train.jsonl: fmn eval needs those of test.jsonl, too, which fmn features export RUN DIR includes\n"
        "  next: fmn train manifests/train.jsonl --features made --run runs/fmn-features\n"
    ) in exported.output
    train = ("train", "manifests/train.jsonl", "--epochs", 1, *small_settings)
    done(*train, "--run", "runs/read", "--features", "made")
    refused = json.loads(fmn("eval", "runs/read", "--json").stdout)["error"]
    known = {path.stem for path in (files / "made").rglob("*.npy")}
    rows = list(read_rows(files / "manifests" / "test.jsonl", SplitPairRow))
    missing = {item.id for row in rows for item in (row.clip, row.utterance) if item.sha256 not in known}
    assert refused["found"].startswith(f"No pair is left: {len(missing)} files have no features; the first, ")
    assert refused["where"] == f"{files / 'made' / 'video'}, {files / 'made' / 'audio'}"
    assert refused["expected"] == f"features of the items of {files / 'manifests' / 'test.jsonl'}"
    assert "fmn features export RUN DIR" in refused["next"]

    done(*train, "--run", "runs/computed")
    whole = fmn("features", "export", "runs/computed", "whole")
    assert "only of" not in whole.output
    done(*train, "--run", "runs/again", "--features", "whole")
    assert done("eval", "runs/again", "--dry-run")["to_extract"] == 0
    done("eval", "runs/again")

    for row in read_rows(files / "manifests" / "train.jsonl", SplitPairRow):
        (files / row.clip.path).write_bytes(b"no video")
    lengths = fmn(*train, "--run", "runs/lengths", "--model", "lengths", "--features", "whole", "--json")
    assert "train.jsonl" in json.loads(lengths.stdout)["error"]["where"], "lengths does not read features from files"


def test_where_one_folder_holds_other_files_nothing_is_exported(
    files: Path, monkeypatch: pytest.MonkeyPatch, fmn: Callable, small_settings: list[str]
) -> None:
    monkeypatch.chdir(files)
    (files / "made" / "audio").mkdir(parents=True)
    (files / "made" / "audio" / "notes.txt").write_text("mine")
    monkeypatch.setattr("fmn.data.loading.extract_video", lambda *_, **__: pytest.fail("extracted first"))
    refused = fmn("features", "export", "manifests/train.jsonl", "made", *small_settings)
    assert refused.exit_code == 2
    assert [path.name for path in (files / "made").rglob("*")] == ["audio", "notes.txt"]
    (files / "own").mkdir()
    (files / "own" / "audio.npz").write_text("mine")  # --features own would refuse it beside an export
    refused = fmn("features", "export", "manifests/train.jsonl", "own", *small_settings)
    assert refused.exit_code == 2
    assert "The folder has audio features already" in refused.output
    assert [path.name for path in (files / "own").rglob("*")] == ["audio.npz"]
    refused = fmn("features", "export", "manifests/train.jsonl", "manifests", *small_settings)
    assert refused.exit_code == 2
    assert "The folder contains other files, such as test.jsonl" in refused.output


def test_where_a_file_is_in_the_place_of_a_folder_nothing_is_exported(
    files: Path, monkeypatch: pytest.MonkeyPatch, fmn: Callable, small_settings: list[str]
) -> None:
    monkeypatch.chdir(files)
    (files / "made").mkdir()
    (files / "made" / "audio").write_text("mine")
    for folder in ("made", "made/audio"):
        refused = fmn("features", "export", "manifests/train.jsonl", folder, *small_settings)
        assert refused.exit_code == 2
        assert [path.name for path in (files / "made").rglob("*")] == ["audio"]


def test_a_manifest_is_exported_with_the_options_of_training_and_own_files_are_read(
    files: Path, monkeypatch: pytest.MonkeyPatch, fmn: Callable, done: Callable, small_settings: list[str]
) -> None:
    monkeypatch.chdir(files)
    exported = done("features", "export", "manifests/train.jsonl", "made", *small_settings, "--set", "audio.deltas=0")
    assert (exported["clips"], exported["utterances"], exported["audio_dim"]) == (20, 20, 20)
    rows = {row.clip.id: row for row in read_rows(files / "manifests" / "train.jsonl", SplitPairRow)}
    (files / "own").mkdir()
    np.savez(files / "own" / "video.npz", **{name: np.eye(4)[int(row.label.id[-1])] for name, row in rows.items()})
    trained = done("train", "manifests/train.jsonl", "--epochs", 1, "--features", "own", *small_settings)
    assert any("read from video.npz" in note for note in trained["notes"])
    config = json.loads((files / "runs" / "fmn-demo" / "config.json").read_text())
    assert (config["video"]["kind"], config["audio"]["kind"]) == ("features", "mfcc")
    assert config["video"]["features"] == str((files / "own" / "video.npz").resolve())
    light = done("train", "manifests/train.jsonl", "--preset", "light", "--features", "own", "--dry-run")["config"]
    assert (light["video"]["kind"], light["audio"]["encoder"]) == ("features", "openwakeword")
    (files / "own" / "video").mkdir()
    several = json.loads(fmn("train", "manifests/train.jsonl", "--features", "own", "--json").stdout)["error"]
    assert several["found"] == "There are several video features"
    assert several["where"] == f"{Path('own', 'video')}, {Path('own', 'video.npz')}"
    refused = fmn("train", "manifests/train.jsonl", "--features", "clips")
    assert refused.exit_code == 2
    assert "There are no features" in refused.output


def test_features_of_a_run_are_those_of_its_manifest_and_take_no_options_of_training(
    files: Path, monkeypatch: pytest.MonkeyPatch, fmn: Callable, done: Callable, small_settings: list[str]
) -> None:
    monkeypatch.chdir(files)
    rows = list(read_rows(files / "manifests" / "train.jsonl", SplitPairRow))
    fewer = [row for row in rows if row.label.id == rows[0].label.id]
    write_rows(files / "manifests" / "mine.jsonl", fewer)
    done("train", "manifests/mine.jsonl", "--epochs", 1, "--run", "runs/mine", *small_settings)
    tested = list(read_rows(files / "manifests" / "test.jsonl", SplitPairRow))
    contents = {row.clip.sha256 for row in (*fewer, *tested)}
    assert done("features", "export", "runs/mine", "made")["clips"] == len(contents)
    assert {path.stem for path in (files / "made" / "video").glob("*.npy")} == contents
    assert done("features", "extract", "runs/mine")["clips"] == len(contents)

    for option in (
        *(("--set", "video.pooling=max"), ("--preset", "paper"), ("--preset", "demo"), ("--epochs", 3), ("--seed", 0)),
        *(("--video-encoder", "nonsense:foo"), ("--config", "runs/mine/config.json"), ("--threads", 1)),
    ):
        for command in (("extract", "runs/mine"), ("export", "runs/mine", "other")):
            refused = fmn("features", *command, *option, "--json")
            assert refused.exit_code == 2, (command, option)
            found = json.loads(refused.stdout)["error"]["found"]
            assert found == f"The configuration is that of the run, but {option[0]} is given"
    assert not (files / "other").exists()


def test_predictions_are_made_with_the_utterances_that_the_run_was_trained_on(
    files: Path, monkeypatch: pytest.MonkeyPatch, done: Callable, small_settings: list[str]
) -> None:
    monkeypatch.chdir(files)
    rows = list(read_rows(files / "manifests" / "train.jsonl", SplitPairRow))
    write_rows(files / "manifests" / "clips.jsonl", {row.clip.id: row.clip for row in rows}.values())
    write_rows(files / "manifests" / "mine.jsonl", [row for row in rows if row.label.id == rows[0].label.id])
    done("train", "manifests/mine.jsonl", "--epochs", 1, "--run", "runs/mine", *small_settings)
    assert done("predict", "runs/mine")["clips"] == 20
    predicted = read_rows(files / "runs" / "mine" / "predictions.jsonl", PredictionRow)
    assert {row.class_id for row in predicted} == {rows[0].label.id}


@pytest.mark.parametrize(
    ("name", "found"), [("runs/none", "There is no run"), ("none.jsonl", "There is no such manifest")]
)
def test_a_missing_run_is_not_called_a_manifest(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, fmn: Callable, name: str, found: str
) -> None:
    monkeypatch.chdir(workspace)
    refused = fmn("features", "export", name, "made")
    assert refused.exit_code == 2
    assert found in refused.output
