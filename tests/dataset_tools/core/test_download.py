"""Downloads from a server of this machine that stalls, cuts and lies."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset_tools.core import download as http_files
from dataset_tools.core.download import fetch
from dataset_tools.core.errors import InputError, StoppedError

CONTENT = np.random.default_rng(0).bytes(500_001)


@pytest.fixture
def server(download_server: Any) -> Any:
    download_server.files["file.bin"] = CONTENT
    return download_server


def get(server: Any, path: Path, **options: Any) -> None:
    given = {"check": lambda whole: None, "command": "the command", "timeout_s": 0.3, **options}
    fetch(server.url + "file.bin", path, **given)


def test_cuts_stalls_and_refusals_for_a_while_are_sat_out(server: Any, tmp_path: Path) -> None:
    server.behavior = [100_000, "stall", "503", 50_000, "429", "serve"]
    seen: list[int] = []
    get(server, tmp_path / "file.bin", attempts=2, progress=lambda stage, done, total, note="": seen.append(done))
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    places = [None if asked is None else int(asked[6:-1]) for _, asked in server.asked]
    assert places[:2] == [None, 100_000]
    assert places == [None, *sorted(place for place in places if place)]  # never back to the start
    assert seen[-1] == len(CONTENT)
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


def test_it_gives_up_where_nothing_comes_and_goes_on_another_time(server: Any, tmp_path: Path) -> None:
    server.behavior = [100_000, "503", "503"]
    with pytest.raises(StoppedError) as caught:
        get(server, tmp_path / "file.bin", attempts=2)
    assert "503" in caught.value.found
    assert "the command" in str(caught.value)
    get(server, tmp_path / "file.bin")
    assert server.asked[-1][1] == "bytes=100000-"
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_file_that_changed_on_the_server_is_not_stitched(server: Any, tmp_path: Path) -> None:
    server.behavior = [100_000]
    with pytest.raises(StoppedError):
        get(server, tmp_path / "file.bin")
    server.files["file.bin"] = CONTENT[::-1]
    get(server, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("lie", ["ignore", "shifted", "silent"])
def test_an_answer_to_another_question_does_no_harm(server: Any, tmp_path: Path, lie: str) -> None:
    server.behavior = [100_000, lie]
    get(server, tmp_path / "file.bin", attempts=3)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_part_that_is_longer_than_the_file_is_thrown_away(server: Any, tmp_path: Path) -> None:
    (tmp_path / ".file.bin.part").write_bytes(CONTENT + b"rest of something else")
    get(server, tmp_path / "file.bin", attempts=2)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_part_of_another_address_is_thrown_away(server: Any, tmp_path: Path) -> None:
    server.files["other.bin"] = CONTENT[::-1]
    server.behavior = [100_000]
    with pytest.raises(StoppedError):
        fetch(server.url + "other.bin", tmp_path / "file.bin", check=lambda whole: None, command="c")
    get(server, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_what_is_not_the_file_is_refused(server: Any, tmp_path: Path) -> None:
    server.behavior = ["html"]
    with pytest.raises(InputError, match="web page instead of the file"):
        get(server, tmp_path / "file.bin")
    with pytest.raises(InputError, match="that is not it"):
        get(server, tmp_path / "file.bin", check=lambda whole: "that is not it")
    server.behavior = ["403"]
    with pytest.raises(InputError, match="403"):
        get(server, tmp_path / "file.bin", attempts=5)
    assert list(tmp_path.iterdir()) == []


def test_without_room_nothing_is_begun(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(http_files.shutil, "disk_usage", lambda path: real._replace(free=len(CONTENT) - 1))
    with pytest.raises(StoppedError, match="disk space") as caught:
        get(server, tmp_path / "file.bin", attempts=5)
    assert "make room" in str(caught.value)
    assert len(server.asked) == 1
