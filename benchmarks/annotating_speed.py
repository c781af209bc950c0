"""Benchmark of annotation: time of an accepted clip in a real Label Studio and Chromium.

    python benchmarks/annotating_speed.py WORKSPACE [--tasks N] [--page labeling.xml …]

Accepts N clips in a copy of a built data set without human thinking time: waits until the next clip plays (without
autoplay: until it can play, then presses the keys that play clip and speech), waits for the end of clip and speech,
then presses 1 and Ctrl+Enter. With ``--page``, other labeling pages are measured in the same run, each in a separate
project; the shipped one comes last. Needs Debian's chromium; Label Studio is installed if it is missing (1 GB).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, TimeoutError, sync_playwright

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.shipped_files import shipped_file
from dataset_tools.core.workspace import Workspace
from dataset_tools.label_studio.context_videos import shown_videos
from dataset_tools.label_studio.push import PushOptions, push
from dataset_tools.label_studio.workspace_server import Target, login_file, serve, stop
from dataset_tools.manifests import ClipRow, UtteranceRow, read_rows, write_rows

# Label Studio's player stops speech a tenth of a second before its end, and only fires "pause".
ENDED = """window.ended = []; addEventListener('pause', ({target}) => {
    if (target.duration - target.currentTime < 0.3) window.ended.push(target.currentSrc) }, true)"""
VIDEOS = "[...document.querySelectorAll('video')].filter(one => one.currentSrc && !one.currentSrc.includes(before))"
READY = f"before => {VIDEOS}.some(one => one.readyState >= 3) && document.querySelector('[data-testid$=submit-button]')"
PLAYING = f"before => {VIDEOS}.some(one => !one.paused && one.readyState >= 3)"
SPEAKING = "() => [...document.querySelectorAll('audio')].some(one => !one.paused)"
WHICH = "[...document.querySelectorAll('video')].map(one => one.currentSrc.match(/([^/]+)[.]mp4/)?.[1]).find(Boolean)"
SEEN = """([clip, end_s]) => window.ended.some(one => one.includes(`${clip}.mp4`)) ||
    [...document.querySelectorAll('video')].some(
        one => one.currentSrc.includes(clip) && !one.paused && one.currentTime >= end_s)"""
HEARD = "() => window.ended.some(one => one.includes('.wav'))"


@dataclass(frozen=True)
class Shown:
    """End of a clip in the displayed video, and durations of clip and speech, in seconds."""

    end_s: float
    clip_s: float
    speech_s: float


def copy_of(source: Workspace, root: Path, tasks: int) -> tuple[Workspace, dict[str, Shown]]:
    """Copies a data set with its first ``tasks`` clips to ``root``; returns it and the timing by clip id."""
    workspace = Workspace(root)
    shutil.copytree(source.root, root, ignore=shutil.ignore_patterns("runs", "features", "label-studio", "annotations"))
    clips = list(read_rows(source.manifests / "clips.jsonl", ClipRow))[:tasks]
    spoken = {row.clip: row for row in read_rows(source.manifests / "utterances.jsonl", UtteranceRow)}
    write_rows(workspace.manifests / "clips.jsonl", clips)
    write_rows(workspace.manifests / "utterances.jsonl", [spoken[clip.id] for clip in clips])
    videos = shown_videos(workspace, clips, jobs=os.cpu_count() or 1).by_clip
    shown = {}
    for clip in clips:
        video = videos[clip.id]
        first, last = video.shown_range(clip.start_frame, clip.end_frame)
        # up to the middle of the last frame: at its end, a looping video may have restarted
        shown[clip.id] = Shown((last - 0.5) / video.fps, (last - first + 1) / video.fps, spoken[clip.id].duration_s)
    return workspace, shown


def press_until(page: Page, key: str, condition: str, argument: Any = None) -> None:
    """Presses a key until it has an effect: the page handles keys only a moment after it shows a clip."""
    for _ in range(300):
        page.keyboard.press(key)
        with suppress(TimeoutError):
            page.wait_for_function(condition, arg=argument, polling="raf", timeout=100)
            return
    raise SystemExit(f"pressing {key} has no effect on the labeling page")


def accept_all(page: Page, address: str, shown: dict[str, Shown]) -> dict[str, Any]:
    """Accepts every task of a project; the first one is not counted, because it includes loading the page."""
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address, wait_until="domcontentloaded")
    page.get_by_role("button", name="Label All Tasks").click()
    waits, wholes, counts, floors, before, start = [], [], [], [], "nothing yet", time.perf_counter()
    for number in range(len(shown)):
        page.wait_for_function(READY, arg=before, polling="raf")
        by_itself = page.evaluate(PLAYING, before)
        if not by_itself:
            press_until(page, "Control+Alt+Space", PLAYING, before)
            press_until(page, "Control+p", SPEAKING)
        wait, count = time.perf_counter() - start, len(requests)
        before = page.evaluate(WHICH)
        page.wait_for_function(SEEN, arg=[before, shown[before].end_s], polling="raf")
        page.wait_for_function(HEARD, polling="raf")
        whole = time.perf_counter() - start
        if number:
            waits.append(wait)
            wholes.append(whole)
            counts.append(count)
            floors.append(max(shown[before].clip_s, shown[before].speech_s))
        requests.clear()
        page.evaluate("window.ended = []")
        start = time.perf_counter()
        page.keyboard.press("1")
        page.keyboard.press("Control+Enter")
    page.wait_for_timeout(1000)
    found = {"plays_by_itself": by_itself, "requests_until_it_plays": statistics.median(counts)}
    for name, values in (("wait_s", waits), ("accept_s", wholes), ("longer_of_clip_and_speech_s", floors)):
        found[name] = {"median": statistics.median(values), "p90": statistics.quantiles(values, n=10)[-1]}
    clips = [one.clip_s for one in shown.values()]
    return {**found, "clip_s": {"median": statistics.median(clips), "p90": statistics.quantiles(clips, n=10)[-1]}}


def signed_in(page: Page, target: Target, workspace: Workspace) -> None:
    account = json.loads(login_file(workspace).read_text())["account"]
    page.add_init_script(ENDED)
    page.goto(target.url, wait_until="domcontentloaded")
    page.fill("input[name=email]", account["email"])
    page.fill("input[name=password]", account["password"])
    page.click("button[type=submit]")
    page.wait_for_url(re.compile(r"^(?!.*login)"), wait_until="commit")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--page", type=Path, action="append", default=[])
    options = parser.parse_args()
    found: dict[str, Any] = {"load_before": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        workspace, shown = copy_of(Workspace(options.workspace), Path(folder) / "set", options.tasks)
        target = serve(workspace)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            signed_in(page, target, workspace)
            for number, template in enumerate([*options.page, shipped_file("labeling.xml")]):
                workspace.annotations.mkdir(exist_ok=True)
                shutil.copy(template, workspace.annotations / "labeling.xml")
                pushed = push(workspace, target, load_classes(), options=PushOptions(project=f"page {number}"))
                found[str(template)] = accept_all(page, pushed.address, shown)
        finally:
            browser.close()
            stop(workspace)
    found["load_after"] = os.getloadavg()[0]
    print(json.dumps(found, indent=1, default=str))


if __name__ == "__main__":
    main()
