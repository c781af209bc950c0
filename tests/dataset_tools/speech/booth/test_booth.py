"""The recording booth in a real browser, with a microphone that plays a known sound; and what it refuses."""

from __future__ import annotations

import asyncio
import io
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import av
import msgspec
import numpy as np
import pytest
import soundfile
from aiohttp.test_utils import TestClient, TestServer
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, expect, sync_playwright

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.ledger import Ledger, LedgerRow
from dataset_tools.core.web_server import Address
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, IntervalOrigin, UtteranceRow, read_rows, write_rows
from dataset_tools.speech.booth.server import MOST_BYTES, make_app
from dataset_tools.speech.booth.sessions import Booth
from dataset_tools.speech.recordings import read_recordings

CLASSES = load_classes()
RATE_HZ = 48_000
TOKEN = "a-secret"
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
        clips.append(
            ClipRow(
                id=name,
                class_id=class_id,
                person=name[:3],
                dish="d21",
                video=f"{name[:7]}-cam-002",
                start_frame=1,
                end_frame=20,
                trim=None,
                fps=20.0,
                frames=20,
                width=320,
                height=240,
                duration_s=1.0,
                path=place.relative(path),
                sha256=sha256_of(path),
                origin=IntervalOrigin(),
            )
        )
        utterances.append(
            UtteranceRow(
                id=f"{name}_en",
                class_id=class_id,
                clip=name,
                text=text,
                text_source="grammar",
                language="en",
                voice="en",
                source="synthesized",
                engine="espeak",
                path=f"speech/{name}_en.wav",
                sample_rate_hz=16000,
                duration_s=1.0,
                sha256="0" * 64,
                quality={"warnings": []},
            )
        )
    write_rows(place.manifests / "clips.jsonl", clips)
    write_rows(place.manifests / "utterances.jsonl", utterances)
    with Ledger(place.ledger) as ledger:  # as synthesis leaves it
        for row in utterances:
            values = {"row": msgspec.to_builtins(row)}
            ledger.record(LedgerRow(id=f"utterance/{row.id}", status="ok", stage="speak", values=values))
    return place


@contextmanager
def open_booth(place: Workspace, *options: object) -> Iterator[str]:
    """`fmn-data speech record` as a user runs it; gives the address that it prints."""
    command = [str(Path(sys.executable).with_name("fmn-data")), "speech", "record", "-w", str(place.root)]
    command += map(str, options)
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


@contextmanager
def browser_with(sound: np.ndarray, tmp_path: Path, address: str) -> Iterator[Page]:
    """A Chromium on the page whose microphone plays ``sound`` again and again."""
    chromium = shutil.which("chromium")
    assert chromium is not None, "the test needs Debian's chromium: apt-get install chromium"
    microphone = tmp_path / "microphone.wav"
    soundfile.write(microphone, sound, RATE_HZ, subtype="PCM_16")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-audio-capture={microphone}",
                "--autoplay-policy=no-user-gesture-required",
                f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {urlsplit(address).hostname}",
            ],
        )
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        page.set_default_timeout(60_000)  # a busy machine may take its time
        expect.set_options(timeout=60_000)
        if address.startswith("https"):  # as people do with a certificate that nobody vouches for
            with pytest.raises(PlaywrightError, match="ERR_CERT_AUTHORITY_INVALID"):
                page.goto(address)
            page.click("#details-button")
            page.click("#proceed-link")
        else:
            page.goto(address)
        yield page
        page.screenshot(path=tmp_path / "last-page.png")
        browser.close()


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


def record(page: Page, seconds: float) -> None:
    page.keyboard.press("Space")
    expect(page.locator("#record")).to_contain_text("Stop")
    page.wait_for_timeout(1000 * seconds)
    page.keyboard.press("Space")
    expect(page.locator("#said")).not_to_contain_text("Listening")
    expect(page.locator("#record")).to_contain_text("Record")


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
    """Whether a recording is what the microphone played."""
    heard, rate_hz = soundfile.read(path)
    assert heard.ndim == 1
    heard = np.interp(np.arange(0, len(heard), rate_hz / RATE_HZ), np.arange(len(heard)), heard)
    return likeness(heard, melody()) > 0.9


