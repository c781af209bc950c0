from __future__ import annotations

import codecs
import errno
import hashlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from safetensors import SafetensorError

from dataset_tools.core.errors import InputError, StoppedError
from dataset_tools.core.files import clear_partial, decode_text, read_input, sha256_of, write_bytes, written_whole


def test_the_file_appears_only_when_complete(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.mp4"
    with written_whole(target) as partial:
        partial.write_bytes(b"half")
        assert not target.exists()
        assert partial.suffix == ".mp4"
        assert partial.parent.name.startswith(".")
    assert target.read_bytes() == b"half"
    assert os.listdir(target.parent) == ["a.mp4"]


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "a.json"
    target.write_text("old")
    with pytest.raises(type(error)), written_whole(target) as partial:
        partial.write_text("new")
        raise error
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_full_disk_stops_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoppedError, match="No space left") as caught, written_whole(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert "make room" in (caught.value.next_step or "")
    assert os.listdir(tmp_path) == []


def test_a_disk_that_cannot_be_written_to_is_not_called_full(tmp_path: Path) -> None:
    for code, way_out in ((errno.EROFS, "make it writable"), (errno.EFBIG, "limit on file sizes")):
        with pytest.raises(StoppedError, match=os.strerror(code)) as caught, written_whole(tmp_path / "a"):
            raise OSError(code, os.strerror(code))
        assert way_out in (caught.value.next_step or "")
        assert "make room" not in (caught.value.next_step or "")


@pytest.mark.parametrize("kind", [SafetensorError, OSError, RuntimeError])
def test_native_writers_that_meet_a_full_disk_stop_with_what_to_do(tmp_path: Path, kind: type[Exception]) -> None:
    with pytest.raises(StoppedError, match="No space left") as caught, written_whole(tmp_path / "a.bin"):
        raise kind("Error while serializing: I/O error: No space left on device (os error 28)")
    assert caught.value.where == str(tmp_path / "a.bin")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_for_names_stops_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(StoppedError, match="No space left"):
        write_bytes(tmp_path / "a.bin", b"a")


def test_others_may_read_what_was_written(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"x")
    (tmp_path / "b").write_bytes(b"x")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE((tmp_path / "b").stat().st_mode)


def test_sha256_is_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


KILLED = """
import os, signal, sys
from pathlib import Path
from dataset_tools.core.files import written_whole
with written_whole(Path(sys.argv[1])) as partial:
    partial.write_bytes(b"half")
    partial.with_name(".tmpX").write_bytes(b"what the writer makes beside it")
    print("writes", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_writer_left_is_cleared_and_what_a_live_one_writes_is_not(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    dead, live = (subprocess.Popen([*command, str(tmp_path / name)], **pipes) for name in ("dead", "live"))
    for process in (dead, live):
        assert process.stdout is not None
        assert process.stdout.readline() == "writes\n"
    assert clear_partial(tmp_path) == []
    dead.send_signal(signal.SIGKILL)
    dead.communicate()
    assert len(clear_partial(tmp_path)) == 1
    live.communicate("")
    assert live.returncode == 0
    assert os.listdir(tmp_path) == ["live"]
    assert (tmp_path / "live").read_bytes() == b"half"


def test_what_an_earlier_version_left_half_written_is_a_file_and_links_are_left_alone(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    place = tmp_path / "place"
    place.mkdir()
    (place / ".partial-abc.npy").write_bytes(b"half")
    (place / ".partial-link").symlink_to(outside)
    assert clear_partial(place) == [place / ".partial-abc.npy"]
    assert outside.is_dir()
    assert clear_partial(tmp_path / "missing") == []


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_lock_that_somebody_else_made_is_not_followed(tmp_path: Path, kind: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("text")
    folder = tmp_path / "workspace" / ".partial-abcdefgh"
    folder.mkdir(parents=True)
    if kind == "link":
        (folder / ".lock").symlink_to(precious)
    else:
        os.mkfifo(folder / ".lock")
    assert clear_partial(folder.parent) == []  # at once: a pipe is not waited for
    assert precious.read_text() == "text"


def test_no_more_than_the_limit_of_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"12345")
    assert read_input(tmp_path / "a.csv", 5) == b"12345"
    with pytest.raises(InputError, match="5 bytes"):
        read_input(tmp_path / "a.csv", 4)


@pytest.mark.parametrize("content", [codecs.BOM_UTF8 + "切ä".encode(), "切ä".encode("utf-16"), "切ä".encode()])
def test_text_is_utf_8_or_utf_16_with_a_byte_order_mark(content: bytes) -> None:
    assert decode_text(content) == "切ä"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_text_in_another_encoding_is_refused(encoding: str) -> None:
    with pytest.raises(UnicodeDecodeError):
        decode_text("Schäle".encode(encoding))


def test_big_endian_text_needs_its_mark() -> None:
    assert decode_text(codecs.BOM_UTF16_BE + "ä".encode("utf-16-be")) == "ä"
