"""Every system trains an epoch on a GPU and is evaluated there."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from fmn.cli.main import app
from fmn.systems import find_system, system_names

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("name", [name for name in system_names() if not find_system(name).joint])
def test_a_system_trains_an_epoch(
    name: str, small: Path, cheap_video: tuple[str, ...], device: torch.device, record: Callable[..., None]
) -> None:
    started = time.perf_counter()
    run = small / "runs" / name
    train = ["train", str(small / "manifests" / "train.jsonl"), "--model", name, "--epochs", "1", "--run", str(run)]
    train += ["--set", "training.pairs_per_epoch=64", "--set", "training.batch_size=64", *cheap_video]
    for command in (train, ["eval", str(run)]):
        done = CliRunner().invoke(app, [*command, "--device", str(device), "--json"])
        assert done.exit_code == 0, done.output
    found = json.loads((run / "metrics.json").read_text())["audio_to_video"]["class_hit"]["1"]
    record(system=name, seconds=time.perf_counter() - started)
    assert math.isfinite(found)
