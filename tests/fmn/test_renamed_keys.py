"""Keys and values of version 0.1.0 are still read."""

from __future__ import annotations

import pytest

from fmn.config import DEMO, as_dict, config_from_dict, flattened, with_values
from fmn.renamed_keys import KEYS, VALUES, with_new_keys

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
    config = with_values(DEMO, {old: OLD_VALUES[old]})
    assert flattened(as_dict(config))[KEYS[old]] == OLD_VALUES[old]
    assert capsys.readouterr().err.startswith(f"{old} is now {KEYS[old]}")


@pytest.mark.parametrize("old", sorted(VALUES["training.triplet"]))
def test_an_old_value_is_read_as_the_new_one(old: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = with_values(DEMO, {"training.triplet": old})
    assert config.training.triplet == VALUES["training.triplet"][old]
    assert capsys.readouterr().err.startswith(f"training.triplet={old} is now")


def test_the_configuration_of_an_old_run_is_read_silently(capsys: pytest.CaptureFixture[str]) -> None:
    old = {"model": {"lstm_units": 11}, "training": {"triplet": "soft", "augment": {"time_mask_share": 0.5}}}
    config = config_from_dict(old)
    assert (config.model.hidden_size, config.training.triplet) == (11, "softmax")
    assert config.training.augment.time_mask_fraction == 0.5
    assert capsys.readouterr() == ("", "")


def test_new_names_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    values = as_dict(DEMO)
    assert with_new_keys(values, notice=True) == values
    assert capsys.readouterr().err == ""
