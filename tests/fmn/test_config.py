from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from dataset_tools.core.errors import InputError
from fmn.cli.options import settings_of
from fmn.config import (
    DEMO,
    LIGHT,
    PAPER,
    AugmentConfig,
    Config,
    MemoryConfig,
    ModelConfig,
    TrainingConfig,
    as_dict,
    as_published,
    config_from_dict,
    flattened,
    preset,
    values_in,
    with_values,
)
from fmn.config_sections import Checked, decisive, later
from fmn.models.memory_capacity import with_capacity

NEW_KEY = "earlier runs would be trained again: is a key new? CONTRIBUTING.md, 'a configuration key'"


@pytest.mark.parametrize("config", [DEMO, LIGHT, PAPER, as_published(DEMO), as_published(PAPER)])
def test_a_configuration_survives_json(config: Config) -> None:
    assert config_from_dict(json.loads(json.dumps(as_dict(config)))) == config


def test_what_is_left_out_has_its_default() -> None:
    config = config_from_dict({"model": {"hidden_size": 3}, "training": {"augment": {"noise": 0}}})
    assert config.model == ModelConfig(hidden_size=3)
    assert config.memory == MemoryConfig()
    assert config.training.augment.noise == 0.0
    assert config.training.augment.time_masks == 2


def test_the_preset_light_is_the_demo_with_the_encoders_that_come_with_pip() -> None:
    light = preset("light")
    assert (light.video.kind, light.video.encoder) == ("encoder", "efficientnet_lite0")
    assert (light.audio.kind, light.audio.encoder) == ("encoder", "openwakeword")
    kept = as_dict(light) | {name: as_dict(DEMO)[name] for name in ("video", "audio")}
    assert kept == as_dict(DEMO)


def test_features_of_ones_own_take_the_place_of_the_encoder_of_a_preset() -> None:
    config = with_values(preset("light"), {"video.features": "own", "video.encoder": ""})
    assert (config.video.kind, config.audio.kind) == ("features", "encoder")
    with pytest.raises(InputError, match="both set"):
        with_values(preset("light"), {"video.features": "own"})


def test_everything_wrong_is_named_at_once() -> None:
    with pytest.raises(InputError) as raised:
        config_from_dict(
            {
                "modle": {},
                "video": {"width": 0.0, "color": 1},
                "model": {"hidden_size": 0, "head": "cubic", "units": 3},
                "memory": {"capacity": "many", "update": 1.5},
                "training": {"augment": {"noise": -1}, "epochs": 2.5},
            }
        )
    found = raised.value.found
    for name in (
        "modle is unknown",
        "video.color is unknown",
        "width is 0.0",
        "model.units is unknown",
        "model.hidden_size is 0",
        "model.head is 'cubic'",
        "memory.capacity is 'many'",
        "memory.update is 1.5",
        "training.augment.noise is -1",
        "training.epochs is 2.5",
    ):
        assert name in found
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("text", ["Infinity", "-Infinity", "NaN", "1e999"])
def test_no_value_is_infinite_or_not_a_number(text: str, tmp_path: Path) -> None:
    """Python reads these as numbers; in config.json, they would not be JSON."""
    for key in (*flattened(as_dict(PAPER)), "options.weight"):
        section, _, name = key.rpartition(".")
        given = tmp_path / "given.json"
        given.write_text(f'{{"{key}": {text}}}' if not section else f'{{"{section}": {{"{name}": {text}}}}}')
        for changes in (settings_of([f"{key}={text}"]), {key: float(json.loads(text))}, values_in(given)):
            with pytest.raises(InputError, match=f"{name} is -?(inf|nan)"):
                with_values(PAPER, changes)


def test_words_that_are_allowed_are_named_and_where_values_do_not_go_together() -> None:
    with pytest.raises(InputError) as raised:
        config_from_dict({"model": {"head": "cubic"}, "memory": {"update": "often"}, "video": {"crop_px": 300}})
    for part in (
        "model.head is 'cubic', expected one of 'hidden', 'linear'",
        "memory.update is 'often', expected one of 'mean', or a number",
        "video: resize_px is 256, expected at least 300 (crop_px)",
    ):
        assert part in raised.value.found


def test_a_section_that_is_a_value_is_refused() -> None:
    with pytest.raises(InputError, match="memory is not an object"):
        config_from_dict({"memory": 50})


def test_single_values_are_changed_by_their_dotted_name() -> None:
    config = with_values(DEMO, {"memory.update": 0.25, "training.augment.stretch": 0, "system": "fmn"})
    assert config == replace(
        DEMO,
        memory=replace(DEMO.memory, update=0.25),
        training=replace(DEMO.training, augment=replace(DEMO.training.augment, stretch=0.0)),
    )
    with pytest.raises(InputError, match=r"training\.epoch is unknown"):
        with_values(DEMO, {"training.epoch": 3})
    with pytest.raises(InputError, match="is a value, not a section"):
        with_values(DEMO, {"system.name": "x"})


