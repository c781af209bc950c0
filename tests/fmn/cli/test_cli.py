"""Training, evaluation and search by the public commands: the whole way, wrong use, and what search shows."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from rich.console import Console

from dataset_tools.core.console import Terminal
from dataset_tools.manifests import PredictionRow, SplitPairRow, read_rows, write_rows
from fmn.cli.search import _show_search
from fmn.search.search_results import Hit, SearchResult

pytestmark = pytest.mark.usefixtures("one_thread")


def test_train_eval_and_search_on_files_that_play(
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    fmn: Callable,
    json_of: Callable,
    small_settings: list[str],
) -> None:
    monkeypatch.chdir(files)
    (files / "manifests" / "build.json").write_text('{"stand_in": {"seed": 0}}')
    planned = fmn("train", "manifests/train.jsonl", "--epochs", "2", *small_settings, "--dry-run")
    assert planned.exit_code == 0, planned.output
    assert "would train fmn for 2 epochs on 64 pairs of 16 clips and 16 utterances" in planned.output
    assert not (files / "runs").exists()

    trained = fmn("train", "manifests/train.jsonl", "--epochs", "2", *small_settings, "--json")
    assert trained.exit_code == 0, trained.output
    summary = json_of(trained)
    assert (summary["ok"], summary["epochs"], summary["clips"]) == (True, 2, 16)
    folder = files / "runs" / "fmn-demo"
    assert Path(summary["run"]) == folder.resolve()

    again = fmn("train", "manifests/train.jsonl", "--epochs", "2", *small_settings)
    assert again.exit_code == 0, again.output
    assert "is already finished" in again.output

    planned = json_of(fmn("train", "--epochs", "2", *small_settings, "--dry-run", "--json"))
    assert (planned["epochs"], planned["pairs"]) == (2, 0)  # there, and to come
    other = fmn("train", "--epochs", "2", *small_settings, "--seed", "7", "--dry-run")
    assert other.exit_code == 2
    assert "training.seed was 0, is 7" in other.output
    (folder / "metrics.json").touch()
    assert "earlier-results" not in fmn("train", "--epochs", "2", *small_settings, "--dry-run").output
    planned_longer = fmn("train", "--resume", "--epochs", "3", "--dry-run")
    moved = "to runs/fmn-demo/earlier-results-1"
    assert f"results of the weights before would be moved {moved}" in planned_longer.output
    assert "would resume fmn after epoch 2, and train it for 1 epoch on 64 pairs" in planned_longer.output

    longer = fmn("train", "--resume", "--epochs", "3")  # the configuration is the run's
    assert longer.exit_code == 0, longer.output
    assert "3 epochs" in longer.output
    assert f"results of the weights before were moved {moved}" in longer.output

    evaluated = fmn("eval")  # the newest run, the test manifest beside the training manifest
    assert evaluated.exit_code == 0, evaluated.output
    assert "stand-in corpus" in evaluated.output
    assert "class recall" in evaluated.output
    metrics = json.loads((folder / "metrics.json").read_text())
    as_json = json_of(fmn("eval", str(folder), "--manifest", "manifests/test.jsonl", "--json"))
    assert metrics.pop("manifest")["name"] == "test.jsonl"
    assert as_json["metrics"] == metrics
    assert as_json["stand_in"] is True
    asked = ("eval", "--metrics", "ndcg@10,hit@1", "--trec", "trec", "--trec-top", "2")
    chosen = fmn(*asked)
    assert chosen.exit_code == 0, chosen.output
    assert "ndcg@10" in chosen.output
    assert len(list((files / "trec").glob("run.*.txt"))) == 2
    for block in json_of(fmn(*asked, "--json"))["metrics"].values():
        assert block["chosen"]["class"]["hit@1"] == pytest.approx(block["class_hit"]["1"])
        assert block["chosen"]["instance"]["hit@1"] == pytest.approx(block["instance_hit"]["1"])
        assert block["chosen"]["intervals"]["class"]["hit@1"] == pytest.approx(block["intervals"]["class_hit"]["1"])
    for unknown in ("bleu", "hit"):
        assert fmn("eval", "--metrics", unknown).exit_code == 2

    clips = {row.clip.id: row.clip for row in read_rows(files / "manifests" / "train.jsonl", SplitPairRow)}
    write_rows(files / "manifests" / "clips.jsonl", [clips[name] for name in sorted(clips)])
    predicted = fmn("predict")
    assert predicted.exit_code == 0, predicted.output
    assert f"{len(clips)} clips" in predicted.output
    guesses = list(read_rows(folder / "predictions.jsonl", PredictionRow))
    assert [row.id for row in guesses] == sorted(clips)
    assert all(row.clip_sha256 == clips[row.id].sha256 and 0 <= row.uncertainty <= 1 for row in guesses)
    assert {row.model.split("@")[0] for row in guesses} == {"fmn-demo"}

    utterance = next((files / "speech").glob("s06-d02*.wav"))
    found = json_of(fmn("search", str(folder), "--speech", str(utterance), "--top", "3", "--json"))
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3]
    assert all((files / hit["path"]).is_file() for hit in found["hits"])
    clip = next((files / "clips").glob("s06-d02*.mp4"))
    shown = fmn("search", "--clip", str(clip), "--top", "2")
    assert shown.exit_code == 0, shown.output
    assert "somebody washes thing" in shown.output

    cached = set((files / "cache").rglob("*"))  # which keeps nothing of other voices
    samples, rate_hz = soundfile.read(utterance)
    soundfile.write(tmp_path / "other.wav", samples[::-1], rate_hz)
    assert fmn("search", "--speech", str(tmp_path / "other.wav")).exit_code == 0
    assert set((files / "cache").rglob("*")) == cached

    nothing = tmp_path / "noise.wav"
    nothing.write_bytes(b"this is no sound")
    refused = fmn("search", "--speech", str(nothing))
    assert refused.exit_code == 2
    assert "noise.wav" in refused.output

    torn = files / next(read_rows(files / "manifests" / "test.jsonl", SplitPairRow)).clip.path
    torn.write_bytes(b"torn")
    cached = fmn("eval")
    for folder_of_features in (files / "cache").rglob("video-*"):
        folder_of_features.rename(folder_of_features.with_name(f"away-{folder_of_features.name}"))
    for partial in (cached, fmn("eval")):
        assert partial.exit_code == 1, partial.output
        assert "1 file has no features, left out:" in partial.output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "nowhere/train.jsonl"], 2, "There is no such manifest"),
        (["train", "manifests/train.jsonl", "--model", "gpt"], 2, "There is no system 'gpt'"),
        (["train", "manifests/train.jsonl", "--set", "memory.size=3"], 2, "memory.size is unknown"),
        (["train", "manifests/train.jsonl", "--set", "system="], 2, "There is no system ''"),
        (["tune", "--set", "system=kcca"], 2, "leave `system` out of --config and --set"),
        (["train", "manifests/train.jsonl", "--set", "memory.size"], 2, "There is no value in 'memory.size'"),
        (["train", "manifests/train.jsonl", "--set", "memory.capacity={}"], 2, "There is no value in 'memory.capac"),
        (["train", "manifests/train.jsonl", "--set", "=3"], 2, "There is no key in '=3'"),
        (["train", "--dry-run", "--video-encoder", "none:x"], 2, "There is no encoder 'none'"),
        (["compare", "--dry-run", "--speech-encoder", "none"], 2, "There is no encoder 'none'"),
        (["train", "manifests/train.jsonl", "--resume"], 2, "leave out --resume to start a new run"),
        (["train", "manifests/train.jsonl", "--device", "abacus"], 2, "The device 'abacus' cannot be used"),
        (["train", "manifests/train.jsonl", "--device", "meta"], 2, "The device 'meta' cannot be used"),
        (["eval"], 2, "There is no trained run"),
        (["eval", "runs/none"], 2, "There is no run"),
        (["search", "runs/none"], 2, "No query"),
        (["search", "--speech", "a.wav", "--clip", "a.mp4"], 2, "There is more than one query"),
    ],
)
def test_wrong_use_is_told_in_one_message(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, message: str, fmn: Callable
) -> None:
    monkeypatch.chdir(workspace)
    result = fmn(*arguments)
    assert result.exit_code == code
    assert message in result.output
    assert "Traceback" not in result.output
    assert not (workspace / "runs").exists() or not list((workspace / "runs").iterdir())


def test_a_workspace_says_where_the_training_manifest_is(
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    fmn: Callable,
    json_of: Callable,
    small_settings: list[str],
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    planned = fmn("train", "--workspace", str(workspace), *small_settings, "--dry-run", "--json")
    assert planned.exit_code == 0, planned.output
    assert Path(json_of(planned)["run"]).resolve() == (workspace / "runs" / "fmn-demo").resolve()


def test_a_broken_line_is_named(workspace: Path, fmn: Callable, json_of: Callable) -> None:
    manifest = workspace / "manifests" / "train.jsonl"
    lines = manifest.read_text().splitlines()
    lines[6] = lines[6][:100]
    manifest.write_text("\n".join(lines))
    result = fmn("train", str(manifest), "--json")
    assert result.exit_code == 2
    error = json_of(result)["error"]
    assert error["where"].endswith("train.jsonl, line 7")
    assert "next" in error


@pytest.mark.parametrize("command", [["train"], ["eval"], ["search"], ["weights", "download"]])
def test_every_command_has_an_example(command: list[str], fmn: Callable) -> None:
    result = fmn(*command, "--help")
    assert result.exit_code == 0
    assert f"Example: fmn {' '.join(command)}" in result.output


@pytest.mark.parametrize("kind", ["speech", "clip", "words"])
def test_at_80_columns_search_shows_paths_whole_with_person_and_sentence(kind: str) -> None:
    path = f"clips/{'take-out_spatula_frying-pan-' * 3}s13-d21_000194-000243.mp4"
    hits = (
        Hit(1, -1.5, "a", "wash_hands", path, "s13", "She washes her hands."),
        Hit(2, -2.0, "b", "peel", "b", "s1", None),
        Hit(3, -3.0, "c", "peel", "c", "s1", ""),  # a recording without a sentence
    )
    terminal, screen = Terminal(as_json=False), io.StringIO()
    terminal.console = Console(width=80, file=screen, force_terminal=True, color_system=None)
    result = SearchResult("q[1].wav", kind, hits, 18, ("A note.",), run="runs/one", manifest="test.jsonl")  # type: ignore[arg-type]
    _show_search(terminal, result, result.query)
    text = screen.getvalue()
    assert path in text
    assert "q[1].wav" in text
    assert re.findall("“(.*)”", text) == ["She washes her hands."]
    assert ("voice s13" if kind == "clip" else "person s13") in text
    assert "score: " in text


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("eval --orders 3", "--orders requires --update-memory"),
        ("eval --trec-top 3", "--trec-top requires --trec"),
        ("newclasses --held-out 3 --held-out-classes wash_thing0", "--held-out requires classes that are drawn"),
        ("search --clip one.mp4 --voices espeak", "--voices requires --text"),
        ("search --text wash --by-words --voices espeak", "--voices requires --text, without --by-words"),
    ],
)
def test_an_option_without_effect_is_refused(fmn: Callable, typed: str, found: str) -> None:
    refused = fmn(*typed.split())
    assert refused.exit_code == 2, refused.output
    assert found in refused.output
