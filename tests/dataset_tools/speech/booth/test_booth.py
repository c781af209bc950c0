"""The recording booth in a real browser, with a microphone that plays a known sound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from playwright.sync_api import expect

from dataset_tools.core.files import sha256_of
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, UtteranceRow, read_rows
from dataset_tools.speech.recordings.recording_rows import read_recordings


def test_what_a_speaker_says_arrives_and_takes_the_place_of_the_synthesized_voice(
    workspace: Workspace, stage: SimpleNamespace, tmp_path: Path
) -> None:
    first, second = (row.id for row in read_rows(workspace.manifests / "clips.jsonl", ClipRow))
    with stage.open_booth(workspace) as address, stage.browser_with(stage.melody(), tmp_path, address) as page:
        stage.sign_in(page, "Ann O'Neil")
        expect(page.locator("#sentence")).to_have_text("I cut the carrot.")
        expect(page.locator("#total")).to_have_text("0 of 2 sentences recorded")
        stage.wait_until(page, "document.getElementById('video').currentTime > 0.2")
        assert page.evaluate("document.getElementById('video').loop")
        stage.wait_until(page, "parseFloat(document.getElementById('level').style.width) > 40")
        stage.record(page, 1.2)
        expect(page.locator("#said")).to_contain_text("Good (1.")
        page.keyboard.press("l")
        stage.wait_until(page, "document.getElementById('playback').currentTime > 0.1")
        page.screenshot(path=tmp_path / "booth.png")
        stage.keep(page)
        expect(page.locator("#sentence")).to_have_text("She washes an apple.")
        expect(page.locator("#total")).to_have_text("1 of 2 sentences recorded, 1 by you")

        page.keyboard.press("b")  # another take of the first
        expect(page.locator("#said")).to_contain_text("another take replaces it")
        stage.record(page, 1.0)
        stage.keep(page)
        expect(page.locator("#sentence")).to_have_text("She washes an apple.")

    takes = {row.take: row for row in read_recordings(workspace)}
    assert sorted(takes) == [1, 2]
    for row in takes.values():
        assert (row.utterance.clip, row.utterance.voice) == (first, "ann-o-neil")
        assert stage.is_melody(workspace.root / row.original)
    used = {row.clip: row for row in read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow)}
    assert (used[first].source, used[first].text) == ("recorded", "I cut the carrot.")
    assert used[first].sha256 == takes[2].utterance.sha256 == sha256_of(workspace.root / used[first].path)
    consents = (workspace.recordings / "consents.jsonl").read_text()
    assert '"name":"Ann O\'Neil"' in consents

    # left and resumed, by another speaker, after the booth was closed
    with stage.open_booth(workspace) as address, stage.browser_with(stage.melody(), tmp_path, address) as page:
        stage.sign_in(page, "Bob")
        expect(page.locator("#total")).to_have_text("1 of 2 sentences recorded")
        expect(page.locator("#sentence")).to_have_text("She washes an apple.")
        stage.record(page, 1.0)
        stage.keep(page)
        expect(page.locator("#sentence")).to_have_text("Everything is recorded. Thank you!")
    assert {row.utterance.voice for row in read_recordings(workspace) if row.utterance.clip == second} == {"bob"}


@pytest.mark.parametrize(
    ("sound", "said"),
    [
        (lambda melody: 0 * melody, "Nothing was recorded"),
        (lambda melody: 0.008 * melody, "Rather quiet"),
        (lambda melody: np.clip(40 * melody, -1, 1), "Too loud"),
    ],
)
def test_what_cannot_be_used_is_said_at_once(
    workspace: Workspace, stage: SimpleNamespace, tmp_path: Path, sound: Callable[[np.ndarray], np.ndarray], said: str
) -> None:
    with stage.booth_here(workspace) as address, stage.browser_with(sound(stage.melody()), tmp_path, address) as page:
        stage.sign_in(page, "Ann")
        stage.record(page, 1.5)
        expect(page.locator("#said")).to_contain_text(said)
        expect(page.locator("#said")).not_to_contain_text("LUFS")
        if said != "Rather quiet":
            expect(page.locator("#next")).to_be_disabled()
            page.keyboard.press("Enter")
    assert read_recordings(workspace) == []
