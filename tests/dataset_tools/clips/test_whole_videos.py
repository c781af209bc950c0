"""Whole videos that cannot be read: failed, with the reason of the video, in builds and counts alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_tools.build.building import build_dataset
from dataset_tools.build.opened_videos import with_opened_videos
from dataset_tools.build_record import BuildOptions
from dataset_tools.classes.interval_counts import audit
from dataset_tools.classes.reader import load_classes
from dataset_tools.clips.interval_selection import SourceStatus
from dataset_tools.clips.planning import plan_clips
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.annotations.own_footage import open_own_footage
from dataset_tools.corpora.corpus import Corpus
from dataset_tools.manifests import ClipRow, read_rows
from dataset_tools.speech.synthesis import SpeechOptions

CLASSES = load_classes()


@pytest.fixture(params=["csv", "folder"])
def corpus(request: pytest.FixtureRequest, write_video: Callable[..., Path], tmp_path: Path) -> Corpus:
    """A whole video, two that cannot be read, and in the CSV one that is missing."""
    folder = tmp_path / "own" / "cut_carrot_knife"
    write_video(folder / "good.mp4", 40)
    (folder / "zero.mp4").touch()
    (folder / "junk.mp4").write_bytes(b"no video" * 99)
    listing = tmp_path / "own"
    if request.param == "csv":
        listing = tmp_path / "own" / "list.csv"
        videos = [f"cut_carrot_knife/{name}" for name in ("good", "zero", "junk", "gone")]
        listing.write_text("video,label\n" + "".join(f"{video},cut_carrot_knife\n" for video in videos))
    return open_own_footage(listing, CLASSES, cache=tmp_path / "memory")


def test_a_build_fails_with_the_reason_of_the_video(corpus: Corpus, tmp_path: Path) -> None:
    place = Workspace(tmp_path / "workspace")
    summary = build_dataset(place, corpus, CLASSES, BuildOptions(per_class=5, short_side=64, speech=False))
    assert [row.end_frame for row in read_rows(place.manifests / "clips.jsonl", ClipRow)] == [40]
    found = {str(failure) for failure in summary.failures}
    assert len(found) == len(corpus.annotations.intervals) - 1
    assert not any("fewer than" in text for text in found)


def test_counts_have_no_readable_video(corpus: Corpus, tmp_path: Path) -> None:
    opened = with_opened_videos(corpus, tmp_path / "memory", jobs=1)
    (row,) = (one for one in audit(opened, CLASSES) if one.intervals)
    assert (row.usable, row.too_short) == (1, 0)
    assert row.without_video == len(corpus.annotations.intervals) - 1
    assert row.median_s == pytest.approx(40 / corpus.annotations.frame_rate, abs=1e-3)


def test_no_clip_of_one_frame_is_cut_if_the_video_can_be_read_later(corpus: Corpus) -> None:
    known = SourceStatus(dict.fromkeys(corpus.videos, 40))
    plan = plan_clips(corpus, CLASSES, per_class=5, known=known)
    assert [clip.frames for clip in plan.clips] == [40]
    assert {refusal.status for refusal in plan.refusals} == {"failed"}


def test_without_a_single_clip_the_next_step_is_a_build(tmp_path: Path) -> None:
    folder = tmp_path / "own" / "cut_carrot_knife"
    folder.mkdir(parents=True)
    (folder / "zero.mp4").touch()
    corpus = open_own_footage(tmp_path / "own", CLASSES, cache=tmp_path / "memory")
    with pytest.raises(InputError) as refused:
        build_dataset(Workspace(tmp_path / "w"), corpus, CLASSES, BuildOptions(speech=False, short_side=32))
    assert refused.value.next_step is not None
    assert "fmn-data build" in refused.value.next_step
    assert "fmn-data retry" not in refused.value.next_step  # there is no build to retry


def test_a_dry_run_refuses_a_language_that_the_class_file_lacks(
    write_video: Callable[..., Path], tmp_path: Path
) -> None:
    write_video(tmp_path / "own" / "cut_carrot_knife" / "good.mp4", 40)
    file = tmp_path / "classes.yaml"
    file.write_text(re.sub(r"\n +zh: [^\n]*", "", CLASSES.path.read_text("utf-8")), "utf-8")
    classes = load_classes(file)
    corpus = open_own_footage(tmp_path / "own", classes, cache=tmp_path / "memory")
    options = BuildOptions(short_side=32, voices=SpeechOptions(language="zh"))
    with pytest.raises(InputError, match="Chinese word"):
        build_dataset(Workspace(tmp_path / "w"), corpus, classes, options, dry_run=True)
