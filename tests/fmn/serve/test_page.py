"""The page in a real browser: a microphone that plays a known utterance, the keyboard, a phone, the dark, a restart."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import soundfile
from playwright.sync_api import Page, expect, sync_playwright
from scipy.signal import resample_poly

from dataset_tools.manifests import SplitPairRow, read_rows
from fmn.search.gallery_search import search

MICROPHONE_HZ = 48_000


@contextmanager
def served(run: Path) -> Iterator[str]:
    """`fmn serve` as a user runs it; gives the address that it prints."""
    command = [str(Path(sys.executable).with_name("fmn")), "serve", str(run), "--jobs", "1"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "400"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        said = ""
        while (found := re.search(r"http://[\w.-]+:\d+/[\w-]+/", said)) is None:
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
def browser_with(sound: Path, address: str) -> Iterator[Page]:
    """A Chromium whose microphone plays ``sound`` again and again, and which reaches nothing but the page."""
    chromium = shutil.which("chromium")
    assert chromium is not None, "the test needs Debian's chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-audio-capture={sound}",
                "--autoplay-policy=no-user-gesture-required",
                f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {urlsplit(address).hostname}",
            ],
        )
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.set_default_timeout(60_000)  # a busy machine may take its time
        expect.set_options(timeout=60_000)
        page.goto(address)
        yield page
        browser.close()


def lead(run: Path, root: Path, row: SplitPairRow) -> float:
    """By how much the best clip of an utterance's class scores above the best of another one."""
    manifest = root / "manifests" / "test.jsonl"
    hits = search(run, root / row.utterance.path, "speech", manifest, top=12, jobs=1).hits
    own, other = (max(hit.score for hit in hits if (hit.class_id == row.label.id) is same) for same in (True, False))
    return own - other


def contrast(page: Page, selector: str) -> float:
    """The contrast of an element's text with the page's ground (WCAG 2.1)."""
    levels = []
    for color in page.evaluate(
        "(name) => [getComputedStyle(document.querySelector(name)).color,"
        " getComputedStyle(document.body).backgroundColor]",
        selector,
    ):
        parts = [int(value) / 255 for value in re.findall(r"\d+", color)[:3]]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        levels.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(levels) + 0.05) / (min(levels) + 0.05)


def test_a_spoken_query_finds_its_clips_and_everything_works_by_keyboard(trained: Path, tmp_path: Path) -> None:
    root = trained.parent.parent
    rows = {row.utterance.id: row for row in read_rows(root / "manifests" / "test.jsonl", SplitPairRow)}
    spoken = max(rows.values(), key=lambda row: lead(trained, root, row))  # what the run itself is surest of
    assert lead(trained, root, spoken) > 0
    samples, rate_hz = soundfile.read(root / spoken.utterance.path)
    microphone = tmp_path / "microphone.wav"
    soundfile.write(microphone, resample_poly(samples, MICROPHONE_HZ // rate_hz, 1), MICROPHONE_HZ, subtype="PCM_16")
    with served(trained) as address, browser_with(microphone, address) as page:
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        expect(page.locator("#found")).to_contain_text("12 clips and 12 utterances")
        page.keyboard.down("Space")
        expect(page.locator("#talk")).to_have_class("on")
        page.wait_for_timeout(1800)
        page.keyboard.up("Space")
        first = page.locator("#hits > li").first
        expect(first).to_be_visible()
        assert first.locator(".class").inner_text() == spoken.label.id.replace("_", " ")
        assert page.locator("#asked svg rect").count() == 160
        expect(page.locator("#asked .guess").first).to_have_text("Its class is not known.")
        assert page.locator(".verdict").count() == 0
        assert re.search(r"#search\?query=[0-9a-f]{64}$", page.url)

        page.keyboard.press("j")  # to the first clip; c: the speech that fits it, of a class that is known
        expect(first).to_be_focused()
        clip = first.get_attribute("data-id")
        page.keyboard.press("c")
        expect(page.locator("#found")).to_contain_text("utterances")
        assert page.url.endswith(f"#search?id={clip}")
        assert page.locator("#hits > li.hit").count() == 3
        assert page.locator("#hits > li.miss").count() == 9
        expect(page.get_by_text("★ its own partner")).to_have_count(1)
        page.keyboard.press("j")
        page.keyboard.press("f")
        marked = page.locator("#hits > li").first.get_attribute("data-clip")
        expect(page.locator("#command")).to_have_text(str(marked))
        other = page.context.new_page()  # a second tab has the same marks, and a view of its own
        other.goto(address + "#errors")
        expect(other.locator("#command")).to_have_text(str(marked))
        expect(other.locator("#confusion tbody tr")).to_have_count(4)
        cells = other.locator("#confusion button").evaluate_all("(all) => all.map((one) => Number(one.textContent))")
        assert sum(cells) == 12
        other.locator("#confusion button").first.click()
        expect(other.locator("#wrong > li")).to_have_count(cells[0])
        assert "asked=wash_thing0" in other.url
        other.close()
        assert page.url.endswith(f"#search?id={clip}")

        page.keyboard.press("/")
        expect(page.locator("#text")).to_be_focused()
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        expect(page.locator("#keys")).to_be_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("3")
        expect(page.locator("#errors")).to_be_visible()

        for view in ("search?id=" + str(clip), "errors"):
            page.goto(address + "#" + view)
            page.set_viewport_size({"width": 390, "height": 844})
            expect(page.locator("#wrong, #hits li").first).to_be_attached()
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            for part in ("#run", "#about-confusion", "#classes td", "nav a:not([aria-current])"):
                assert contrast(page, part) >= 4.5, (scheme, part)
        assert errors == []


def test_a_page_that_is_open_goes_on_with_a_server_that_was_started_again(trained: Path, tmp_path: Path) -> None:
    sound = (
        trained.parent.parent
        / next(read_rows(trained.parent.parent / "manifests" / "test.jsonl", SplitPairRow)).utterance.path
    )
    with served(trained) as address:
        manager = browser_with(sound, address)
        page = manager.__enter__()
        expect(page.locator("#found")).to_contain_text("12 clips")
        new = {"name": "a.wav", "mimeType": "audio/wav", "buffer": sound.read_bytes() + b"\0\0"}
        page.set_input_files("#file", files=[new])  # type: ignore[list-item]
        expect(page.locator("#hits > li").first).to_be_visible()
        asked = page.url
    page.goto(address + "#search?id=" + "s05-d00_000001-000010")
    expect(page.locator("#said")).to_contain_text("is fmn serve still running?")
    with served(trained) as again:
        assert again == address
        page.goto(asked)
        expect(page.locator("#hits > li").first).to_be_visible()  # which the new server was given again
        manager.__exit__(None, None, None)
