"""A real Ray cluster of several nodes builds and extracts features to the bytes of one machine, also when nodes die."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.xdist_group("ray")]

FEATURES = "cache/features/*-*/*/*.npy"  # not the record of checked files
COMMAND = str(Path(sys.executable).with_name("fmn-data"))


class Cluster:
    """A cluster that runs as a process of its own."""

    def __init__(self, log: Path) -> None:
        script = Path(__file__).with_name("ray_cluster.py")
        with log.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True
            )
        self.address = self.line()
        assert self.address, log.read_text()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill_a_node(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("kill\n")
        self.process.stdin.flush()
        assert self.line() == "killed"

    def end(self) -> None:
        self.process.communicate(timeout=60)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "cluster.log")
    yield cluster
    cluster.end()


def contents(place: Path) -> dict[str, bytes]:
    """Every file that a build makes, but for the cache and the place of the footage."""
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in sorted(place.rglob("*"))
        if path.is_file() and not {"cache", "workspace.json"} & {*path.relative_to(place).parts}
    }


def wait_for(place: Path, pattern: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the first file is there that the process makes."""
    deadline = time.monotonic() + 120
    while not any(place.glob(pattern)):
        assert time.monotonic() < deadline, log.read_text()
        assert process.poll() is None, log.read_text()
        time.sleep(0.01)


def build(corpus: Path, workspace: Path, *more: str) -> list[str]:
    return [COMMAND, "build", "--mpii", str(corpus), "--workspace", str(workspace), "--short-side", "64", *more]


def test_a_cluster_that_loses_a_node_makes_the_bytes_of_one_machine(
    cluster: Cluster, run: Callable, small_corpus: Path, tmp_path: Path
) -> None:
    video = small_corpus / "videos" / "s08-d20-cam-002.avi"
    whole = video.read_bytes()
    video.write_bytes(whole[: len(whole) // 2])  # a failure, too, is the same failure
    local, remote = tmp_path / "local", tmp_path / "remote"
    with (tmp_path / "log").open("wb") as said:
        beside = subprocess.Popen(build(small_corpus, local, "--jobs", "1"), stdout=said, stderr=said)
        command = build(small_corpus, remote, "--engine", "ray", "--address", cluster.address)
        process = subprocess.Popen(command, stdout=said, stderr=said)
    wait_for(remote, "clips/s*.mp4", process, tmp_path / "log")
    cluster.kill_a_node()
    assert process.poll() is None  # in the middle
    assert process.wait(300) == 1, (tmp_path / "log").read_text()
    assert beside.wait(300) == 1
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert contents(remote) == contents(local)
    video.write_bytes(whole)
    ended = run(
        "fmn-data",
        "retry",
        "--mpii",
        small_corpus,
        "--workspace",
        remote,
        "--engine",
        "ray",
        "--address",
        cluster.address,
    )
    assert ended.code == 0, ended.err
    again = run("fmn-data", "retry", "--mpii", small_corpus, "--workspace", local)
    assert again.code == 0
    assert contents(remote) == contents(local)

    for place in (local, remote):
        assert run("fmn-data", "pairs", "--workspace", place).code == 0
    extract = [str(Path(COMMAND).with_name("fmn")), "features", "extract", str(remote / "manifests" / "train.jsonl")]
    with (tmp_path / "log").open("wb") as said:
        process = subprocess.Popen(
            [*extract, "--engine", "ray", "--address", cluster.address], stdout=said, stderr=said
        )
    wait_for(remote, FEATURES, process, tmp_path / "log")
    cluster.kill_a_node()
    assert process.poll() is None
    assert process.wait(300) == 0, (tmp_path / "log").read_text()
    there = run("fmn", "features", "extract", local / "manifests" / "train.jsonl", "--jobs", 1, "--json")
    assert there.json["computed"] == there.json["clips"] + there.json["utterances"] == 24
    features = [
        {path.relative_to(place): path.read_bytes() for path in place.glob(FEATURES)} for place in (local, remote)
    ]
    assert len(features[0]) == 24
    assert features[1] == features[0]


def test_without_a_cluster_at_the_address_it_says_so(run: Callable, small_corpus: Path, tmp_path: Path) -> None:
    nowhere = ("--engine", "ray", "--address", "127.0.0.1:1", "--json")
    ended = run("fmn-data", *build(small_corpus, tmp_path / "w", *nowhere)[1:])
    assert ended.code == 3
    assert "127.0.0.1:1" in ended.json["error"]["where"]
    ended = run("fmn-data", "build", "--mpii", small_corpus, "--workspace", tmp_path / "w", "--address", "127.0.0.1:1")
    assert ended.code == 2
    assert "--engine ray" in ended.err
    assert not (tmp_path / "w" / "manifests").exists()
