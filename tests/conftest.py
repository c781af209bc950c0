from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer.testing
from filelock import FileLock
from hypothesis import settings
from sample_recordings import MissingPackageError, write_samples

from dataset_tools.core import download as http_files
from dataset_tools.core import worker_pool
from dataset_tools.core.worker_pool import end_fork_server, worker_context
from dataset_tools.corpora.standin.standin_corpus import write_standin

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# How long an example takes says something about the machine, not about the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# A shell that runs the tests in the background makes them ignore SIGINT, and with them every command that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

for name in ("no_proxy", "NO_PROXY"):  # the servers of tests are on this machine, whatever proxy leads out of it
    os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost"]))
gc.disable()  # while tests are collected: all of it stays, see `pytest_collection_finish`

NUMBERED = {"one": ("crank", "bed"), "two": ("stop", "bird"), "three": ("ready", "cat"), "four": ("move", "dog")}
RECORDINGS = {
    "video/sound.mkv": "video/decord__flipping_a_pancake.mkv",
    "video/reordered.mov": "video/decord__unordered.mov",
    "video/rotated.mov": "video/decord__video_90.mov",
    "video/damaged.mp4": "video/decord__corrupted.mp4",
    "video/action.avi": "video/mmaction2__test.avi",
    "speech/people": "speech/librivox",
    "speech/readings": "speech/librivox",
    "speech/cards": "speech/cards",
    "speech/people/whole.flac": "speech/mandarin/chinese.flac",
    **{f"motions/{name}": f"real/video_pose/{gesture}" for name, (gesture, _) in NUMBERED.items()},
    **{f"words/{name}": f"real/speech_en/{word}" for name, (_, word) in NUMBERED.items()},
    "tacos": "tacos",
    "formats": "formats",
}
"""What tests call a recording, and its name below FMN_TEST_DATA."""
SPEAKERS_WORDS = (
    *("close", "fandian", "fudan", "open", "print", "process", "project"),
    *("shanghai", "shuzi", "signal", "yuyan", "yuyin"),
)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Gives the folder of a name, which the first worker to ask for it writes for this run; nobody changes it."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder(name: str, write: Callable[[Path], object]) -> Path:
        with FileLock(base / f"{name}.lock"):
            if not (base / name).exists():
                partial = base / f"{name}.partial"
                shutil.rmtree(partial, ignore_errors=True)
                write(partial)
                partial.rename(base / name)
        return base / name

    return folder


@pytest.fixture(scope="session", autouse=True)
def workers_know_modules() -> Iterator[None]:
    """Worker processes are forked from one with what they need: the tests' 400 MB would double the time of each."""
    is_needed = re.compile(r"dataset_tools\.|.+\.test_(execution|worker_pool)$").match  # tests whose functions they run
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(worker_pool, "imported_by_workers", lambda _: [*filter(is_needed, sys.modules)])
        yield


@pytest.fixture(scope="session")
def workers_know_torch() -> None:
    """From now on, worker processes are forked from one that has imported training, which takes each of them 1 s."""
    end_fork_server()  # an earlier test may have started it
    worker_context(["fmn.training.train"])


