from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dataset_tools.core.errors import InputError
from dataset_tools.manifests import ClassLabel
from fmn.config import Config, with_values
from fmn.data.sequences import Sequences
from fmn.models.fmn import FeatureMemoryNetwork
from fmn.training.checkpoint import (
    About,
    load_config,
    load_run,
    load_state,
    read_state,
    save_checkpoint,
    save_config,
    save_state,
)
from fmn.training.tensor_files import save_tensors
from fmn.training.train import plan_training

CPU = torch.device("cpu")
CLASSES = (
    ClassLabel(id="cut_carrot_knife", action="cut", subject="carrot", object="knife"),
    ClassLabel(id="wash_apple", action="wash", subject="apple", object=None),
)


def trained(config: Config) -> FeatureMemoryNetwork:
    """A network whose every parameter, buffer and slot is its own random number."""
    torch.manual_seed(0)
    model = FeatureMemoryNetwork(config, 12, 8)
    model.memory.write(torch.randn(6, 8), torch.randn(6, 8), torch.ones(6), score_threshold=0.5)
    model.video_mean.normal_()
    return model.eval()


def saved(run: Path, config: Config) -> FeatureMemoryNetwork:
    model = trained(config)
    save_config(run, config)
    save_checkpoint(run, model, About("fmn", CLASSES, 12, 8, ("video", "audio"), 7))
    return model


def test_a_loaded_run_scores_as_the_model_that_was_saved(tmp_path: Path, small: Config) -> None:
    model = saved(tmp_path, small)
    loaded = load_run(tmp_path, CPU)
    assert not loaded.model.training
    assert loaded.config == small
    assert loaded.about == About("fmn", CLASSES, 12, 8, ("video", "audio"), 7)
    video, audio = torch.randn(3, 12), Sequences(torch.randn(4, 9, 8), torch.tensor([9, 1, 5, 9]))
    with torch.no_grad():
        expected = model.scores(model.encode_clips(video), model.encode_utterances(audio))
        found = loaded.model.scores(loaded.model.encode_clips(video), loaded.model.encode_utterances(audio))
    assert torch.equal(found, expected)


def test_the_class_table_and_the_memories_are_in_the_file(tmp_path: Path, small: Config) -> None:
    model = saved(tmp_path, small)
    with safe_open(tmp_path / "checkpoint.safetensors", framework="pt") as file:
        about = json.loads(file.metadata()["about"])
    assert about["classes"][0] == {"id": "cut_carrot_knife", "action": "cut", "subject": "carrot", "object": "knife"}
    assert about["classes"][1]["object"] is None
    tensors = load_file(tmp_path / "checkpoint.safetensors")
    assert torch.equal(tensors["memory.video_slots"], model.memory.video_slots)


def test_a_state_goes_on_with_weights_optimizer_and_values(tmp_path: Path, small: Config) -> None:
    model = trained(small)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(1)
    gradients = [
        [torch.randn(parameter.shape, generator=generator) for parameter in model.parameters()] for _ in range(4)
    ]

    def step(network: FeatureMemoryNetwork, adam: torch.optim.Adam, number: int) -> None:
        for parameter, gradient in zip(network.parameters(), gradients[number], strict=True):
            parameter.grad = gradient
        adam.step()

    step(model, optimizer, 0)
    step(model, optimizer, 1)
    save_state(tmp_path, model, optimizer, {"epoch": 2, "history": [{"loss": 0.5}]})
    other = FeatureMemoryNetwork(small, 12, 8)
    other_optimizer = torch.optim.Adam(other.parameters(), lr=1e-2)
    load_state(tmp_path, other, other_optimizer, CPU)
    for number in (2, 3):
        step(model, optimizer, number)
        step(other, other_optimizer, number)
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name
    assert read_state(tmp_path) == {"epoch": 2, "history": [{"loss": 0.5}]}
    assert json.loads((tmp_path / "state.json").read_text()) == {"epoch": 2, "history": [{"loss": 0.5}]}