def test_what_a_speaker_says_arrives_and_takes_the_place_of_the_synthesized_voice(
    workspace: Workspace, tmp_path: Path
) -> None:
    first, second = (row.id for row in read_rows(workspace.manifests / "clips.jsonl", ClipRow))
    with open_booth(workspace) as address, browser_with(melody(), tmp_path, address) as page:
        sign_in(page, "Ann O'Neil")
        expect(page.locator("#sentence")).to_have_text("I cut the carrot.")
        expect(page.locator("#total")).to_have_text("0 of 2 sentences recorded")
        wait_until(page, "document.getElementById('video').currentTime > 0.2")
        assert page.evaluate("document.getElementById('video').loop")
        wait_until(page, "parseFloat(document.getElementById('level').style.width) > 40")
        record(page, 2.2)
        expect(page.locator("#said")).to_contain_text("Good (2.")
        page.keyboard.press("l")
        wait_until(page, "document.getElementById('playback').currentTime > 0.1")
        page.screenshot(path=tmp_path / "booth.png")
        page.keyboard.press("Enter")
        expect(page.locator("#sentence")).to_have_text("She washes an apple.")
        expect(page.locator("#total")).to_have_text("1 of 2 sentences recorded")

        page.keyboard.press("b")  # another take of the first
        expect(page.locator("#said")).to_contain_text("another take takes its place")
        record(page, 1.6)
        page.keyboard.press("Enter")
        expect(page.locator("#sentence")).to_have_text("She washes an apple.")

    takes = {row.take: row for row in read_recordings(workspace)}
    assert sorted(takes) == [1, 2]
    for row in takes.values():
        assert (row.utterance.clip, row.utterance.voice) == (first, "ann-o-neil")
        assert is_melody(workspace.root / row.original)
    used = {row.clip: row for row in read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow)}
    assert (used[first].source, used[first].text) == ("recorded", "I cut the carrot.")
    assert used[first].sha256 == takes[2].utterance.sha256 == sha256_of(workspace.root / used[first].path)
    consents = (workspace.recordings / "consents.jsonl").read_text()
    assert '"name":"Ann O\'Neil"' in consents

    # left and resumed, by another speaker, after the booth was closed
    with open_booth(workspace) as address, browser_with(melody(), tmp_path, address) as page:
        sign_in(page, "Bob")
        expect(page.locator("#total")).to_have_text("1 of 2 sentences recorded")
        expect(page.locator("#sentence")).to_have_text("She washes an apple.")
        record(page, 1.6)
        page.keyboard.press("Enter")
        expect(page.locator("#sentence")).to_have_text("Everything is recorded. Thank you!")
    assert {row.utterance.voice for row in read_recordings(workspace) if row.utterance.clip == second} == {"bob"}


@pytest.mark.parametrize(
    ("sound", "said"),
    [
        (np.zeros(RATE_HZ), "it is silent"),
        (0.0015 * melody() / 0.3, "quiet"),
        (np.clip(40 * melody(), -1, 1), "it is clipped"),
    ],
)
def test_what_cannot_be_used_is_said_at_once(
    workspace: Workspace, tmp_path: Path, sound: np.ndarray, said: str
) -> None:
    with open_booth(workspace) as address, browser_with(sound, tmp_path, address) as page:
        sign_in(page, "Ann")
        record(page, 1.5)
        expect(page.locator("#said")).to_contain_text(said)
        if said != "quiet":
            expect(page.locator("#next")).to_be_disabled()
            page.keyboard.press("Enter")
    assert read_recordings(workspace) == []


def test_speakers_on_other_machines_record_over_tls(workspace: Workspace, tmp_path: Path) -> None:
    certificate, key = tmp_path / "booth.pem", tmp_path / "booth-key.pem"
    made = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=booth", "-keyout", key)
    subprocess.run([*made, "-out", certificate], check=True, capture_output=True)
    with open_booth(workspace, "--host", "0.0.0.0", "--cert", certificate, "--key", key) as address:
        parts = urlsplit(address)
        assert parts.scheme == "https"
        assert parts.hostname not in ("0.0.0.0", "127.0.0.1")  # an address that others can type
        with pytest.raises((URLError, OSError)):
            urlopen(address.replace("https", "http"), timeout=10)  # nothing in the clear
        with browser_with(melody(), tmp_path, address) as page:
            sign_in(page, "Ann")
            wait_until(page, "document.getElementById('video').currentTime > 0.2")
            record(page, 1.6)
            expect(page.locator("#said")).to_contain_text("Good (")
            page.keyboard.press("Enter")
            expect(page.locator("#total")).to_have_text("1 of 2 sentences recorded")
    (row,) = read_recordings(workspace)
    assert is_melody(workspace.root / row.original)


