"""One annotator in a browser, with keys and mouse, as a person would."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import read_reviews, reviews_path
from dataset_tools.label_studio.context_videos import FRAMES_BEFORE
from dataset_tools.label_studio.pull import pull
from dataset_tools.label_studio.push import push
from dataset_tools.manifests import ClipRow, UtteranceRow, read_rows

pytestmark = [pytest.mark.label_studio, pytest.mark.xdist_group("label_studio")]

CLASSES = load_classes()
SUBMIT = "[data-testid=bottombar-submit-button]"


@pytest.fixture(scope="module")
def signed_in(label_studio: Any, chromium: Callable[..., AbstractContextManager[Browser]]) -> Iterator[BrowserContext]:
    """A Chromium that reaches nothing but this machine, signed in with e-mail address and password."""
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1440, "height": 860})
        context.set_default_timeout(30_000)
        page = context.new_page()
        page.goto(label_studio.target.url, wait_until="domcontentloaded")
        page.fill("input[name=email]", label_studio.email)
        page.fill("input[name=password]", label_studio.password)
        page.click("button[type=submit]")
        page.wait_for_url(re.compile(r"^(?!.*login)"), wait_until="commit")
        page.close()
        yield context


@pytest.fixture
def page(signed_in: BrowserContext, tmp_path: Path) -> Iterator[Page]:
    """A page that remembers nothing of earlier ones.

    Its last picture, last-page.png in the test's folder, tells what went wrong.
    """
    page = signed_in.new_page()
    yield page
    page.screenshot(path=tmp_path / "last-page.png")
    page.evaluate("localStorage.clear()")
    page.close()


def task_is_open(page: Page, title: str) -> None:
    """Waits until the page shows the task of that clip, its video loaded."""
    expect(page.get_by_text(title, exact=True)).to_be_visible(timeout=60_000)
    expect(page.locator(".lsf-frames-control")).to_contain_text("of 60", timeout=60_000)
    page.locator(SUBMIT).wait_for()


def clip_and_speech_play(page: Page) -> None:
    """Waits until the clip has played for a while, and its speech to the end."""
    page.wait_for_function("[...document.querySelectorAll('.player video')].some(one => one.currentTime > 0.3)")
    page.wait_for_function("[...document.querySelectorAll('.player audio')].some(one => one.ended)")


def draw_on_timeline(page: Page, first: int, last: int) -> None:
    """Drags over the timeline from one frame to another: every frame has a column of 16 pixels."""
    lane = page.locator(".lsf-timeline-frames__filler").bounding_box()
    left = page.locator(".lsf-timeline-frames__labels-bg").bounding_box()
    assert lane is not None
    assert left is not None

    def column(frame: int) -> float:
        return left["x"] + left["width"] + (frame - 1) * 16 + 8

    height = lane["y"] + 13
    page.mouse.move(column(first), height)
    page.mouse.down()
    page.mouse.move(column((first + last) // 2), height, steps=5)
    page.mouse.move(column(last), height, steps=5)
    page.mouse.up()


def submit(page: Page, by_key: bool) -> None:
    with page.expect_response(lambda answer: "/annotations" in answer.url and answer.request.method == "POST") as sent:
        page.keyboard.press("Control+Enter") if by_key else page.click(SUBMIT)
    assert sent.value.status == 201


def test_a_person_accepts_trims_corrects_and_rejects(
    label_studio: Any, make_workspace: Callable[..., Workspace], page: Page
) -> None:
    root = label_studio.target.document_root
    classes = ["cut_carrot_knife", "wash_apple", "stir_onion_spatula", "sprinkle_salt"]
    workspace = make_workspace(classes, root=root / "browser", media=True)
    pushed = push(workspace, replace(label_studio.login, document_root=root), CLASSES)
    clips = list(read_rows(workspace.manifests / "clips.jsonl", ClipRow))
    spoken = {row.clip: row for row in read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow)}
    titles = [f"{clip.video} · frames {clip.start_frame}–{clip.end_frame}" for clip in clips]

    log = label_studio.home.cache / "label-studio" / "data" / "server.log"
    ahead = [clips[1].path, spoken[clips[1].id].path]

    def answers(path: str) -> list[str]:
        """The status of each answer to a request for a file, as the server logs it: 304 sends no content."""
        return re.findall(rf'"GET /\S+{re.escape(quote(f"browser/{path}"))} HTTP/1.1" (\d+)', log.read_text())

    before = label_studio.tasks_of(pushed.project)[clips[1].id]
    page.goto(pushed.address, wait_until="domcontentloaded")
    page.get_by_role("button", name="Label All Tasks").click()

    # clip and speech play by themselves; panels that would take a quarter of the width are closed
    task_is_open(page, titles[0])
    clip_and_speech_play(page)
    expect(page.locator(".lsf-sidepanels__wrapper").first).to_be_hidden()
    expect(page.get_by_text("1 of 4", exact=True)).to_be_visible()

    # the next clip is loaded before it is shown
    for _ in range(300):
        if all("200" in answers(path) for path in ahead):
            break
        page.wait_for_timeout(200)
    assert [set(answers(path)) for path in ahead] == [{"200"}, {"200"}]
    assert label_studio.tasks_of(pushed.project)[clips[1].id] == before

    # a good pre-label is accepted with two keys
    page.keyboard.press("1")
    submit(page, by_key=True)

    # nothing is sent again: what a player loads by itself, it loads in ranges (206)
    task_is_open(page, titles[1])
    clip_and_speech_play(page)
    assert [set(answers(path)) for path in ahead] == [{"200", "304"}, {"200", "304"}]

    # the range is drawn with the mouse; digits typed into a text do not press hotkeys
    expect(page.get_by_text("2 of 4", exact=True)).to_be_visible()
    expect(page.locator(".player")).to_be_visible()
    page.keyboard.press("k")
    expect(page.locator(".player")).to_be_hidden()  # the picture that follows the timeline lies under it
    draw_on_timeline(page, 6, 20)
    expect(page.locator(".lsf-frames-control")).to_contain_text("20")
    # frame 20 of 29.4 frames a second is on the screen from 19 / 29.4 s on
    at_s = page.evaluate("document.querySelector('body > video').currentTime")
    assert 19 / 29.4 <= at_s < 20 / 29.4
    page.keyboard.press("1")  # the page says that a drawn range counts, even of an accepted clip
    hint = "getComputedStyle(document.querySelector('.answers'), '::before').content"
    page.wait_for_function(f"{hint}.includes('only that part is kept')")
    page.keyboard.press("2")
    page.locator("textarea[name=sentence]").click()
    page.keyboard.press("Control+a")
    page.keyboard.type("Wash 3 apples in 1 bowl.")
    page.locator("[name=note]").click()
    page.keyboard.type("starts late")
    page.get_by_text("speech bad").click()
    submit(page, by_key=False)

    # by keyboard alone, answers among the stops of Tab: another subject, and the range typed
    task_is_open(page, titles[2])
    page.get_by_role("radio", name="accept").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("radio", name="trim")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.get_by_role("radio", name="trim")).to_be_checked()
    page.locator("input[name=trim_start]").focus()
    page.keyboard.type("11")
    page.keyboard.press("Tab")
    page.keyboard.type("50")
    page.keyboard.press("Tab")  # action
    page.keyboard.press("Tab")  # subject
    page.keyboard.press("Backspace")
    page.keyboard.press("ArrowDown")  # opens the list
    expect(page.get_by_placeholder("Search")).to_be_focused()
    page.keyboard.type("carr", delay=50)
    expect(page.get_by_role("tree").get_by_text("apple")).to_have_count(0)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(".ant-select-selection-item").nth(1)).to_have_text("carrot")
    page.keyboard.press("Escape")  # leaves the field, so that keys are hotkeys again
    expect(page.get_by_placeholder("Search")).to_be_hidden()
    page.keyboard.press("8")
    page.locator("input[name=trim_end]").focus()  # Ctrl+Enter works from here
    submit(page, by_key=True)

    # rejected with a reason, by mouse; hotkeys work while a choice has the cursor, and Ctrl+Enter from a text
    task_is_open(page, titles[3])
    page.get_by_text("reject").click()
    page.get_by_text("cannot be seen").click()
    page.get_by_role("checkbox", name="cannot be seen").focus()
    page.keyboard.press("4")
    page.locator("[name=note]").click()
    page.keyboard.type("3 hands")
    submit(page, by_key=True)

    assert pull(workspace, label_studio.login).rows == 8
    rows = {row.id: row for row in read_reviews(reviews_path(workspace))}
    accepted, trimmed, corrected, rejected = (rows[clip.id] for clip in clips)
    heard = [rows[spoken[clip.id].id].verdict for clip in clips]
    assert (accepted.verdict, accepted.corrected_class, accepted.sentence, accepted.problem) == (
        "accept",
        None,
        None,
        None,
    )
    assert (trimmed.verdict, trimmed.trim) == ("trim", (106, 120))
    assert (trimmed.sentence, trimmed.note) == ("Wash 3 apples in 1 bowl.", "starts late")
    assert (corrected.verdict, corrected.trim) == ("trim", (111, 150))
    assert corrected.corrected_class == "stir_carrot_spatula"
    assert (rejected.verdict, rejected.note) == ("reject", "3 hands")
    assert set(rejected.reasons) == {"another action", "cannot be seen"}
    assert heard == [None, "reject", "accept", None]
    assert {row.annotator for row in rows.values()} == {label_studio.email}
    assert all(row.lead_time_s is not None for row in rows.values())


def test_the_clip_is_in_view_when_a_small_page_opens(
    label_studio: Any, make_workspace: Callable[..., Workspace], page: Page
) -> None:
    root = label_studio.target.document_root
    workspace = make_workspace(["cut_carrot_knife"], root=root / "small", media=True)
    pushed = push(workspace, replace(label_studio.login, document_root=root), CLASSES)
    (task,) = label_studio.tasks_of(pushed.project).values()
    # as where there is footage around the clip: here its frames 11 to 45 are the clip
    interval = {"interval": [task.data["first_frame"] + FRAMES_BEFORE, task.data["first_frame"] + 44]}
    said = {"range": f"The clip is frames {FRAMES_BEFORE + 1} to 45 here: what is kept lies within them."}
    start = {"start_s": 0.357}  # frame 11 of 29.4 a second is on the screen from 0.340 to 0.374 s
    label_studio.client().tasks.update(str(task.id), data={**task.data, **interval, **said, **start})

    page.add_init_script(
        "addEventListener('playing', ({target}) => {"
        " if (target.matches('.player video')) window.began ??= [target.currentTime] }, true)"
    )
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(pushed.address, wait_until="domcontentloaded")
    page.get_by_role("button", name="Label All Tasks").click()
    task_is_open(page, task.data["title"])
    began = page.wait_for_function("window.began").json_value()
    assert 10 / 29.4 <= began[0] < 45 / 29.4
    lane = page.locator(".lsf-timeline-frames__filler").bounding_box()
    names = page.locator(".lsf-timeline-frames__labels-bg").bounding_box()
    view = page.locator(".lsf-timeline-frames__scroll").bounding_box()
    assert lane is not None
    assert names is not None
    assert view is not None
    in_view = int((view["x"] + view["width"] - names["x"] - names["width"]) / 16)
    assert in_view >= FRAMES_BEFORE + 10
    page.get_by_text("trim").first.click()  # K works after it
    expect(page.get_by_text(said["range"])).to_be_visible()
    page.keyboard.press("k")
    draw_on_timeline(page, FRAMES_BEFORE + 2, in_view - 2)
    page.locator("textarea[name=sentence]").click()
    submit(page, by_key=True)
    news = pull(workspace, label_studio.login)
    assert (news.problems, news.changed) == ((), ())
    kept = [row.trim for row in read_reviews(reviews_path(workspace)) if row.item == "clip"]
    first = task.data["first_frame"]
    assert kept == [(first + FRAMES_BEFORE + 1, first + in_view - 3)]
