"""docs/sharing.md as its reader runs it: every block of commands, as it stands there, in a workspace with pairs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("sharing")
PAGE = Path(__file__).parents[2] / "docs" / "sharing.md"
BLOCKS = dict(re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?```bash\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL | re.M))


def run(commands: str, folder: Path) -> str:
    """Runs commands in a shell that stops at the first that fails, with this environment's programs, offline."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env={**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def workspace(corpus_of_three: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    shutil.copytree(corpus_of_three, folder / "standin")
    run("fmn-data build --classes 2 --per-class 3 --short-side 64 --mpii standin && fmn-data pairs", folder)
    return folder


def rows(folder: Path, name: str) -> int:
    return len((folder / "manifests" / f"{name}.jsonl").read_text().splitlines())


def test_the_page_has_a_block_for_each_format() -> None:
    assert list(BLOCKS) == [
        "Hugging Face datasets",
        "WebDataset",
        "CSV",
        "Croissant",
        "Lhotse",
        "MTEB",
        "Without media",
    ]


def test_csv(workspace: Path) -> None:
    said = run(BLOCKS["CSV"], workspace).splitlines()
    assert said[-2].split()[0] == str(rows(workspace, "clips"))
    assert said[-1] == str(rows(workspace, "train"))
    run("cd shared-csv && sha256sum -c SHA256SUMS", workspace)


@pytest.mark.skipif(find_spec("webdataset") is None, reason="the extra 'exports' is not installed")
def test_webdataset(workspace: Path) -> None:
    said = run(BLOCKS["WebDataset"], workspace).splitlines()
    trained = re.findall(
        r'"clip":\{"schema":"fmn.clip/1","id":"([^"]+)"', (workspace / "manifests/train.jsonl").read_text()
    )
    assert said[-2:] == [str(len(set(trained))), str(rows(workspace, "train"))]


@pytest.mark.skipif(find_spec("datasets") is None, reason="the extra 'exports' is not installed")
def test_huggingface(workspace: Path) -> None:
    said = run(BLOCKS["Hugging Face datasets"], workspace).splitlines()
    counts = [int(number) for number in re.findall(r": (\d+)", said[-2].partition("}")[0])]
    assert sum(counts) == rows(workspace, "clips")
    assert "Video(" in said[-2]
    assert said[-1].endswith(".mp4")


@pytest.mark.skipif(find_spec("mlcroissant") is None, reason="the extra 'exports' is not installed")
def test_croissant(workspace: Path) -> None:
    said = run(BLOCKS["Croissant"], workspace).splitlines()
    assert "synthetic voices" in said[-2]
    assert said[-1] == str(rows(workspace, "train"))


@pytest.mark.skipif(find_spec("lhotse") is None, reason="the extra 'exports' is not installed")
def test_lhotse(workspace: Path) -> None:
    count, _, class_id, samples = run(BLOCKS["Lhotse"], workspace).splitlines()[-1].split(maxsplit=3)
    manifest = (workspace / "manifests/train.jsonl").read_text()
    spoken = set(re.findall(r'"utterance":\{"schema":"fmn.utterance/1","id":"([^"]+)","class":"([^"]+)"', manifest))
    assert int(count) == len(spoken)
    assert class_id in {one for _, one in spoken}
    assert int(samples.split(",")[1].strip(" )")) > 8000


@pytest.mark.skipif(find_spec("mteb") is None, reason="the extra 'mteb' is not installed")
def test_mteb(workspace: Path) -> None:
    manifest = (workspace / "manifests/test.jsonl").read_text()
    clips = len(set(re.findall(r'"clip":\{"schema":"fmn.clip/1","id":"([^"]+)"', manifest)))
    spoken = len(set(re.findall(r'"utterance":\{"schema":"fmn.utterance/1","id":"([^"]+)"', manifest)))
    assert run(BLOCKS["MTEB"], workspace).splitlines()[-2:] == [
        f"SpokenClipA2VRetrieval a2v {spoken} {clips}",
        f"SpokenClipV2ARetrieval v2a {clips} {spoken}",
    ]


def test_without_media(workspace: Path) -> None:
    run(BLOCKS["Without media"], workspace)
    assert (workspace / "rebuilt/manifests/clips.jsonl").read_bytes() == (
        workspace / "manifests/clips.jsonl"
    ).read_bytes()
