"""The report in a real browser: pictures show, sounds play, cards filter, sort, play and stand in the address."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.workspace import Workspace
from dataset_tools.report.page import write_report

CONTRAST = """
() => {
    const parse = (color) => color.match(/[\\d.]+/g).map(Number);
    const ground = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const color = parse(getComputedStyle(at).backgroundColor);
            if (color.length === 3 || color[3] === 1) return color;
        }
        return [255, 255, 255];
    };
    const light = (color) => {
        const linear = (v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        const [r, g, b] = color.slice(0, 3).map(v => linear(v / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const texts = '.sentence, .fact, .both, .problem b, .problem small, .lost, .sample code, .sample-count';
    return [...document.querySelectorAll(texts)].map(element => {
        const [x, y] = [light(parse(getComputedStyle(element).color)), light(ground(element))];
        return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
    });
}
"""


@pytest.fixture
def opened(browser: Browser, workspace: Workspace) -> Callable[..., Page]:
    """Opens the report; what goes wrong in the page, and what it asks for elsewhere, fails the test."""
    address = Path(write_report(workspace, load_classes(), jobs=2).page).resolve().as_uri()

    def fail(what: object) -> None:
        pytest.fail(str(what))

    def open_at(view: str = "", width: int = 1280, scheme: Literal["light", "dark"] = "light", **options: Any) -> Page:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, **options)
        for event in ("console", "pageerror", "requestfailed", "dialog"):
            page.on(event, fail)
        page.on("request", lambda request: None if request.url.startswith(("file:", "data:")) else fail(request.url))
        page.goto(address + view)
        return page

    return open_at


def sentences(page: Page) -> list[int]:
    """The numbers in the sentences of the cards, in their order."""
    return [int(text.split()[1]) for text in page.locator(".sample .sentence").all_inner_texts()]


def test_pictures_show_and_sounds_play(opened: Callable[..., Page]) -> None:
    page = opened()
    shown = page.evaluate(
        """async () => {
            const pictures = [...document.images];
            pictures.forEach(picture => { picture.loading = 'eager'; });
            await Promise.all(pictures.map(picture => picture.decode()));
            return pictures.map(picture => picture.naturalHeight);
        }"""
    )
    played = page.evaluate(
        """async () => {
            const seconds = [];
            for (const sound of document.querySelectorAll('audio')) {
                const begun = new Promise(resolve => sound.addEventListener('timeupdate', resolve, {once: true}));
                await sound.play(); await begun; sound.pause();
                seconds.push(sound.duration);
            }
            return seconds;
        }"""
    )
    assert shown == [96] * 4
    assert sorted(played) == pytest.approx([1.0, 1.1, 1.2, 1.3])
    assert page.locator("#listen").count() == 0


def test_without_scripts_the_page_lists_the_utterances(opened: Callable[..., Page]) -> None:
    page = opened(java_script_enabled=False)
    expect(page.locator("#listen")).to_be_visible()
    expect(page.locator("#samples")).to_be_hidden()
    page.locator("summary", has_text="wash apple").click()
    expect(page.locator("audio:visible")).to_have_count(1)


def test_one_sample_is_counted_as_one(opened: Callable[..., Page]) -> None:
    page = opened("#samples?class=wash_apple")
    expect(page.locator(".sample-count")).to_have_text("1 to 1 of 1 sample – class: wash_apple")
    assert page.evaluate("[0, 1, 1234].map((n) => SampleCard.countOf(n, 'query', 'queries'))") == [
        *("0 queries", "1 query", "1,234 queries")
    ]


def test_cards_filter_sort_and_search_and_the_address_keeps_the_view(opened: Callable[..., Page]) -> None:
    page = opened()
    cards = page.locator("article.sample")
    expect(cards).to_have_count(5)  # four clips and one that failed
    page.get_by_role("combobox", name="sort by").select_option("loudness")  # -20 to -23 LUFS
    expect(page).to_have_url(re.compile(r"#samples\?sort=loudness$"))
    expect(cards.first).to_contain_text("Sentence 3")
    assert sentences(page) == [3, 2, 1, 0]
    page.get_by_role("button", name="order: ascending").click()
    expect(cards.first).to_contain_text("Sentence 0")
    assert sentences(page) == [0, 1, 2, 3]  # and what has no loudness stays last
    page.get_by_role("combobox", name="class", exact=True).select_option("cut_carrot_knife")
    expect(cards).to_have_count(3)
    assert page.get_by_role("combobox", name="person").locator("option").all_inner_texts() == [
        "all",
        "s07 (2)",
        "s08 (1)",
    ]
    page.get_by_role("combobox", name="person").select_option("s07")
    expect(cards).to_have_count(2)
    again = opened(page.url[page.url.index("#") :])
    assert sentences(again) == [0, 1]
    expect(again.get_by_role("combobox", name="class", exact=True)).to_have_value("cut_carrot_knife")
    expect(again.get_by_role("button", name="order: descending")).to_be_visible()
    page.go_back()
    expect(cards).to_have_count(3)
    page.get_by_role("button", name="Clear filters").click()
    page.get_by_label("search").fill("SENTENCE 2")
    expect(cards).to_have_count(1)
    expect(cards).to_contain_text("Sentence 2 <script>alert(1)</script> & more")
    expect(cards).to_contain_text("quiet: <b>very</b>")
    page.goto(page.url[: page.url.index("#")] + "#samples?status=failed")
    expect(cards).to_contain_text("The video is damaged after frame 9: <broken>")
    page.locator(".strip a").first.click()
    expect(cards).to_have_count(1)
    assert sentences(page) == [0]


def test_clip_and_utterance_play_together_by_keyboard(opened: Callable[..., Page]) -> None:
    page = opened("#samples?class=cut_carrot_knife&sort=loudness")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(page.locator("article.sample").first.get_by_role("button")).to_be_focused()
    moves = """([kind, places]) => { const one = document.querySelector(`article.sample ${kind}`);
        return places ? !one.paused && one.currentTime > 0 : one.paused; }"""
    page.keyboard.press("Enter")
    page.wait_for_function(moves, arg=["audio", True])
    assert page.evaluate("document.querySelector('article.sample video').played.length")  # half a second long
    page.keyboard.press("Enter")
    page.wait_for_function(moves, arg=["audio", False])
    page.wait_for_function(moves, arg=["video", False])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it_in_readable_colors(opened: Callable[..., Page], scheme: str) -> None:
    page = opened("#samples", width=390, scheme=scheme)
    expect(page.locator("article.sample")).to_have_count(5)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    found = page.evaluate(CONTRAST)
    assert len(found) > 30
    assert min(found) >= 4.5  # WCAG 2.2, AA
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(255, 255, 255)") == (scheme == "light")
