"""The open booth while other commands work in its workspace: builds, withdrawals, a second booth."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer
from playwright.sync_api import Page, expect

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.audio_decoding import Sound, decode
from dataset_tools.core.errors import SampleError
from dataset_tools.core.files import PARTIAL
from dataset_tools.core.ledger import Ledger, LedgerRow
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import ReviewRow, append_reviews, reviews_path
from dataset_tools.manifests import ClipRow, UtteranceRow, read_rows, write_rows
from dataset_tools.speech.booth.server import make_app
from dataset_tools.speech.booth.sessions import Booth
from dataset_tools.speech.dataset_speech import import_dataset
from dataset_tools.speech.recordings.recording_rows import read_recordings
from dataset_tools.withdrawal.forgetting import forget_voice
from dataset_tools.withdrawal.recorded_voice import find_voice

CLASSES = load_classes()
TOKEN = "a-secret"


CUT, WASH = "I cut the carrot.", "She washes an apple."  # as the booth shows them at first
CUT_CLIP, WASH_CLIP = "s07-d21_000001-000020", "s08-d21_000001-000020"


def build(workspace: Workspace, *, clips: Sequence[ClipRow] | None = None, texts: Mapping[str, str] = {}) -> None:
    """What a build leaves: these clips, and the utterances of those, with these texts by clip id."""
    listing, spoken = workspace.manifests / "clips.jsonl", workspace.manifests / "utterances.jsonl"
    clips = list(read_rows(listing, ClipRow)) if clips is None else clips
    class_of = {clip.id: clip.class_id for clip in clips}
    rows = [
        msgspec.structs.replace(row, class_id=class_of[row.clip], text=texts.get(row.clip, row.text))
        for row in read_rows(spoken, UtteranceRow)
        if row.clip in class_of
    ]
    write_rows(listing, clips)
    write_rows(spoken, rows)
    with Ledger(workspace.ledger) as ledger:
        ledger.forget(list(ledger.rows))
        for row in rows:
            if row.source == "synthesized":
                values = {"row": msgspec.to_builtins(row)}
                ledger.record(LedgerRow(id=f"utterance/{row.id}", status="ok", stage="speak", values=values))


def lines_of(booth: Booth) -> dict[str, str]:
    """What a page that is loaded now shows, by clip id."""
    return {line["clip"]: line["sentence"] for line in booth.state()["lines"]}


def asked(booth: Booth, work: Callable[[TestClient[Any, Any]], Any]) -> None:
    """Runs requests against the booth's application."""

    async def run() -> None:
        async with TestClient(TestServer(make_app(booth, TOKEN))) as client:
            await work(client)

    asyncio.run(run())


def second_booth(workspace: Workspace) -> None:
    Booth(workspace, CLASSES).clean_up()


def withdrawal(workspace: Workspace) -> None:
    forget_voice(workspace, find_voice(workspace, "bob"))


@pytest.mark.parametrize("beside", [second_booth, withdrawal])
def test_a_take_is_judged_while_another_command_removes_what_killed_booths_left(
    workspace: Workspace,
    stage: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    beside: Callable[[Workspace], None],
) -> None:
    booth = Booth(workspace, CLASSES)
    bob = booth.consents.admit("Bob", agreed=True)
    clip, line = next(iter(booth.lines.items()))
    booth.keep(clip, bob, line.sentence, stage.wav_bytes(tmp_path))
    killed = booth.folder / f"{PARTIAL}killed"
    killed.mkdir()
    for name in (".lock", "take.wav"):
        (killed / name).touch()

    def decode_later(path: Path, *, longest_s: float) -> Sound:
        beside(workspace)
        return decode(path, longest_s=longest_s)

    monkeypatch.setattr("dataset_tools.speech.booth.sessions.decode", decode_later)
    heard = booth.check(stage.wav_bytes(tmp_path, 5))
    assert heard.refusal is None
    assert heard.duration_s == pytest.approx(2.0, abs=0.1)
    assert list(booth.folder.iterdir()) == []


