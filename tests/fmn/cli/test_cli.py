from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from dataset_tools.core.console import Terminal
from dataset_tools.manifests import PredictionRow, SplitPairRow, read_rows, write_rows
from fmn.cli.main import _show_search, app
from fmn.config import PRESETS, as_dict, as_published
from fmn.search.search_results import Hit, SearchResult

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = [
    "video.width=0.0625",
    "video.resize_px=32",
    "video.crop_px=32",
    "video.window_frames=8",
    "video.weights=random",
    "model.hidden_size=8",
    "model.embed_dim=8",
    "model.head_hidden_size=8",
    "training.pairs_per_epoch=64",
    "training.threads=1",
]
SETTINGS = [part for setting in SMALL for part in ("--set", setting)]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def json_of(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_train_eval_and_search_on_files_that_play(files: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(files)
    (files / "manifests" / "build.json").write_text('{"stand_in": {"seed": 0}}')
    planned = run("train", "manifests/train.jsonl", "--epochs", "2", *SETTINGS, "--dry-run")
    assert planned.exit_code == 0, planned.output
    assert "would train fmn for 2 epochs on 64 pairs of 16 clips and 16 utterances" in planned.output
    assert not (files / "runs").exists()

    trained = run("train", "manifests/train.jsonl", "--epochs", "2", *SETTINGS, "--json")
    assert trained.exit_code == 0, trained.output
    summary = json_of(trained)
    assert (summary["ok"], summary["epochs"], summary["clips"]) == (True, 2, 16)
    folder = files / "runs" / "fmn-demo"
    assert Path(summary["run"]) == folder.resolve()

    again = run("train", "manifests/train.jsonl", "--epochs", "2", *SETTINGS)
    assert again.exit_code == 0, again.output
    assert "is already finished" in again.output

    planned = json_of(run("train", "--epochs", "2", *SETTINGS, "--dry-run", "--json"))
    assert (planned["epochs"], planned["pairs"]) == (2, 0)  # there, and to come
    other = run("train", "--epochs", "2", *SETTINGS, "--seed", "7", "--dry-run")
    assert other.exit_code == 2
    assert "training.seed was 0, is 7" in other.output
    planned_longer = run("train", "--resume", "--epochs", "3", "--dry-run")
    assert "would resume fmn after epoch 2, and train it for 1 epoch on 64 pairs" in planned_longer.output

    longer = run("train", "--resume", "--epochs", "3")  # the configuration is the run's
    assert longer.exit_code == 0, longer.output
    assert "3 epochs" in longer.output

    evaluated = run("eval")  # the newest run, the test manifest beside the training manifest
    assert evaluated.exit_code == 0, evaluated.output
    assert "stand-in corpus" in evaluated.output
    assert "class recall" in evaluated.output
    metrics = json.loads((folder / "metrics.json").read_text())
    as_json = json_of(run("eval", str(folder), "--manifest", "manifests/test.jsonl", "--json"))
    assert as_json["metrics"] == metrics
    assert as_json["stand_in"] is True
    asked = ("eval", "--metrics", "ndcg@10,hit@1", "--trec", "trec", "--trec-top", "2")
    chosen = run(*asked)
    assert chosen.exit_code == 0, chosen.output
    assert "ndcg@10" in chosen.output
    assert len(list((files / "trec").glob("run.*.txt"))) == 2
    for block in json_of(run(*asked, "--json"))["metrics"].values():
        assert block["chosen"]["class"]["hit@1"] == pytest.approx(block["class_hit"]["1"])
        assert block["chosen"]["instance"]["hit@1"] == pytest.approx(block["instance_hit"]["1"])
        assert block["chosen"]["intervals"]["class"]["hit@1"] == pytest.approx(block["intervals"]["class_hit"]["1"])
    for unknown in ("bleu", "hit"):
        assert run("eval", "--metrics", unknown).exit_code == 2

    clips = {row.clip.id: row.clip for row in read_rows(files / "manifests" / "train.jsonl", SplitPairRow)}
    write_rows(files / "manifests" / "clips.jsonl", [clips[name] for name in sorted(clips)])
    predicted = run("predict")
    assert predicted.exit_code == 0, predicted.output
    assert f"{len(clips)} clips" in predicted.output
    guesses = list(read_rows(folder / "predictions.jsonl", PredictionRow))
    assert [row.id for row in guesses] == sorted(clips)
    assert all(row.clip_sha256 == clips[row.id].sha256 and 0 <= row.uncertainty <= 1 for row in guesses)
    assert {row.model.split("@")[0] for row in guesses} == {"fmn-demo"}

    utterance = next((files / "speech").glob("s06-d02*.wav"))
    found = json_of(run("search", str(folder), "--speech", str(utterance), "--top", "3", "--json"))
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3]
    assert all((files / hit["path"]).is_file() for hit in found["hits"])
    clip = next((files / "clips").glob("s06-d02*.mp4"))
    shown = run("search", "--clip", str(clip), "--top", "2")
    assert shown.exit_code == 0, shown.output
    assert "somebody washes thing" in shown.output

    nothing = tmp_path / "noise.wav"
    nothing.write_bytes(b"this is no sound")
    refused = run("search", "--speech", str(nothing))
    assert refused.exit_code == 2
    assert "noise.wav" in refused.output

    torn = files / next(read_rows(files / "manifests" / "test.jsonl", SplitPairRow)).clip.path
    torn.write_bytes(b"torn")
    assert run("eval").exit_code == 0  # its feature is known by its content, which the manifest names
    for folder_of_features in (files / "cache").rglob("video-*"):
        folder_of_features.rename(folder_of_features.with_name(f"away-{folder_of_features.name}"))
    partial = run("eval")
    assert partial.exit_code == 1, partial.output
    assert "1 file has no features, left out:" in partial.output


def test_a_dry_run_of_a_run_that_was_killed_plans_what_is_left(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, made_features: dict[str, int]
) -> None:
    monkeypatch.chdir(workspace)
    path = workspace / "runs" / "fmn-demo" / "state.json"

    def killed(terminal: Terminal, stage: str, done: int, total: int, note: str = "") -> None:
        if path.exists() and json.loads(path.read_text())["epoch"] == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Terminal, "progress", killed)
        assert run("train", "--epochs", "9", *SETTINGS).exit_code == 3
    state = json.loads(path.read_text())
    assert (state["epoch"], state["finished"]) == (5, False)
    for epochs in ("3", "5"):
        planned = run("train", "--epochs", epochs, *SETTINGS, "--dry-run")
        assert planned.exit_code == 0, planned.output
        assert "would only finalize fmn, already trained for 5 epochs" in planned.output
        as_json = json_of(run("train", "--epochs", epochs, *SETTINGS, "--dry-run", "--json"))
        assert (as_json["epochs"], as_json["pairs"]) == (5, 0)
    planned = run("train", "--epochs", "7", *SETTINGS, "--dry-run")
    assert "would resume fmn after epoch 5, and train it for 2 epochs on 64 pairs" in planned.output
    assert "and validate on 4 and 4 of fold 0" in planned.output
    finished = run("train", "--epochs", "3", *SETTINGS)
    assert finished.exit_code == 0, finished.output
    assert "fmn trained: 5 epochs" in finished.output


