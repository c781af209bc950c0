"""Configurations of the train command: forms, presets and systems, from options, files and earlier runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import Result

from fmn.config import PRESETS, as_dict, as_published, with_values
from fmn.models.memory_capacity import with_capacity

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_equations_as_published_can_be_chosen(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, fmn: Callable, json_of: Callable
) -> None:
    monkeypatch.chdir(workspace)
    for form, expected in (("standard", PRESETS["demo"]), ("as-published", as_published(PRESETS["demo"]))):
        planned = json_of(fmn("train", "--form", form, "--dry-run", "--json"))
        assert planned["config"] == json.loads(json.dumps(as_dict(with_capacity(expected, classes=4))))
    assert PRESETS["demo"] != as_published(PRESETS["demo"])


def test_an_object_sets_the_values_that_it_names(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, fmn: Callable, json_of: Callable
) -> None:
    monkeypatch.chdir(workspace)

    def config_of(*settings: str) -> object:
        typed = [part for setting in settings for part in ("--set", setting)]
        return json_of(fmn("train", *typed, "--dry-run", "--json"))["config"]

    assert config_of('training={"epochs": 7, "augment": {"noise": 0}}', 'memory={"update": 0.5}') == config_of(
        "training.epochs=7", "training.augment.noise=0", "memory.update=0.5"
    )
    assert config_of('training={"epochs": 7, "augment": {}}') == config_of("training.epochs=7")
    refused = fmn("train", "--set", 'memory={"capacity": {}, "temperature": 0.2}', "--dry-run")
    assert refused.exit_code == 2
    assert "memory.capacity is {}" in refused.output
    refused = fmn("compare", "--models", "lengths", "--set", 'training={"refit": true}', "--dry-run")
    assert refused.exit_code == 2
    assert "trains on fold 0 (training.refit)" in refused.output


def test_a_configuration_is_of_the_system_that_is_trained(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, fmn: Callable, json_of: Callable
) -> None:
    monkeypatch.chdir(workspace)
    of_kcca = json_of(fmn("train", "--model", "kcca", "--dry-run", "--json"))["config"]
    (workspace / "config.json").write_text(json.dumps(of_kcca))
    assert (
        json_of(fmn("train", "--model", "kcca", "--config", "config.json", "--dry-run", "--json"))["config"] == of_kcca
    )
    for model in ([], ["--model", "fmn"], ["--model", "cca"]):
        other = fmn("train", *model, "--config", "config.json", "--dry-run")
        assert other.exit_code == 2
        assert f"The configuration is for kcca, but --model is {(model or ['', 'fmn'])[1]}" in other.output
        assert "use --model kcca" in other.output


def test_a_whole_configuration_is_of_the_form_and_the_preset_that_are_named(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, fmn: Callable, json_of: Callable
) -> None:
    monkeypatch.chdir(workspace)

    def planned(*arguments: str) -> Result:
        return fmn("train", *arguments, "--dry-run", "--json")

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
        ("published", ["--form", "as-published"], "fmn-demo-as-published"),
        ("light", ["--preset", "light", "--seed", "4"], "fmn-light"),
        ("partial", ["--preset", "light", "--form", "as-published"], "fmn-light-as-published"),
    ):
        agreed = planned("--config", f"{config}.json", *arguments)
        assert agreed.exit_code == 0, agreed.output
        assert Path(json_of(agreed)["run"]).name == folder


def test_a_run_resumes_with_its_own_system_form_and_preset(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, fmn: Callable, json_of: Callable
) -> None:
    monkeypatch.chdir(workspace)
    folder = workspace / "runs" / "mine"
    folder.mkdir(parents=True)
    published = as_published(PRESETS["demo"])
    one_changed = replace(published, memory=replace(published.memory, update=0.3))  # still a run of that form
    triplet_alone = with_values(PRESETS["demo"], {"training.triplet": "as_published"})
    (workspace / "own" / "audio").mkdir(parents=True)
    own = str((workspace / "own" / "audio").resolve())
    with_own_features = with_values(PRESETS["demo"], {"audio.features": own, "audio.encoder": ""})
    for config, options, contradicted in (
        (PRESETS["demo"], "--model fmn", None),
        (PRESETS["demo"], "--model kcca", "system is 'fmn'"),
        (PRESETS["demo"], "--form standard --preset demo", None),
        (PRESETS["demo"], "--form as-published", "model.head"),
        (PRESETS["demo"], "--preset light", "video.kind"),
        (PRESETS["demo"], "--preset paper", "video."),
        (one_changed, "--form as-published", None),
        (one_changed, "--form standard", "model.head"),
        (triplet_alone, "--form as-published", "model.head"),
        (triplet_alone, "--form standard", "training.triplet"),
        (triplet_alone, "--form standard --set training.triplet=as_published", None),
        (with_own_features, "--preset demo --features own", None),
        (with_own_features, "--preset demo", "audio."),
    ):
        (folder / "config.json").write_text(json.dumps(as_dict(config)))
        result = fmn("train", "--resume", "--run", "runs/mine", "--dry-run", "--json", *options.split())
        assert result.exit_code == 2
        error = json_of(result)["error"]
        if contradicted is None:  # there is nothing to resume in it, which is reported next
            assert error["found"] == "There is no run to resume", options
        else:
            assert error["found"].startswith(f"The configuration of the run contradicts {options}: {contradicted}")
            assert error["next"] == f"leave out {options}, or leave out --resume and choose another folder with --run"