def test_the_paper_preset_is_the_papers_setting() -> None:
    # Notes on the paper: U = 1024, 1024 + 1024 = 2048 video numbers, X = 50, batch 64, 500 epochs.
    assert (PAPER.model.hidden_size, PAPER.video.dim, with_capacity(PAPER, 20).memory.capacity) == (1024, 2048, 50)
    assert (PAPER.training.batch_size, PAPER.training.epochs) == (64, 500)


def test_the_printed_form_changes_every_equation_that_cannot_be_as_printed() -> None:
    printed = preset("demo", "as_published")
    assert (printed.model.head, printed.model.score) == ("linear", "s1/max")
    assert (printed.memory.space, printed.memory.read, printed.memory.write) == ("raw", "max", "step")
    assert isinstance(printed.memory.update, float)
    assert printed.training.triplet == "as_published"
    assert printed.model.hidden_size == DEMO.model.hidden_size


def test_unknown_presets_and_forms_are_refused() -> None:
    with pytest.raises(InputError, match="no preset 'huge'"):
        preset("huge")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no form 'other'"):
        preset("demo", "other")  # type: ignore[arg-type]


def test_values_of_a_file_are_those_of_tune_or_of_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "values.json"
    path.write_text(json.dumps({"quality": 3, "values": {"memory.capacity": 9, "training": {"margin": 0.5}}}))
    assert values_in(path) == {"memory.capacity": 9, "training.margin": 0.5}
    path.write_text(json.dumps(as_dict(DEMO)))
    assert with_values(PAPER, values_in(path)) == DEMO
    path.write_text(json.dumps({"options": {}, "training": {"augment": {}}}))
    assert with_values(DEMO, values_in(path)) == DEMO
    path.write_text(json.dumps({"memory": {"capacity": {}}}))
    with pytest.raises(InputError, match=r"memory\.capacity is \{\}"):
        with_values(DEMO, values_in(path))
    for text in ("[1]", "{", '{"values": 3}'):
        path.write_text(text)
        with pytest.raises(InputError) as raised:
            values_in(path)
        assert raised.value.where == str(path) or raised.value.where == path


def test_keys_that_came_later_leave_the_names_of_runs_as_they_were() -> None:
    from fmn.studies.validation_harness import run_name

    one_window = with_values(DEMO, {"video.windows": 1})  # as the preset had it then
    one_window, paper = (with_capacity(config, classes=20) for config in (one_window, PAPER))
    names = run_name(one_window), run_name(paper)
    assert names == ("6acca529e45a-seed0", "4216af8c5982-seed0"), NEW_KEY
    steps = with_values(DEMO, {"model.step_attention": "mean"})
    assert run_name(steps) != run_name(DEMO)
    assert as_published(steps).model.step_attention == "off"


@dataclass(frozen=True, kw_only=True)
class Inner(Checked):
    old: int = 1
    new: str = later("off")
    renamed: str = later("", in_run_names=True)


@dataclass(frozen=True, kw_only=True)
class Outer(Checked):
    inner: Inner = Inner()
    rate: float = 1.0
    fresh: int = later(0)


def test_a_later_key_counts_if_it_is_not_at_its_default_and_in_sections_too() -> None:
    assert decisive(Outer()) == {"inner": {"old": 1}, "rate": 1.0}
    assert decisive(Outer(), of_run=True) == {"inner": {"old": 1, "renamed": ""}, "rate": 1.0}
    other = Outer(inner=Inner(new="on", renamed="x"), fresh=2)
    expected = {"inner": {"old": 1, "new": "on", "renamed": "x"}, "rate": 1.0, "fresh": 2}
    assert decisive(other) == decisive(other, of_run=True) == expected
    assert decisive(replace(other, fresh=0, inner=Inner())) == decisive(Outer())


@pytest.mark.parametrize(
    ("section", "values", "part"),
    [
        (ModelConfig, {"head": "cubic"}, "head is 'cubic', expected one of 'hidden', 'linear'"),
        (MemoryConfig, {"update": 1.5}, "update is 1.5"),
        (AugmentConfig, {"noise": -1.0}, "noise is -1.0"),
        (TrainingConfig, {"epochs": 0}, "epochs is 0"),
        (TrainingConfig, {"augment": {"noise": 0.1}}, "augment is {'noise': 0.1}, expected AugmentConfig"),
        (Config, {"options": {"margin": [1]}}, "options is"),
    ],
)
def test_a_section_that_is_created_directly_is_validated(
    section: Callable[..., object], values: dict[str, object], part: str
) -> None:
    with pytest.raises(InputError) as raised:
        section(**values)
    assert part in raised.value.found
    assert raised.value.where == section.__name__  # type: ignore[attr-defined]


def test_a_whole_number_is_the_float_that_it_equals() -> None:
    from fmn.studies.ablate import run_name

    training = replace(DEMO.training, learning_rate=1, patience=3)
    assert isinstance(training.learning_rate, float)
    assert isinstance(training.patience, int)
    assert run_name(replace(DEMO, training=training)) == run_name(
        with_values(DEMO, {"training.learning_rate": 1.0, "training.patience": 3})
    )
    assert isinstance(MemoryConfig(update=1).update, float)
    assert replace(DEMO.video, sample_fps=12).digest == DEMO.video.digest