@pytest.fixture(autouse=True)
def state_of_torch() -> Iterator[None]:
    """Where torch is imported already, a test leaves its threads, default type and deterministic flags as they were."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    cudnn = torch.backends.cudnn
    threads, dtype, flags = torch.get_num_threads(), torch.get_default_dtype(), (cudnn.deterministic, cudnn.benchmark)
    mode = torch.get_deterministic_debug_mode()
    yield
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)
    torch.set_deterministic_debug_mode(mode)
    cudnn.deterministic, cudnn.benchmark = flags


@pytest.fixture(scope="session")
def tree() -> Callable[[Path], dict[str, tuple[int, int, bytes]]]:
    """Gives every file and folder below a folder: times of its last change, and the content of files."""

    def entry(path: Path) -> tuple[int, int, bytes]:
        found = path.lstat()
        return found.st_mtime_ns, found.st_ctime_ns, path.read_bytes() if path.is_file() else b""

    return lambda folder: {str(path): entry(path) for path in (folder, *folder.rglob("*"))}


@pytest.fixture
def peak_bytes() -> Callable[..., int]:
    """Measures the Python memory that a call needs at its peak: the least of three runs.

    Threads of earlier tests, caches and tables of the interpreter that grow at that moment are counted, too, but
    hardly three times in a row; what the call itself needs is there each time. A run below ``limit`` is the last: the
    least is below it, too.
    """

    def measured(call: Callable[[], object], *, limit: float = 0) -> int:
        peaks: list[int] = []
        while len(peaks) < 3 and min(peaks, default=limit) >= limit:
            gc.collect()
            tracemalloc.start()
            try:
                call()
                peaks.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()
        return min(peaks)

    return measured


@pytest.fixture(scope="session")
def real_data(shared: Callable[..., Path]) -> Path:
    """Recordings: those below FMN_TEST_DATA, or where it is not set, those that installed packages bring."""
    if "FMN_TEST_DATA" in os.environ:
        return shared("recordings", lambda folder: link_recordings(Path(os.environ["FMN_TEST_DATA"]), folder))
    try:
        return shared("recordings", write_samples)
    except MissingPackageError as error:
        pytest.skip(str(error))


def link_recordings(source: Path, folder: Path) -> None:
    """Links of what lies below FMN_TEST_DATA, under the names that tests use."""
    (folder / "speakers").mkdir(parents=True)
    for word in SPEAKERS_WORDS:
        for path in (source / "real" / "speech" / word).glob("s*.flac"):
            (folder / "speakers" / f"{path.stem}_{word}.flac").symlink_to(path)
    for name, original in RECORDINGS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (source / original).is_dir():
            (folder / name).mkdir()
            for path in (source / original).iterdir():
                (folder / name / path.name).symlink_to(path)
        else:
            (folder / name).symlink_to(source / original)


@pytest.fixture(scope="session")
def real_speech(real_data: Path) -> Path:
    """Recorded speech: folders of ``people``, and of ``cards`` and ``readings`` with their transcription."""
    return real_data / "speech"


@pytest.fixture(scope="session")
def small_corpus(shared: Callable[..., Path]) -> Path:
    """The smallest corpus that has all classes: 20 intervals of a class in 4 short videos."""
    return shared("standin-1", lambda root: write_standin(root, seed=3, per_class=1, jobs=2))


@pytest.fixture(scope="session")
def corpus_of_three(shared: Callable[..., Path]) -> Path:
    """A corpus of three intervals per class, with the seed of the inputs of `make gpu`."""
    return shared("standin-3", lambda root: write_standin(root, seed=8, per_class=3, jobs=2))


@pytest.fixture(scope="session")
def serving() -> Callable[..., AbstractContextManager[str]]:
    """Runs a command that serves a page, as a user runs it until Ctrl+C; gives the address that it prints."""

    @contextmanager
    def run(program: str, *arguments: object) -> Iterator[str]:
        command = [str(Path(sys.executable).with_name(program)), *map(str, arguments)]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "400"}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        ) as process:
            assert process.stdout is not None
            said = ""
            while (found := re.search(r"https?://[\w.-]+:\d+/[\w-]+/", said)) is None:
                line = process.stdout.readline()
                assert line, said
                said += line
            try:
                yield found.group()
            finally:
                process.send_signal(signal.SIGINT)
                said += process.stdout.read()
                assert process.wait(timeout=60) == 0, said
                assert "Traceback" not in said

    return run


@pytest.fixture(scope="session")
def chromium() -> Callable[..., AbstractContextManager[Browser]]:
    """Starts a Chromium that finds no host but ``host`` and plays without a click.

    Its microphone is allowed and plays the wav ``microphone`` again and again; without one it is denied.
    """
    from playwright.sync_api import expect, sync_playwright

    @contextmanager
    def start(host: str = "127.0.0.1", microphone: Path | None = None) -> Iterator[Browser]:
        program = shutil.which("chromium")
        assert program is not None, "the browser test needs Debian's chromium: apt-get install chromium"
        flags = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        flags += [f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {host}", "--use-fake-device-for-media-stream"]
        if microphone is not None:
            flags += ["--use-fake-ui-for-media-stream", f"--use-file-for-fake-audio-capture={microphone}"]
        expect.set_options(timeout=60_000)  # a busy machine may take its time
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=flags)
            yield browser
            browser.close()

    return start


class DownloadServer:
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
def download_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[DownloadServer]:
    """A server of files on this machine, which a test fills and disturbs; waits between attempts are left out."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(http_files.time, "sleep", lambda seconds: None)
    server = DownloadServer()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.released.set()
    server.http.shutdown()
    server.http.server_close()
    thread.join()


def pytest_collection_finish() -> None:
    """What collecting has imported stays: garbage collections need not visit it, a fifth of the time of many tests."""
    typer.testing._get_command = cache(typer.testing._get_command)  # else each call builds all commands of a program
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first: one that came last would keep a single worker busy while the others have nothing left."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "transformers" in fixtures:  # four seconds to import: in one worker only
            item.add_marker(pytest.mark.xdist_group("transformers"))
        elif {"browser", "stage"} & set(fixtures) and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))  # the tests of a file share a browser
