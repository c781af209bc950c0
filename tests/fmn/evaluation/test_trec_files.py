from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from fmn.data.items import Items, load_items
from fmn.evaluation.evaluate import measure
from fmn.evaluation.trec_files import encoded, write_trec_files

NAMES = {"ndcg@10": "ndcg_cut_10", "mrr": "recip_rank", "map": "map", "recall@5": "recall_5", "hit@1": "success_1"}


@pytest.fixture
def items(workspace: Path) -> Items:
    """12 clips and 12 utterances of 4 classes. The last clip has no partner; no utterance is of the first's class."""
    found = load_items(workspace / "manifests" / "test.jsonl")
    classes = found.clip_classes.copy()
    classes[0] = 99
    return replace(found, clip_classes=classes, partners=np.where(found.partners == 11, -1, found.partners))


def distinct_scores(shape: tuple[int, int]) -> NDArray[np.float32]:
    """A permutation, in steps so small that six digits would make ties of them."""
    order = np.random.default_rng(0).permutation(shape[0] * shape[1]).astype(np.float32)
    return (1 + order * np.float32(2**-23)).reshape(shape)


@pytest.mark.parametrize("direction", ["audio_to_video", "video_to_audio"])
@pytest.mark.parametrize("relevance", ["class", "instance"])
def test_pytrec_eval_finds_the_figures_of_fmn_eval(
    items: Items, tmp_path: Path, direction: str, relevance: str
) -> None:
    trec = pytest.importorskip("pytrec_eval")
    clips = (msgspec.structs.replace(items.clips[0], id="a clip % of\u3000one"), *items.clips[1:])
    items, scores = replace(items, clips=clips), distinct_scores((12, 12))
    write_trec_files(tmp_path, scores, items, tag="a run")
    with (
        (tmp_path / f"run.{direction}.txt").open() as run,
        (tmp_path / f"qrels.{direction}.{relevance}.txt").open() as of,
    ):
        found, qrels = trec.parse_run(run), trec.parse_qrel(of)
    by_query = trec.RelevanceEvaluator(qrels, set(NAMES.values())).evaluate(found).values()
    expected = measure(scores, items, metric_names=tuple(NAMES))[direction]["chosen"][relevance]
    for ours, theirs in NAMES.items():
        assert 100 * np.mean([values[theirs] for values in by_query]) == pytest.approx(expected[ours])


def test_the_lines_are_those_of_trec(items: Items, tmp_path: Path) -> None:
    scores = distinct_scores((12, 12))
    scores[0, :2] = (2.5, -np.inf)
    paths = write_trec_files(tmp_path / "new", scores, items, tag="demo", top=4)
    assert sorted(path.name for path in paths) == sorted(path.name for path in (tmp_path / "new").iterdir())
    lines = {path.name: [line.split(" ") for line in path.read_text().splitlines()] for path in paths}
    clips, utterances = [row.id for row in items.clips], [row.id for row in items.utterances]
    run = lines["run.video_to_audio.txt"]
    assert [line[0] for line in run] == [clip for clip in clips for _ in range(4)]
    assert run[0] == [clips[0], "Q0", utterances[0], "1", "2.5", "demo"]
    for number, (query, _, found, rank, score, _) in enumerate(run):
        best = np.sort(scores[clips.index(query)])[::-1]
        assert int(rank) == number % 4 + 1
        assert np.float32(score) == scores[clips.index(query), utterances.index(found)] == best[int(rank) - 1]
    assert [line[2] for line in lines["run.audio_to_video.txt"][:4]] == [
        clips[i] for i in np.argsort(-scores[:, 0])[:4]
    ]
    own = {(row.clip, row.id) for row in items.utterances if row.clip != clips[11]}
    assert {(c, u) for c, _, u, _ in lines["qrels.video_to_audio.instance.txt"]} == own
    assert {(c, u) for u, _, c, _ in lines["qrels.audio_to_video.instance.txt"]} == own
    of_class = {(c.id, u.id) for c in items.clips[1:] for u in items.utterances if c.class_id == u.class_id}
    judged = lines["qrels.video_to_audio.class.txt"]
    assert {(c, u) for c, _, u, relevance in judged if relevance == "1"} == of_class
    assert [line for line in judged if line[3] != "1"] == [[clips[0], "0", utterances[0], "0"]]


def test_of_items_that_tie_the_first_by_id_are_kept(items: Items, tmp_path: Path) -> None:
    write_trec_files(tmp_path, np.zeros((12, 12), np.float32), items, tag="demo", top=3)
    run = [line.split() for line in (tmp_path / "run.video_to_audio.txt").read_text().splitlines()]
    assert [line[2] for line in run[:3]] == [row.id for row in items.utterances[:3]]


def test_ids_have_no_white_space_and_stay_distinct() -> None:
    names = ["a b", "a%20b", "a\u3000b", "a\u00a0b", "Rüben_schälen"]
    assert [encoded(name) for name in names] == ["a%20b", "a%2520b", "a%E3%80%80b", "a%C2%A0b", "Rüben_schälen"]


def test_memory_is_that_of_one_query(items: Items, tmp_path: Path, peak_bytes: Callable[..., int]) -> None:
    clips = tuple(msgspec.structs.replace(items.clips[0], id=f"clip-{number:05d}") for number in range(2000))
    large = replace(items, clips=clips, clip_classes=np.repeat(items.clip_classes[1:2], len(clips)))
    scores = np.random.default_rng(0).random((len(clips), len(large.utterances)), dtype=np.float32)
    peak = peak_bytes(lambda: write_trec_files(tmp_path, scores, large, tag="demo", top=2000), limit=1_000_000)
    written = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert written > 3_500_000
    assert peak < 1_000_000  # ids of the gallery, a row of scores and its order