def test_whose_name_an_import_used_is_asked_about(workspace: Workspace, stage: SimpleNamespace, tmp_path: Path) -> None:
    clip = next(read_rows(workspace.manifests / "clips.jsonl", ClipRow))
    for voice, number in (("anna", 1), ("anna-2", 2), ("bob", 3)):
        imported = tmp_path / "imported" / voice / f"{clip.id}.wav"
        imported.parent.mkdir(parents=True)
        imported.write_bytes(stage.wav_bytes(tmp_path, number))
    import_dataset(workspace, tmp_path / "imported", CLASSES)
    forget_voice(workspace, find_voice(workspace, "bob"))
    assert not (workspace.recordings / "consents.jsonl").read_text().count("anna")

    async def work(client: TestClient[Any, Any]) -> None:
        async def sign_in(name: str, **answers: bool) -> Any:
            speaker = {"name": name, "agreed": True, **answers}
            return await (await client.post(f"/{TOKEN}/api/speakers", json=speaker)).json()

        assert await sign_in("Anna") == {"voice": None, "known": "anna"}
        assert await sign_in("Anna", same=False) == {"voice": "anna-3"}  # another Anna is none of the imported voices
        assert await sign_in("Anna") == {"voice": None, "known": "anna"}
        assert await sign_in("Anna", same=True) == {"voice": "anna"}
        assert await sign_in("Carl") == {"voice": "carl"}
        assert "withdrawn" in await sign_in("Bob")

    asked(Booth(workspace, CLASSES), work)


def test_a_take_is_never_kept_under_a_sentence_that_was_not_shown(
    workspace: Workspace, stage: SimpleNamespace, tmp_path: Path
) -> None:
    booth = Booth(workspace, CLASSES)
    ann = booth.consents.admit("Ann", agreed=True)
    assert lines_of(booth) == {CUT_CLIP: CUT, WASH_CLIP: WASH}
    build(workspace, texts={CUT_CLIP: "He chops one carrot.", WASH_CLIP: "They rinse the apple."})
    take = stage.wav_bytes(tmp_path)
    for _ in range(3):  # Enter, again and again
        for clip, said in ((CUT_CLIP, CUT), (WASH_CLIP, WASH)):
            with pytest.raises(SampleError, match="rebuilt, and the sentence of this clip has changed") as refused:
                booth.keep(clip, ann, said, take)
            assert "reload the page" in str(refused.value)
    assert read_recordings(workspace) == []
    row = booth.keep(WASH_CLIP, ann, "they rinse the apple", take)  # these are the words
    assert (row.utterance.clip, row.utterance.text) == (WASH_CLIP, "They rinse the apple.")


def test_a_take_is_filed_under_the_class_of_now(workspace: Workspace, stage: SimpleNamespace, tmp_path: Path) -> None:
    booth = Booth(workspace, CLASSES)
    ann = booth.consents.admit("Ann", agreed=True)
    listing = workspace.manifests / "clips.jsonl"
    cut, wash = read_rows(listing, ClipRow)
    moved = msgspec.structs.replace(wash, class_id="cut_carrot_knife")
    write_rows(listing, [cut, moved])  # its utterance is of the other class still
    with pytest.raises(SampleError, match="sentence of this clip has changed"):
        booth.keep(WASH_CLIP, ann, WASH, stage.wav_bytes(tmp_path))
    assert "apple" not in lines_of(booth)[WASH_CLIP]
    build(workspace, clips=[cut, moved])  # people wrote the sentence, and it stays
    row = booth.keep(WASH_CLIP, ann, WASH, stage.wav_bytes(tmp_path))
    assert (row.utterance.class_id, row.utterance.text) == ("cut_carrot_knife", WASH)
    assert row.id in {one.id for one in read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow)}