def test_no_state_is_no_error(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None


def test_what_is_no_run_is_said(tmp_path: Path, small: Config) -> None:
    with pytest.raises(InputError, match="There is no run"):
        load_run(tmp_path, CPU)
    save_config(tmp_path, small)
    with pytest.raises(InputError, match="no checkpoint yet"):
        load_run(tmp_path, CPU)


def test_files_that_are_broken_are_named(tmp_path: Path, small: Config) -> None:
    saved(tmp_path, small)
    checkpoint = tmp_path / "checkpoint.safetensors"
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read") as raised:
        load_run(tmp_path, CPU)
    assert raised.value.where == str(checkpoint)
    save_file({"x": torch.zeros(1)}, checkpoint, {"format": "another"})
    with pytest.raises(InputError, match="The format is 'another'"):
        load_run(tmp_path, CPU)
    (tmp_path / "state.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match="cannot be read"):
        read_state(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "state.safetensors")
    with pytest.raises(InputError, match="The format is None"):
        read_state(tmp_path)


def test_a_path_that_is_not_utf_8_is_no_reason_to_remove_the_run(tmp_path: Path, small: Config) -> None:
    run = tmp_path / "run"
    saved(run, small)
    moved = run.rename(tmp_path / os.fsdecode(b"caf\xe9"))
    with pytest.raises(InputError, match="not valid UTF-8") as caught:
        load_run(moved, torch.device("cpu"))
    assert (caught.value.next_step or "").startswith("rename")
    with pytest.raises(InputError, match="not valid UTF-8"):
        plan_training(tmp_path / "train.jsonl", small, run=moved)


def test_an_infinite_value_of_an_earlier_version_is_read_as_the_largest_number(tmp_path: Path, small: Config) -> None:
    """Gradients that are not to be clipped had max_grad_norm=Infinity, which is refused in new configurations."""
    saved(tmp_path, small)
    path, known = tmp_path / "config.json", '"max_grad_norm": 1.0'
    text = path.read_text()
    assert known in text
    path.write_text(text.replace(known, '"max_grad_norm": Infinity'))
    config = load_run(tmp_path, CPU).config
    assert config.training.max_grad_norm == sys.float_info.max
    parameter = torch.ones(2, requires_grad=True)
    parameter.grad = torch.full((2,), 1e6)
    torch.nn.utils.clip_grad_norm_([parameter], config.training.max_grad_norm)
    assert parameter.grad.tolist() == [1e6, 1e6]
    path.write_text(text.replace(known, '"max_grad_norm": NaN'))
    with pytest.raises(InputError, match="max_grad_norm is nan"):
        load_config(tmp_path)


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path, small: Config) -> None:
    saved(tmp_path, small)
    save_config(tmp_path, with_values(small, {"model.embed_dim": 9}))
    with pytest.raises(InputError, match=r"does not match the config\.json next to it"):
        load_run(tmp_path, CPU)


BOUNDED = """
import resource, sys
from pathlib import Path
import torch
from dataset_tools.core.errors import InputError
from fmn.training.checkpoint import load_run
torch.zeros(1) + 1  # what torch itself takes
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for run in sys.argv[1:]:
    try:
        load_run(Path(run), torch.device("cpu"))
    except InputError as error:
        print(repr(error.found))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_network_that_the_checkpoint_does_not_hold_is_never_built(tmp_path: Path, small: Config) -> None:
    """A configuration or a header that asks for gigabytes costs none."""
    large: list[tuple[dict[str, int], int, str]] = [
        ({"model.hidden_size": 8192}, 12, "does not match the config.json"),  # two gigabytes of weights
        ({}, 1_000_000, "does not match the config.json"),
        ({}, 2**33, "video_dim"),
    ]
    runs = [tmp_path / str(number) for number in range(len(large))]
    for run, (values, video_dim, _) in zip(runs, large, strict=True):
        run.mkdir()
        save_config(run, with_values(small, values))
        save_checkpoint(run, trained(small), About("fmn", CLASSES, video_dim, 8, ("a", "b"), 1))
    command = [sys.executable, "-c", BOUNDED, *map(str, runs)]
    *refused, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [found in said for said, (_, _, found) in zip(refused, large, strict=True)] == [True] * 3
    assert int(peak) < 100  # MiB


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.hidden_size", 10**6),
        ("memory.capacity", 10**7),
        ("model.head_hidden_size", 10**10),
        ("video.window_frames", 10**9),
        ("video.windows", 10**6),
        ("audio.n_mfcc", 10**6),
        ("training.batch_size", 10**9),
    ],
)
def test_sizes_have_upper_bounds(key: str, value: int, small: Config) -> None:
    with pytest.raises(InputError, match=f"{key.split('.')[1]} is {value}: Expected"):
        with_values(small, {key: value})


def test_a_configuration_that_cannot_be_read_names_its_file(tmp_path: Path, small: Config) -> None:
    path = tmp_path / "config.json"
    path.write_text("{")
    with pytest.raises(InputError, match="not valid JSON") as raised:
        load_config(tmp_path)
    assert raised.value.where == str(path)
    path.write_text('{"modle": 1}')
    with pytest.raises(InputError, match="modle is unknown") as raised:
        load_config(tmp_path)
    assert raised.value.where == str(path)


def test_the_same_content_is_the_same_file(tmp_path: Path) -> None:
    """safetensors writes what a header says beside the tensors in any order, another one in each call."""
    header = dict.fromkeys(["format", "test_sha256", "clips", "utterances", "more", "of", "them", "and", "others"], "x")
    files = [tmp_path / f"{n}.safetensors" for n in range(8)]
    for file in files:
        save_tensors(file, {"scores": torch.arange(6.0)}, header)
    assert len({file.read_bytes() for file in files}) == 1
    with safe_open(files[0], framework="pt") as opened:
        assert opened.metadata() == header