def test_a_dry_run_of_a_refit_is_without_validation(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    planned = run("train", "--refit", "--dry-run")
    assert planned.exit_code == 0, planned.output
    assert "on 100 pairs of 20 clips and 20 utterances, without validation" in planned.output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "nowhere/train.jsonl"], 2, "There is no such manifest"),
        (["train", "manifests/train.jsonl", "--model", "gpt"], 2, "There is no system 'gpt'"),
        (["train", "manifests/train.jsonl", "--set", "memory.size=3"], 2, "memory.size is unknown"),
        (["train", "manifests/train.jsonl", "--set", "system="], 2, "There is no system ''"),
        (["tune", "--set", "system=kcca"], 2, "leave `system` out of --config and --set"),
        (["train", "manifests/train.jsonl", "--set", "memory.size"], 2, "There is no value in 'memory.size'"),
        (["train", "manifests/train.jsonl", "--resume"], 2, "There is no run"),
        (["train", "manifests/train.jsonl", "--device", "abacus"], 2, "The device 'abacus' cannot be used"),
        (["eval"], 2, "There is no trained run"),
        (["eval", "runs/none"], 2, "There is no run"),
        (["search", "runs/none"], 2, "No query"),
        (["search", "--speech", "a.wav", "--clip", "a.mp4"], 2, "There is more than one query"),
    ],
)
def test_wrong_use_is_told_in_one_message(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, message: str
) -> None:
    monkeypatch.chdir(workspace)
    result = run(*arguments)
    assert result.exit_code == code
    assert message in result.output
    assert "Traceback" not in result.output
    assert not (workspace / "runs").exists() or not list((workspace / "runs").iterdir())