def test_a_page_that_is_loaded_shows_what_annotators_have_written(
    workspace: Workspace, make_review: Callable[..., ReviewRow]
) -> None:
    """A clip that is not spoken yet has a generated sentence, until a pull brings another."""
    clip = next(read_rows(workspace.manifests / "clips.jsonl", ClipRow))
    write_rows(workspace.manifests / "utterances.jsonl", [])
    with Ledger(workspace.ledger) as ledger:
        ledger.forget(list(ledger.rows))
    booth = Booth(workspace, CLASSES)
    shown, written = {"class_id": clip.class_id, "sentence": lines_of(booth)[clip.id]}, "Half of a carrot is left."
    row = make_review(minute=1, id=clip.id, content_sha256=clip.sha256, shown=shown, sentence=written)
    append_reviews(reviews_path(workspace), [row])
    assert lines_of(booth)[clip.id] == written


def test_a_page_that_is_loaded_shows_the_data_set_as_it_is_now(
    workspace: Workspace, stage: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    booth = Booth(workspace, CLASSES)
    cut, wash = read_rows(workspace.manifests / "clips.jsonl", ClipRow)
    build(workspace, texts={CUT_CLIP: "He chops one carrot."})
    assert lines_of(booth) == {CUT_CLIP: "He chops one carrot.", WASH_CLIP: WASH}
    added = msgspec.structs.replace(wash, id=f"{WASH_CLIP}9", sha256="f" * 64)
    build(workspace, clips=[wash, added])
    assert lines_of(booth).keys() == {WASH_CLIP, added.id}
    booth.keep(WASH_CLIP, booth.consents.admit("Ann", agreed=True), WASH, stage.wav_bytes(tmp_path))
    assert lines_of(booth).keys() == {WASH_CLIP, added.id}
    with monkeypatch.context() as patched:  # nothing changed since: nothing is read
        patched.setattr("dataset_tools.speech.booth.sessions.assign_texts", None)
        assert lines_of(booth).keys() == {WASH_CLIP, added.id}
    build(workspace, clips=[cut])
    assert lines_of(booth).keys() == {CUT_CLIP}


def test_a_sentence_stays_where_its_synthesized_utterance_gave_its_place_to_a_recording(
    workspace: Workspace, stage: SimpleNamespace, tmp_path: Path
) -> None:
    booth = Booth(workspace, CLASSES)
    ann = booth.consents.admit("Ann", agreed=True)
    imported = tmp_path / "imported" / "cut_carrot_knife" / "bob_1.wav"  # of the class, not of a clip
    imported.parent.mkdir(parents=True)
    imported.write_bytes(stage.wav_bytes(tmp_path, 1))
    import_dataset(workspace, tmp_path / "imported", CLASSES)
    used = {row.clip for row in read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow)}
    assert used == {None, WASH_CLIP}
    assert lines_of(booth) == {CUT_CLIP: CUT, WASH_CLIP: WASH}
    assert booth.keep(CUT_CLIP, ann, CUT, stage.wav_bytes(tmp_path)).utterance.text == CUT


def test_why_a_take_is_refused_is_said(workspace: Workspace, stage: SimpleNamespace, tmp_path: Path) -> None:
    booth = Booth(workspace, CLASSES)
    ann = booth.consents.admit("Ann", agreed=True)
    build(workspace, clips=list(read_rows(workspace.manifests / "clips.jsonl", ClipRow))[:1])

    async def work(client: TestClient[Any, Any]) -> None:
        async def refusal(clip: str, said: str) -> str:
            params = {"clip": clip, "voice": ann, "sentence": said}
            answer = await client.post(f"/{TOKEN}/api/takes", params=params, data=stage.wav_bytes(tmp_path))
            assert answer.status == 409
            return str((await answer.json())["found"])

        for _ in range(2):
            assert "has no sentence for this clip anymore" in await refusal(WASH_CLIP, WASH)
        booth.keep(CUT_CLIP, ann, CUT, stage.wav_bytes(tmp_path))
        forget_voice(workspace, find_voice(workspace, ann))
        assert "have withdrawn your consent" in await refusal(CUT_CLIP, CUT)

    asked(booth, work)
    assert read_recordings(workspace) == []


