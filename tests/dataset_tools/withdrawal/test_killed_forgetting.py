"""A withdrawal that is killed, whenever that is: nothing brings the voice back, and another run completes it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.ledger import Ledger
from dataset_tools.manifests import ClipRow, read_rows, write_rows
from dataset_tools.pairs.pair_assignment import PairOptions
from dataset_tools.pairs.pairing import make_pairs
from dataset_tools.speech.dataset_speech import assemble
from dataset_tools.speech.recordings.recording_rows import RecordingRow
from dataset_tools.withdrawal.forgetting import forget_voice
from dataset_tools.withdrawal.recorded_voice import find_voice
from dataset_tools.withdrawal.remaining_data import own_files, sizes_of

CLASSES = load_classes()
VOICE = "annabel-q"
STONE = hashlib.sha256(VOICE.encode()).hexdigest()


def killed_at(place: Any, number: int, log: Path = Path(os.devnull)) -> bool:
    """Forgets the voice in a process that dies right before its ``number``-th change of a file; whether it died.

    ``log``: gets a line a change: what it is, and the folder, without the one of two digits that features lie in.
    """
    pid = os.fork()
    if pid == 0:
        changes: list[str] = []

        def die(event: str, arguments: Sequence[object]) -> None:
            if event in ("os.remove", "os.rename", "os.truncate"):
                changes.append(f"{event} {re.sub(r'(/[0-9a-f]{2})?/[^/]*$', '', str(arguments[0]))}")
                if len(changes) == number:
                    os._exit(9)

        sys.addaudithook(die)
        try:
            forget_voice(place, find_voice(place, VOICE))
            log.write_text("\n".join(changes))
        except BaseException:
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, 9)
    return code == 9


def test_killed_before_any_kind_of_change_of_a_file_nothing_revives_it_and_a_rerun_completes(
    place: Any, tmp_path: Path
) -> None:
    """Of removals in the same folder, one after the other, before the first and the last."""
    contents, clips = place.contents_of(VOICE), list(read_rows(place.manifests / "clips.jsonl", ClipRow))
    whole = type(place)(tmp_path / "whole")
    shutil.copytree(place.root, whole.root)
    assert not killed_at(whole, 0, tmp_path / "changes")
    changes = [None, *(tmp_path / "changes").read_text().splitlines(), None]
    numbers = range(1, len(changes) - 1)
    ends = [one for one in numbers if not changes[one - 1] == changes[one] == changes[one + 1]]
    half = 0
    for number in (*ends, 0):  # 0: not killed, and completed once more
        copy = type(place)(tmp_path / f"copy-{number}")
        shutil.copytree(place.root, copy.root)
        assert killed_at(copy, number) == (number > 0)
        if copy.stones():  # from here on, whatever is run in between takes nothing of the voice
            half += 1
            make_pairs(copy, CLASSES, PairOptions())
            for name in ("pairs", "train", "test", "split"):
                for path in copy.manifests.glob(f"{name}.*"):
                    assert VOICE not in path.read_text("utf-8"), (number, path.name)
            with Ledger(copy.ledger) as ledger:
                write_rows(copy.manifests / "utterances.jsonl", assemble(copy, clips, CLASSES, ledger))
            assert not copy.of(VOICE), number
        else:
            assert len(copy.of(VOICE)) == 10, number
        forget_voice(copy, find_voice(copy, VOICE))
        assert copy.found(contents) == [], number
        assert copy.stones() == [STONE], number
        shutil.rmtree(copy.root)
    assert half > 40, "the kills were spread over the files"


def test_a_recording_that_a_killed_import_left_without_a_row_goes_too(place: Any) -> None:
    contents = place.contents_of(VOICE)
    for listing in ("recordings/recordings.jsonl", "manifests/utterances.jsonl", "ledger.jsonl"):
        path = place.root / listing
        path.write_text(
            "".join(line + "\n" for line in path.read_text("utf-8").splitlines() if VOICE not in line), "utf-8"
        )
    forget_voice(place, find_voice(place, VOICE))
    assert place.found(contents) == []


def test_a_rerun_names_the_copies_that_the_killed_command_would_have(place: Any, source: Path) -> None:
    shutil.copy(source.parent / "0.wav", place.root / "take1.wav")
    voice = find_voice(place, VOICE)
    assert "take1.wav" in own_files(place, voice, sizes_of(place, voice))
    for row in read_rows(place.recordings / "recordings.jsonl", RecordingRow):
        (place.root / row.original).unlink()  # as a kill leaves it, before or after recordings.jsonl is written
    assert "take1.wav" in own_files(place, voice, sizes_of(place, voice))
    (place.recordings / "recordings.jsonl").unlink()
    voice = find_voice(place, VOICE)
    assert "take1.wav" in own_files(place, voice, sizes_of(place, voice))
