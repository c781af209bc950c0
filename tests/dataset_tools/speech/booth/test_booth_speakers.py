"""Speakers at the booth: their lines, their names, and consent that was withdrawn."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

from playwright.sync_api import Dialog, Page, expect
from typer.testing import CliRunner

from dataset_tools.classes.reader import load_classes
from dataset_tools.cli.main import app
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, read_rows
from dataset_tools.speech.booth.sessions import Booth
from dataset_tools.speech.recordings.consents import consented_voices
from dataset_tools.speech.recordings.recording_rows import read_recordings


def sentence_of_another(page: Page, stage: SimpleNamespace, address: str, name: str) -> str:
    """What a second speaker, in a window of their own, is given to say."""
    browser = page.context.browser
    assert browser is not None
    other = browser.new_page()
    other.goto(address)
    stage.sign_in(other, name)
    sentence = other.locator("#sentence").inner_text()
    other.close()
    return sentence


def test_two_speakers_are_given_different_lines_and_one_name_is_asked_about(
    workspace: Workspace, stage: SimpleNamespace, tmp_path: Path
) -> None:
    assert len(list(read_rows(workspace.manifests / "clips.jsonl", ClipRow))) == 2
    with stage.open_booth(workspace) as address, stage.browser_with(stage.melody(), tmp_path, address) as page:
        with page.expect_response(lambda answer: "api/lines" in answer.url):
            stage.sign_in(page, "Ann")
        expect(page.locator("#sentence")).to_have_text("I cut the carrot.")
        assert sentence_of_another(page, stage, address, "Bob") == "She washes an apple."

        browser = page.context.browser
        assert browser is not None
        for same, voice in ((True, "ann"), (False, "ann-2")):
            other = browser.new_page()
            asked: list[str] = []

            def answer(dialog: object, same: bool = same, asked: list[str] = asked) -> None:
                asked.append(dialog.message)  # type: ignore[attr-defined]
                dialog.accept() if same else dialog.dismiss()  # type: ignore[attr-defined]

            other.on("dialog", answer)
            other.goto(address)
            stage.sign_in(other, "ann")
            assert asked == ["Ann has recorded here before. Are you the same person?"]
            assert other.evaluate("localStorage.getItem('voice')") == voice
            other.close()


def test_who_withdrew_is_told_so_and_records_again_only_when_they_agree_anew(
    workspace: Workspace, stage: SimpleNamespace, tmp_path: Path
) -> None:
    booth = Booth(workspace, load_classes())
    clip, take = next(iter(booth.lines)), stage.wav_bytes(tmp_path)

    def withdrawn() -> None:
        ann = booth.consents.admit("Ann", agreed=True, anew=True)
        booth.keep(clip, ann, booth.lines[clip].sentence, take)
        forgotten = CliRunner().invoke(app, ["speech", "forget", "ann", "--yes", "--workspace", str(workspace.root)])
        assert forgotten.exit_code == 0, forgotten.output

    def admitted() -> list[str]:
        return sorted(consented_voices(workspace))

    withdrawn()
    today = datetime.now(UTC).date().isoformat()
    with stage.open_booth(workspace) as address, stage.browser_with(stage.melody(), tmp_path, address) as page:
        asked: list[str] = []
        meanwhile: list[Callable[[], None]] = []
        answers = iter([False, True, True])

        def answer(dialog: Dialog) -> None:
            asked.append(dialog.message)
            for happens in meanwhile:
                happens()
            meanwhile.clear()
            dialog.accept() if next(answers) else dialog.dismiss()

        page.on("dialog", answer)
        stage.sign_in(page, "Ann")  # somebody else of that name
        assert page.evaluate("localStorage.getItem('voice')") == "ann-2"
        assert admitted() == ["ann-2"]
        page.click("#leave")
        stage.sign_in(page, "Ann")  # the same person, who agrees anew
        expect(page.locator("#total")).to_have_text("0 of 2 sentences recorded")
        assert page.evaluate("localStorage.getItem('voice')") == "ann"
        assert admitted() == ["ann", "ann-2"]
        said = f"The recordings of Ann were removed on {today} at their request. "
        assert asked == [said + "Are you the same person, and do you consent again?"] * 2

        # withdrawn while the page asks something else: nobody agreed anew by the answer to that
        page.click("#leave")
        expect(page.locator("#consent")).to_contain_text("Your voice will be recorded")
        meanwhile.append(withdrawn)
        page.fill("#name", "Ann")
        page.check("#agreed")
        page.get_by_role("button", name="Start").click()
        expect(page.locator("#refused")).to_contain_text("were removed when consent was withdrawn")
        assert asked[2:] == ["Ann has recorded here before. Are you the same person?"]
        assert admitted() == ["ann-2"]
    assert read_recordings(workspace) == []