def wav_bytes(tmp_path: Path) -> bytes:
    path = tmp_path / "take.wav"
    soundfile.write(path, melody(1.0), RATE_HZ)
    return path.read_bytes()


def asked(booth: Booth, work: Callable[[TestClient[Any, Any]], Any]) -> Any:
    """Runs requests against the booth's application."""

    async def run() -> Any:
        async with TestClient(TestServer(make_app(booth, TOKEN))) as client:
            return await work(client)

    return asyncio.run(run())


def test_nothing_is_served_without_the_secret_and_no_path_is_taken_from_a_client(
    workspace: Workspace, tmp_path: Path
) -> None:
    booth = Booth(workspace, CLASSES)
    clip = next(iter(booth.lines))
    take = wav_bytes(tmp_path)
    (workspace.root / "private.txt").write_text("private")

    async def work(client: TestClient[Any, Any]) -> None:
        for path in ("/", "/booth.js", "/wrong/", "/wrong/api/state", f"/{TOKEN}x/", f"/wrong/clips/{clip}"):
            assert (await client.get(path)).status == 404, path
        page = await client.get(f"/{TOKEN}/")
        assert page.status == 200
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        assert (await client.get(f"/{TOKEN}/clips/{clip}")).status == 200
        for name in ("..%2Fprivate.txt", "..%2F..%2Fprivate.txt", "x", f"{clip}.mp4", "%2Fetc%2Fpasswd"):
            assert (await client.get(f"/{TOKEN}/clips/{name}")).status == 404, name
        where = f"/{TOKEN}/api/takes"
        assert (await client.post(where, params={"clip": clip, "voice": "ann"}, data=take)).status == 403
        speaker = {"name": "../../Ann", "agreed": True}
        for refused in ({**speaker, "agreed": False}, {**speaker, "name": " "}, {**speaker, "name": "a\0b"}):
            assert (await client.post(f"/{TOKEN}/api/speakers", json=refused)).status == 409
        voice = (await (await client.post(f"/{TOKEN}/api/speakers", json=speaker)).json())["voice"]
        assert voice == "ann"
        for wrong in ({"clip": "../x", "voice": voice}, {"clip": "", "voice": voice}):
            assert (await client.post(where, params=wrong, data=take)).status == 404
        too_much = await client.post(
            where, params={"clip": clip, "voice": voice}, data=io.BytesIO(bytes(MOST_BYTES + 1))
        )
        assert too_much.status == 413
        noise = await client.post(where, params={"clip": clip, "voice": voice}, data=b"this is no sound")
        assert noise.status == 409
        assert "cannot be decoded" in (await noise.json())["found"]
        kept = await client.post(where, params={"clip": clip, "voice": voice}, data=take)
        assert kept.status == 200, await kept.text()

    asked(booth, work)
    (row,) = read_recordings(workspace)
    assert re.fullmatch(r"recordings/[0-9a-f]{64}\.wav", row.original)
    assert not list(tmp_path.glob("*Ann*"))
    assert not list((workspace.cache / "booth").iterdir())


def test_beyond_this_machine_it_needs_a_certificate(tmp_path: Path) -> None:
    assert Address().context() is None
    assert Address(host="localhost").context() is None
    for host in ("0.0.0.0", "192.168.1.5", "::", "example.org"):
        with pytest.raises(InputError, match="there is no certificate"):
            Address(host=host).context()
    (tmp_path / "cert.pem").write_text("nonsense")
    with pytest.raises(InputError, match="certificate cannot be used"):
        Address("0.0.0.0", 0, tmp_path / "cert.pem", tmp_path / "key.pem").context()
