"""The page of the booth: one recorder however often Record is pressed, keys, skips, phones, a server restart."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import msgspec
import soundfile
from playwright.sync_api import Page, expect

from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, read_rows, write_rows
from dataset_tools.speech.booth.skips import SkipRow
from dataset_tools.speech.recordings.recording_rows import read_recordings

OPEN_QUESTION = """
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
window.asked = [];
navigator.mediaDevices.getUserMedia = async (wish) => {
  await new Promise((done) => window.asked.push(done)); return window.stream = await ask(wish); };
"""


def test_record_pressed_while_the_microphone_question_is_open_starts_one_recorder(
    workspace: Workspace, stage: SimpleNamespace, tmp_path: Path
) -> None:
    with stage.booth_here(workspace) as address, stage.browser_with(stage.melody(), tmp_path, address) as page:
        page.add_init_script(OPEN_QUESTION)
        page.reload()
        stage.sign_in(page, "Ann")
        for _ in range(4):
            page.keyboard.press("Space")
        page.click("#record")
        expect(page.locator("#said")).to_contain_text("Waiting for the microphone")
        page.evaluate("window.asked.forEach((answer) => answer())")
        expect(page.locator("#record")).to_contain_text("Stop")
        assert page.evaluate("window.asked.length") == 1
        page.evaluate("window.stream.getTracks()[0].dispatchEvent(new Event('ended')); 0")  # unplugged
        expect(page.locator("#said")).to_contain_text("Please record it again: parts of the audio were lost")
        expect(page.locator("#next")).to_be_disabled()
        expect(page.locator("#elapsed")).to_be_empty()
        page.keyboard.press("Space")  # asks anew
        stage.wait_until(page, "window.asked.length === 2")
        page.evaluate("window.asked[1]()")
        expect(page.locator("#record")).to_contain_text("Stop")
        page.wait_for_timeout(1000)
        page.keyboard.press("Space")
        expect(page.locator("#said")).to_contain_text("Good (1.")  # not 2, 3, …
        stage.keep(page)
        expect(page.locator("#total")).to_contain_text("1 of 2")
    (row,) = read_recordings(workspace)
    assert stage.is_melody(workspace.root / row.original)
    assert 0.9 < soundfile.info(workspace.root / row.original).duration < 2.5


def hold_answers(page: Page, path: str) -> None:
    """Holds what the booth answers to requests of this path until ``window.answer()`` is called."""
    page.evaluate(
        "const plain = window.fetch, held = new Promise((done) => { window.answer = done; });"
        " window.fetch = async (path, options) => {"
        f" if (path.startsWith('{path}')) await held;"
        " return plain(path, options); }; 0"
    )


def test_a_take_is_never_anothers_line(workspace: Workspace, stage: SimpleNamespace, tmp_path: Path) -> None:
    with stage.booth_here(workspace) as address, stage.browser_with(stage.melody(), tmp_path, address) as page:
        stage.sign_in(page, "Ann")
        hold_answers(page, "api/check")
        page.keyboard.press("Space")
        page.wait_for_timeout(900)
        page.keyboard.press("Space")
        expect(page.locator("#said")).to_contain_text("Checking")
        for key in ("s", "b", "Space", "a"):
            page.keyboard.press(key)
        page.evaluate("window.answer()")
        expect(page.locator("#said")).to_contain_text("Good (")
        expect(page.locator("#sentence")).to_have_text("I cut the carrot.")
        page.keyboard.press("s")
        page.keyboard.press("Escape")  # not left
        expect(page.locator("#next")).to_be_enabled()
        page.keyboard.press("s")
        page.keyboard.press("4")  # now it is left, and with it the take
        expect(page.locator("#sentence")).to_have_text("She washes an apple.")
        expect(page.locator("#next")).to_be_disabled()
    assert read_recordings(workspace) == []


def test_keys_pressed_on_the_way_to_the_next_line_do_nothing(
    workspace: Workspace, stage: SimpleNamespace, tmp_path: Path
) -> None:
    with stage.booth_here(workspace) as address, stage.browser_with(stage.melody(), tmp_path, address) as page:
        stage.sign_in(page, "Ann")
        stage.record(page, 0.9)
        expect(page.locator("#said")).to_contain_text("Good (")
        hold_answers(page, "api/state")
        page.keyboard.press("Enter")
        page.keyboard.press("Space")  # would record the line that is left, as the next one's
        page.wait_for_timeout(500)
        expect(page.locator("#sentence")).to_have_text("I cut the carrot.")
        expect(page.locator("#record")).to_have_text("Recordspace")
        page.evaluate("window.answer()")
        expect(page.locator("#sentence")).to_have_text("She washes an apple.")
        expect(page.locator("#record")).to_have_text("Recordspace")
        stage.record(page, 0.9)  # and now it does
        expect(page.locator("#said")).to_contain_text("Good (")


def test_space_and_enter_on_a_focused_button_are_its_own(
    workspace: Workspace, stage: SimpleNamespace, tmp_path: Path
) -> None:
    with stage.booth_here(workspace) as address, stage.browser_with(stage.melody(), tmp_path, address) as page:
        stage.sign_in(page, "Ann")
        stage.record(page, 0.9)
        expect(page.locator("#said")).to_contain_text("Good (")
        page.focus("#skip")
        page.keyboard.press("Enter")  # would end the take
        page.keyboard.press("1")
        expect(page.locator("#sentence")).to_have_text("She washes an apple.")
        page.focus("#back")
        page.keyboard.press("Space")  # would record
        expect(page.locator("#sentence")).to_have_text("I cut the carrot.")
        expect(page.locator("#record")).to_have_text("Recordspace")
        page.focus("#record")
        page.keyboard.press("Space")  # once, not on and off again
        expect(page.locator("#record")).to_contain_text("Stop")
        page.wait_for_timeout(900)
        page.keyboard.press("Space")
        expect(page.locator("#said")).to_contain_text("Good (")
        page.keyboard.press("s")
        page.keyboard.press("3")
        expect(page.locator("#sentence")).to_have_text("She washes an apple.")  # until then, no button can be pressed
        page.focus("#leave")
        page.keyboard.press("Enter")
        expect(page.locator("#welcome")).to_be_visible()
    assert read_recordings(workspace) == []


def test_a_phone_shows_all_of_it(workspace: Workspace, stage: SimpleNamespace, tmp_path: Path) -> None:
    with stage.booth_here(workspace) as address, stage.browser_with(stage.melody(), tmp_path, address) as page:
        page.set_viewport_size({"width": 390, "height": 844})
        page.reload()
        expect(page.locator("#consent")).to_have_css("white-space", "pre-line")  # a text of paragraphs keeps them
        stage.sign_in(page, "Ann")
        stage.wait_until(page, "document.getElementById('video').currentTime > 0.1")
        page.locator("#sentence").evaluate("(shown) => { shown.textContent += 'Donaudampfschifffahrt'.repeat(4); }")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        for name in ("record", "listen", "again", "next", "back", "skip"):
            box = page.locator(f"#{name}").bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 390
            assert box["y"] + box["height"] <= 844, name  # without scrolling
            assert box["height"] >= 36
            assert box["width"] >= 80
        video, sentence = (page.locator(f"#{name}").bounding_box() for name in ("video", "sentence"))
        assert video is not None
        assert sentence is not None
        assert min(video["width"], sentence["width"]) > 340
        assert page.locator("#all").get_attribute("open") is None
        page.click("#record")
        page.wait_for_timeout(900)
        page.click("#record")
        expect(page.locator("#said")).to_contain_text("Good (")
        page.click("#next")
        expect(page.locator("#look")).to_be_enabled()
        page.click("#look")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.click("#keep")
        expect(page.locator("#total")).to_contain_text("1 of 2")


def test_a_take_outlives_the_server(workspace: Workspace, stage: SimpleNamespace, tmp_path: Path) -> None:
    with ExitStack() as first_booth, ExitStack() as rest:
        address = first_booth.enter_context(stage.open_booth(workspace))
        page = rest.enter_context(stage.browser_with(stage.melody(), tmp_path, address))
        stage.sign_in(page, "Ann")
        stage.record(page, 0.9)
        expect(page.locator("#said")).to_contain_text("Good (")
        first_booth.close()
        page.keyboard.press("Enter")
        expect(page.locator("#sentence")).to_have_text("She washes an apple.")
        stage.record(page, 1.0)  # another one, which nobody can judge now
        expect(page.locator("#said")).to_contain_text("The take stays here")
        page.keyboard.press("Enter")  # there is no further line
        expect(page.locator("#takes li")).to_have_count(2)
        page.keyboard.press("Enter")
        expect(page.locator("#said")).to_contain_text("The takes stay here")
        (workspace.cache / "booth" / "tmpkilled.wav").write_bytes(b"a take that a killed booth left")
        assert rest.enter_context(stage.open_booth(workspace)) == address
        assert not list((workspace.cache / "booth").glob("*.wav"))
        page.keyboard.press("Enter")
        expect(page.locator("#total")).to_have_text("2 of 2 sentences recorded, 2 by you")
        expect(page.locator("#sentence")).to_have_text("Everything is recorded. Thank you!")
        page.click("#mine summary")
        page.get_by_role("button", name="Listen: She washes an apple.").click()  # what was kept can be heard
        stage.wait_until(page, "document.getElementById('playback').currentTime > 0.1")
        assert "recordings/s08" in page.evaluate("document.getElementById('playback').src")
    rows = list(read_recordings(workspace))
    assert sorted(row.utterance.clip for row in rows) == ["s07-d21_000001-000020", "s08-d21_000001-000020"]
    assert all(stage.is_melody(workspace.root / row.original) for row in rows)
    assert (workspace.cache / "booth" / "address").stat().st_mode & 0o777 == 0o600


def test_a_skip_has_a_reason_that_is_counted_and_comes_last(
    workspace: Workspace, stage: SimpleNamespace, tmp_path: Path
) -> None:
    _, second = read_rows(workspace.manifests / "clips.jsonl", ClipRow)
    (workspace.root / second.path).unlink()
    with stage.booth_here(workspace) as address, stage.browser_with(stage.melody(), tmp_path, address) as page:
        stage.sign_in(page, "Ann")
        page.keyboard.press("s")
        expect(page.locator("#reasons")).to_be_visible()
        page.keyboard.press("Space")  # records nothing
        page.keyboard.press("2")
        expect(page.locator("#sentence")).to_have_text("She washes an apple.")
        expect(page.locator("#total")).to_have_text("0 of 2 sentences recorded, 1 skipped")
        expect(page.locator("#said")).to_contain_text("The clip cannot be played")
        page.keyboard.press("s")
        page.keyboard.press("3")
        expect(page.locator("#sentence")).to_have_text("I cut the carrot.")
        expect(page.locator("#said")).to_have_text("You skipped this sentence before.")
    line, _ = (workspace.root / "annotations" / "skips.jsonl").read_text().splitlines()
    row = msgspec.json.decode(line, type=SkipRow)
    assert (row.clip, row.sentence, row.reason) == ("s07-d21_000001-000020", "I cut the carrot.", "sentence")
    assert "ann" not in line


def test_one_sentence_is_not_several(workspace: Workspace, stage: SimpleNamespace, tmp_path: Path) -> None:
    clips = list(read_rows(workspace.manifests / "clips.jsonl", ClipRow))
    write_rows(workspace.manifests / "clips.jsonl", clips[:1])
    with stage.booth_here(workspace) as address, stage.browser_with(stage.melody(), tmp_path, address) as page:
        expect(page.locator("#total")).to_have_text("0 of 1 sentence recorded")
