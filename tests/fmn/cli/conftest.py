"""The command fmn in this process, settings of small networks, and a package with encoders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fmn.cli.main import app

THEIRS = """
import numpy as np
from fmn.features.encoders.interface import source_of

class Color:
    name, revision, licence, dim, size_px, frames = "color", "", "CC0", 3, 8, None

    def __init__(self, argument, *, device):
        self.source = source_of("color", "none", [])

    def encode(self, frames):
        return frames.mean(axis=(1, 2), dtype=np.float32)

class Energy:
    name, revision, licence, dim, sample_rate_hz = "energy", "", "CC0", 4, 16000

    def __init__(self, argument, *, device, layer):
        self.source = source_of("energy", "none", [], layer=layer)

    def encode(self, waveform):
        return np.abs(waveform[:8000]).reshape(20, 4, 100).mean(axis=2)
"""


@pytest.fixture
def their_package(install_package: Callable[[str, str], None]) -> None:
    """A package with one encoder of each kind, as pip would leave it."""
    install_package(
        THEIRS,
        "[fmn.video_encoders]\ncolor = their_package:Color\n[fmn.speech_encoders]\nenergy = their_package:Energy\n",
    )


@pytest.fixture(scope="session")
def give_two_actions() -> Callable[[Path], None]:
    """Changes the action of one class in train.jsonl of a workspace: fine-tuning tells actions apart."""

    def give(workspace: Path) -> None:
        manifest, of_one = workspace / "manifests" / "train.jsonl", '"action":"{}","subject":"thing0"'
        manifest.write_text(manifest.read_text().replace(of_one.format("wash"), of_one.format("peel")))

    return give


@pytest.fixture(scope="session")
def fmn() -> Callable[..., Result]:
    """Runs the command with these arguments."""
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="session")
def json_of() -> Callable[[Result], dict[str, Any]]:
    return lambda result: json.loads(result.stdout)


@pytest.fixture(scope="session")
def done(fmn: Callable[..., Result], json_of: Callable[[Result], dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Runs the command with these arguments and --json, which has to succeed; gives what it prints."""

    def run(*arguments: object) -> dict[str, Any]:
        result = fmn(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json_of(result)

    return run


@pytest.fixture(scope="session")
def small_settings() -> list[str]:
    """Options for small networks on small pictures."""
    values = (
        *("video.width=0.0625", "video.resize_px=32", "video.crop_px=32", "video.window_frames=8"),
        *("video.weights=random", "model.hidden_size=8", "model.embed_dim=8", "model.head_hidden_size=8"),
        *("training.pairs_per_epoch=64", "training.threads=1"),
    )
    return [part for value in values for part in ("--set", value)]
