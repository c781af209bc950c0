"""Whether a sentence was said: pocketsphinx itself on people's recordings, each against every other's sentence."""

from __future__ import annotations

import re
import shutil
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dataset_tools.core.errors import SampleError
from dataset_tools.core.execution import Outcome
from dataset_tools.core.files import sha256_of
from dataset_tools.core.workspace import Workspace
from dataset_tools.core.workspace_lock import workspace_lock
from dataset_tools.manifests import UtteranceRow, read_rows, write_rows
from dataset_tools.speech import transcripts
from dataset_tools.speech.audio.utterance_writer import write_utterance
from dataset_tools.speech.engines.arpabet import pronounce
from dataset_tools.speech.recordings.consents import Consents, withdraw
from dataset_tools.speech.transcripts import (
    DOUBTFUL_SCORE,
    check_transcripts,
    recognize_phones,
    transcript_score,
    transcript_warnings,
)

pytestmark = pytest.mark.xdist_group("transcripts")  # in one worker: most start from the same recordings


def transcripts_of(folder: Path) -> dict[Path, str]:
    (listing,) = (path for path in folder.iterdir() if path.name.endswith("transcription"))
    lines = re.findall(r"<s> (.*?)\s*</s> \((.*)\)", listing.read_text())
    return {folder / f"{name}.wav": text for text, name in lines}


def test_real_sentences_are_told_from_others(real_speech: Path) -> None:
    said = transcripts_of(real_speech / "readings") | transcripts_of(real_speech / "cards")
    assert len(said) == 10
    right, swapped = [], []
    for path, text in said.items():
        heard = recognize_phones(path)
        scores = {
            one: transcript_score(heard, one, [other for other in said.values() if other != one])
            for one in said.values()
        }
        right.append(scores.pop(text))
        swapped += scores.values()
    assert len(swapped) == 90
    assert min(right) >= DOUBTFUL_SCORE
    below = [sum(other < score for other in swapped) / len(swapped) for score in right]
    assert statistics.mean(below) > 0.99  # the area under the curve: 1.000 when this was written
    assert sum(score < DOUBTFUL_SCORE for score in swapped) / len(swapped) > 0.95  # 89 of 90


def test_the_score_is_in_standard_deviations_of_the_others() -> None:
    heard = ["K", "AE", "T"]  # cat
    others = ["cut", "dog"]  # K AH T: one phone of three differs; D AO G: all
    assert pronounce("cut") == "K AH T"
    expected = (1 - statistics.mean([2 / 3, 0])) / (statistics.pstdev([2 / 3, 0]) + 0.03)
    assert transcript_score(heard, "Cat!", others) == pytest.approx(expected)
    assert transcript_score([], "cat", others) == 0


def test_words_that_no_dictionary_has() -> None:
    assert pronounce("squeezer") == "S K W IY Z ER"
    assert pronounce("rinses") == "R IH N S IH Z"
    with pytest.raises(SampleError, match="no output"):
        pronounce("")


@pytest.fixture(scope="module")
def recorded_once(
    real_speech: Path, tmp_path_factory: pytest.TempPathFactory, make_utterance: Callable[..., UtteranceRow]
) -> Path:
    """What `recorded` copies."""
    place = Workspace(tmp_path_factory.mktemp("recorded") / "data")
    said = transcripts_of(real_speech / "readings") | transcripts_of(real_speech / "cards")
    texts = list(said.values())
    texts[0], texts[4] = texts[4], texts[0]
    rows = []
    for number, (path, text) in enumerate(zip(said, texts, strict=True)):
        row = make_utterance(f"class-{number}", None, "ann")
        write_utterance(path, place.root / row.path)
        rows.append(msgspec.structs.replace(row, text=text, sha256=sha256_of(place.root / row.path)))
    write_rows(place.manifests / "utterances.jsonl", sorted(rows, key=lambda row: row.id))
    return place.root


@pytest.fixture
def recorded(recorded_once: Path, tmp_path: Path) -> Workspace:
    """Ten recordings of people as utterances; two of them say each other's sentence."""
    return Workspace(Path(shutil.copytree(recorded_once, tmp_path / "data")))


