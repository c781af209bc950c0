"""Real recordings, wrapped in MPII Cooking 2's layout by nothing but ffmpeg and h5py."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import imageio_ffmpeg
import numpy as np
import pytest
from typer.testing import CliRunner

ATTRIBUTES = ("cutV", "carrot", "knife", "stirV", "onion", "spatula", "take outV", "plate", "spice", "hand")
CLASSES = {
    "take-out_plate_spice": ("take out", "plate", "spice"),
    "cut_carrot_knife": ("cut", "carrot", "knife"),
    "stir_onion_spatula": ("stir", "onion", "spatula"),
}

AVI = ("-an", "-vcodec", "mpeg4", "-q:v", "4", "-g", "100", "-r", "29.4")


def ffmpeg(*arguments: object) -> bytes:
    """What ffmpeg writes to its standard output."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=True).stdout


@dataclass(frozen=True)
class Ran:
    """A command that ended: its exit code, what it printed, and the JSON object on its stdout."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)


@pytest.fixture(scope="session")
def run() -> Callable[..., Ran]:
    """Runs a command within this process, since starting one takes longer; `shell` runs the real console scripts."""
    runner = CliRunner(env={"MPII_COOKING2_ROOT": None})

    def run(script: str, *arguments: object, cwd: Path | None = None, **environment: str) -> Ran:
        app = import_module("dataset_tools.cli.main" if script == "fmn-data" else "fmn.cli.main").app
        with chdir(cwd or Path.cwd()):
            ended = runner.invoke(app, [str(one) for one in arguments], env=environment)
        assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
        assert "Traceback" not in ended.stderr, ended.stderr
        return Ran(ended.exit_code, ended.stdout, ended.stderr)

    return run


@pytest.fixture(scope="session")
def shell() -> Callable[..., str]:
    """Runs commands in a shell that stops at the first that fails, with this environment's programs; gives stdout."""

    def shell(commands: str, folder: Path, **environment: str) -> str:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=folder,
            env={**os.environ, "PATH": path, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return shell


@pytest.fixture(scope="session")
def walk(run: Callable[..., Ran], shell: Callable[..., str]) -> Callable[..., str]:
    """Does what `shell` does, but runs the commands of this project within this process, as `run` does."""

    def walk(commands: str, folder: Path, **environment: str) -> str:
        said = ""
        for line in commands.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] in (["fmn"], ["fmn-data"]):
                ended = run(*words, cwd=folder, **environment)
                assert ended.code == 0, ended.out + ended.err
                said += ended.out
            else:
                said += shell(line, folder, **environment)
        return said

    return walk


@pytest.fixture(scope="session", name="ffmpeg")
def ffmpeg_fixture() -> Callable[..., bytes]:
    """`ffmpeg`, for tests."""
    return ffmpeg


@pytest.fixture(scope="session")
def drawn_corpus(shared: Callable[..., Path]) -> Path:
    """Two test patterns as AVI files, six intervals of one class each; nothing of it real, all of it quick."""

    def write(root: Path) -> None:
        (root / "videos").mkdir(parents=True)
        rows = []
        for person, pattern in (("s07", "testsrc2"), ("s08", "mandelbrot")):
            video = f"{person}-d20-cam-002"
            ffmpeg("-f", "lavfi", "-t", 5, "-i", f"{pattern}=s=160x120:r=29.4", *AVI, root / f"videos/{video}.avi")
            rows += [(video, "cut", ("carrot", "knife"), 20 * place + 1, 20 * place + 18) for place in range(6)]
        write_mat(root / "attributesAnnotations_MPII-Cooking-2.mat", rows)

    return shared("drawn", write)


@pytest.fixture
def small_corpus(tmp_path: Path, drawn_corpus: Path) -> Path:
    """`drawn_corpus`, to be changed."""
    return Path(shutil.copytree(drawn_corpus, tmp_path / "mpii"))


@pytest.fixture(scope="session")
def real_corpus(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two real clips, plain and mirrored, as four persons' AVI files at 29.4 fps, with an annotation file."""
    root = tmp_path_factory.mktemp("real") / "mpii"
    (root / "videos").mkdir(parents=True)
    (root / "experimentalSetup").mkdir()
    sources = ("video/sound.mkv", "video/action.avi")
    rows: list[tuple[str, str, tuple[str, ...], int, int]] = []
    for number, (person, mirrored) in enumerate((("s07", False), ("s08", True), ("s10", False), ("s11", True))):
        video = f"{person}-d{20 + number}-cam-002"
        picture = ["-vf", "hflip"] if mirrored else []
        ffmpeg("-i", real_data / sources[number // 2], *picture, *AVI, root / f"videos/{video}.avi")
        # They last more than six seconds, 180 frames at 29.4 fps: nine intervals of 18 frames fit.
        for place in range(9):
            verb, *things = list(CLASSES.values())[place % 3]
            rows.append((video, verb, tuple(things), 20 * place + 1, 20 * place + 18))
    write_mat(root / "attributesAnnotations_MPII-Cooking-2.mat", rows)
    (root / "experimentalSetup" / "sequencesTest.txt").write_text("# the test sequences\ns08-d21\n")
    return root


def write_mat(path: Path, rows: list[tuple[str, str, tuple[str, ...], int, int]]) -> None:
    """An annotation file of rows (video, verb, things, start frame, end frame), with what a reader must have."""
    with h5py.File(path, "w") as file:
        refs, annos = file.create_group("#refs#"), file.create_group("annos")

        def cells(key: str, texts: list[str]) -> None:
            references = []
            for text in texts:
                codes = np.frombuffer(text.encode("utf-16-le"), dtype=np.uint16)[:, None]
                references.append(refs.create_dataset(f"{key}{len(references)}", data=codes).ref)
            annos.create_dataset(key, data=np.array(references, dtype=h5py.ref_dtype)[:, None])

        cells("attributeMap", list(ATTRIBUTES))
        cells("activity", [f"{verb}V" for _, verb, _, _, _ in rows])
        cells("fileName", [video for video, _, _, _, _ in rows])
        matrix = [[float(a in (f"{verb}V", *things)) for _, verb, things, _, _ in rows] for a in ATTRIBUTES]
        annos["iaMat"] = np.array(matrix)
        annos["startFrame"] = np.array([[float(start)] for *_, start, _ in rows])
        annos["endFrame"] = np.array([[float(end)] for *_, end in rows])
        annos["frameRate"] = np.array([[29.4]])
