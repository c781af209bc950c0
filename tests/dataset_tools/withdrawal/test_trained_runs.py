"""Runs that name utterances of a voice anywhere, in a text or in a header; what cannot be read is told."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from dataset_tools.core.workspace import Workspace
from dataset_tools.withdrawal import searched_files
from dataset_tools.withdrawal.recorded_voice import RecordedVoice
from dataset_tools.withdrawal.remaining_data import own_files
from dataset_tools.withdrawal.trained_runs import linked_runs

VOICE = RecordedVoice("anna", frozenset(), frozenset(), frozenset())
OWN, OTHER = "s01-d20_000001-000050_anna_0123456789ab", "s01-d20_000001-000050_ben_0123456789ab"


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def make_run(place: Workspace, name: str) -> Path:
    run = place.runs / name
    run.mkdir(parents=True)
    (run / "config.json").write_text("{}", "utf-8")
    (run / "state.json").write_text('{"fitted_utterances": []}', "utf-8")
    return run


def links(place: Workspace) -> dict[str, str]:
    return {one.run: one.link for one in linked_runs(place, VOICE)}


@pytest.mark.parametrize(
    "state", ['{"fitted_utterances": [], "validated_utterances": 7}', '{"fitted_utterances": [7]}', "["]
)
def test_of_a_run_with_a_damaged_state_it_is_unknown_what_it_was_trained_on(place: Workspace, state: str) -> None:
    (make_run(place, "mine") / "state.json").write_text(state, "utf-8")
    assert links(place) == {"runs/mine": "unknown"}


def test_scores_of_a_comparison_name_utterances_in_their_header(place: Workspace) -> None:
    for name, utterance in (("mine", OWN), ("others", OTHER)):
        run = make_run(place, f"compare/{name}-0")
        header = {"clips": "[]", "utterances": json.dumps([utterance])}  # as of fmn compare
        save_file({"scores": np.zeros((0, 1))}, run / "scores.safetensors", header)
        checkpoint = np.frombuffer(OWN.encode(), np.uint8)  # numbers are not words, whatever their bytes are
        save_file({"weights": checkpoint}, run / "checkpoint.safetensors")
    assert links(place) == {"runs/compare/mine-0": "named"}


def test_runs_on_another_disk_are_found_by_their_links(place: Workspace, tmp_path: Path) -> None:
    elsewhere = Workspace(tmp_path / "disk")
    run = make_run(elsewhere, "study/mine")
    (run / "results.json").write_text(f'["{OWN}"]', "utf-8")
    (elsewhere.runs / "study" / "train.jsonl").write_text(f'"{OWN}"', "utf-8")
    (elsewhere.runs / "study" / "back").symlink_to(elsewhere.runs)  # in a circle
    inside = Workspace(tmp_path / "workspace")
    inside.runs.mkdir(parents=True)
    (inside.runs / "study").symlink_to(elsewhere.runs / "study")
    (inside.runs / "lost").symlink_to(tmp_path / "nowhere")
    (inside.runs / "here").symlink_to(inside.root)
    assert links(inside) == {"runs/study/mine": "named"}
    assert own_files(inside, VOICE, {}) == ["runs/study/train.jsonl"]


def test_a_link_hides_no_folder(place: Workspace) -> None:
    run = make_run(place, "study/mine-3")
    (run / "results.json").write_text(f'["{OWN}"]', "utf-8")
    noise = place.runs / "study" / "noise"
    noise.mkdir()
    (noise / "train.jsonl").write_text(f'"{OWN}"', "utf-8")
    (place.runs / "best").symlink_to(run)
    (make_run(place, "a-baseline") / "data").symlink_to(noise)
    assert links(place) == {"runs/study/mine-3": "named", "runs/a-baseline": "named"}
    assert own_files(place, VOICE, {}) == ["runs/study/noise/train.jsonl"]


def test_files_of_any_kind_beside_runs_are_searched(place: Workspace) -> None:
    queries = place.runs / "queries"
    queries.mkdir(parents=True)
    (queries / "q1.wav").write_bytes(b"as it came")
    (queries / "notes.log").write_text("said by anna", "utf-8")
    (queries / "anna.png").write_bytes(b"a picture")
    (queries / "other.wav").write_bytes(b"of another")
    (queries / "linked.jsonl").symlink_to(queries / "notes.log")
    digest = hashlib.sha256(b"as it came").hexdigest()
    expected = [f"runs/queries/{name}" for name in ("anna.png", "linked.jsonl", "notes.log", "q1.wav")]
    assert own_files(place, VOICE, {10: {digest}}) == expected
    assert own_files(place, VOICE, {11: {digest}}) == expected[:-1]
    # Of an original that is gone, ids know the beginning of its SHA-256.
    assert own_files(place, replace(VOICE, prefixes=frozenset({digest[:12]})), {}) == expected


def test_files_in_a_run_that_are_no_texts_are_searched_as_others_are(place: Workspace) -> None:
    run = make_run(place, "mine")
    (run / "query.wav").write_bytes(b"as it came")
    (run / "notes.html").write_text(f"<p>{OWN}</p>", "utf-8")
    digest = hashlib.sha256(b"as it came").hexdigest()
    assert own_files(place, VOICE, {10: {digest}}) == ["runs/mine/notes.html", "runs/mine/query.wav"]


@pytest.mark.parametrize(
    "text", [f"speech/{OWN}.wav,1", f"The worst is {OWN}.", f"{OWN}_aug1.wav", OWN.replace("_", "\\_")]
)
def test_an_id_is_found_wherever_it_stands(place: Workspace, text: str) -> None:
    (make_run(place, "mine") / "notes.md").write_text(text, "utf-8")
    assert links(place) == {"runs/mine": "named"}


@pytest.mark.parametrize("place_of_id", [0, 3, 60, 64, 90, 127])
def test_a_long_text_is_read_in_parts_that_cut_no_id(
    place: Workspace, monkeypatch: pytest.MonkeyPatch, place_of_id: int
) -> None:
    monkeypatch.setattr(searched_files, "_PART", 64)
    run = make_run(place, "ranked")
    (run / "trec").mkdir()
    text = " " * place_of_id + OWN + " é" * 200
    (run / "trec" / "audio.run.txt").write_text(text, "utf-8")
    assert links(place) == {"runs/ranked": "named"}
    assert max(map(len, searched_files.texts_of(run / "trec" / "audio.run.txt"))) <= 2 * 64


def test_a_file_that_cannot_be_read_leaves_the_run_in_doubt(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(place, "clear")
    locked = [make_run(place, name) / file for name, file in (("a", "new_classes.safetensors"), ("b", "results.json"))]
    opened = Path.open

    def refused(path: Path, *arguments: object, **options: object) -> object:
        if path in locked:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)  # type: ignore[call-overload]

    for path in locked:
        path.write_bytes(b"")
    monkeypatch.setattr(Path, "open", refused)
    assert links(place) == {"runs/a": "unread", "runs/b": "unread"}
