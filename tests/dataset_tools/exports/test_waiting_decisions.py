"""Decisions that were pulled after the last build: an export without media is refused, one with media warns of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest
from typer.testing import CliRunner, Result

from dataset_tools.build import building
from dataset_tools.cli.main import app
from dataset_tools.core.errors import StoppedError
from dataset_tools.core.ledger import LedgerRow
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import ReviewRow, append_reviews, reviews_path
from dataset_tools.manifests import ClipRow, UtteranceRow, read_rows
from dataset_tools.speech.dataset_speech import write_utterances

pytestmark = pytest.mark.xdist_group("rebuilding")


def run(*arguments: object, code: int = 0) -> Result:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done


@pytest.fixture(scope="module")
def built(corpus_of_three: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips of two classes, small pictures."""
    root = tmp_path_factory.mktemp("built")
    run("build", "--classes", 2, "--per-class", 3, "--short-side", 32, "--mpii", corpus_of_three, "-w", root)
    return root


@pytest.fixture
def place(built: Path, tmp_path: Path) -> Workspace:
    return Workspace(Path(shutil.copytree(built, tmp_path / "data")))


def both(place: Workspace) -> tuple[ClipRow, UtteranceRow, str]:
    """The first clip, its utterance, and the other class."""
    clips = list(read_rows(place.manifests / "clips.jsonl", ClipRow))
    spoken = {row.clip: row for row in read_rows(place.manifests / "utterances.jsonl", UtteranceRow)}
    return clips[0], spoken[clips[0].id], next(one.class_id for one in clips if one.class_id != clips[0].class_id)


def decide(place: Workspace, make_review: Callable[..., ReviewRow], minute: int = 1, **fields: Any) -> str:
    """Appends a decision on the first clip, or its utterance; gives the id of what was judged."""
    clip, spoken, _ = both(place)
    judged = spoken if fields.get("item") == "utterance" else clip
    shown = {"class_id": clip.class_id, "sentence": spoken.text}
    given = {"id": judged.id, "content_sha256": judged.sha256, "shown": shown, **fields}
    append_reviews(reviews_path(place), [make_review(minute=minute, **given)])
    return judged.id


@pytest.mark.parametrize("kind", ["accept", "reject", "trim", "class", "sentence", "speech bad", "speech good"])
def test_an_export_without_media_is_refused_until_a_build_has_applied_them(
    place: Workspace, tmp_path: Path, make_review: Callable[..., ReviewRow], kind: str
) -> None:
    run("pairs", "--split", "pairs", "-w", place.root)
    clip, _, other = both(place)
    fields: dict[str, dict[str, Any]] = {
        "reject": {"verdict": "reject"},
        "trim": {"verdict": "trim", "trim": (clip.start_frame + 2, clip.end_frame - 2)},
        "class": {"corrected_class": other},
        "sentence": {"sentence": "Something else is said here."},
        "speech bad": {"item": "utterance", "verdict": "reject"},
        "speech good": {"item": "utterance"},
    }
    export = ("export", "csv", tmp_path / "out", "--no-media", "-w", place.root)
    run(*export, "--dry-run")
    name = decide(place, make_review, **fields.get(kind, {}))
    refused = run(*export, code=2).output
    assert "not applied yet" in refused
    assert name in "".join(refused.split())
    assert not (tmp_path / "out").exists()
    done = json.loads(run("export", "csv", tmp_path / "whole", "-w", place.root, "--json").stdout)
    assert name in done["waiting"]
    for advice in (("build",), ("pairs", "--split", "pairs")):
        run(*advice, "-w", place.root)
    run(*export)
    assert json.loads(run("export", "csv", tmp_path / "new", "-w", place.root, "--json").stdout)["waiting"] == []