def record_two(page: Page, stage: SimpleNamespace) -> None:
    """Both sentences, which then wait in the review."""
    stage.sign_in(page, "Ann")
    for said in (CUT, WASH):
        expect(page.locator("#sentence")).to_have_text(said)
        stage.record(page, 0.9)
        page.keyboard.press("Enter")
    expect(page.locator("#takes li")).to_have_count(2)


def test_the_review_refuses_takes_of_sentences_that_a_build_changed(
    workspace: Workspace, stage: SimpleNamespace, tmp_path: Path
) -> None:
    new = "“切” 1+1 & 100 % of it: café #1? 😀/x=%41"
    with stage.open_booth(workspace) as address, stage.browser_with(stage.melody(), tmp_path, address) as page:
        record_two(page, stage)
        build(workspace, texts={CUT_CLIP: new, WASH_CLIP: "They rinse it."})
        for _ in range(2):
            page.keyboard.press("Enter")
            expect(page.locator("#said")).to_have_text("These takes were not saved.")
            expect(page.locator("#takes li", has_text="the sentence of this clip has changed")).to_have_count(2)
        assert read_recordings(workspace) == []
        page.get_by_role("button", name=f"Record again: {CUT}").click()
        expect(page.locator("#sentence")).to_have_text(new)
        stage.wait_until(page, "document.activeElement === document.body")  # the button is hidden, and its keys with it
        stage.record(page, 0.9)
        page.keyboard.press("Enter")
        expect(page.locator("#takes li", has_text=new)).to_have_count(1)
        page.get_by_role("button", name=f"Discard: {WASH}").click()
        expect(page.locator("#takes li")).to_have_count(1)
        page.keyboard.press("Enter")
        expect(page.locator("#total")).to_have_text("1 of 2 sentences recorded, 1 by you")
        expect(page.locator("#sentence")).to_have_text("They rinse it.")
        build(workspace, texts={WASH_CLIP: "One more sentence."})
        page.evaluate("fetch('api/state').then(() => 0)")  # the booth has seen the build, the page has not
        page.keyboard.press("s")
        page.keyboard.press("3")
        expect(page.locator("#sentence")).to_have_text("One more sentence.")
    (row,) = read_recordings(workspace)
    assert (row.utterance.clip, row.utterance.text) == (CUT_CLIP, new)
    (line,) = (workspace.root / "annotations" / "skips.jsonl").read_text().splitlines()
    assert msgspec.json.decode(line)["sentence"] == "They rinse it."


def test_the_review_says_that_a_clip_is_gone_or_that_the_speaker_withdrew(
    workspace: Workspace, stage: SimpleNamespace, tmp_path: Path
) -> None:
    with stage.open_booth(workspace) as address, stage.browser_with(stage.melody(), tmp_path, address) as page:
        record_two(page, stage)
        build(workspace, clips=list(read_rows(workspace.manifests / "clips.jsonl", ClipRow))[:1])
        page.keyboard.press("Enter")
        expect(page.locator("#said")).to_have_text("These takes were not saved.")
        expect(page.locator("#takes li")).to_have_count(1)
        expect(page.locator("#takes li small")).to_have_text(
            "The data set was rebuilt and has no sentence for this clip anymore"
        )
        page.get_by_role("button", name=f"Record again: {WASH}").click()
        expect(page.locator("#said")).to_contain_text("has no sentence for this clip anymore")
        forget_voice(workspace, find_voice(workspace, "ann"))
        page.locator("#keep").click()
        expect(page.locator("#welcome")).to_be_visible()
        expect(page.locator("#refused")).to_contain_text("have withdrawn your consent")
        build(workspace)
        page.fill("#name", "Bob")  # is not given what another speaker said
        page.check("#agreed")
        page.get_by_role("button", name="Start").click()
        expect(page.locator("#look")).to_contain_text("(0 of 5)")
        expect(page.locator("#look")).to_be_visible()
    assert read_recordings(workspace) == []