def test_a_workspace_says_where_the_training_manifest_is(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    planned = run("train", "--workspace", str(workspace), *SETTINGS, "--dry-run", "--json")
    assert planned.exit_code == 0, planned.output
    assert Path(json_of(planned)["run"]).resolve() == (workspace / "runs" / "fmn-demo").resolve()


ABSENT = "cuda:99"
"""A device of another machine, for which a dry run plans."""
DRY_RUNS = ("train", "compare", "noise --rates 0,50", "ablate", "tune", "newclasses --held-out 2", "finetune")


@pytest.mark.parametrize("command", DRY_RUNS)
def test_a_dry_run_checks_manifests_media_and_the_name_of_the_device(
    command: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    planned = run(*command.split(), "--dry-run")
    assert planned.exit_code == 0, planned.output
    elsewhere = run(*command.split(), "--dry-run", "--device", ABSENT)
    assert elsewhere.exit_code == 0, elsewhere.output
    absent = run(*command.split(), "--device", ABSENT)
    assert absent.exit_code == 2, absent.output
    assert f"The device '{ABSENT}' cannot be used" in absent.output
    no_device = run(*command.split(), "--dry-run", "--device", "gpu")
    assert no_device.exit_code == 2
    assert "The device 'gpu' cannot be used" in no_device.output
    test = workspace / "manifests" / "test.jsonl"
    swapped = run(*command.split(), str(test), "--dry-run")
    assert swapped.exit_code == 2
    assert "This is a test manifest; nothing may be trained or selected on it" in swapped.output
    clip = next((workspace / "clips").iterdir())
    clip.rename(workspace / "moved.mp4")
    lacking = run(*command.split(), "--dry-run")
    assert lacking.exit_code == 2
    assert clip.name in lacking.output
    (workspace / "moved.mp4").rename(clip)
    test.write_text("{}\n")
    torn = run(*command.split(), "--dry-run")
    assert torn.exit_code == (2 if command in ("compare", "noise --rates 0,50") else 0), torn.output
    assert not (workspace / "runs").exists()


def test_the_equations_as_published_can_be_chosen(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    for form, expected in (("standard", PRESETS["demo"]), ("as-published", as_published(PRESETS["demo"]))):
        planned = json_of(run("train", "--form", form, "--dry-run", "--json"))
        assert planned["config"] == json.loads(json.dumps(as_dict(expected)))
    assert PRESETS["demo"] != as_published(PRESETS["demo"])


def test_a_configuration_is_of_the_system_that_is_trained(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    of_kcca = json_of(run("train", "--model", "kcca", "--dry-run", "--json"))["config"]
    (workspace / "config.json").write_text(json.dumps(of_kcca))
    assert (
        json_of(run("train", "--model", "kcca", "--config", "config.json", "--dry-run", "--json"))["config"] == of_kcca
    )
    for model in ([], ["--model", "fmn"], ["--model", "cca"]):
        other = run("train", *model, "--config", "config.json", "--dry-run")
        assert other.exit_code == 2
        assert f"The configuration is for kcca, but --model is {(model or ['', 'fmn'])[1]}" in other.output
        assert "use --model kcca" in other.output


def test_a_whole_configuration_is_of_the_form_and_the_preset_that_are_named(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)

    def planned(*arguments: str) -> Result:
        return run("train", *arguments, "--dry-run", "--json")

    for name, arguments in {
        "demo": ["--epochs", "3"],
        "published": ["--form", "as-published", "--epochs", "3"],
        "light": ["--preset", "light", "--epochs", "3"],
    }.items():
        (workspace / f"{name}.json").write_text(json.dumps(json_of(planned(*arguments))["config"]))
    (workspace / "partial.json").write_text('{"values": {"training.triplet": "softmax", "video.width": 0.25}}')

    for config, option, key in (
        ("demo", "--form as-published", "model.head"),
        ("demo", "--preset light", "video.kind"),
        ("light", "--preset paper", "video."),
    ):
        refused = planned("--config", f"{config}.json", *option.split())
        assert refused.exit_code == 2, refused.output
        error = json_of(refused)["error"]
        assert f"The configuration is complete and contradicts {option}: {key}" in error["found"]
        assert error["next"] == f"leave out {option}, or --config"
    assert not (workspace / "runs").exists()

    for config, arguments, folder in (
        ("demo", [], "fmn-demo"),
        ("published", ["--form", "as-published"], "fmn-demo-printed"),
        ("light", ["--preset", "light", "--seed", "4"], "fmn-light"),
        ("partial", ["--preset", "light", "--form", "as-published"], "fmn-light-printed"),
    ):
        agreed = planned("--config", f"{config}.json", *arguments)
        assert agreed.exit_code == 0, agreed.output
        assert Path(json_of(agreed)["run"]).name == folder


def test_a_run_resumes_with_its_own_system_and_form(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    folder = workspace / "runs" / "mine"
    folder.mkdir(parents=True)
    resume = ("train", "--resume", "--run", "runs/mine", "--dry-run")
    published = ("--form", "as-published")
    of_paper = as_published(PRESETS["demo"])  # with one value changed, it is still a run of that form
    of_paper = replace(of_paper, memory=replace(of_paper.memory, update=0.3))
    for config, other, agreeing in (
        (PRESETS["demo"], {("--model", "kcca"): "fmn", published: "fmn in the standard form"}, ["--model", "fmn"]),
        (of_paper, {("--model", "kcca"): "fmn"}, published),
    ):
        (folder / "config.json").write_text(json.dumps(as_dict(config)))
        for arguments, own in other.items():
            refused = run(*resume, *arguments)
            assert refused.exit_code == 2
            assert f"The run is a run of {own}, but {arguments[0]} is {arguments[1]}" in refused.output
        for arguments in ((), agreeing):  # there is nothing to resume in it, which is reported next
            assert "There is no run to resume" in run(*resume, *arguments).output


def test_a_broken_line_is_named(workspace: Path) -> None:
    manifest = workspace / "manifests" / "train.jsonl"
    lines = manifest.read_text().splitlines()
    lines[6] = lines[6][:100]
    manifest.write_text("\n".join(lines))
    result = run("train", str(manifest), "--json")
    assert result.exit_code == 2
    error = json_of(result)["error"]
    assert error["where"].endswith("train.jsonl, line 7")
    assert "next" in error


@pytest.mark.parametrize("command", [["train"], ["eval"], ["search"], ["weights", "download"]])
def test_every_command_has_an_example(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert f"Example: fmn {' '.join(command)}" in result.output


@pytest.mark.parametrize("kind", ["speech", "clip", "words"])
def test_at_80_columns_search_shows_paths_whole_with_person_and_sentence(kind: str) -> None:
    path = f"clips/{'take-out_spatula_frying-pan-' * 3}s13-d21_000194-000243.mp4"
    hits = (
        Hit(1, -1.5, "a", "wash_hands", path, "s13", "She washes her hands."),
        Hit(2, -2.0, "b", "peel", "b", "s1", None),
    )
    terminal, screen = Terminal(as_json=False), io.StringIO()
    terminal.console = Console(width=80, file=screen, force_terminal=True, color_system=None)
    _show_search(terminal, SearchResult("q[1].wav", kind, hits, 18, ("A note.",)))  # type: ignore[arg-type]
    text = screen.getvalue()
    assert path in text
    assert "q[1].wav" in text
    assert "She washes her hands." in text
    assert ("voice s13" if kind == "clip" else "person s13") in text
    assert "score: " in text