def test_so_it_is_if_a_rejected_clip_is_accepted_after_all(
    place: Workspace, tmp_path: Path, make_review: Callable[..., ReviewRow]
) -> None:
    clip, *_ = both(place)
    name = decide(place, make_review, verdict="reject")
    run("build", "-w", place.root)
    run("pairs", "--split", "pairs", "-w", place.root)
    export = ("export", "csv", tmp_path / "out", "--no-media", "-w", place.root)
    run(*export, "--dry-run")
    shown = {"class_id": clip.class_id}
    again = make_review(minute=2, id=name, content_sha256=clip.sha256, shown=shown)
    append_reviews(reviews_path(place), [again])
    assert name in "".join(run(*export, code=2).output.split())


def test_a_rejected_clip_that_is_assigned_to_a_class_outside_the_set_stays_out(
    place: Workspace, tmp_path: Path, make_review: Callable[..., ReviewRow]
) -> None:
    clip, *_ = both(place)
    name = decide(place, make_review, verdict="reject")
    run("build", "-w", place.root)
    run("pairs", "--split", "pairs", "-w", place.root)
    shown = {"class_id": clip.class_id}
    again = make_review(minute=2, id=name, content_sha256=clip.sha256, shown=shown, corrected_class="other")
    append_reviews(reviews_path(place), [again])
    run("export", "csv", tmp_path / "out", "--no-media", "-w", place.root)
    before = (place.manifests / "clips.jsonl").read_bytes()
    run("build", "-w", place.root)
    assert (place.manifests / "clips.jsonl").read_bytes() == before


def test_a_decision_to_keep_a_clip_that_a_smaller_build_dropped_waits_for_a_build(
    place: Workspace, tmp_path: Path, make_review: Callable[..., ReviewRow]
) -> None:
    """The clip takes the place of one without a decision. What is unknown to the footage waits for a build, too."""
    large = {row.id: row for row in read_rows(place.manifests / "clips.jsonl", ClipRow)}
    pairs = ("pairs", "--split", "pairs", "-w", place.root)
    run("build", "--per-class", 2, "-w", place.root)
    run(*pairs)
    export = ("export", "csv", tmp_path / "out", "--no-media", "-w", place.root)
    run(*export, "--dry-run")
    dropped = min(large.keys() - {row.id for row in read_rows(place.manifests / "clips.jsonl", ClipRow)})
    shown = {"class_id": large[dropped].class_id}
    names = (dropped, "s99-d99_000001-000099")
    kept = [
        make_review(minute=number, annotation=number, id=name, content_sha256=large[dropped].sha256, shown=shown)
        for number, name in enumerate(names)
    ]
    append_reviews(reviews_path(place), kept)
    refused = "".join(run(*export, code=2).output.split())
    assert all(name in refused for name in names)
    run("build", "-w", place.root)
    run(*pairs)
    assert dropped in {row.id for row in read_rows(place.manifests / "clips.jsonl", ClipRow)}
    run(*export)


def applied(place: Workspace) -> dict[str, bytes]:
    """Builds and pairs; gives the manifests."""
    run("build", "-w", place.root)
    run("pairs", "--split", "pairs", "-w", place.root)
    return {path.name: path.read_bytes() for path in place.manifests.iterdir()}


def is_refused(place: Workspace, out: Path) -> str:
    """What an export without media is refused for, without spaces; an export is dry, so that it can be repeated."""
    return "".join(run("export", "csv", out, "--no-media", "--dry-run", "-w", place.root, code=2).output.split())


def is_exported(place: Workspace, out: Path) -> None:
    run("export", "csv", out, "--no-media", "--dry-run", "-w", place.root)


