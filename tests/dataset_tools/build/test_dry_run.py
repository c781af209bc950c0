"""``build --dry-run`` reports what the build then reports: utterances, recordings that are not used, failures."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import Result

from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import ReviewRow, append_reviews, reviews_path

SMALL = ("--short-side", 32)


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "w")


@pytest.fixture
def both(run: Callable[..., Result], tree: Callable, tmp_path: Path) -> Callable[..., dict]:
    """Runs a build with and without --dry-run; gives the summary, which is that of both."""

    def build(*options: object, code: int = 0) -> dict:
        before = tree(tmp_path)
        said = json.loads(run("build", *options, "--dry-run", "--json", code=code).stdout)
        assert tree(tmp_path) == before
        done = json.loads(run("build", *options, "--json", code=code).stdout)
        assert said == {**done, "dry_run": True, "with_sound": None}
        return done

    return build


@pytest.fixture
def record(run: Callable[..., Result], tmp_path: Path) -> Callable[[str], None]:
    """Imports a recording by Anna under the id of a clip or class."""

    def import_one(name: str) -> None:
        sound = 0.1 * np.sin(np.arange(32000) * 0.05) * (np.arange(32000) % 4000 < 3000)
        (tmp_path / "recorded" / "anna").mkdir(parents=True)
        soundfile.write(tmp_path / "recorded" / "anna" / f"{name}.wav", sound, 16000)
        run("speech", "import", tmp_path / "recorded")
        shutil.rmtree(tmp_path / "recorded")

    return import_one


def rows(place: Workspace, kind: str) -> list[dict]:
    return [json.loads(line) for line in (place.manifests / f"{kind}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("options", "number"),
    [((), 4), (("--augment", 1), 8), (("--per-class", 1), 1), (("--no-speech",), 0), (("--keep-audio",), 4)],
)
def test_the_utterances_are_those_of_the_build(
    both: Callable, footage: Path, place: Workspace, options: tuple[object, ...], number: int
) -> None:
    done = both("--annotations", footage, *SMALL, *options)
    assert done["utterances"] == len(rows(place, "utterances")) == number


def test_the_second_build_has_the_recordings_and_the_speech_of_the_first(
    both: Callable, record: Callable, footage: Path, place: Workspace
) -> None:
    both("--annotations", footage, *SMALL)
    record(rows(place, "clips")[0]["id"])
    assert both()["utterances"] == len(rows(place, "utterances")) == 4
    assert both("--no-speech")["utterances"] == len(rows(place, "utterances")) == 4
    assert [row["voice"] for row in rows(place, "utterances") if row["source"] == "recorded"] == ["anna"]


def test_clips_without_a_sentence_in_the_language_are_named(
    run: Callable[..., Result],
    both: Callable,
    footage: Path,
    place: Workspace,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    temporary = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    header, first, *rest = footage.read_text().splitlines()
    footage.write_text("\n".join([f"{header},sentence", f"{first},Er schneidet die Karotte.", *rest, ""]))
    done = both("--annotations", footage, *SMALL, "--language", "de", code=1)
    assert done["utterances"] == len(rows(place, "utterances")) == 1
    assert len(done["failures"]) == 3
    said = run("build", "--dry-run", code=1).output
    assert "no sentence in the language 'de'" in said
    assert "ledger.jsonl" not in said  # which a dry run does not write
    assert not list(temporary.rglob("*.json"))  # a dry run has the sentences of the list there


def test_recordings_that_are_not_used_are_named_and_the_advice_works(
    run: Callable[..., Result], both: Callable, record: Callable, footage: Path, place: Workspace
) -> None:
    run("build", "--annotations", footage, *SMALL)
    record(rows(place, "clips")[0]["id"])
    (recording,) = (row["id"] for row in rows(place, "utterances") if row["source"] == "recorded")
    (footage.parent / "p1_a.mp4").rename(footage.parent / "p7_a.mp4")
    footage.write_text(footage.read_text().replace("p1_a", "p7_a"))
    (note,) = both()["speech_notes"]
    assert note.startswith("1 recording is not used, because the clip or class is not in the data set")
    assert f"another class: {recording}; recordings/ keeps them" in note
    assert "remove their rows from recordings/recordings.jsonl, and import the files under the new ids" in note
    (place.recordings / "recordings.jsonl").write_text("")
    (new,) = (clip["id"] for clip in rows(place, "clips") if clip["id"].endswith("000001-000021") and "7" in clip["id"])
    record(new)
    assert both()["speech_notes"] == []
    assert [row["clip"] for row in rows(place, "utterances") if row["source"] == "recorded"] == [new]


def test_all_clips_rejected_is_the_result_of_both(
    run: Callable[..., Result], both: Callable, footage: Path, place: Workspace, make_review: Callable[..., ReviewRow]
) -> None:
    run("build", "--annotations", footage, *SMALL)
    append_reviews(
        reviews_path(place),
        [
            make_review(minute=1, annotation=n, id=clip["id"], content_sha256=clip["sha256"], verdict="reject")
            for n, clip in enumerate(rows(place, "clips"))
        ],
    )
    assert both(code=1)["clips"] == 0
    assert "no clips are left: annotators rejected all of them" in run("build", "--dry-run", code=1).output


def test_decisions_on_a_video_that_was_replaced_are_applied_in_neither(
    run: Callable[..., Result],
    both: Callable,
    footage: Path,
    place: Workspace,
    make_review: Callable[..., ReviewRow],
    write_video: Callable[..., Path],
) -> None:
    run("build", "--annotations", footage, *SMALL)
    append_reviews(
        reviews_path(place),
        [
            make_review(minute=1, annotation=n, id=clip["id"], content_sha256=clip["sha256"], verdict="reject")
            for n, clip in enumerate(rows(place, "clips"))
            if clip["start_frame"] == 1
        ],
    )
    write_video(footage.parent / "p1_a.mp4", range(701, 761))
    done = both()
    assert done["reviewed"] == {"reject": 1}, "of the video that is as it was"
    assert [row["start_frame"] for row in rows(place, "clips")] == [1, 31, 31]
