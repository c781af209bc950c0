"""A booth that runs, and a speaker in a real browser, with a microphone that plays a known sound."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import av
import msgspec
import numpy as np
import pytest
import soundfile
from aiohttp import web
from made_up_rows import clip_row, utterance_row
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import Error as PlaywrightError

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.files import sha256_of
from dataset_tools.core.ledger import Ledger, LedgerRow
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import write_rows
from dataset_tools.speech.booth.server import make_app
from dataset_tools.speech.booth.sessions import Booth

CLASSES = load_classes()
RATE_HZ = 48_000
SENTENCES = {"cut_carrot_knife": "I cut the carrot.", "wash_apple": "She washes an apple."}


def melody(seconds: float = 3.0) -> np.ndarray:
    """A sound that is like itself at no other moment: tones of random pitch, a fifth of a second each, with pauses."""
    random = np.random.default_rng(7)
    time_s = np.arange(round(0.2 * RATE_HZ)) / RATE_HZ
    envelope = np.sin(np.pi * time_s / 0.2) ** 0.5 * (time_s < 0.17)
    notes = [envelope * np.sin(2 * np.pi * random.uniform(300, 3000) * time_s) for _ in range(round(seconds / 0.2))]
    return 0.3 * np.concatenate(notes)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Two clips that play, each with a synthesized utterance."""
    place = Workspace(tmp_path / "set")
    clips, utterances = [], []
    for number, (class_id, text) in enumerate(SENTENCES.items()):
        name = f"s{number + 7:02d}-d21_000001-000020"
        path = place.clips / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=Fraction(20))
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            for frame in range(20):
                picture = np.full((240, 320, 3), 60 + 60 * number, np.uint8)
                picture[80:160, 10 * frame : 10 * frame + 60] = (240, 180, 60)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
        about = {"fps": 20.0, "width": 320, "height": 240, "sha256": sha256_of(path)}
        clips.append(clip_row(name, class_id, **about))
        utterances.append(utterance_row(f"{name}_en", class_id, name, text=text, voice="en", quality={"warnings": []}))
    write_rows(place.manifests / "clips.jsonl", clips)
    write_rows(place.manifests / "utterances.jsonl", utterances)
    with Ledger(place.ledger) as ledger:  # as synthesis leaves it
        for row in utterances:
            values = {"row": msgspec.to_builtins(row)}
            ledger.record(LedgerRow(id=f"utterance/{row.id}", status="ok", stage="speak", values=values))
    return place


def wait_until(page: Page, condition: str) -> None:
    """Asks again and again: the page's own rules forbid the usual way, which compiles text in the page."""
    for _ in range(600):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(100)
    raise AssertionError(condition)


def sign_in(page: Page, name: str) -> None:
    expect(page.locator("#consent")).to_contain_text("Your voice will be recorded")
    page.fill("#name", name)
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#booth")).to_be_hidden()  # not without the tick
    page.check("#agreed")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#booth")).to_be_visible()
    expect(page.locator("#sentence")).not_to_be_empty()  # before there is a line, there is nothing to record


def record(page: Page, seconds: float) -> None:
    page.keyboard.press("Space")
    expect(page.locator("#record")).to_contain_text("Stop")
    page.wait_for_timeout(1000 * seconds)
    page.keyboard.press("Space")
    expect(page.locator("#said")).not_to_contain_text("Checking")
    expect(page.locator("#record")).to_contain_text("Record")


def keep(page: Page) -> None:
    """Enter ends a take; those that wait for it are reviewed, and kept."""
    page.keyboard.press("Enter")
    wait_until(page, "!document.getElementById('look').disabled || !document.getElementById('review').hidden")
    if page.locator("#review").is_hidden():
        page.keyboard.press("r")
    expect(page.locator("#keep")).to_be_enabled()
    page.keyboard.press("Enter")
    expect(page.locator("#review")).to_be_hidden()  # until then, keys are the review's


