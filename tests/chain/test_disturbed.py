"""Builds that are disturbed for real, and then run again, end with the bytes of one that nobody disturbed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("disturbed")]  # in one worker: all compare with one build

KILLS = 6
COMMAND = str(Path(sys.executable).with_name("fmn-data"))


@dataclass(frozen=True)
class Undisturbed:
    """A corpus, what a build of it makes, and how long that took."""

    corpus: Path
    files: Mapping[str, bytes]
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(drawn_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    started = time.monotonic()
    assert start(drawn_corpus, folder / "workspace").wait() == 0
    files = contents(folder / "workspace")
    assert len([name for name in files if name.endswith((".mp4", ".wav"))]) == 16
    return Undisturbed(drawn_corpus, files, time.monotonic() - started)


def contents(place: Path) -> dict[str, bytes]:
    """Every file that a build makes, but for the place of the footage; the cache holds what depends on times."""
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in sorted(place.rglob("*"))
        if path.is_file() and not {"cache", "workspace.json"} & {*path.relative_to(place).parts}
    }


def options(corpus: Path, workspace: Path, jobs: int = 2) -> list[str]:
    small = ["--per-class", "8", "--short-side", "64"]
    return ["build", "--mpii", str(corpus), "--workspace", str(workspace), "--jobs", str(jobs), *small]


def start(corpus: Path, workspace: Path, jobs: int = 2, log: str = "log") -> subprocess.Popen[bytes]:
    """Starts a build; what it says goes to a file beside the workspace."""
    with workspace.with_name(log).open("ab") as said:
        return subprocess.Popen([COMMAND, *options(corpus, workspace, jobs)], stdout=subprocess.DEVNULL, stderr=said)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_killed_at_many_random_moments(undisturbed: Undisturbed, tmp_path: Path) -> None:
    moments = random.Random(int(os.environ.get("FMN_KILL_SEED", "0")))
    finished: dict[Path, int] = {}
    told = kills = 0
    while kills < KILLS or (told == 0 and kills < 3 * KILLS):  # later ones on a machine that has become slower since
        process = start(undisturbed.corpus, tmp_path / "workspace")
        time.sleep(undisturbed.seconds * moments.uniform(0.2, 1 if kills < KILLS else 3))
        kills += 1
        process.send_signal(signal.SIGKILL)
        process.wait()
        now = {path: path.stat().st_mtime_ns for path in (tmp_path / "workspace").glob("*/s*.*")}
        assert finished.items() <= now.items()  # what was finished is neither lost nor done again
        # Finished is what the ledger or its journal says in a whole line: a kill may fall between file and line.
        books = (tmp_path / "workspace" / "ledger.jsonl", tmp_path / "workspace" / "cache" / "ledger.journal")
        known = "".join(book.read_text().rpartition("\n")[0] for book in books if book.is_file())
        finished = {path: time_ns for path, time_ns in now.items() if f'/{path.name}"' in known}
        told += len(finished)
    assert told > 0
    assert start(undisturbed.corpus, tmp_path / "workspace").wait() == 0
    assert contents(tmp_path / "workspace") == undisturbed.files


FULL_DISK = """
set -eu
mount -t tmpfs -o size=4m none "$1"
shift
head -c "$1" /dev/zero > "$MOUNTED/ballast"; shift
set +e
"$@"
echo "code $?"
set -e
rm "$MOUNTED/ballast"
"$@"
cp -r "$MOUNTED/." "$RESULT"
"""


@pytest.mark.parametrize("share", [0.1, 0.5, 0.75, 0.97])
def test_a_disk_that_fills_up(undisturbed: Undisturbed, tmp_path: Path, share: float) -> None:
    """A disk of 4 MiB, so filled before that there is room for a share of what the build writes."""
    mounted, result = tmp_path / "disk", tmp_path / "result"
    mounted.mkdir()
    blocks = sum(-(-len(content) // 4096) * 4096 for content in undisturbed.files.values())
    ballast = (4 << 20) - int(share * blocks) // 4096 * 4096
    rights = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    command = [*rights, "sh", "-c", FULL_DISK, "sh", str(mounted), str(ballast), COMMAND]
    ended = subprocess.run(
        [*command, *options(undisturbed.corpus, mounted)],
        env={**os.environ, "MOUNTED": str(mounted), "RESULT": str(result)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "code 3" in ended.stdout
    assert "Traceback" not in ended.stderr
    assert "No space left" in ended.stderr or "disk is full" in ended.stderr
    assert "make room" in ended.stderr
    assert contents(result) == undisturbed.files


def test_a_source_that_disappears_meanwhile(undisturbed: Undisturbed, tmp_path: Path) -> None:
    corpus = Path(shutil.copytree(undisturbed.corpus, tmp_path / "mpii"))
    workspace = tmp_path / "workspace"
    process = start(corpus, workspace, jobs=1)
    wait_for(lambda: any(workspace.glob("clips/s*.mp4")))
    for video in (corpus / "videos").iterdir():
        video.rename(video.with_suffix(".gone"))
    assert process.wait() == 1
    assert "Traceback" not in (tmp_path / "log").read_text()
    made = list(workspace.glob("clips/s*.mp4"))
    assert made
    assert all(undisturbed.files[f"clips/{path.name}"] == path.read_bytes() for path in made)
    for video in (corpus / "videos").iterdir():
        video.rename(video.with_suffix(".avi"))
    assert start(corpus, workspace).wait() == 0
    assert contents(workspace) == undisturbed.files


@pytest.mark.parametrize("now", [0, 4_000_000_000], ids=["1970", "2096"])
def test_clocks_that_jump(undisturbed: Undisturbed, tmp_path: Path, now: int) -> None:
    corpus = Path(shutil.copytree(undisturbed.corpus, tmp_path / "mpii"))
    workspace = tmp_path / "workspace"
    process = start(corpus, workspace)
    wait_for(lambda: any(workspace.glob("clips/s*.mp4")))
    process.send_signal(signal.SIGKILL)
    process.wait()
    inodes = {path: path.stat().st_ino for path in workspace.glob("clips/s*.mp4")}
    for path in (*corpus.rglob("*"), *workspace.rglob("*")):
        os.utime(path, (now, now))
    assert start(corpus, workspace).wait() == 0
    assert contents(workspace) == undisturbed.files
    assert {path: path.stat().st_ino for path in inodes} == inodes  # not one was made again


def test_two_builds_at_once(undisturbed: Undisturbed, tmp_path: Path) -> None:
    both = {log: start(undisturbed.corpus, tmp_path / "workspace", jobs=1, log=log) for log in ("one", "two")}
    codes = {log: process.wait() for log, process in both.items()}
    assert sorted(codes.values()) in ([0, 3], [0, 0])  # on a busy machine they may just miss each other
    for log, code in codes.items():
        said = (tmp_path / log).read_text()
        assert ("Another command is working in this workspace" in said) == (code == 3)
    assert contents(tmp_path / "workspace") == undisturbed.files
