"""Footage of one's own, built by the command line with small clips."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from dataset_tools.cli.main import app


@pytest.fixture
def footage(unchanged_footage: Path, tmp_path: Path) -> Path:
    """A list in frames beside two videos, whose names tell the person."""
    return Path(shutil.copytree(unchanged_footage, tmp_path / "footage")) / "list.csv"


@pytest.fixture(scope="session")
def unchanged_footage(write_video: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("footage")
    for number, name in enumerate(("p1_a.mp4", "p2_b.mp4")):
        write_video(folder / name, range(100 * number + 1, 100 * number + 61))
    rows = [f"{name},{start},{start + 20},cut,carrot,knife" for name in ("p1_a.mp4", "p2_b.mp4") for start in (1, 31)]
    (folder / "list.csv").write_text("\n".join(["video,start_frame,end_frame,action,subject,object", *rows]) + "\n")
    return folder


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command in the workspace ``w``."""
    monkeypatch.delenv("MPII_COOKING2_ROOT", raising=False)

    def run(*arguments: object, code: int = 0) -> Result:
        ended = CliRunner().invoke(app, [*map(str, arguments), "-w", str(tmp_path / "w")])
        assert ended.exit_code == code, ended.output
        return ended

    return run


@pytest.fixture
def run_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command in the workspace ``w``; builds are small and silent."""
    monkeypatch.delenv("MPII_COOKING2_ROOT", raising=False)

    def run(command: str, *arguments: object, code: int = 0, workspace: str = "w") -> Result:
        small = ("--short-side", 32, "--no-speech") if command == "build" and "--from-export" not in arguments else ()
        given = [command, *map(str, (*arguments, *small)), "-w", str(tmp_path / workspace)]
        ended = CliRunner().invoke(app, given)
        assert ended.exit_code == code, ended.output
        return ended

    return run


@pytest.fixture
def persons(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """The person of each clip in a workspace, by clip id."""

    def read(workspace: str = "w") -> dict[str, str]:
        lines = (tmp_path / workspace / "manifests" / "clips.jsonl").read_text().splitlines()
        return {row["id"]: row["person"] for row in map(json.loads, lines)}

    return read
