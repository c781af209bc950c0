"""Screenshots of the web pages for docs/images, from a demo data set in Chromium: ``make screenshots``.

    python tools/screenshots.py demo docs/images

Screenshots of Label Studio are not included: they need an installed server.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import torch
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from dataset_tools.manifests import SplitPairRow, UtteranceRow, read_rows
from fmn.search.gallery_search import Gallery
from fmn.search.search_results import GallerySource
from fmn.training.checkpoint import load_run

WIDTH_PX, HEIGHT_PX = 1280, 800
QUALITY = 82  # of JPEG


def main(demo: Path, images: Path) -> None:
    """Write search.jpg, errors.jpg, explore.jpg, report.jpg and recording-booth.jpg.

    Args:
        demo: a workspace with a trained run in ``runs/fmn-demo``, such as that of ``make demo``.
        images: the output folder.
    """
    images.mkdir(parents=True, exist_ok=True)
    run = demo / "runs" / "fmn-demo"
    with sync_playwright() as playwright, served("fmn", "serve", run) as address:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = opened(browser, f"{address}#search?id={quote(typical_query(demo, run))}")
        expect(page.locator("#hits > *").first).to_be_visible(timeout=60_000)
        take(page, images / "search.jpg")
        page.goto(f"{address}#errors")
        expect(page.locator("#errors table").first).to_be_visible(timeout=60_000)
        take(page, images / "errors.jpg")
        page.goto(f"{address}#explore")
        expect(page.locator("#explore video").first).to_be_visible(timeout=60_000)
        take(page, images / "explore.jpg")
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report"
            command = [program("fmn-data"), "report", "--workspace", str(demo), "--out", str(report)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            page = opened(browser, (report / "index.html").as_uri())
            expect(page.locator("#classes")).to_be_visible()
            take(page, images / "report.jpg")
        browser.close()
        take_booth(playwright, demo, images / "recording-booth.jpg")


def take_booth(playwright: Playwright, demo: Path, path: Path) -> None:
    """Record three takes in a copy of the data set, with the first utterance as microphone, and write the page."""
    spoken = next(read_rows(demo / "manifests" / "utterances.jsonl", UtteranceRow))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "demo"
        for part in ("clips", "manifests", "speech"):
            shutil.copytree(demo / part, copy / part)
        shutil.copy(demo / "ledger.jsonl", copy)
        flags = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        flags += [f"--use-file-for-fake-audio-capture={(demo / spoken.path).absolute()}"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        with served("fmn-data", "speech", "record", "--workspace", copy) as address:
            page = opened(browser, address)
            page.fill("#name", "Ann")
            page.check("#agreed")
            page.get_by_role("button", name="Start").click()
            for number in range(3):
                if number:
                    page.keyboard.press("Enter")  # the next sentence
                expect(page.locator("#said")).not_to_contain_text("s)")  # of the previous take
                expect(page.locator("#sentence")).not_to_be_empty(timeout=60_000)
                expect(page.locator("#record")).to_be_enabled()
                page.keyboard.press("Space")
                expect(page.locator("#record")).to_contain_text("Stop", timeout=60_000)
                page.wait_for_timeout(1000 * spoken.duration_s)
                page.keyboard.press("Space")
                expect(page.locator("#said")).to_contain_text("s)", timeout=60_000)  # checked
            take(page, path)
        browser.close()


def typical_query(demo: Path, run: Path) -> str:
    """The test utterance with the median number of clips of its class among the best five; of ties, the first id."""
    test = demo / "manifests" / "test.jsonl"
    utterances = {row.utterance.id: row.utterance for row in read_rows(test, SplitPairRow)}
    device = torch.device("cpu")
    source = GallerySource(test)
    gallery = Gallery(load_run(run, device), source.rows("speech"), "speech", source, device=device)
    hits = {}
    for name in sorted(utterances):
        found = gallery.search(demo / utterances[name].path, top=5)
        hits[name] = sum(hit.class_id == utterances[name].class_id for hit in found.hits)
    ordered = sorted(hits, key=lambda name: (hits[name], name))
    median = hits[ordered[len(ordered) // 2]]
    return next(name for name in ordered if hits[name] == median)


def opened(browser: Browser, address: str) -> Page:
    """Open a page without autoplay."""
    page = browser.new_context(viewport={"width": WIDTH_PX, "height": HEIGHT_PX}, reduced_motion="reduce").new_page()
    page.goto(address)
    return page


def take(page: Page, path: Path) -> None:
    """Write the visible part of a page as JPEG."""
    page.wait_for_timeout(2_000)  # until frames of the clips are decoded
    page.screenshot(path=path, type="jpeg", quality=QUALITY)


@contextmanager
def served(name: str, *arguments: object) -> Iterator[str]:
    """Start a command that serves a page, and yield the address that it prints."""
    command = [program(name), *map(str, arguments)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "400"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if found := re.search(r"https?://\S+", line):
                    yield found.group()
                    return
            raise SystemExit(f"{name} exited without printing an address")
        finally:
            process.send_signal(signal.SIGINT)


def program(name: str) -> str:
    """Path of a command in the environment of this script."""
    return str(Path(sys.executable).with_name(name))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
