"""Bad input, by the commands that a user types: one clear message, the promised exit code, nothing lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

pytestmark = pytest.mark.xdist_group("bad input")  # in one worker: all compare with one build

ONE_CLASS = """
schema: fmn.classes/1
actions:
  cut: {name: cut, zh: 切, verbs: [cut], third_person: cuts, past: cut, participle: cut, gerund: cutting}
things:
  carrot: {name: carrot, zh: 萝卜, attributes: [carrot], mass: false, plural: carrots, measure_zh: 根}
  knife: {name: knife, zh: 餐刀, attributes: [knife], mass: false, plural: knives, measure_zh: 把}
classes:
  - {action: cut, subject: carrot, object: knife, role: tool, preposition: with, phrase_zh: "用{object}"}
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return empty(tmp_path / "workspace")


def empty(place: Path) -> Path:
    """An empty workspace with one class."""
    (place / "annotations").mkdir(parents=True)
    (place / "annotations" / "classes.yaml").write_text(ONE_CLASS, encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def undisturbed(run: Callable, drawn_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a build of the whole corpus makes."""
    place = empty(tmp_path_factory.mktemp("undisturbed") / "workspace")
    assert build(run, drawn_corpus, place).code == 0
    return contents(place)


def contents(place: Path) -> dict[str, bytes]:
    """Every file that a build makes, but for the place of the footage, and locks and file times in the cache."""
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in sorted(place.rglob("*"))
        if path.is_file() and not {"cache", "workspace.json"} & {*path.parts}
    }


def build(run: Callable, corpus: Path, place: Path, *more: object) -> object:
    return run("fmn-data", "build", "--classes", 1, "--mpii", corpus, "--short-side", 64, "--jobs", 2, *more, cwd=place)


def test_no_such_folder(run: Callable, tmp_path: Path, workspace: Path) -> None:
    before = contents(workspace)
    ended = build(run, tmp_path / "nowhere", workspace)
    assert ended.code == 2
    assert "nowhere" in ended.err
    assert contents(workspace) == before


def test_not_an_annotation_file(run: Callable, small_corpus: Path, workspace: Path) -> None:
    before = contents(workspace)
    (small_corpus / "attributesAnnotations_MPII-Cooking-2.mat").write_bytes(b"not a mat file" * 100)
    ended = build(run, small_corpus, workspace)
    assert ended.code == 2
    assert "attributesAnnotations_MPII-Cooking-2.mat" in ended.err
    assert contents(workspace) == before


def test_missing_keys_are_all_named_at_once(run: Callable, small_corpus: Path, workspace: Path) -> None:
    with h5py.File(small_corpus / "attributesAnnotations_MPII-Cooking-2.mat", "r+") as file:
        del file["annos"]["iaMat"], file["annos"]["endFrame"]
    ended = build(run, small_corpus, workspace, "--json")
    assert ended.code == 2
    message = json.dumps(json.loads(ended.out)["error"])
    assert "iaMat" in message
    assert "endFrame" in message


@pytest.mark.parametrize("damage", ["missing", "truncated", "empty"])
def test_a_bad_video_fails_alone_and_retry_mends_it(
    run: Callable, small_corpus: Path, workspace: Path, undisturbed: dict[str, bytes], damage: str
) -> None:
    video = small_corpus / "videos" / "s08-d20-cam-002.avi"
    whole = video.read_bytes()
    if damage == "missing":
        video.unlink()
    else:
        video.write_bytes(whole[: len(whole) // 3] if damage == "truncated" else b"")
    ended = build(run, small_corpus, workspace, "--json")
    assert ended.code == 1, ended.err
    assert all("s08-d20" in name for name in ended.json["failures"])
    kept = {path.name for path in (workspace / "clips").iterdir()}
    assert len([name for name in kept if name.startswith("s07")]) == 6
    rows = [json.loads(line) for line in (workspace / "ledger.jsonl").read_text().splitlines()]
    failed = [row for row in rows if row["status"] == "failed"]
    assert failed
    assert all(row["reason"]["found"] and row["reason"]["where"] for row in failed)
    assert len(failed) + len(kept) == 12

    video.write_bytes(whole)
    again = run("fmn-data", "retry", "--mpii", small_corpus, "--json", cwd=workspace)
    assert again.code == 0, again.out + again.err
    assert again.json["clips"] == 12
    assert contents(workspace) == undisturbed


def test_a_manifest_with_a_broken_line(run: Callable, small_corpus: Path, workspace: Path) -> None:
    assert build(run, small_corpus, workspace).code == 0
    path = workspace / "manifests" / "clips.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], lines[2][:-40], *lines[3:]]) + "\n")
    before = contents(workspace)
    for command in (("fmn-data", "pairs"), ("fmn-data", "speech", "synthesize")):
        ended = run(*command, cwd=workspace)
        assert ended.code == 2
        assert "clips.jsonl, line 3" in ended.err
    assert contents(workspace) == before


@pytest.mark.parametrize("content", ["", "{}\n", '{"schema": "fmn.split-pair/9", "id": "a"}\n', "rubbish"])
def test_training_on_a_manifest_that_is_none(run: Callable, workspace: Path, content: str) -> None:
    manifest = workspace / "manifests" / "train.jsonl"
    manifest.parent.mkdir()
    manifest.write_text(content)
    ended = run("fmn", "train", manifest, cwd=workspace)
    assert ended.code == 2
    assert "train.jsonl" in ended.err
    assert not (workspace / "runs").exists()


def test_an_interrupt_ends_with_3_and_the_next_run_goes_on(run: Callable, small_corpus: Path, tmp_path: Path) -> None:
    """Of twenty clips, so that much is left to do when the first is there, however late this test sees it."""
    workspace, undisturbed = tmp_path / "workspace", tmp_path / "undisturbed"
    workspace.mkdir()
    undisturbed.mkdir()
    options = ["build", "--mpii", str(small_corpus), "--jobs", "1"]
    command = [str(Path(sys.executable).with_name("fmn-data")), *options]
    process = subprocess.Popen(command, cwd=workspace, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any((workspace / "clips").glob("*.mp4")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3, said
    assert "again" in said
    assert run("fmn-data", *options, cwd=workspace).code == 0
    assert run("fmn-data", *options, cwd=undisturbed).code == 0
    assert contents(workspace) == contents(undisturbed)
