"""From a real build over a real Label Studio to the next build: what people said there is what the data set becomes."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import httpx
import imageio_ffmpeg
import msgspec
import pytest
from made_up_answers import answer, verdict

from dataset_tools.build.building import build_dataset
from dataset_tools.build_record import BuildOptions
from dataset_tools.classes.reader import load_classes
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.corpus import Annotations, Corpus, Interval
from dataset_tools.decisions.journal import reviews_path
from dataset_tools.label_studio.pull import pull
from dataset_tools.label_studio.push import push
from dataset_tools.label_studio.review_status import status
from dataset_tools.manifests import ClipRow, SplitPairRow, UtteranceRow, read_rows
from dataset_tools.pairs.pair_assignment import PairOptions
from dataset_tools.pairs.pairing import make_pairs

pytestmark = [pytest.mark.label_studio, pytest.mark.xdist_group("label_studio")]

CLASSES = load_classes()
CUT, STIR = "cut_carrot_knife", "stir_onion_spatula"
MARGIN = 10
SENTENCE = "She slices a carrot for the salad."


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Two test patterns, in each three intervals of cutting and two of stirring."""
    intervals, videos = [], {}
    for person, pattern in (("s07", "testsrc2"), ("s08", "mandelbrot")):
        name = f"{person}-d20-cam-002"
        videos[name] = tmp_path / f"{name}.avi"
        arguments = ["-f", "lavfi", "-t", "10", "-i", f"{pattern}=s=160x120:r=29.4", "-vcodec", "mpeg4", "-q:v", "4"]
        subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *arguments, str(videos[name])], check=True)
        for place in range(5):
            verb, things = ("cut", ("carrot", "knife")) if place % 2 == 0 else ("stir", ("onion", "spatula"))
            start = 50 * place + 11
            intervals.append(
                Interval(len(intervals), name, start, start + 39, verb, frozenset(things), frozenset([verb]))
            )
    listing = tmp_path / "annotations.mat"
    listing.write_text("made for this test")
    annotations = Annotations(listing, tuple(intervals), 29.4, (), "made for this test")
    return Corpus(tmp_path, annotations, videos, {}, None, None)


def contents(place: Workspace) -> dict[str, bytes]:
    """Every file but for the cache, the place of the footage, and the time of the last pull, which a pull moves on."""
    return {
        str(path.relative_to(place.root)): path.read_bytes()
        for path in sorted(place.root.rglob("*"))
        if path.is_file()
        and "cache" not in path.relative_to(place.root).parts
        and path.name not in ("projects.json", "workspace.json")
    }


def test_what_was_said_in_label_studio_is_what_the_next_build_makes(
    label_studio: Any, corpus: Corpus, tmp_path: Path
) -> None:
    root = label_studio.target.document_root
    place = Workspace(root / "rebuilt")
    options = BuildOptions(per_class=4, short_side=96)

    def build() -> tuple[dict[str, ClipRow], dict[str | None, UtteranceRow]]:
        build_dataset(place, corpus, CLASSES, options, jobs=2)
        clips = {row.id: row for row in read_rows(place.manifests / "clips.jsonl", ClipRow)}
        return clips, {row.clip: row for row in read_rows(place.manifests / "utterances.jsonl", UtteranceRow)}

    def push_all() -> Any:
        return push(place, replace(label_studio.login, document_root=root), CLASSES, jobs=2)

    before, spoken = build()
    pushed = push_all()
    assert (pushed.created, pushed.without_margin) == (8, 0)
    response = httpx.get(
        f"{label_studio.target.url}/api/tasks",
        params={"project": pushed.project, "fields": "all", "page_size": 100},
        headers={"Authorization": f"Token {label_studio.target.api_key}"},
    )
    tasks = {task["data"]["clip_id"]: task for task in response.json()["tasks"]}
    trimmed, rejected, moved, worded = (row for row in before.values() if row.class_id == CUT)
    accepted = next(row for row in before.values() if row.class_id == STIR)
    task = tasks[trimmed.id]["data"]
    margin = min(MARGIN, trimmed.start_frame - 1)
    assert task["first_frame"] == trimmed.start_frame - margin
    video = httpx.get(
        label_studio.target.url + task["video"], headers={"Authorization": f"Token {label_studio.target.api_key}"}
    )
    shown = tmp_path / "shown.mp4"
    shown.write_bytes(video.content)
    with av.open(str(shown)) as container:
        assert container.streams.video[0].frames == task["frames"] > 40 + margin

    def say(clip: ClipRow, choice: str, *more: dict[str, Any]) -> None:
        results = [verdict(choice), *more]
        label_studio.client().annotations.create(id=tasks[clip.id]["id"], result=results)

    # drawn from ten frames into the clip to beyond its end, into the margin
    drawn = {"start": margin + 11, "end": margin + 60}
    say(trimmed, "trim", answer("trim", "timelinelabels", ranges=[drawn], timelinelabels=["keep"]))
    say(rejected, "reject", answer("reason", "choices", choices=["cannot be seen"]))
    words = [
        answer(name, "taxonomy", taxonomy=[[key]])
        for name, key in zip(("action", "subject", "object"), STIR.split("_"), strict=True)
    ]
    say(moved, "accept", *words)
    say(worded, "accept", answer("sentence", "textarea", text=[SENTENCE]))
    say(accepted, "accept")
    news = pull(place, label_studio.login)
    assert news.decided == 5
    ((name, _, how),) = news.changed
    assert name == trimmed.id
    assert f"was limited to the clip: {margin + 11} to {margin + 40}" in how

    after, heard = build()
    assert after[trimmed.id].trim == (trimmed.start_frame + 10, trimmed.end_frame)
    assert after[trimmed.id].frames == 30
    assert rejected.id not in after
    assert rejected.id not in heard
    assert (after[moved.id].class_id, heard[moved.id].class_id) == (STIR, STIR)
    assert heard[worded.id].text == SENTENCE
    assert sum(row.class_id == CUT for row in after.values()) == 4
    assert heard[accepted.id] == msgspec.structs.replace(spoken[accepted.id], review="accept")
    kept = {trimmed.id, moved.id, worded.id, accepted.id}
    make_pairs(place, CLASSES, PairOptions(reviewed=True, test_share=0.5))
    sides = [read_rows(place.manifests / f"{name}.jsonl", SplitPairRow) for name in ("train", "test")]
    assert {row.clip.id for side in sides for row in side} == kept

    pushed = push_all()
    new = set(after) - set(before)
    assert (pushed.created, pushed.again, pushed.gone) == (len(new), 0, len(set(before) - set(after)))
    found = {row.class_id: row for row in status(place).classes}
    assert (found[CUT].trimmed, found[CUT].accepted, found[CUT].to_do) == (1, 1, len(new))
    decisions = reviews_path(place).read_bytes()
    first = contents(place)
    build()
    push_all()
    assert pull(place, label_studio.login).rows == 0
    make_pairs(place, CLASSES, PairOptions(reviewed=True, test_share=0.5))
    assert contents(place) == first
    assert reviews_path(place).read_bytes() == decisions
