"""Speech synthesis that is killed: nothing mixes its utterances with earlier ones, and another run completes it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from dataset_tools.cli.main import app
from dataset_tools.core import worker_pool
from dataset_tools.core.ledger import Ledger, LedgerRow

pytestmark = pytest.mark.xdist_group("killed speech")  # in one worker: all start from one build

SMALL = ("--classes", "6", "--short-side", "32", "--jobs", "1")


def dying(what: str, last: int, arguments: list[str]) -> None:
    """Runs a command that ends this process at the ``last`` of its rows or changes of a kind."""
    seen = 0
    record = Ledger.record

    def count(name: str) -> None:
        nonlocal seen
        seen += name.startswith(what)
        if seen == last:
            os._exit(9)

    def recording(ledger: Ledger, row: LedgerRow) -> None:
        record(ledger, row)
        count(row.id)

    def change(event: str, of: Sequence[object]) -> None:
        if event in ("os.rename", "os.remove"):
            count(f"{event} {Path(str(of[0])).name}")

    Ledger.record = recording  # type: ignore[method-assign]
    vars(sys.modules["__main__"]).pop("__file__", None)  # as in a command: workers import what they need, no more
    sys.addaudithook(change)
    CliRunner().invoke(app, arguments)


def run(place: Path, *arguments: object) -> tuple[int, str]:
    ended = CliRunner().invoke(app, [*map(str, arguments), "-w", str(place)])
    return ended.exit_code, " ".join(ended.output.split())


def killed(place: Path, *arguments: object, at: str, number: int) -> None:
    """Runs a command in a process that dies at a row of the ledger, or right before a change of a file.

    ``at`` is the kind of the row, or the name of the audit event and that of the file.
    """
    context = worker_pool.worker_context(worker_pool.imported_by_workers(dying))
    given = (at, number, [*map(str, arguments), "--jobs", "1", "-w", str(place)])
    process = context.Process(target=dying, args=given)  # type: ignore[attr-defined]
    process.start()
    process.join()
    assert process.exitcode == 9


def rows(place: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (place / "manifests" / "utterances.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture
def takes(tmp_path: Path) -> Path:
    """A recording of a class."""
    path = tmp_path / "takes" / "sprinkle_salt" / "ann_1.wav"
    path.parent.mkdir(parents=True)
    time_s = np.arange(24_000) / 16_000
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 300 * time_s) * (np.sin(2 * np.pi * 2 * time_s) > -0.5), 16_000)
    return path.parent.parent


@pytest.fixture(scope="session")
def built_once(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("built-once")
    assert run(place, "build", "--mpii", small_corpus, *SMALL)[0] == 0
    return place


@pytest.fixture
def place(built_once: Path, tmp_path: Path) -> Path:
    shutil.copytree(built_once, tmp_path / "place")
    return tmp_path / "place"


@pytest.fixture
def sentences(place: Path, tmp_path: Path) -> Path:
    """Other sentences for the clips; their voices stay, and so do the names of the files."""
    spoken: dict[str, Any] = {}
    for line in (place / "manifests" / "clips.jsonl").read_text("utf-8").splitlines():
        clip = json.loads(line)
        of_video = spoken.setdefault(clip["video"], {"timestamps": [], "sentences": []})
        of_video["timestamps"].append([clip["start_frame"], clip["end_frame"]])
        of_video["sentences"].append(f"Look at the {clip['class'].split('_')[1]} here.")
    sentences = tmp_path / "sentences.json"
    sentences.write_text(json.dumps(spoken))
    return sentences


@pytest.mark.parametrize(
    ("command", "change"),
    [(("speech", "synthesize"), ("--language", "zh")), (("build",), ("--seed", 7, "--augment", 1))],
)
def test_recordings_join_the_earlier_speech_and_another_run_completes_the_new(
    place: Path, takes: Path, tmp_path: Path, command: tuple[str, ...], change: tuple[object, ...]
) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(place, whole)
    assert run(whole, "speech", "import", takes)[0] == 0
    kept = rows(whole)
    assert len(kept) == 6
    assert run(whole, *command, *change)[0] == 0

    for number in (3, 2):  # a second run is killed, too
        killed(place, *command, *change, at="utterance/", number=number)
        code, said = run(place, "speech", "import", takes)
        assert code == 0
        assert "the last synthesis was interrupted" in said
        assert rows(place) == kept
    assert run(place, "build", "--no-speech", *SMALL)[0] == 0
    assert rows(place) == kept
    assert run(place, *command, *change)[0] == 0
    assert rows(place) == rows(whole)
    assert "interrupted" not in run(place, "speech", "import", takes)[1]
    assert rows(place) == rows(whole)
    assert list(place.rglob("*earlier-speech*")) == []


def test_an_earlier_utterance_whose_file_is_replaced_is_the_new_one(place: Path, takes: Path, sentences: Path) -> None:
    """Another sentence in the same voice has the same file, which is there before its row."""
    killed(place, "speech", "synthesize", "--sentences", sentences, at="utterance/", number=3)
    assert run(place, "speech", "import", takes)[0] == 0
    made = [row for row in rows(place) if row["source"] == "synthesized"]
    assert {row["text"].startswith("Look at the ") for row in made} == {True, False}
    *_, unrecorded = (row for row in made if not row["text"].startswith("Look at the "))
    shutil.copy(place / made[0]["path"], place / unrecorded["path"])  # as if the kill came right after the replacement
    assert run(place, "build", "--no-speech", *SMALL)[0] == 0
    left = [row for row in rows(place) if row["source"] == "synthesized"]
    assert left == [row for row in made if row != unrecorded]
    for row in left:
        assert hashlib.sha256((place / row["path"]).read_bytes()).hexdigest() == row["sha256"]
    assert run(place, "speech", "synthesize", "--sentences", sentences)[0] == 0
    assert len(rows(place)) == 6


def test_an_interrupt_between_a_file_and_its_row_leaves_no_sound_with_the_row_of_another(
    place: Path, takes: Path, sentences: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("dataset_tools.core.ledger.Ledger.record", interrupted)
        assert run(place, "speech", "synthesize", "--sentences", sentences, "--jobs", 1)[0] == 3
    assert run(place, "speech", "import", takes)[0] == 0
    assert len(rows(place)) == 5  # one file was replaced, and one utterance by the recording
    for row in rows(place):
        assert hashlib.sha256((place / row["path"]).read_bytes()).hexdigest() == row["sha256"]


def test_a_file_of_the_same_size_that_a_killed_synthesis_left_is_made_again(place: Path, sentences: Path) -> None:
    complete = {path.name: path.read_bytes() for path in (place / "speech").iterdir()}
    ledger = (place / "ledger.jsonl").read_bytes()
    killed(place, "speech", "synthesize", "--sentences", sentences, at="utterance/", number=1)
    name = max(name for name in complete if (place / "speech" / name).read_bytes() == complete[name])
    # As if the kill came right after the replacement, by a sentence that takes as long.
    (place / "speech" / name).write_bytes(complete[name][:-2] + b"\x01\x01")
    assert run(place, "clean", "--yes")[0] == 0  # the journal of the killed command is gone
    assert run(place, "speech", "synthesize")[0] == 0
    assert {name: (place / "speech" / name).read_bytes() for name in complete} == complete
    assert (place / "ledger.jsonl").read_bytes() == ledger
    assert run(place, "verify")[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "number", "language"),
    [
        ("os.rename ledger.jsonl", 1, "en"),
        ("os.remove earlier-speech.jsonl", 1, "en"),
        ("os.rename utterances.jsonl", 1, "zh"),
        ("os.remove ledger.journal", 2, "zh"),  # the first is of an empty one
    ],
)
def test_killed_before_a_change_of_a_file_no_speech_is_mixed(
    place: Path, takes: Path, change: str, number: int, language: str
) -> None:
    """In the order of the changes: once the new speech is used, it stays."""
    killed(place, "speech", "synthesize", "--language", "zh", "--augment", 1, at=change, number=number)
    assert run(place, "speech", "import", takes)[0] == 0
    made = [row for row in rows(place) if row["source"] == "synthesized" and "augmented" not in row]
    assert len({row["clip"] for row in made}) == len(made) == 5
    assert {row["language"] for row in made} == {language}