def likeness(heard: np.ndarray, played: np.ndarray) -> float:
    """Highest normalized cross-correlation of what arrived with the sound that was played again and again."""
    track = np.concatenate([played] * (2 + len(heard) // len(played)))
    size = 1 << (len(track) + len(heard)).bit_length()
    products = np.fft.irfft(np.fft.rfft(track, size) * np.conj(np.fft.rfft(heard, size)), size)
    energy = np.concatenate([[0.0], np.cumsum(track**2)])
    places = len(track) - len(heard)
    norms = np.sqrt((energy[len(heard) :] - energy[: -len(heard)])[:places] * (heard**2).sum())
    return float((products[:places] / norms).max())


def is_melody(path: Path) -> bool:
    """Whether a recording is what the microphone played: most of its pieces of 0.4 s, as a busy machine loses 10 ms."""
    heard, rate_hz = soundfile.read(path)
    assert heard.ndim == 1
    heard = np.interp(np.arange(0, len(heard), rate_hz / RATE_HZ), np.arange(len(heard)), heard)
    pieces = np.array_split(heard, max(1, round(len(heard) / (0.4 * RATE_HZ))))
    return float(np.median([likeness(piece, melody()) for piece in pieces])) > 0.9


def wav_bytes(tmp_path: Path, number: int = 0) -> bytes:
    path = tmp_path / "take.wav"
    soundfile.write(path, melody(1.0 + 0.2 * number), RATE_HZ)
    return path.read_bytes()


@pytest.fixture(scope="module")
def browser(chromium: Callable[..., AbstractContextManager[Browser]], microphone: Path) -> Iterator[Browser]:
    """One for all tests of a file (after it, asyncio.run does not work there); each page reads the microphone anew."""
    with chromium(microphone=microphone) as opened:
        yield opened


@pytest.fixture(scope="module")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that the microphone plays."""
    return tmp_path_factory.mktemp("microphone") / "microphone.wav"


@pytest.fixture
def stage(
    serving: Callable[..., AbstractContextManager[str]],
    chromium: Callable[..., AbstractContextManager[Browser]],
    microphone: Path,
    request: pytest.FixtureRequest,
) -> SimpleNamespace:
    """What tests of the page are made of."""

    def open_booth(place: Workspace, *options: object) -> AbstractContextManager[str]:
        """Runs ``fmn-data speech record``; gives the address."""
        return serving("fmn-data", "speech", "record", "-w", place.root, *options)

    @contextmanager
    def booth_here(place: Workspace) -> Iterator[str]:
        """Serves the booth in this process, without the command around it; gives the address."""
        runner = web.AppRunner(make_app(Booth(place, CLASSES), "secret"), shutdown_timeout=5)
        caplog = request.getfixturevalue("caplog")

        async def begin() -> str:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            return f"http://127.0.0.1:{runner.addresses[0][1]}/secret/"

        async def end() -> None:
            await runner.cleanup()
            await asyncio.get_running_loop().shutdown_default_executor()

        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            yield asyncio.run_coroutine_threadsafe(begin(), loop).result()
        finally:
            asyncio.run_coroutine_threadsafe(end(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
        assert [one.getMessage() for one in caplog.records if one.exc_info] == []

    @contextmanager
    def in_common() -> Iterator[Browser]:
        """The browser of the file, whose pages are closed."""
        browser = request.getfixturevalue("browser")
        try:
            yield browser
        finally:
            for context in browser.contexts:
                context.close()

    @contextmanager
    def browser_with(sound: np.ndarray, tmp_path: Path, address: str) -> Iterator[Page]:
        """Opens the page in a Chromium whose microphone plays ``sound`` again and again."""
        soundfile.write(microphone, sound, RATE_HZ, subtype="PCM_16")
        host = urlsplit(address).hostname
        with chromium(host, microphone) if host != "127.0.0.1" else in_common() as browser:
            page = browser.new_page(viewport={"width": 1200, "height": 800})
            page.set_default_timeout(60_000)  # a busy machine may take its time
            if address.startswith("https"):  # as people do with a certificate that nobody vouches for
                with pytest.raises(PlaywrightError, match="ERR_CERT_AUTHORITY_INVALID"):
                    page.goto(address)
                page.click("#details-button")
                page.click("#proceed-link")
            else:
                page.goto(address)
            yield page
            page.screenshot(path=tmp_path / "last-page.png")

    functions = (melody, open_booth, booth_here, browser_with, wait_until, sign_in, record, keep, is_melody, wav_bytes)
    return SimpleNamespace(RATE_HZ=RATE_HZ, **{function.__name__: function for function in functions})
