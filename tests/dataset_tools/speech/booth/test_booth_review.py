"""Takes are reviewed before any is kept: by keyboard, after the last line or the fifth take."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import msgspec
import soundfile
from playwright.sync_api import expect

from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, read_rows, write_rows
from dataset_tools.speech.recordings.recording_rows import read_recordings


def test_takes_are_reviewed_by_keyboard_before_any_is_kept(
    workspace: Workspace, stage: SimpleNamespace, tmp_path: Path
) -> None:
    with stage.booth_here(workspace) as address, stage.browser_with(stage.melody(), tmp_path, address) as page:
        stage.sign_in(page, "Ann")
        stage.record(page, 0.9)
        page.keyboard.press("b")  # a good take is not lost, wherever the speaker goes
        expect(page.locator("#sentence")).to_have_text("She washes an apple.")
        stage.record(page, 2.5)
        page.keyboard.press("r")
        expect(page.locator("#takes li")).to_have_count(2)
        assert read_recordings(workspace) == []
        page.keyboard.press("2")
        stage.wait_until(page, "document.getElementById('playback').currentTime > 0.1")
        stage.wait_until(page, "Math.abs(document.getElementById('playback').duration - 2.6) < 0.5")
        page.get_by_role("button", name="Discard: I cut the carrot.").press("Enter")
        expect(page.locator("#takes li")).to_have_count(1)
        page.get_by_role("button", name="Record again: She washes an apple.").press("Enter")
        expect(page.locator("#speak")).to_be_visible()  # the hidden sentence has this text before
        expect(page.locator("#sentence")).to_have_text("She washes an apple.")
        page.keyboard.press("r")
        expect(page.locator("#review")).to_be_visible()
        page.keyboard.press("Enter")
        expect(page.locator("#total")).to_have_text("1 of 2 sentences recorded, 1 by you")
        expect(page.locator("#whole")).to_have_text("By class: 1 of 2 complete")
        expect(page.locator("#sentence")).to_have_text("I cut the carrot.")  # what was discarded is open
    (row,) = read_recordings(workspace)
    assert row.utterance.text == "She washes an apple."
    assert 2.4 < soundfile.info(workspace.root / row.original).duration < 3.5


def test_the_fifth_take_opens_the_review(workspace: Workspace, stage: SimpleNamespace, tmp_path: Path) -> None:
    listing = workspace.manifests / "clips.jsonl"
    one, other = read_rows(listing, ClipRow)
    more = [msgspec.structs.replace(one, id=f"s07-d21_0000{number}-000020") for number in range(10, 15)]
    write_rows(listing, sorted([one, other, *more], key=lambda row: row.id))
    with stage.booth_here(workspace) as address, stage.browser_with(stage.melody(), tmp_path, address) as page:
        stage.sign_in(page, "Ann")
        seen = set()
        for number in range(1, 6):
            seen.add(page.evaluate("document.getElementById('video').src"))
            stage.record(page, 0.8)
            expect(page.locator("#review")).to_be_hidden()
            page.keyboard.press("Enter")
            expect(page.locator("#look")).to_contain_text(f"({number} of 5)")
            stage.wait_until(page, "!document.getElementById('back').disabled")
        expect(page.locator("#takes li")).to_have_count(5)
        assert len(seen) == 5
        assert read_recordings(workspace) == []
        page.keyboard.press("Enter")
        expect(page.locator("#total")).to_have_text("5 of 7 sentences recorded, 5 by you")
    assert len(read_recordings(workspace)) == 5
