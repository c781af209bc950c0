"""What --dry-run says: what is left of a run, and inputs that the command itself would refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_tools.core.console import Terminal

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_dry_run_of_a_run_that_was_killed_plans_what_is_left(
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    made_features: dict[str, int],
    fmn: Callable,
    json_of: Callable,
    small_settings: list[str],
) -> None:
    monkeypatch.chdir(workspace)
    path = workspace / "runs" / "fmn-demo" / "state.json"

    def killed(terminal: Terminal, stage: str, done: int, total: int, note: str = "") -> None:
        if path.exists() and json.loads(path.read_text())["epoch"] == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Terminal, "progress", killed)
        assert fmn("train", "--epochs", "9", *small_settings).exit_code == 3
    state = json.loads(path.read_text())
    assert (state["epoch"], state["finished"]) == (5, False)
    for epochs in ("3", "5"):
        planned = fmn("train", "--epochs", epochs, *small_settings, "--dry-run")
        assert planned.exit_code == 0, planned.output
        assert "would only finalize fmn, already trained for 5 epochs" in planned.output
        as_json = json_of(fmn("train", "--epochs", epochs, *small_settings, "--dry-run", "--json"))
        assert (as_json["epochs"], as_json["pairs"]) == (5, 0)
    planned = fmn("train", "--epochs", "7", *small_settings, "--dry-run")
    assert "would resume fmn after epoch 5, and train it for 2 epochs on 64 pairs" in planned.output
    assert "and validate on 4 and 4 of fold 0" in planned.output
    finished = fmn("train", "--epochs", "3", *small_settings)
    assert finished.exit_code == 0, finished.output
    assert "fmn trained: 5 epochs" in finished.output


def test_a_dry_run_of_a_refit_is_without_validation(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, fmn: Callable
) -> None:
    monkeypatch.chdir(workspace)
    planned = fmn("train", "--refit", "--dry-run")
    assert planned.exit_code == 0, planned.output
    assert "on 100 pairs of 20 clips and 20 utterances, without validation" in planned.output


def test_a_dry_run_without_class_labels_counts_the_spoken_pairs_only(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, made_features: dict[str, int], fmn: Callable, json_of: Callable
) -> None:
    monkeypatch.chdir(workspace)
    rows = [json.loads(line) for line in (workspace / "manifests" / "train.jsonl").read_text().splitlines()]
    spoken = [row for row in rows if row["utterance"]["clip"] == row["clip"]["id"]]
    fitted = sum(row["fold"] != 0 for row in spoken)
    planned = json_of(fmn("train", "--labels", "pairs", "--dry-run", "--json"))
    assert planned["pairs"] == fitted < len(rows)
    others = [json.dumps(row) for row in rows if row not in spoken]
    (workspace / "manifests" / "others.jsonl").write_text("\n".join(others))
    refused = fmn("train", "manifests/others.jsonl", "--labels", "pairs", "--dry-run")
    assert refused.exit_code == 2
    assert "No pair has a clip and an utterance that was spoken for it" in refused.output
    (workspace / "manifests" / "test.jsonl").touch()
    refused = fmn("noise", "manifests/others.jsonl", "--labels", "class", "--rates", "0,50", "--dry-run")
    assert refused.exit_code == 2
    assert "No pair has a clip and an utterance that was spoken for it" in refused.output
    assert "labels=class" not in refused.output  # it was given


ABSENT = "cuda:99"
"""A device of another machine, for which a dry run plans."""
DRY_RUNS = ("train", "compare", "noise --rates 0,50", "ablate", "tune", "newclasses --held-out 2", "finetune")


@pytest.mark.parametrize("command", DRY_RUNS)
def test_a_dry_run_checks_manifests_media_and_the_name_of_the_device(
    command: str, workspace: Path, monkeypatch: pytest.MonkeyPatch, fmn: Callable, give_two_actions: Callable
) -> None:
    monkeypatch.chdir(workspace)
    give_two_actions(workspace)
    planned = fmn(*command.split(), "--dry-run")
    assert planned.exit_code == 0, planned.output
    elsewhere = fmn(*command.split(), "--dry-run", "--device", ABSENT)
    assert elsewhere.exit_code == 0, elsewhere.output
    absent = fmn(*command.split(), "--device", ABSENT)
    assert absent.exit_code == 2, absent.output
    assert f"The device '{ABSENT}' cannot be used" in absent.output
    no_device = fmn(*command.split(), "--dry-run", "--device", "gpu")
    assert no_device.exit_code == 2
    assert "The device 'gpu' cannot be used" in no_device.output
    test = workspace / "manifests" / "test.jsonl"
    swapped = fmn(*command.split(), str(test), "--dry-run")
    assert swapped.exit_code == 2
    assert "This is a test manifest; nothing may be trained or selected on it" in swapped.output
    with (workspace / "manifests" / "train.jsonl").open() as rows:
        clip = workspace / json.loads(next(rows))["clip"]["path"]
    clip.rename(workspace / "moved.mp4")
    lacking = fmn(*command.split(), "--dry-run")
    assert lacking.exit_code == 2
    assert clip.name in lacking.output
    (workspace / "moved.mp4").rename(clip)
    test.write_text("{}\n")
    torn = fmn(*command.split(), "--dry-run")
    assert torn.exit_code == (2 if command in ("compare", "noise --rates 0,50") else 0), torn.output
    assert not (workspace / "runs").exists()
