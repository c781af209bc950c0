"""The open booth while other commands work in its workspace: builds, withdrawals, a second booth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.audio_decoding import Sound, decode
from dataset_tools.core.files import PARTIAL
from dataset_tools.core.workspace import Workspace
from dataset_tools.speech.booth.sessions import Booth
from dataset_tools.withdrawal.forgetting import forget_voice

CLASSES = load_classes()


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
