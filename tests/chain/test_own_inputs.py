"""What a user brings along, by commands: a list of intervals, sentences; and retry after a build with either."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def sentences(small_corpus: Path) -> Path:
    """Human sentences for the first two intervals of s07 and for a moment of s08, beside the footage."""
    path = small_corpus / "tacos.json"
    spans = {"timestamps": [[1, 20], [15, 45]], "sentences": ["She dices a carrot.", "He slices the carrots."]}
    path.write_text(json.dumps({"s07-d20.avi": spans, "s08-d20.avi": {"timestamps": [[1, 9]], "sentences": ["No."]}}))
    return path


def texts(workspace: Path) -> dict[str, tuple[str, str]]:
    rows = [json.loads(line) for line in (workspace / "manifests" / "utterances.jsonl").read_text().splitlines()]
    return {row["clip"]: (row["text"], row["text_source"]) for row in rows}


def build(run: Callable, workspace: Path, *more: object) -> Any:
    return run("fmn-data", "build", "--workspace", workspace, "--jobs", 2, "--json", *more)


def test_sentences_beside_the_footage_are_taken_unless_told_otherwise(
    run: Callable, small_corpus: Path, sentences: Path, tmp_path: Path
) -> None:
    workspace = tmp_path / "workspace"
    assert build(run, workspace, "--mpii", small_corpus).code == 0
    human = {clip: text for clip, (text, source) in texts(workspace).items() if source == "tacos"}
    assert human == {
        "s07-d20_000001-000018": "She dices a carrot.",
        "s07-d20_000021-000038": "He slices the carrots.",
    }
    recorded = json.loads((workspace / "manifests" / "build.json").read_text())["options"]["voices"]["sentences"]
    assert [row["name"] for row in recorded] == ["tacos.json"]
    assert build(run, workspace, "--mpii", small_corpus, "--no-sentences").code == 0
    assert {source for _, source in texts(workspace).values()} == {"grammar"}


def test_retry_finds_the_sentences_again_or_says_which_are_lacking(
    run: Callable, small_corpus: Path, sentences: Path, tmp_path: Path
) -> None:
    workspace, elsewhere = tmp_path / "workspace", tmp_path / "elsewhere" / "people.json"
    elsewhere.parent.mkdir()
    video = small_corpus / "videos" / "s08-d20-cam-002.avi"
    whole = video.read_bytes()
    video.write_bytes(b"")
    assert build(run, workspace, "--mpii", small_corpus).code == 1
    before = texts(workspace)
    video.write_bytes(whole)
    assert run("fmn-data", "retry", "--workspace", workspace, "--mpii", small_corpus, "--json").code == 0
    after = texts(workspace)
    assert len(after) == 12
    assert {clip: after[clip] for clip, (_, source) in before.items() if source == "tacos"} == {
        clip: text for clip, text in before.items() if text[1] == "tacos"
    }
    shutil.move(sentences, elsewhere)
    ended = run("fmn-data", "retry", "--workspace", workspace, "--mpii", small_corpus)
    assert ended.code == 2
    assert "tacos.json" in ended.err
    assert "--sentences" in ended.err
    ended = run("fmn-data", "retry", "--workspace", workspace, "--mpii", small_corpus, "--sentences", elsewhere)
    assert ended.code == 0, ended.err
    assert texts(workspace) == after


def test_footage_of_ones_own_is_looked_at_built_and_retried(run: Callable, small_corpus: Path, tmp_path: Path) -> None:
    workspace, listing = tmp_path / "workspace", tmp_path / "intervals.csv"
    rows = [
        f"s0{person}-d20-cam-002.avi,{20 * k + 1},{20 * k + 18},cut,carrot,knife" for person in (7, 8) for k in range(6)
    ]
    listing.write_text("\n".join(["video,start_frame,end_frame,action,subject,object", *rows]) + "\n")
    own = ("--annotations", listing, "--videos", small_corpus / "videos")
    looked = run("fmn-data", "classes", *own, "--json", cwd=tmp_path)
    assert looked.code == 0, looked.err
    usable = {row["class_id"]: row["usable"] for row in looked.json["classes"] if row["usable"]}
    assert usable == {"cut_carrot_knife": 12}
    assert build(run, workspace, *own, "--dry-run").json["clips"] == 12
    assert not workspace.exists()
    video = small_corpus / "videos" / "s08-d20-cam-002.avi"
    whole = video.read_bytes()
    video.unlink()
    assert build(run, workspace, *own).json["clips"] == 6
    video.write_bytes(whole)
    ended = run("fmn-data", "retry", "--workspace", workspace, "--mpii", small_corpus)
    assert ended.code == 2
    assert "--annotations" in ended.err
    ended = run("fmn-data", "retry", "--workspace", workspace, *own, "--json")
    assert ended.code == 0, ended.out
    from_mat = tmp_path / "from the annotation file"
    assert build(run, from_mat, "--mpii", small_corpus).code == 0
    for name in ("clips", "utterances"):  # the same intervals, the same ids, the same files
        path = f"manifests/{name}.jsonl"
        assert (workspace / path).read_bytes() == (from_mat / path).read_bytes()


@pytest.mark.parametrize("own", [False, True])
def test_videos_belong_to_a_list_of_intervals(run: Callable, small_corpus: Path, tmp_path: Path, own: bool) -> None:
    listing = tmp_path / "intervals.csv"
    listing.write_text("video,start,end,action,subject\n")
    ended = build(run, tmp_path / "w", *(("--annotations", listing) if own else ("--videos", small_corpus)))
    assert ended.code == 2
    assert ended.json["error"]["where"] == (f"{listing}, line 1" if own else str(small_corpus))
