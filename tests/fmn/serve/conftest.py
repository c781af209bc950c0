"""A run that hears and sees real files: one spoken sentence a class, and clips of one brightness a class."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
from aiohttp import web
from scipy.signal import resample_poly

from dataset_tools.core.files import sha256_of
from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from fmn.config import Config, with_values
from fmn.search.text_query import speak_query
from fmn.serve.queries import Queries
from fmn.serve.server import make_app
from fmn.training.train import train

SENTENCES = (
    "Somebody peels an orange.",
    "She pours milk into the pan.",
    "He takes out a knife.",
    "Wash the carrots now.",
)
SPEEDS = (20, 19, 21)  # twentieths


@pytest.fixture(scope="session")
def shared_run(shared: Callable[..., Path], shared_files: Path, small: Config) -> Path:
    """The workspace `files`, whose utterances are spoken anew, with a run that nobody changes.

    The voice is the one that speaks typed queries, so that 20 training utterances are enough.
    """

    def write(folder: Path) -> None:
        shutil.copytree(shared_files, folder)
        with tempfile.TemporaryDirectory() as spoken:
            speak_anew(folder, Path(spoken))
        changes = {"video.kind": "mean_colour", "audio.cmvn": False, "training.epochs": 60}
        train(folder / "manifests" / "train.jsonl", with_values(small, changes), folder / "runs" / "one", jobs=1)

    return shared("spoken-run", write) / "runs" / "one"


def speak_anew(workspace: Path, spoken: Path) -> None:
    """Replaces each utterance by its class's sentence, at a speed and with a noise of its own."""
    voice = [soundfile.read(speak_query(text, spoken)[0]) for text in SENTENCES]
    hashes: dict[str, str] = {}
    for name in ("train", "test"):
        path = workspace / "manifests" / f"{name}.jsonl"
        rows = []
        for row in read_rows(path, SplitPairRow):
            sound, number = workspace / row.utterance.path, int(row.label.id[-1])
            if row.utterance.id not in hashes:
                samples, rate_hz = voice[number]
                noise = np.random.default_rng(len(hashes))
                samples = resample_poly(samples, SPEEDS[len(hashes) % len(SPEEDS)], 20)
                soundfile.write(sound, samples + 0.003 * noise.normal(size=len(samples)), rate_hz)
                hashes[row.utterance.id] = sha256_of(sound)
            utterance = msgspec.structs.replace(row.utterance, sha256=hashes[row.utterance.id], text=SENTENCES[number])
            rows.append(msgspec.structs.replace(row, utterance=utterance))
        write_rows(path, rows)


@pytest.fixture(scope="session")
def serving_here() -> Callable[[Queries], AbstractContextManager[str]]:
    """Serves the page of some queries in a thread of this process; gives the address."""

    @contextmanager
    def serve(queries: Queries) -> Iterator[str]:
        loop, started, port = asyncio.new_event_loop(), threading.Event(), []
        runner = web.AppRunner(make_app(queries, "secret"))

        async def start() -> None:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            port.append(runner.addresses[0][1])
            started.set()

        def run() -> None:
            loop.run_until_complete(start())
            loop.run_forever()
            loop.run_until_complete(runner.cleanup())
            loop.close()

        thread = threading.Thread(target=run)
        thread.start()
        assert started.wait(30)
        try:
            yield f"http://127.0.0.1:{port[0]}/secret/"
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    return serve


@pytest.fixture(scope="module")
def trained(shared_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run for the tests of a module, which leave it as it is."""
    return copy_of(shared_run, tmp_path_factory.mktemp("trained"))


@pytest.fixture
def own_run(shared_run: Path, tmp_path: Path) -> Path:
    """A copy of the run for one test."""
    return copy_of(shared_run, tmp_path)


def copy_of(run: Path, folder: Path) -> Path:
    shutil.copytree(run.parent.parent, folder / "workspace")
    return folder / "workspace" / "runs" / run.name
