"""The open booth while other commands work in its workspace: builds, withdrawals, a second booth."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.audio_decoding import Sound, decode
from dataset_tools.core.files import PARTIAL
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, read_rows
from dataset_tools.speech.booth.server import make_app
from dataset_tools.speech.booth.sessions import Booth
from dataset_tools.speech.dataset_speech import import_dataset
from dataset_tools.withdrawal.forgetting import forget_voice

CLASSES = load_classes()
TOKEN = "a-secret"


def asked(booth: Booth, work: Callable[[TestClient[Any, Any]], Any]) -> None:
    """Runs requests against the booth's application."""

    async def run() -> None:
        async with TestClient(TestServer(make_app(booth, TOKEN))) as client:
            await work(client)

    asyncio.run(run())


def second_booth(workspace: Workspace) -> None:
    Booth(workspace, CLASSES).clean_up()


def withdrawal(workspace: Workspace) -> None:
    forget_voice(workspace, "bob")


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
    booth.keep(next(iter(booth.lines)), bob, stage.wav_bytes(tmp_path))
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
    forget_voice(workspace, "bob")
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
