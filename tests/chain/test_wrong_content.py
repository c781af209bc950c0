"""Files of a workspace whose content is wrong: exit code 2, with the file and the reason, and never 'unexpected'."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from typer.testing import CliRunner

from dataset_tools.cli.main import app as data_app
from dataset_tools.core.errors import InputError
from dataset_tools.core.shipped_files import shipped_file
from dataset_tools.corpora.mpii.annotations import read_mpii_annotations
from fmn.cli.main import app as fmn_app
from fmn.training.checkpoint import load_run, load_state

OLD = Path(__file__).parents[1] / "fixtures" / "workspace_0_1_0"
DEEP = "[" * 200_000


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A small data set with a trained run; no media."""
    return Path(shutil.copytree(OLD, tmp_path / "w"))


def told(app: Any, *arguments: object) -> str:
    """The message of a command that has to refuse its input."""
    ended = CliRunner().invoke(app, [str(one) for one in arguments])
    assert ended.exit_code == 2, ended.output
    assert "Unexpected" not in ended.output
    return ended.output


def changed_line(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    first, *others = path.read_text().splitlines()
    row = json.loads(first)
    change(row)
    path.write_text("\n".join([json.dumps(row), *others]) + "\n")


def header_of(path: Path, change: Callable[[dict[str, str]], object]) -> None:
    with safe_open(path, "pt") as file:
        header, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(header)
    save_file(tensors, path, header)


@pytest.mark.parametrize("about", [None, "rubbish", "{}", DEEP])
def test_a_checkpoint_that_says_rubbish_of_itself(workspace: Path, about: str | None) -> None:
    path = workspace / "runs" / "fmn" / "checkpoint.safetensors"
    header_of(path, lambda header: header.pop("about") if about is None else header.update(about=about))
    assert str(path) in told(fmn_app, "eval", workspace / "runs" / "fmn")


@pytest.mark.parametrize("state", [None, "rubbish", "[]", DEEP])
def test_a_state_that_says_rubbish(workspace: Path, state: str | None) -> None:
    path = workspace / "runs" / "fmn" / "state.safetensors"
    header_of(path, lambda header: header.pop("state") if state is None else header.update(state=state))
    assert str(path) in told(fmn_app, "eval", workspace / "runs" / "fmn")


@pytest.mark.parametrize("field", ["epoch", "fitted_clips", "best", "manifest"])
def test_a_state_with_a_field_of_another_type(workspace: Path, field: str) -> None:
    path = workspace / "runs" / "fmn" / "state.safetensors"
    header_of(path, lambda header: header.update(state=json.dumps(json.loads(header["state"]) | {field: 1.5})))
    message = told(fmn_app, "eval", workspace / "runs" / "fmn")
    assert str(path.parent) in message
    assert field in message


@pytest.mark.parametrize("name", ["runs/fmn/config.json", "manifests/test.jsonl", "manifests/build.json"])
def test_json_that_is_nested_deeply(workspace: Path, name: str) -> None:
    (workspace / name).write_text(DEEP)
    assert str(workspace / name) in told(fmn_app, "eval", workspace / "runs" / "fmn")


@pytest.mark.parametrize("name", ["manifests/clips.jsonl", "ledger.jsonl", "manifests/build.json"])
def test_a_report_on_json_that_is_nested_deeply(workspace: Path, name: str) -> None:
    (workspace / name).write_text(DEEP)
    assert str(workspace / name) in told(data_app, "report", "-w", workspace)


def test_quality_that_is_none(workspace: Path) -> None:
    path = workspace / "manifests" / "utterances.jsonl"
    changed_line(path, lambda row: row["quality"].update(warnings=5))
    message = told(data_app, "report", "-w", workspace)
    assert f"{path}, line 1" in message
    assert "quality.warnings" in message


@pytest.mark.parametrize("command", [("speech", "synthesize", "--no-sentences"), ("report",), ("pairs",)])
def test_a_class_that_the_class_file_lacks(workspace: Path, command: tuple[str, ...]) -> None:
    changed_line(workspace / "manifests" / "clips.jsonl", lambda row: row.update({"class": "juggle_chainsaw"}))
    assert "juggle_chainsaw" in told(data_app, *command, "-w", workspace)


@pytest.mark.parametrize("content", ['{"schema": "fmn.build/2"}', '{"counts": {}, "class_file": {}}', "\ud800"])
def test_a_build_record_of_another_kind(workspace: Path, content: str) -> None:
    path = workspace / "manifests" / "build.json"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    assert str(path) in told(data_app, "report", "-w", workspace)


def test_a_ledger_row_without_values(small_corpus: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    build = ("build", "-w", place, "--mpii", small_corpus, "--short-side", 64)
    assert CliRunner().invoke(data_app, [str(one) for one in build]).exit_code == 0
    rows = [json.loads(line) for line in (place / "ledger.jsonl").read_text().splitlines()]
    for row in rows:
        if row["id"].startswith("utterance/"):
            row["values"] = {}
    (place / "ledger.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "ledger.jsonl" in told(data_app, *build)


def test_a_class_file_with_half_a_sign(workspace: Path, tmp_path: Path) -> None:
    words = tmp_path / "words.yaml"
    text = shipped_file("classes.yaml").read_text("utf-8")
    words.write_text(text.replace("name: carrot", 'name: "\\uD800"'), "utf-8")
    assert words.read_text() != text
    assert str(words) in told(data_app, "pairs", "-w", workspace, "--class-file", words)


@pytest.mark.parametrize("option", ["--sentences", "--class-file", "--annotations"])
def test_a_pipe_where_a_file_is_meant(small_corpus: Path, tmp_path: Path, option: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    source = () if option == "--annotations" else ("--mpii", small_corpus)
    arguments = ("build", "-w", tmp_path / "w", *source, option, tmp_path / "pipe")
    assert str(tmp_path / "pipe") in told(data_app, *arguments)
    assert not (tmp_path / "w").exists()


def test_half_a_sign_in_a_sentence(small_corpus: Path, tmp_path: Path) -> None:
    path = tmp_path / "tacos.json"
    path.write_text('{"s07-d20.avi": {"timestamps": [[1, 90]], "sentences": ["a carrot \\ud800"]}}')
    arguments = ("build", "-w", tmp_path / "w", "--mpii", small_corpus, "--sentences", path)
    assert str(path) in told(data_app, *arguments)


def test_an_export_whose_results_are_text(workspace: Path, tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    data = {"clip_id": "a", "clip_sha256": "0" * 64, "class": "b", "first_frame": 1, "frames": 2}
    path.write_text(json.dumps([{"id": 1, "data": data, "annotations": [{"id": 1, "result": "x", "completed_by": 1}]}]))
    assert str(path) in told(data_app, "annotate", "pull", "-w", workspace, "--from", path)


@pytest.mark.parametrize("threads", [0, 100_000])
def test_numbers_of_threads_that_no_machine_has(workspace: Path, threads: int) -> None:
    train = workspace / "manifests" / "train.jsonl"
    assert "threads" in told(fmn_app, "train", train, "--threads", threads, "--run", workspace / "r")
    assert "threads" in told(fmn_app, "train", train, "--set", f"training.threads={threads}", "--run", workspace / "r")
    path = workspace / "runs" / "fmn" / "config.json"
    config = json.loads(path.read_text())
    config["training"]["threads"] = threads
    path.write_text(json.dumps(config))
    assert "threads" in told(fmn_app, "eval", workspace / "runs" / "fmn")


@pytest.mark.skipif(sys.platform != "linux", reason="locks of files differ")
def test_an_annotation_file_that_somebody_locked_is_read(small_corpus: Path) -> None:
    path = small_corpus / "attributesAnnotations_MPII-Cooking-2.mat"
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # HDF5's own lock would fail, as it does where there are no locks
        try:
            assert len(read_mpii_annotations(path).intervals) == 12
        except InputError as error:
            pytest.fail(str(error))


@pytest.mark.parametrize("content", ["null", "[]", '"x"', '{"system": "no such"}'])
def test_a_configuration_that_is_none(workspace: Path, content: str) -> None:
    path = workspace / "runs" / "fmn" / "config.json"
    path.write_text(content)
    assert str(path) in told(fmn_app, "eval", workspace / "runs" / "fmn")


@pytest.mark.parametrize(
    ("file", "field", "value"),
    [
        ("config.json", ("model", "hidden_size"), 60_000),  # weights of 57 GB
        ("config.json", ("memory", "capacity"), 10**8),
        ("config.json", ("model", "head_hidden_size"), 10**8),
        ("config.json", ("video", "window_frames"), 10**9),
        ("checkpoint.safetensors", ("video_dim",), 10**6),
        ("checkpoint.safetensors", ("audio_dim",), 10**12),
    ],
)
def test_sizes_that_no_machine_has_are_refused_before_memory_is_asked_for(
    workspace: Path, file: str, field: tuple[str, ...], value: int
) -> None:
    path = workspace / "runs" / "fmn" / file

    def change(values: dict[str, Any]) -> dict[str, Any]:
        place = values
        for name in field[:-1]:
            place = place[name]
        place[field[-1]] = value
        return values

    if file == "config.json":
        path.write_text(json.dumps(change(json.loads(path.read_text()))))
    else:
        header_of(path, lambda header: header.update(about=json.dumps(change(json.loads(header["about"])))))
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**30, hard))
    try:
        message = told(fmn_app, "eval", workspace / "runs" / "fmn")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert str(path.parent) in message
    assert "memory: " not in message


@pytest.mark.parametrize("name", ["optimizer.x.exp_avg", "model.video_mean", "optimiser.0.step"])
def test_a_state_of_tensors_that_do_not_fit(workspace: Path, name: str) -> None:
    run = workspace / "runs" / "fmn"
    model = load_run(run, torch.device("cpu")).model
    path = run / "state.safetensors"
    with safe_open(path, "pt") as file:
        header, tensors = file.metadata(), {one: file.get_tensor(one) for one in file.keys()}  # noqa: SIM118
    if tensors.pop(name, None) is None or name.startswith("model."):
        tensors[name] = torch.zeros(3)
    save_file(tensors, path, header)
    with pytest.raises(InputError) as caught:
        load_state(run, model, torch.optim.Adam(model.parameters()), torch.device("cpu"))
    assert caught.value.where == str(path)


@pytest.mark.parametrize(("option", "mib"), [("--sentences", 65), ("--class-file", 5), ("--annotations", 65)])
def test_a_file_that_would_take_gigabytes_is_not_read(
    small_corpus: Path, tmp_path: Path, option: str, mib: int
) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(mib * 2**20)  # takes no room on the disk
    source = () if option == "--annotations" else ("--mpii", small_corpus)
    said = told(data_app, "build", "-w", tmp_path / "w", *source, option, tmp_path / "huge")
    assert str(tmp_path / "huge") in said
    assert f"{mib * 2**20:,} bytes" in said
