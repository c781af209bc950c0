"""`make gpu` without a GPU: a rehearsal of all of it, from a copy of the tree, beside the usual packages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.gpu.steps import steps
from benchmarks.gpu.wheels import LACKING, every_dependency

ROOT = Path(__file__).parent.parent
NOT_COPIED = (".*", "__pycache__", "*.egg-info", "build", "dist", "demo", "backbone", "figures", "runs", "gpu-*")
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
BUILD_ONLY = ("espeakng-loader", "ffmpeg-python", "future", "imageio-ffmpeg", "lemminflect", "pydub")  # lacking, too
TINY = "--classes 3 --per-class 3 --small-classes 3 --small-per-class 3"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder that is emptied at once: wheels and environments are a gigabyte."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def make(target: str, *variables: str, folder: Path, environment: dict[str, str] | None = None) -> str:
    """Runs a target of the Makefile with the packages of this interpreter as they are; gives what it printed."""
    command = ["make", "--assume-old=install-dev", f"BIN={Path(sys.executable).parent}", target, *variables]
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def without_what_is_lacking(folder: Path) -> Path:
    """A virtual environment with links to the project's dependencies that a machine without its wheels has."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = folder / "lib" / f"python{VERSION}" / "site-packages"
    left, done = ["torch", "numpy", "pip", *every_dependency()], {*LACKING, *BUILD_ONLY}
    while left:
        name = canonicalize_name(left.pop())
        if name in done:
            continue
        done.add(name)
        found = distribution(name)
        needs = [Requirement(text) for text in found.requires or []]
        left += [one.name for one in needs if not one.marker or one.marker.evaluate({"extra": ""})]
        for top in {path.parts[0] for path in found.files or [] if path.parts[0] not in ("..", "__pycache__")}:
            if not (packages / top).exists():
                (packages / top).symlink_to(str(found.locate_file(top)))
    return folder / "bin" / "python"


def check_training(found: dict[str, Any]) -> None:
    assert found["ratio"] == pytest.approx(found["trainer_pairs_per_s"] / found["plain_pairs_per_s"])
    assert found["ratio_of_processor_time"] > 0
    assert found["paper_schedule_h"] > 500 * 24_500 / found["trainer_pairs_per_s"] / 3600 * 0.99


def check_feature_extraction(found: dict[str, Any]) -> None:
    alone = {stage: found[f"{stage}_clips_per_s"] for stage in ("decoding", "flow", "network")}
    assert found["slowest_stage"] == min(alone, key=lambda stage: alone[stage])
    assert found["of_slowest_stage"] == pytest.approx(found["clips_per_s"] / min(alone.values()))
    assert found["limit_clips_per_s"] == pytest.approx(1 / sum(1 / speed for speed in alone.values()))
    assert found["of_limit"] == pytest.approx(found["clips_per_s"] / found["limit_clips_per_s"])


def check_profile(found: dict[str, Any]) -> None:
    times = [operation["ms"] for operation in found["operations"]]
    assert times == sorted(times, reverse=True)
    assert len(times) == 25
    assert 0 < sum(times) <= found["busy_ms"]


def test_the_wheels_of_all_dependencies_include_those_that_are_usually_lacking() -> None:
    needed = set(every_dependency())
    assert {*LACKING, *BUILD_ONLY} <= needed
    assert {"torchaudio", "scipy", "filelock"} <= needed
    assert not {"torch", "numpy"} & needed


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.xdist_group("make gpu")
def test_every_step_runs_without_a_network_on_a_machine_that_has_the_usual_packages(
    place: Path, corpus_of_three: Path
) -> None:
    tree, wheels, standin = place / "tree", place / "wheels", place / "standin"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*NOT_COPIED))
    shutil.copytree(corpus_of_three, standin)
    make("gpu-wheels", f"WHEELS={wheels}", f"GPU_PYTHON={VERSION}", folder=ROOT)
    make(
        "gpu-inputs", f"INPUTS={tree / 'gpu-inputs'}", f"INPUTS_ARGS={TINY} --standin {standin}", "JOBS=2", folder=ROOT
    )
    python = without_what_is_lacking(place / "usual")
    before = (tree / "docs" / "benchmarks-gpu.md").read_bytes()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTEST", "FMN"))}
    environment |= {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    printed = make("gpu", "DEVICE=cpu", f"PYTHON={python}", f"WHEELS={wheels}", folder=tree, environment=environment)
    results = {path.stem: json.loads(path.read_text()) for path in (tree / "gpu-results").glob("*.json")}
    names = ["environment", *(step.name for step in steps("cpu"))]
    assert {name: results[name]["status"] for name in names} == dict.fromkeys(names, "ok"), printed
    assert all(results[name]["figures"] for name in names)
    added = results["environment"]["log_tail"][0]
    assert f"{place / 'usual'}" in added  # torch is the installed one
    for package in ("msgspec", "av", "pytest"):
        assert f"{package}-" in added
    figures = {name: results[name]["figures"][-1] for name in names}
    check_training(figures["training_demo"])
    check_training(figures["training_paper"])
    check_feature_extraction(figures["feature_extraction"])
    check_profile(figures["profile"])
    for kind in ("limit", "max", "softmax"):
        assert figures["memory_read"][kind]["seconds"] > 0
        assert figures["memory_read"][kind]["peak_mb"] >= 0
    report = (tree / "gpu-results" / "report.md").read_text()
    assert all(f"## {name}" in report for name in names[1:])
    assert (tree / "docs" / "benchmarks-gpu.md").read_bytes() == before  # a rehearsal's figures are no benchmark
