"""Keys and values of version 0.1.0 are still read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fmn.cli.options import TrainingOptions, settings_of
from fmn.comparison.comparison_plan import plan_comparison
from fmn.config import DEMO, as_dict, config_from_dict, flattened, with_values
from fmn.renamed_keys import KEYS, VALUES, with_new_keys
from fmn.training.run_folder import default_run

# every old key with a value that is not its default
OLD_VALUES = {
    "model.common_dim": 7,
    "model.head_units": 9,
    "model.lstm_units": 11,
    "training.augment.time_mask_share": 0.5,
    "training.clip_norm": 2.5,
    "training.epoch_pairs": 13,
    "training.softness": 0.25,
}


def test_every_old_key_is_tried() -> None:
    assert OLD_VALUES.keys() == KEYS.keys()


@pytest.mark.parametrize("old", sorted(KEYS))
def test_an_old_key_is_read_as_the_new_one_with_a_notice(old: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = with_values(DEMO, settings_of([f"{old}={OLD_VALUES[old]}"]))
    assert flattened(as_dict(config))[KEYS[old]] == OLD_VALUES[old]
    assert capsys.readouterr().err.startswith(f"{old} is now {KEYS[old]}")


@pytest.mark.parametrize("old", sorted(VALUES["training.triplet"]))
def test_an_old_value_is_read_as_the_new_one(old: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = with_values(DEMO, settings_of([f"training.triplet={old}"]))
    assert config.training.triplet == VALUES["training.triplet"][old]
    assert capsys.readouterr().err.startswith(f"training.triplet={old} is now")


@pytest.mark.parametrize("old", sorted(KEYS))
@pytest.mark.parametrize("old_in_file", [True, False])
def test_set_overrides_the_file_under_either_name(
    old: str, old_in_file: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_file, named = (old, KEYS[old]) if old_in_file else (KEYS[old], old)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({in_file: 0.125}))
    options = TrainingOptions(config_file=file, settings=[f"{named}={OLD_VALUES[old]}"])
    assert flattened(as_dict(options.config()))[KEYS[old]] == OLD_VALUES[old]
    assert capsys.readouterr().err.count(f"{old} is now {KEYS[old]}") == 1


def test_the_last_of_an_old_and_a_new_name_counts() -> None:
    assert settings_of(["training.clip_norm=1", "training.max_grad_norm=2"]) == {"training.max_grad_norm": 2}
    assert settings_of(["training.max_grad_norm=2", "training.clip_norm=1"]) == {"training.max_grad_norm": 1}


def test_every_system_of_a_comparison_reads_an_old_key_but_one_notice_is_given(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = workspace / "manifests" / "train.jsonl"
    changes = TrainingOptions(settings=["training.clip_norm=3"]).changes()
    planned = plan_comparison(
        manifest,
        manifest,
        tmp_path,
        models=["fmn", "cca"],
        preset_name="demo",
        changes=changes,
        budget=1,
        seeds=1,
        device="cpu",
    )
    configs = [each.config for tried in planned.candidates.values() for each in tried]
    assert [config.training.max_grad_norm for config in configs] == [3, 3]
    assert capsys.readouterr().err.count("is now") == 1


def test_the_configuration_of_an_old_run_is_read_silently(capsys: pytest.CaptureFixture[str]) -> None:
    old = {"model": {"lstm_units": 11}, "training": {"triplet": "soft", "augment": {"time_mask_share": 0.5}}}
    config = config_from_dict(old)
    assert (config.model.hidden_size, config.training.triplet) == (11, "softmax")
    assert config.training.augment.time_mask_fraction == 0.5
    assert capsys.readouterr() == ("", "")


def test_the_old_name_of_a_system_is_accepted(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert config_from_dict({"system": "fmn_printed"}).system == "fmn_as_published"
    assert capsys.readouterr() == ("", "")
    assert settings_of(["system=fmn_printed"]) == {"system": "fmn_as_published"}
    assert capsys.readouterr().err.startswith("system=fmn_printed is now system=fmn_as_published")
    train, test = (workspace / "manifests" / f"{side}.jsonl" for side in ("train", "test"))
    plans = [
        plan_comparison(
            train, test, workspace, models=models, preset_name="demo", changes={}, budget=1, seeds=1, device="cpu"
        )
        for models in (["cca", "fmn_printed"], ["cca", "fmn_as_published"])
    ]
    assert capsys.readouterr().err.count("the system fmn_printed is now fmn_as_published") == 1
    assert list(plans[0].candidates) == list(plans[1].candidates) == ["cca", "fmn_as_published"]
    assert plans[0].candidates == plans[1].candidates


@pytest.mark.parametrize(
    ("old", "new"),
    [("fmn-demo-printed-refit", "fmn-demo-as-published-refit"), ("fmn_printed-demo", "fmn_as_published-demo")],
)
def test_a_run_under_its_earlier_name_is_found_until_there_is_another(tmp_path: Path, old: str, new: str) -> None:
    manifest, runs = tmp_path / "manifests" / "train.jsonl", tmp_path / "runs"
    assert default_run(manifest, None, new) == runs / new
    (runs / old).mkdir(parents=True)
    assert default_run(manifest, None, new) == runs / old
    assert default_run(manifest, None, "fmn-demo") == runs / "fmn-demo"
    (runs / new).mkdir()
    assert default_run(manifest, None, new) == runs / new


def test_new_names_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    values = as_dict(DEMO)
    assert with_new_keys(values, notice=True) == values
    assert capsys.readouterr().err == ""
