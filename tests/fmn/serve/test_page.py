"""The page in a real browser: a microphone that plays a known utterance, the keyboard, a phone, the dark, a restart."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from playwright.sync_api import Browser, Page, Route, expect
from scipy.signal import resample_poly

from dataset_tools.manifests import SplitPairRow, read_rows
from fmn.search.search_results import GallerySource
from fmn.serve.queries import Queries
from fmn.serve.shown_items import ShownItems
from fmn.training.checkpoint import load_run

# In one worker: most tests ask one server with one browser.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("page of a run")]
MICROPHONE_HZ = 48_000
Served = Callable[..., AbstractContextManager[str]]
Chromium = Callable[..., AbstractContextManager[Browser]]


@pytest.fixture(scope="module")
def served(serving: Callable[..., AbstractContextManager[str]]) -> Served:
    """Runs ``fmn serve`` with a run; gives the address."""
    return lambda run: serving("fmn", "serve", run, "--jobs", "1")


@pytest.fixture(scope="module")
def address(trained: Path, served: Served) -> Iterator[str]:
    """Of a server of the run."""
    with served(trained) as address:
        yield address


@pytest.fixture(scope="module")
def one_browser(chromium: Chromium) -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def browser(one_browser: Browser) -> Iterator[Browser]:
    """A browser without a microphone; what a test opens in it is closed."""
    yield one_browser
    for context in one_browser.contexts:
        context.close()


def opened(browser: Browser, address: str, **context: str) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 900}, **context).new_page()  # type: ignore[arg-type]
    page.set_default_timeout(60_000)  # a busy machine may take its time
    page.goto(address)
    return page


def rows_of(run: Path) -> list[SplitPairRow]:
    return list(read_rows(run.parent.parent / "manifests" / "test.jsonl", SplitPairRow))


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


def test_a_spoken_query_finds_its_clips_and_everything_works_by_keyboard(
    trained: Path, address: str, chromium: Chromium, tmp_path: Path
) -> None:
    root, (spoken, *_) = trained.parent.parent, rows_of(trained)
    samples, rate_hz = soundfile.read(root / spoken.utterance.path)
    microphone = tmp_path / "microphone.wav"
    soundfile.write(microphone, resample_poly(samples, MICROPHONE_HZ // rate_hz, 1), MICROPHONE_HZ, subtype="PCM_16")
    with chromium(microphone=microphone) as browser:  # not while `one_browser` is open: this test comes first
        page = opened(browser, address)
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
        expect(page.locator("#asked .guess").first).to_have_text("Its class is unknown.")
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
        for name in ("cut", "take-out frying-pan plate"):  # rank and score stay on one line beside a long name, too
            first.locator(".class").evaluate("(shown, name) => { shown.textContent = name; }", name)
            assert first.locator(".head .small").evaluate("score => score.clientHeight") < 25, name
        page.keyboard.press("j")
        page.keyboard.press("f")
        marked = page.locator("#hits > li").first.get_attribute("data-clip")
        command = f"fmn-data annotate push --workspace {root} --ids {marked}"
        expect(page.locator("#command")).to_have_text(command)
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.keyboard.press("p")
        expect(page.locator("#copied")).to_have_text("copied")
        assert page.evaluate("navigator.clipboard.readText()") == command
        other = page.context.new_page()  # a second tab has the same marks, and a view of its own
        other.goto(address + "#errors")
        expect(other.locator("#command")).to_have_text(command)
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


def test_one_thing_is_counted_as_one(address: str, browser: Browser) -> None:
    def of_one(route: Route) -> None:
        known = route.fetch().json()
        changes = {"clips": 1, "utterances": 1, "gallery": 1, "queries": known.get("queries", [])[:1]}
        route.fulfill(json=known | {name: value for name, value in changes.items() if name in known})

    page = browser.new_context().new_page()
    page.set_default_timeout(60_000)
    page.route(re.compile("/api/(state|errors|search)"), of_one)
    page.goto(address)
    expect(page.locator("#found")).to_contain_text("1 clip and 1 utterance of ")
    page.locator("#text").fill("wash it")
    page.keyboard.press("Enter")
    expect(page.locator("#found")).to_contain_text(" of 1 clip; encoded in")
    page.goto(address + "#errors")
    expect(page.locator("#about-confusion")).to_contain_text(": 1 query, 1 item in the gallery")


def test_a_typed_sentence_and_a_dropped_clip_are_queries_and_a_denied_microphone_is_explained(
    trained: Path, address: str, browser: Browser
) -> None:
    row = rows_of(trained)[-1]
    content = (trained.parent.parent / row.clip.path).read_bytes() + b"\0" * 8  # no file of the data set
    page = opened(browser, address)
    expect(page.locator("#found")).to_contain_text("12 clips")
    page.keyboard.press("/")
    page.keyboard.type(row.utterance.text)
    page.keyboard.press("Enter")
    first = page.locator("#hits > li").first
    expect(first.locator(".sentence")).to_have_text(f"“{row.utterance.text}”")
    expect(page.locator("#asked .sentence")).to_have_text(f"“{row.utterance.text}”")
    expect(page.locator("#asked svg")).to_be_visible()

    drop = """(content) => {
        const files = new DataTransfer();
        files.items.add(new File([Uint8Array.from(atob(content), (one) => one.charCodeAt(0))], "a clip.mp4"));
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: files, bubbles: true }));
    }"""
    page.evaluate(drop, base64.b64encode(content).decode())
    expect(page.locator("#found")).to_contain_text("utterances")
    expect(page.locator("#asked video")).to_be_visible()
    assert first.locator(".class").inner_text() == row.label.id.replace("_", " ")
    first.get_by_role("button", name="Hear").click()
    expect(page.locator("#playback")).to_have_js_property("paused", False)

    page.locator("#asked video").focus()
    page.keyboard.press("Space")  # is the player's own
    assert "icrophone" not in page.locator("#said").inner_text()
    page.keyboard.press("Escape")
    page.locator("#main").focus()
    page.keyboard.down("Space")
    expect(page.locator("#said")).to_contain_text("Allow it by the sign at the left of the page's address")
    page.keyboard.up("Space")
    expect(page.locator("#hits > li")).to_have_count(12)  # what was found stays

    page.locator("#hits video").nth(1).hover()
    expect(page.locator("#hits video").nth(1)).to_have_js_property("paused", False)
    still = opened(browser, page.url, reduced_motion="reduce")
    video = still.locator("#hits video").first
    video.hover()
    still.wait_for_timeout(500)
    assert still.evaluate("[...document.querySelectorAll('video')].every((one) => one.paused)")
    still.keyboard.press("j")
    still.keyboard.press("Enter")  # who asks for it sees it move
    expect(video).to_have_js_property("paused", False)


def test_a_page_that_is_open_goes_on_with_a_server_that_was_started_again(
    own_run: Path, served: Served, browser: Browser
) -> None:
    sound = own_run.parent.parent / rows_of(own_run)[0].utterance.path
    with ExitStack() as first_server:
        address = first_server.enter_context(served(own_run))
        page = opened(browser, address)
        expect(page.locator("#found")).to_contain_text("12 clips")
        new = {"name": "a.wav", "mimeType": "audio/wav", "buffer": sound.read_bytes() + b"\0\0"}
        page.set_input_files("#file", files=[new])  # type: ignore[list-item]
        expect(page.locator("#hits > li").first).to_be_visible()
        asked = page.url
        first_server.close()
        page.goto(address + "#search?id=" + "s05-d00_000001-000010")
        expect(page.locator("#said")).to_contain_text("is fmn serve still running?")
        with served(own_run) as again:
            assert again == address
            page.goto(asked)
            expect(page.locator("#hits > li").first).to_be_visible()  # which the new server was given again


def test_what_the_page_says_is_about_what_it_shows(
    own_run: Path,
    serving_here: Callable[[Queries], AbstractContextManager[str]],
    browser: Browser,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = rows_of(own_run)[0]
    (own_run.parent.parent / first.clip.path).unlink()
    silent = io.BytesIO()
    soundfile.write(silent, np.zeros(16_000), 16_000, format="WAV")
    cpu, items = torch.device("cpu"), ShownItems(GallerySource(own_run.parent.parent / "manifests" / "test.jsonl"))
    with serving_here(Queries(load_run(own_run, cpu), items, tmp_path, device=cpu, jobs=1)) as address:
        page = opened(browser, address)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        expect(page.locator("#found")).to_contain_text("11 clips and 12 utterances")
        expect(page.locator("#failures summary")).to_have_text("1 item has no features, left out")
        assert f"{first.clip.id}: The file" in str(page.locator("#failures li").text_content())

        page.set_input_files(  # type: ignore[call-overload]
            "#file", files=[{"name": "a.wav", "mimeType": "audio/wav", "buffer": silent.getvalue()}]
        )
        expect(page.locator("#said")).to_contain_text("silent")
        assert "microphone" not in page.locator("#said").inner_text()
        for other in ("#search", "#nope?x=1", "#toString", "#search?x=1"):
            page.goto(address + other)
            expect(page.locator("#found")).to_contain_text("11 clips and 12 utterances")
            expect(page.locator("#said")).to_have_text("")
        page.goto(f"{address}#search?id={first.utterance.id}")
        expect(page.locator("#found")).to_contain_text("of 11 clips; ranked in")
        page.goto(f"{address}#search?id={rows_of(own_run)[-1].clip.id}")
        lost = page.locator(f"#hits > li[data-id='{first.utterance.id}'] .nothing")
        expect(lost).to_have_text("the clip's file is missing or cannot be played")

        page.route("**/api/errors*", lambda route: route.fulfill(json=with_long_words(route.fetch().json())))
        page.set_viewport_size({"width": 375, "height": 400})
        page.goto(address + "#errors?list=hardest")
        expect(page.locator("#wrong > li").first).to_be_visible()
        expect(page.locator("#which")).to_be_in_viewport()  # the list that was asked for, below two tables
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        assert errors == []
    assert [one.getMessage() for one in caplog.records if one.exc_info] == []


def with_long_words(errors: dict[str, Any]) -> dict[str, Any]:
    """Makes all queries be among the hardest, with a sentence of one word that is wider than a phone."""
    for one in errors["queries"]:
        one |= {"rank": 9, "sentence": "Donaudampfschifffahrtsgesellschaft" * 4}
        one["top"]["sentence"] = one["sentence"]
    return errors
