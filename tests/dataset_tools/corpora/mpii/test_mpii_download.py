"""Downloads from a server of this machine that stalls, cuts and lies; archives that are damaged; nothing is trusted."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from dataset_tools.cli.main import app
from dataset_tools.core import download as http_files
from dataset_tools.core.download import fetch
from dataset_tools.core.errors import InputError, StoppedError
from dataset_tools.corpora.mpii import mpii_download, unpacking
from dataset_tools.corpora.mpii.mpii_corpus import MAT_NAME, find_mat, open_corpus
from dataset_tools.corpora.mpii.mpii_download import download_corpus

CONTENT = np.random.default_rng(0).bytes(500_001)


class Server:
    """Serves ``files`` with ranges and validators; ``behavior`` says what goes wrong with the next requests.

    Behaviors: an int cuts the answer after so many bytes; ``stall`` sends 1000 bytes and then nothing; ``ignore``
    sends the whole whatever was asked; ``shifted`` sends another part than was asked for; ``html`` sends a page;
    ``silent`` leaves the length out; ``long`` sends more than announced; a string of digits is a status.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.behavior: list[Any] = []
        self.asked: list[tuple[str, str | None]] = []
        self.released = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        self.asked.append((handler.path, asked))
        how = self.behavior.pop(0) if self.behavior else "serve"
        content = self.files.get(handler.path.lstrip("/"))
        if content is None or (isinstance(how, str) and how.isdigit()):
            handler.send_error(404 if content is None else int(how))
            return
        if how == "html":
            content = b"<html>Please sign in</html>"
        tag = f'"{hashlib.sha256(content).hexdigest()[:8]}"'
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and how not in ("ignore", "html") else 0
        if handler.headers.get("If-Range", tag) != tag:
            start = 0
        if start >= len(content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(content)}")
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        handler.send_header("ETag", tag)
        handler.send_header("Content-Type", "text/html" if how == "html" else "application/octet-stream")
        body = content[start:]
        if start:
            begin = start + 7 if how == "shifted" else start
            handler.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        if how != "silent":
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        with contextlib.suppress(OSError):
            if how == "stall":
                handler.wfile.write(body[:1000])
                handler.wfile.flush()
                self.released.wait(10)
            else:
                handler.wfile.write(body[:how] if isinstance(how, int) else body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(http_files.time, "sleep", lambda seconds: None)
    server = Server()
    server.files["file.bin"] = CONTENT
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.released.set()
    server.http.shutdown()
    server.http.server_close()
    thread.join()


def get(server: Server, path: Path, **options: Any) -> None:
    given = {"check": lambda whole: None, "command": "the command", "timeout_s": 0.3, **options}
    fetch(server.url + "file.bin", path, **given)


def test_cuts_stalls_and_refusals_for_a_while_are_sat_out(server: Server, tmp_path: Path) -> None:
    server.behavior = [100_000, "stall", "503", 50_000, "429", "serve"]
    seen: list[int] = []
    get(server, tmp_path / "file.bin", attempts=2, progress=lambda stage, done, total, note="": seen.append(done))
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    places = [None if asked is None else int(asked[6:-1]) for _, asked in server.asked]
    assert places[:2] == [None, 100_000]
    assert places == [None, *sorted(place for place in places if place)]  # never back to the start
    assert seen[-1] == len(CONTENT)
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


def test_it_gives_up_where_nothing_comes_and_goes_on_another_time(server: Server, tmp_path: Path) -> None:
    server.behavior = [100_000, "503", "503"]
    with pytest.raises(StoppedError) as caught:
        get(server, tmp_path / "file.bin", attempts=2)
    assert "503" in caught.value.found
    assert "the command" in str(caught.value)
    get(server, tmp_path / "file.bin")
    assert server.asked[-1][1] == "bytes=100000-"
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_file_that_changed_on_the_server_is_not_stitched(server: Server, tmp_path: Path) -> None:
    server.behavior = [100_000]
    with pytest.raises(StoppedError):
        get(server, tmp_path / "file.bin")
    server.files["file.bin"] = CONTENT[::-1]
    get(server, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("lie", ["ignore", "shifted", "silent"])
def test_an_answer_to_another_question_does_no_harm(server: Server, tmp_path: Path, lie: str) -> None:
    server.behavior = [100_000, lie]
    get(server, tmp_path / "file.bin", attempts=3)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_part_that_is_longer_than_the_file_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".file.bin.part").write_bytes(CONTENT + b"rest of something else")
    get(server, tmp_path / "file.bin", attempts=2)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_part_of_another_address_is_thrown_away(server: Server, tmp_path: Path) -> None:
    server.files["other.bin"] = CONTENT[::-1]
    server.behavior = [100_000]
    with pytest.raises(StoppedError):
        fetch(server.url + "other.bin", tmp_path / "file.bin", check=lambda whole: None, command="c")
    get(server, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_what_is_not_the_file_is_refused(server: Server, tmp_path: Path) -> None:
    server.behavior = ["html"]
    with pytest.raises(InputError, match="web page instead of the file"):
        get(server, tmp_path / "file.bin")
    with pytest.raises(InputError, match="that is not it"):
        get(server, tmp_path / "file.bin", check=lambda whole: "that is not it")
    server.behavior = ["403"]
    with pytest.raises(InputError, match="403"):
        get(server, tmp_path / "file.bin", attempts=5)
    assert list(tmp_path.iterdir()) == []


def test_without_room_nothing_is_begun(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(http_files.shutil, "disk_usage", lambda path: real._replace(free=len(CONTENT) - 1))
    with pytest.raises(StoppedError, match="disk space") as caught:
        get(server, tmp_path / "file.bin", attempts=5)
    assert "make room" in str(caught.value)
    assert len(server.asked) == 1


VIDEOS = {f"s{person:02d}-d20-cam-002.avi": CONTENT[person : person + 150_000 + person] for person in (7, 8, 10)}


def tar_of(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"MPII-Cooking-2/videos/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("../../outside.avi")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return packed.getvalue()


@pytest.fixture
def home(server: Server, write_mat: Callable[..., Path]) -> Server:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("TACoS-Multi-Level-1.0/corpus/s07-d20.txt", "He cuts.\n" * 99)
        archive.writestr("../../outside.txt", "no")
        archive.writestr("README", "about it")
    server.files = {
        f"annos/{MAT_NAME}": write_mat().read_bytes(),
        "annos/annos.mat-README.txt": b"what the keys are\n",
        "TACoS-Multi-Level-1.0.zip": packed.getvalue(),
        "MPII-Cooking-2-videos.tar.gz": tar_of(VIDEOS),
    }
    return server


def download(home: Server, root: Path, **options: Any) -> Any:
    return download_corpus(
        root, **{"accept_licence": True, "home": home.url, "attempts": 3, "timeout_s": 0.3, **options}
    )


def test_nothing_is_asked_for_without_consent(home: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="scientific purposes") as caught:
        download(home, tmp_path / "root", accept_licence=False)
    assert "--accept-licence" in str(caught.value)
    assert home.asked == []
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("home", ["http://owner:s3cret@127.0.0.1:9/", "ftp://s3cret@127.0.0.1:9/"])
def test_a_password_in_the_address_is_refused_and_neither_shown_nor_kept(home: str, tmp_path: Path) -> None:
    command = ["download", str(tmp_path / "there"), "--accept-licence", "--only", "sentences", "--home", home]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    assert "holds a user name or a password" in done.output
    assert "s3cret" not in done.output
    assert not (tmp_path / "there").exists()


def test_a_corpus_is_fetched_unpacked_and_recorded_through_every_trouble(home: Server, tmp_path: Path) -> None:
    root = tmp_path / "root"
    home.behavior = [700, "serve", "503", "serve", 50, "ignore", 5_000, "stall", "shifted", 90_000, "serve"]
    summary = download(home, root)
    assert len(home.asked) > 10
    assert {path.name: path.read_bytes() for path in (root / "videos").iterdir()} == VIDEOS
    assert (root / "TACoS-Multi-Level-1.0" / "corpus" / "s07-d20.txt").read_text() == "He cuts.\n" * 99
    assert (root / "TACoS-Multi-Level-1.0" / "README").read_text() == "about it"
    assert len(open_corpus(root).videos) == 3
    hashes = {
        address.rpartition("/")[2]: hashlib.sha256(content).hexdigest() for address, content in home.files.items()
    }
    assert summary.files == hashes
    assert set(summary.unchecked) == set(hashes)
    assert {name: row["sha256"] for name, row in json.loads((root / "DOWNLOADS.json").read_text()).items()} == hashes
    assert sorted(path.name for path in tmp_path.rglob("outside*")) == []
    assert not [path for path in root.iterdir() if path.name.endswith((".part", ".json")) and path.name[0] == "."]
    assert not (root / ".unpacking").exists()
    asked = len(home.asked)
    (root / "MPII-Cooking-2-videos.tar.gz").unlink()  # to save room: it was unpacked
    assert download(home, root).fetched == ()
    assert len(home.asked) == asked


def test_a_later_download_must_be_the_first_one_again(home: Server, tmp_path: Path) -> None:
    root = tmp_path / "root"
    download(home, root, parts=("annotations",))
    path = root / "annos.mat-README.txt"
    path.write_bytes(path.read_bytes()[::-1])  # damaged on the disk: of the same size
    assert download(home, root, parts=("annotations",)).fetched == ()
    assert download(home, root, parts=("annotations",), hash_again=True).fetched == (path.name,)
    assert path.read_bytes() == home.files[f"annos/{path.name}"]
    path.unlink()
    home.files[f"annos/{path.name}"] = b"other words\n"
    with pytest.raises(InputError, match="differs from the first download"):
        download(home, root, parts=("annotations",))
    assert not path.exists()


@pytest.mark.parametrize("damage", ["truncated", "checksum", "middle", "empty", "no tar"])
def test_a_damaged_archive_gives_no_videos_and_is_fetched_again(home: Server, tmp_path: Path, damage: str) -> None:
    root, address = tmp_path / "root", "MPII-Cooking-2-videos.tar.gz"
    whole = home.files[address]
    home.files[address] = {
        "truncated": whole[: len(whole) // 2],
        "checksum": whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:],
        "middle": whole[: len(whole) // 2] + bytes(99) + whole[len(whole) // 2 + 99 :],
        "empty": gzip.compress(b""),
        "no tar": gzip.compress(CONTENT),
    }[damage]
    with pytest.raises(InputError, match="archive is damaged"):
        download(home, root, parts=("videos",))
    assert not (root / "videos").exists()
    assert not (root / address).exists()
    home.files[address] = whole
    record = json.loads((root / "DOWNLOADS.json").read_text()) if (root / "DOWNLOADS.json").exists() else {}
    assert address not in record  # what turned out damaged is not what later downloads must match
    assert download(home, root, parts=("videos",)).unpacked == 3
    assert {path.name: path.read_bytes() for path in (root / "videos").iterdir()} == VIDEOS


@pytest.mark.parametrize("damage", ["directory", "long name", "file and folder"])
def test_a_zip_that_cannot_be_unpacked_is_fetched_again(home: Server, tmp_path: Path, damage: str) -> None:
    root, address = tmp_path / "root", "TACoS-Multi-Level-1.0.zip"
    whole = home.files[address]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in {"long name": ["n" * 300], "file and folder": ["a", "a/b"]}.get(damage, ["a"]):
            archive.writestr(name, "text")
    content = bytearray(packed.getvalue())
    if damage == "directory":
        content[content.index(b"PK\x01\x02") + 46] = 0  # a name that ends before it begins
    home.files[address] = bytes(content)
    with pytest.raises(InputError, match="archive is damaged"):
        download(home, root, parts=("sentences",))
    assert not (root / address).exists()
    home.files[address] = whole
    assert download(home, root, parts=("sentences",)).unpacked == 2


def test_unpacking_goes_on_where_it_stopped(home: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"

    def interrupted(stage: str, done: int, total: int, note: str = "") -> None:
        if note.startswith("s08"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(home, root, parts=("videos",), progress=interrupted)
    staged = {path.name: path.stat().st_ino for path in (root / ".unpacking").rglob("*.avi")}
    assert len(staged) == 2
    asked = len(home.asked)
    assert download(home, root, parts=("videos",)).unpacked == 3
    assert len(home.asked) == asked
    assert staged.items() <= {path.name: path.stat().st_ino for path in (root / "videos").iterdir()}.items()


def test_a_half_unpacked_video_of_a_killed_download_is_no_video(home: Server, tmp_path: Path) -> None:
    root = tmp_path / "root"
    for left in (".partial-abc/half.avi", ".partial-abc.avi"):
        path = root / ".unpacking" / "MPII-Cooking-2-videos.tar.gz" / left
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    download(home, root, parts=("videos",))
    assert {path.name for path in (root / "videos").rglob("*") if path.is_file()} == set(VIDEOS)


def test_a_zip_that_would_fill_the_disk_is_not_unpacked(
    home: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "_MOST_UNPACKED", 10)
    with pytest.raises(InputError, match="more than 10"):
        download(home, tmp_path / "root", parts=("sentences",))
    assert not (tmp_path / "root" / "TACoS-Multi-Level-1.0").exists()


def test_single_videos_come_one_by_one_and_one_that_is_missing_keeps_none_back(home: Server, tmp_path: Path) -> None:
    root = tmp_path / "root"
    content = {name: b"RIFF" + data for name, data in VIDEOS.items()}
    home.files |= {f"videos/{name}": data for name, data in content.items()}
    names = ["s07-d20-cam-002", "s99-d99-cam-002", "s10-d20-cam-002"]
    summary = download(home, root, parts=("videos",), videos=names)
    assert {path.name for path in (root / "videos").iterdir()} == {f"{name}.avi" for name in (names[0], names[2])}
    assert (root / "videos" / f"{names[0]}.avi").read_bytes() == content[f"{names[0]}.avi"]
    assert summary.refused == ("videos/s99-d99-cam-002.avi",)
    assert not [path for path, _ in home.asked if path.endswith(".gz")]
    asked = len(home.asked)
    assert download(home, root, parts=("videos",), videos=names[:1]).fetched == ()
    assert len(home.asked) == asked


def test_a_file_that_others_had_otherwise_is_told_and_taken(
    home: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = home.files[f"annos/{MAT_NAME}"]
    assert MAT_NAME in mpii_download.KNOWN
    differing = download(home, tmp_path / "a", parts=("annotations",)).differing
    assert len(differing) == 1
    assert f"{len(content):,} bytes instead of 114,303,918" in differing[0]
    known = {MAT_NAME: (len(content), hashlib.sha256(content).hexdigest())}
    monkeypatch.setattr(mpii_download, "KNOWN", known)
    assert download(home, tmp_path / "b", parts=("annotations",)).differing == ()


@pytest.mark.slow
def test_the_command_fetches_the_videos_that_the_build_cuts(
    home: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_corpus: Path
) -> None:
    home.files[f"annos/{MAT_NAME}"] = find_mat(small_corpus).read_bytes()
    for path in (small_corpus / "videos").iterdir():
        home.files[f"videos/{path.name}"] = path.read_bytes()
    root, place = tmp_path / "mpii", tmp_path / "workspace"
    chosen = ["--classes", "2", "--per-class", "1"]
    command = ["download", str(root), "-w", str(place), "--accept-licence", "--home", home.url, "--videos", "needed"]
    done = CliRunner().invoke(app, [*command, *chosen])
    assert done.exit_code == 0, done.output
    there = {path.name for path in (root / "videos").iterdir()}
    assert 1 <= len(there) < len(list((small_corpus / "videos").iterdir()))
    built = CliRunner().invoke(app, ["build", "-w", str(place), "--mpii", str(root), "--no-speech", *chosen])
    assert built.exit_code == 0, built.output
    clips = [json.loads(line) for line in (place / "manifests" / "clips.jsonl").read_text().splitlines()[1:]]
    assert {f"{clip['video']}.avi" for clip in clips} == there