@pytest.mark.parametrize("taken_back", ["deleted", "good after all", "good, says another"])
def test_a_speech_bad_that_is_taken_back_after_a_build_waits_for_another(
    place: Workspace, tmp_path: Path, make_review: Callable[..., ReviewRow], taken_back: str
) -> None:
    """The utterance is no longer in the data set, but a rebuild would speak it again."""
    before = applied(place)
    clip, first, _ = both(place)
    bad = {"id": first.id, "item": "utterance", "content_sha256": first.sha256}
    shown = {"class_id": clip.class_id, "sentence": first.text}
    append_reviews(reviews_path(place), [make_review(minute=1, verdict="reject", shown=shown, **bad)])
    assert applied(place)["utterances.jsonl"] != before["utterances.jsonl"]
    second = both(place)[1]
    assert second.id != first.id
    is_exported(place, tmp_path / "out")

    other = {"annotation": 2, "annotator": "bob@example.com"} if taken_back == "good, says another" else {}
    fields = {"verdict": "reject", "deleted": True} if taken_back == "deleted" else {"verdict": "accept", **other}
    append_reviews(reviews_path(place), [make_review(minute=2, shown=shown, **bad, **fields)])
    assert second.id in is_refused(place, tmp_path / "out")
    assert applied(place)["utterances.jsonl"] != before["utterances.jsonl"] or taken_back == "deleted"
    assert both(place)[1].sha256 == first.sha256
    is_exported(place, tmp_path / "out")


def test_a_decision_on_an_utterance_that_changes_nothing_is_not_waited_for(
    place: Workspace, tmp_path: Path, make_review: Callable[..., ReviewRow]
) -> None:
    """Another "speech bad" on what a build has replaced; one on a voice that the clip's person does not have."""
    decide(place, make_review, item="utterance", verdict="reject")
    clip, first, _ = both(place)
    before = applied(place)
    more = [(first.id, first.sha256), (f"{clip.id}_nobody", "f" * 64)]
    rows = [
        make_review(
            minute=2 + number,
            annotation=2 + number,
            annotator="bob@example.com",
            item="utterance",
            verdict="reject",
            id=name,
            content_sha256=sha256,
            shown={"class_id": clip.class_id},
        )
        for number, (name, sha256) in enumerate(more)
    ]
    append_reviews(reviews_path(place), rows)
    is_exported(place, tmp_path / "out")
    assert applied(place) == before


