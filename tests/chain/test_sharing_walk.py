"""docs/sharing.md as its reader runs it: every block of commands, as it stands there, in a workspace with pairs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("sharing")
PAGE = Path(__file__).parents[2] / "docs" / "sharing.md"
BLOCKS = dict(re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?```bash\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL | re.M))


@pytest.fixture(scope="module")
def shell(shell: Callable[..., str]) -> Callable[..., str]:
    """The same, offline."""
    return lambda commands, folder: shell(commands, folder, HF_HUB_OFFLINE="1", HF_HOME=str(folder / "hf"))


@pytest.fixture(scope="module")
def workspace(corpus_of_three: Path, tmp_path_factory: pytest.TempPathFactory, shell: Callable[..., str]) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    shutil.copytree(corpus_of_three, folder / "standin")
    shell("fmn-data build --classes 2 --per-class 3 --short-side 64 --mpii standin && fmn-data pairs", folder)
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


def test_csv(workspace: Path, shell: Callable[..., str]) -> None:
    said = shell(BLOCKS["CSV"], workspace).splitlines()
    assert said[-2].split()[0] == str(rows(workspace, "clips"))
    assert said[-1] == str(rows(workspace, "train"))
    shell("cd shared-csv && sha256sum -c SHA256SUMS", workspace)


@pytest.mark.skipif(find_spec("webdataset") is None, reason="the extra 'exports' is not installed")
def test_webdataset(workspace: Path, shell: Callable[..., str]) -> None:
    said = shell(BLOCKS["WebDataset"], workspace).splitlines()
    trained = re.findall(
        r'"clip":\{"schema":"fmn.clip/1","id":"([^"]+)"', (workspace / "manifests/train.jsonl").read_text()
    )
    assert said[-2:] == [str(len(set(trained))), str(rows(workspace, "train"))]


@pytest.mark.skipif(find_spec("datasets") is None, reason="the extra 'exports' is not installed")
def test_huggingface(workspace: Path, shell: Callable[..., str]) -> None:
    said = shell(BLOCKS["Hugging Face datasets"], workspace).splitlines()
    counts = [int(number) for number in re.findall(r": (\d+)", said[-2].partition("}")[0])]
    assert sum(counts) == rows(workspace, "clips")
    assert "Video(" in said[-2]
    assert said[-1].endswith(".mp4")


@pytest.mark.skipif(find_spec("mlcroissant") is None, reason="the extra 'exports' is not installed")
def test_croissant(workspace: Path, shell: Callable[..., str]) -> None:
    said = shell(BLOCKS["Croissant"], workspace).splitlines()
    assert "synthetic voices" in said[-2]
    assert said[-1] == str(rows(workspace, "train"))


@pytest.mark.skipif(find_spec("lhotse") is None, reason="the extra 'exports' is not installed")
def test_lhotse(workspace: Path, shell: Callable[..., str]) -> None:
    count, _, class_id, samples = shell(BLOCKS["Lhotse"], workspace).splitlines()[-1].split(maxsplit=3)
    manifest = (workspace / "manifests/train.jsonl").read_text()
    spoken = set(re.findall(r'"utterance":\{"schema":"fmn.utterance/1","id":"([^"]+)","class":"([^"]+)"', manifest))
    assert int(count) == len(spoken)
    assert class_id in {one for _, one in spoken}
    assert int(samples.split(",")[1].strip(" )")) > 8000


@pytest.mark.skipif(find_spec("mteb") is None, reason="the extra 'mteb' is not installed")
def test_mteb(workspace: Path, shell: Callable[..., str]) -> None:
    manifest = (workspace / "manifests/test.jsonl").read_text()
    clips = len(set(re.findall(r'"clip":\{"schema":"fmn.clip/1","id":"([^"]+)"', manifest)))
    spoken = len(set(re.findall(r'"utterance":\{"schema":"fmn.utterance/1","id":"([^"]+)"', manifest)))
    assert shell(BLOCKS["MTEB"], workspace).splitlines()[-2:] == [
        f"SpokenClipA2VRetrieval a2v {spoken} {clips}",
        f"SpokenClipV2ARetrieval v2a {clips} {spoken}",
    ]


def test_without_media(workspace: Path, shell: Callable[..., str]) -> None:
    shell(BLOCKS["Without media"], workspace)
    assert (workspace / "rebuilt/manifests/clips.jsonl").read_bytes() == (
        workspace / "manifests/clips.jsonl"
    ).read_bytes()
