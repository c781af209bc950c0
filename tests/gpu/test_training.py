"""Training on a GPU: resumed to the same bytes, deterministic where asked for, bf16 beside float32, out of memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dataset_tools.core.errors import StoppedError
from fmn.config import Config, preset, with_values
from fmn.training.train import train

pytestmark = pytest.mark.gpu

POINTS = 3.0  # percent of mean average precision that bf16 may be off, averaged over the seeds
SEEDS = (0, 1, 2)

Large = tuple[Path, dict[str, Any]]
"""The fixture ``large``: the training manifest, and the values of the configuration that its features need."""


def config_of(large: Large, device: torch.device, **changes: Any) -> Config:
    tiny = {"training.epochs": 2, "training.pairs_per_epoch": 256, "model.hidden_size": 16, "model.frame_stack": 8}
    named = {f"training.{name}": value for name, value in changes.items()}
    return with_values(preset("demo"), large[1] | (tiny if device.type == "cpu" else {}) | named)


def stopped_in_epoch(number: int, pairs_per_epoch: int) -> Callable[..., None]:
    def progress(stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "train" and done > (number - 1) * pairs_per_epoch:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_resumed_run_ends_with_the_bytes_of_an_uninterrupted_one(
    deterministic: bool, large: Large, device: torch.device, tmp_path: Path, record: Callable[..., None]
) -> None:
    config = config_of(large, device, epochs=3, pairs_per_epoch=256, validate_every=1, deterministic=deterministic)
    torch.ones(8, 8, device=device).mm(torch.ones(8, 8, device=device))  # as by an encoder of features, before training
    whole, again, stopped = (tmp_path / "runs" / name for name in ("whole", "again", "stopped"))
    for run in (whole, again):
        train(large[0], config, run, device=str(device))
    with pytest.raises(StoppedError, match="interrupted"):
        train(large[0], config, stopped, device=str(device), progress=stopped_in_epoch(2, 256))
    train(large[0], config, stopped, device=str(device), resume=True)
    files = [(run / "checkpoint.safetensors").read_bytes() for run in (whole, again, stopped)]
    states = [load_file(run / "state.safetensors") for run in (whole, again, stopped)]
    same = {
        name: files[0] == files[index] and all(torch.equal(states[0][key], states[index][key]) for key in states[0])
        for index, name in ((1, "again"), (2, "resumed"))
    }
    record(deterministic=deterministic, **same)
    assert states[0].keys() == states[1].keys() == states[2].keys()
    if deterministic or device.type == "cpu":  # otherwise a GPU need not give the same twice: recorded only
        assert same == {"again": True, "resumed": True}
    assert not torch.are_deterministic_algorithms_enabled()


def test_bf16_is_as_good_as_float32_on_fold_0(
    large: Large, device: torch.device, tmp_path: Path, record: Callable[..., None]
) -> None:
    found: dict[str, list[float]] = {"off": [], "bf16": []}
    for seed in SEEDS:
        for amp, precisions in found.items():
            summary = train(
                large[0],
                config_of(large, device, seed=seed, amp=amp),
                tmp_path / "runs" / f"{amp}-{seed}",
                device=str(device),
            )
            precisions.append(mean(value for name, value in summary.validation.items() if name.endswith("_map")))
            record(seed=seed, amp=amp, fold_0_map=precisions[-1], seconds=summary.seconds, epochs=summary.epochs)
    difference = mean(found["bf16"]) - mean(found["off"])
    record(float32=found["off"], bf16=found["bf16"], mean_difference=difference, bound=POINTS)
    assert abs(difference) <= POINTS
    weights = [load_file(tmp_path / "runs" / f"{amp}-0" / "state.safetensors") for amp in found]
    differ = any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert differ == (device.type == "cuda")  # bf16 was in use there, and is never on a CPU


def test_memory_that_is_full_ends_training_with_its_message(
    large: Large, device: torch.device, tmp_path: Path, record: Callable[..., None]
) -> None:
    if device.type != "cuda":
        pytest.skip("fills the memory of a GPU")
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    left = 1 << 30
    ballast = torch.empty(free - left, dtype=torch.uint8, device=device)
    changes = large[1] | {f"video.{name}": value for name, value in vars(preset("demo").video).items()}
    config = with_values(preset("paper"), changes | {"training.batch_size": 2048})  # its head alone needs more
    try:
        with pytest.raises(StoppedError, match="Out of memory") as raised:
            train(large[0], config, tmp_path / "runs" / "full", device=str(device))
    finally:
        del ballast
        torch.cuda.empty_cache()
    record(message=str(raised.value), free_gb=left / 2**30)
    assert raised.value.exit_code == 3
    smaller = config_of(large, device, epochs=1)
    assert train(large[0], smaller, tmp_path / "runs" / "after", device=str(device)).epochs == 1