def build_until_rows_are_written(place: Workspace) -> None:
    """Builds; the disk is full once the speech is in the ledger, before it is in the manifests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "write_rows", Mock(side_effect=StoppedError("The disk is full")))
        run("build", "-w", place.root, code=3)


def test_a_sentence_that_is_changed_after_its_clip_and_speech_were_accepted_waits_for_a_build(
    place: Workspace, tmp_path: Path, make_review: Callable[..., ReviewRow]
) -> None:
    clip, spoken, _ = both(place)
    shown = {"class_id": clip.class_id, "sentence": spoken.text}

    def rows(minute: int, sentence: str | None) -> list[ReviewRow]:
        heard = {"id": spoken.id, "item": "utterance", "content_sha256": spoken.sha256}
        seen = {"id": clip.id, "content_sha256": clip.sha256, "sentence": sentence}
        return [make_review(minute=minute, shown=shown, **one) for one in (seen, heard)]

    append_reviews(reviews_path(place), rows(1, None))
    applied(place)
    is_exported(place, tmp_path / "out")
    append_reviews(reviews_path(place), rows(2, "Something else is said here."))
    assert spoken.id in is_refused(place, tmp_path / "out")
    build_until_rows_are_written(place)
    assert spoken.id in is_refused(place, tmp_path / "out")
    applied(place)
    assert both(place)[1].text == "Something else is said here."
    is_exported(place, tmp_path / "out")


def test_a_speech_bad_that_an_import_has_only_noted_waits_for_a_build(
    place: Workspace, tmp_path: Path, make_review: Callable[..., ReviewRow]
) -> None:
    """An import, as the booth, writes verdicts to utterances.jsonl, and speaks nothing."""
    applied(place)
    name = decide(place, make_review, item="utterance", verdict="reject")
    clips = list(read_rows(place.manifests / "clips.jsonl", ClipRow))
    utterances = list(read_rows(place.manifests / "utterances.jsonl", UtteranceRow))
    assert [row.id for row in write_utterances(place, clips, utterances) if row.review == "reject"] == [name]
    run("pairs", "--split", "pairs", "-w", place.root)
    assert name in is_refused(place, tmp_path / "out")


def test_missing_speech_is_no_decision_and_missing_sentence_files_are_told(
    place: Workspace, tmp_path: Path, make_review: Callable[..., ReviewRow]
) -> None:
    """Both matter only if decisions on speech have changed since its synthesis, as those on a voice not in use."""
    people = tmp_path / "people.json"
    people.write_text('{"s99-d99.avi": {"timestamps": [[1, 60]], "sentences": ["Somebody cuts a carrot."]}}')
    decide(place, make_review)
    moved = {"id": "s99-d99_000001-000060", "corrected_class": both(place)[2]}  # there is no such clip any more
    append_reviews(reviews_path(place), [make_review(minute=1, annotation=3, **moved)])
    run("build", "--sentences", people, "-w", place.root)
    run("pairs", "--split", "pairs", "-w", place.root)
    shutil.rmtree(place.speech)
    people.rename(tmp_path / "moved.json")
    is_exported(place, tmp_path / "out")
    unused = {"id": f"{both(place)[0].id}_nobody", "content_sha256": "f" * 64, "item": "utterance", "verdict": "reject"}
    append_reviews(reviews_path(place), [make_review(minute=2, annotation=2, **unused)])
    refused = is_refused(place, tmp_path / "out")
    assert "Itcannotbetold" in refused
    assert "people.json" in refused
    rows = place.ledger.read_text("utf-8").splitlines(keepends=True)
    place.ledger.write_text("".join(row for row in rows if "speech/decisions" not in row), "utf-8")
    run("speech", "synthesize", "--voices", "unknown", "--no-sentences", "-w", place.root, code=2)  # changes nothing
    export = ("export", "csv", tmp_path / "out", "--no-media", "--dry-run", "-w", place.root)
    assert "It cannot be told" in " ".join(run(*export).output.split())  # an earlier version built it
    place.ledger.write_text("".join(rows), "utf-8")
    (tmp_path / "moved.json").rename(people)
    is_exported(place, tmp_path / "out")
    place.ledger.write_text("".join(rows).replace('"of_all_classes":true', ""), "utf-8")  # as of an earlier version
    assert moved["id"] in is_refused(place, tmp_path / "out")
    refusal = LedgerRow(id=f"interval/{moved['id']}#3", status="skipped", stage="plan")  # it was considered
    lines = [*place.ledger.read_bytes().splitlines(), msgspec.json.encode(refusal)]
    place.ledger.write_bytes(b"\n".join(sorted(lines)) + b"\n")
    is_exported(place, tmp_path / "out")


def test_pairs_of_rows_as_they_were_before_the_last_build_are_refused(
    place: Workspace, tmp_path: Path, make_review: Callable[..., ReviewRow]
) -> None:
    """A rebuild pairs the rows as they are now, with their verdicts; or more of them, with --reviewed."""
    applied(place)
    first, *others = read_rows(place.manifests / "clips.jsonl", ClipRow)
    clips = [first, *(clip for clip in others if clip.class_id == first.class_id)]
    spoken = {row.clip: row for row in read_rows(place.manifests / "utterances.jsonl", UtteranceRow)}

    def accept(clip: ClipRow, number: int) -> None:
        shown = {"class_id": clip.class_id, "sentence": spoken[clip.id].text}
        given = {"id": clip.id, "content_sha256": clip.sha256, "shown": shown}
        append_reviews(reviews_path(place), [make_review(minute=number, annotation=number, **given)])
        run("build", "-w", place.root)

    accept(clips[0], 1)
    assert "manifestsareinconsistent" in is_refused(place, tmp_path / "out")
    run("export", "csv", tmp_path / "whole", "--dry-run", "-w", place.root)  # with media: the same files
    accept(clips[1], 2)
    reviewed = ("pairs", "--split", "pairs", "--test-share", 0.5, "--reviewed", "-w", place.root)
    run(*reviewed)
    is_exported(place, tmp_path / "out")
    accept(clips[2], 3)
    assert "Thepairsarenotthoseofthepresentclips" in is_refused(place, tmp_path / "out")
    run(*reviewed)
    is_exported(place, tmp_path / "out")