@pytest.fixture
def all_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sentence is found said, unless the file is missing: what is recognized is the matter of other tests."""

    def outcomes(_: object, todo: list[Any], jobs: int) -> Iterator[Outcome[Any, float]]:
        for one in todo:
            yield Outcome(one, 3.0, None) if one.path.exists() else Outcome(one, None, SampleError("It is missing"))

    monkeypatch.setattr(transcripts, "run_each", outcomes)


def utterances(place: Workspace) -> list[UtteranceRow]:
    return list(read_rows(place.manifests / "utterances.jsonl", UtteranceRow))


def test_a_swapped_sentence_is_named_and_nothing_is_refused(
    recorded: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = check_transcripts(recorded, jobs=2)
    assert (len(found.rows), found.skipped, found.failures) == (10, {}, {})
    assert {row.id for row in found.rows if row.warning} == {"class-0_ann-0", "class-4_ann-0"}
    warnings = transcript_warnings(recorded, utterances(recorded))
    assert sorted(warnings) == ["class-0_ann-0", "class-4_ann-0"]
    assert all(re.fullmatch(r"may be another sentence: score -?\d\.\d", text) for text in warnings.values())

    def never(*_: object, **__: object) -> None:
        raise AssertionError("checked twice")

    monkeypatch.setattr(transcripts, "_skip_reason", never)
    assert check_transcripts(recorded) == found
    # Another sentence since: what was found of the one before counts no more.
    changed = [msgspec.structs.replace(row, text="Another one.") for row in utterances(recorded)]
    assert transcript_warnings(recorded, changed) == {}


@pytest.mark.usefixtures("all_said")
def test_a_speaker_who_withdraws_during_the_check_does_not_come_back(recorded: Workspace) -> None:
    Consents(recorded, "I agree.").admit("Ann", agreed=True)

    def meanwhile(stage: str, done: int, total: int, note: str = "") -> None:
        if done == total:
            withdraw(recorded, "ann")

    (recorded.root / utterances(recorded)[0].path).unlink()
    found = check_transcripts(recorded, progress=meanwhile)
    assert (found.rows, found.failures) == ((), {})
    assert transcripts.transcripts_path(recorded).read_bytes() == b""


@pytest.mark.usefixtures("all_said")
def test_what_was_forgotten_and_recorded_again_has_no_score_of_before(recorded: Workspace) -> None:
    path = recorded.manifests / "utterances.jsonl"

    def meanwhile(stage: str, done: int, total: int, note: str = "") -> None:
        if done == total:
            write_rows(path, [msgspec.structs.replace(row, sha256="0" * 64) for row in utterances(recorded)[:3]])

    assert check_transcripts(recorded, progress=meanwhile).rows == ()
    assert transcripts.transcripts_path(recorded).read_bytes() == b""


@pytest.mark.usefixtures("all_said")
def test_an_interrupted_check_resumes(recorded: Workspace) -> None:
    def interrupt(stage: str, done: int, total: int, note: str = "") -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_transcripts(recorded, progress=interrupt)
    seen: list[int] = []
    assert len(check_transcripts(recorded, progress=lambda _, done, total, note="": seen.append(total)).rows) == 10
    assert seen[0] == 4


@pytest.mark.usefixtures("all_said")
def test_scores_are_written_while_other_commands_work(recorded: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcripts, "_WRITTEN_EVERY", 3)
    written: list[int] = []

    def count(stage: str, done: int, total: int, note: str = "") -> None:
        path = transcripts.transcripts_path(recorded)
        written.append(len(path.read_bytes().splitlines()) if path.is_file() else 0)

    with workspace_lock(recorded.root):
        assert len(check_transcripts(recorded, progress=count).rows) == 10
    assert written == [0, 0, 0, 3, 3, 3, 6, 6, 6, 9, 9]


@pytest.mark.usefixtures("all_said")
def test_two_checks_keep_each_others_scores(recorded: Workspace) -> None:
    path = recorded.manifests / "utterances.jsonl"
    rows = utterances(recorded)
    write_rows(path, rows[:6])
    inner: list[int] = []

    def meanwhile(stage: str, done: int, total: int, note: str = "") -> None:
        if done == total and not inner:
            inner.append(1)
            write_rows(path, rows)  # as an import adds recordings, and checks them
            check_transcripts(recorded)

    assert len(check_transcripts(recorded, progress=meanwhile).rows) == 10


def test_scores_of_another_language_count_no_more(recorded: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcripts, "run_each", lambda _, todo, jobs: (Outcome(one, 0.0, None) for one in todo))
    assert len(check_transcripts(recorded).rows) == len(transcript_warnings(recorded, utterances(recorded))) == 10
    now = [msgspec.structs.replace(row, language="zh") for row in utterances(recorded)]
    write_rows(recorded.manifests / "utterances.jsonl", now)
    assert transcript_warnings(recorded, now) == {}
    found = check_transcripts(recorded)
    assert (found.rows, len(found.skipped)) == ((), 10)


@pytest.mark.usefixtures("all_said")
def test_scores_of_what_is_not_checked_now_stay(recorded: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    write_rows(
        recorded.manifests / "utterances.jsonl",
        [msgspec.structs.replace(row, source="synthesized") for row in utterances(recorded)],
    )
    assert len(check_transcripts(recorded, recorded=False).rows) == 10
    monkeypatch.setattr(transcripts, "version", lambda _: "999")
    assert len(check_transcripts(recorded).rows) == 10


def test_what_cannot_be_checked_is_said(recorded: Workspace) -> None:
    rows = utterances(recorded)[:4]
    rows[0] = msgspec.structs.replace(rows[0], language="zh")
    rows[1] = msgspec.structs.replace(rows[1], text="")
    rows[2] = msgspec.structs.replace(rows[2], source="synthesized")
    write_rows(recorded.manifests / "utterances.jsonl", rows)
    found = check_transcripts(recorded)
    assert found.rows == ()
    assert [found.skipped.get(row.id) for row in rows] == [
        "only English can be checked, not zh",
        "no sentence is known for it",
        None,
        "fewer than 5 sentences of other classes to compare with",
    ]
