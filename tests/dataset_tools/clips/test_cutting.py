"""Builds on sources whose frames carry their number: exact, resumable, the same bytes whatever happens."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pytest

from dataset_tools.build.building import build_dataset
from dataset_tools.build.verify import verify_dataset
from dataset_tools.build_record import BuildOptions
from dataset_tools.classes.reader import load_classes
from dataset_tools.clips.cut_tasks import CutTask, Span
from dataset_tools.clips.cutting import cut_task
from dataset_tools.clips.encoding import ENCODER_OPTIONS
from dataset_tools.core.errors import InputError, StoppedError
from dataset_tools.core.ledger import Ledger, read_ledger
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.mpii.mpii_corpus import Corpus
from dataset_tools.manifests import ClipRow, read_rows
from dataset_tools.video.source_videos import read_sources

CLASSES = load_classes()
OPTIONS = BuildOptions(per_class=8, short_side=64, speech=False)

VIDEOS: dict[str, dict[str, Any]] = {
    "s07-d20.avi": {"frames": 300, "g": 250},
    "s08-d21.avi": {"frames": 170, "codec": "libx264", "g": 50, "bf": 3},
    "s10-d22.mkv": {"frames": 170, "codec": "libx264", "times_ms": lambda place: appears_ms(place)},
    "s11-d23.mov": {"frames": 170, "codec": "libx264", "g": 40, "rotate": 90, "size": (166, 122)},
}


def appears_ms(place: int) -> int:
    """When the frame in that place, from 0, of the video of variable rate appears: half a second's pause every 40."""
    return place * 34 + (place // 40) * 500


def shown_at(time_ms: float, start_frame: int) -> int:
    """The number of the frame that is seen so long after ``start_frame`` appears."""
    return sum(appears_ms(place) <= appears_ms(start_frame - 1) + time_ms for place in range(170))


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory, write_video: Callable[..., Path]) -> dict[str, Path]:
    """Numbered videos, by name without suffix."""
    folder = tmp_path_factory.mktemp("footage")
    return {name.split(".")[0]: write_video(folder / name, **options) for name, options in VIDEOS.items()}


@pytest.fixture
def corpus(
    footage: dict[str, Path], make_interval: Callable, make_corpus: Callable[..., Corpus], tmp_path: Path
) -> Corpus:
    """Sixteen intervals of two classes in four videos, of the test's own to damage."""
    intervals = []
    videos = {}
    for name, path in footage.items():
        (tmp_path / "videos").mkdir(exist_ok=True)
        videos[f"{name}-cam-002"] = Path(shutil.copy(path, tmp_path / "videos" / path.name))
        for start, end in ((3, 20), (100, 131)):
            intervals.append(make_interval(name, start, end))
            intervals.append(make_interval(name, start + 32, end + 32, "stir", "onion spatula"))
    return make_corpus(intervals, videos)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def contents(place: Workspace) -> dict[str, bytes]:
    """Every file in a workspace but for the cache."""
    return {
        str(path.relative_to(place.root)): path.read_bytes()
        for path in sorted(place.root.rglob("*"))
        if path.is_file() and "cache" not in path.relative_to(place.root).parts
    }


def rows_of(place: Workspace) -> list[ClipRow]:
    return list(read_rows(place.manifests / "clips.jsonl", ClipRow))


def test_every_clip_has_just_the_frames_of_its_interval(
    corpus: Corpus, workspace: Workspace, read_numbers: Callable[[Path], list[int]]
) -> None:
    summary = build_dataset(workspace, corpus, CLASSES, OPTIONS, jobs=2)
    rows = rows_of(workspace)
    assert summary.clips == len(rows) == 16
    assert summary.failures == ()
    assert {row.id for row in rows} == {interval.id for interval in corpus.annotations.intervals}
    for row in rows:
        path = workspace.root / row.path
        numbers = read_numbers(path)
        if row.video.startswith("s10"):
            # What happens at .4 s plays at .4 s: half way through each frame of the clip, the source shows that frame.
            assert numbers == [shown_at((k + 0.5) * 34, row.start_frame) for k in range(len(numbers))]
            lasts_ms = appears_ms(row.end_frame) - appears_ms(row.start_frame - 1)
            assert row.duration_s == pytest.approx(lasts_ms / 1000, abs=0.018)
        else:
            assert numbers == list(range(row.start_frame, row.end_frame + 1))
        every = list(range(row.start_frame, row.end_frame + 1))
        assert (every if row.source_frames is msgspec.UNSET else list(row.source_frames)) == numbers
        with av.open(str(path)) as clip:
            stream = clip.streams.video[0]
            stamps = [packet.pts for packet in clip.demux(stream) if packet.size]
            steps = np.diff(stamps) * stream.time_base
            assert stamps[0] == 0
            assert all(step * stream.average_rate == 1 for step in steps)
            assert float(stream.average_rate) == row.fps
            assert len(clip.streams) == 1
            assert (stream.codec.name, stream.pix_fmt) == ("h264", "yuv420p")
            assert (stream.width, stream.height) == (row.width, row.height)
        assert min(row.width, row.height) == 64
        assert row.duration_s == row.frames / row.fps
    rates = {row.video.split("-")[0]: row.fps for row in rows}
    assert rates["s07"] == rates["s08"] == rates["s11"] == 29.4
    assert rates["s10"] == pytest.approx(1 / 0.034, abs=1e-3)  # between the pauses
    pauses = {40, 80, 120, 160}  # places before which half a second passes
    assert {row.id for row in rows if row.source_frames is not msgspec.UNSET} == {
        row.id for row in rows if row.video.startswith("s10") and pauses & set(range(row.start_frame, row.end_frame))
    }
    assert {row.width > row.height for row in rows} == {True}  # the rotated one is upright
    assert verify_dataset(workspace, jobs=2).problems == ()


def test_jobs_make_no_difference_and_a_second_build_does_nothing(corpus: Corpus, tmp_path: Path) -> None:
    one, three = Workspace(tmp_path / "one"), Workspace(tmp_path / "three")
    build_dataset(one, corpus, CLASSES, OPTIONS, jobs=1)
    build_dataset(three, corpus, CLASSES, OPTIONS, jobs=3)
    assert contents(one) == contents(three)
    before = {path: path.stat().st_mtime_ns for path in one.clips.iterdir()}
    build_dataset(one, corpus, CLASSES, OPTIONS, jobs=2)
    assert contents(one) == contents(three)
    assert {path: path.stat().st_mtime_ns for path in one.clips.iterdir()} == before


def test_nothing_is_cut_again_elsewhere_or_without_ledger_and_cache(corpus: Corpus, workspace: Workspace) -> None:
    build_dataset(workspace, corpus, CLASSES, OPTIONS, jobs=2)
    expected = contents(workspace)
    moved = Workspace(workspace.root.with_name("moved"))
    workspace.root.rename(moved.root)
    videos = {}
    for name, path in corpus.videos.items():  # other places, other times, the same contents
        other = path.with_name("copy-" + path.name)
        shutil.copy(path, other)
        os.utime(other, (1, 1))
        path.unlink()
        videos[name] = other
    elsewhere = Corpus(**{**vars(corpus), "videos": videos})
    before = {path: path.stat().st_mtime_ns for path in moved.clips.iterdir()}
    build_dataset(moved, elsewhere, CLASSES, OPTIONS, jobs=2)
    assert contents(moved) == expected
    shutil.rmtree(moved.cache)
    moved.ledger.unlink()
    build_dataset(moved, elsewhere, CLASSES, OPTIONS, jobs=2)
    assert contents(moved) == expected
    assert {path: path.stat().st_mtime_ns for path in moved.clips.iterdir()} == before


def test_another_content_is_cut_again_even_with_the_times_of_the_old(
    corpus: Corpus, workspace: Workspace, write_video: Callable[..., Path], read_numbers: Callable[[Path], list[int]]
) -> None:
    path = corpus.videos["s07-d20-cam-002"]
    os.truncate(path, path.stat().st_size + 100_000)  # zeros at the end, which readers ignore
    build_dataset(workspace, corpus, CLASSES, OPTIONS, jobs=2)
    status = path.stat()
    with path.open("r+b") as file:
        file.write(write_video(path.with_name("other.avi"), range(1001, 1301), g=250).read_bytes())
    assert path.stat().st_size == status.st_size
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    build_dataset(workspace, corpus, CLASSES, OPTIONS, jobs=2)
    for row in rows_of(workspace):
        first = row.start_frame + (1000 if row.person == "s07" else 0)
        assert read_numbers(workspace.root / row.path)[0] == first


def test_another_selection_leaves_no_stale_rows_and_deletes_no_files(corpus: Corpus, workspace: Workspace) -> None:
    build_dataset(workspace, corpus, CLASSES, OPTIONS, jobs=2)
    whole = contents(workspace)
    few = BuildOptions(**{**vars(OPTIONS), "per_class": 3})
    build_dataset(workspace, corpus, CLASSES, few, jobs=2)
    rows = rows_of(workspace)
    assert len(rows) == 6
    assert len(list(workspace.clips.iterdir())) == 16
    assert {name for name in read_ledger(workspace.ledger) if name.startswith("clip/")} == {
        f"clip/{r.id}" for r in rows
    }
    times = {path: path.stat().st_mtime_ns for path in workspace.clips.iterdir()}
    build_dataset(workspace, corpus, CLASSES, OPTIONS, jobs=2)
    assert contents(workspace) == whole
    assert {path: path.stat().st_mtime_ns for path in workspace.clips.iterdir()} == times


def test_damage_fails_what_it_touches_and_others_take_their_place(
    corpus: Corpus, workspace: Workspace, make_interval: Callable
) -> None:
    path = corpus.videos["s07-d20-cam-002"]
    whole = path.read_bytes()
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(whole)
    for place, size in places[104:130]:
        content[place + 6 : place + size] = b"\x5a" * (size - 6)
    path.write_bytes(content)
    options = BuildOptions(**{**vars(OPTIONS), "per_class": 7})
    summary = build_dataset(workspace, corpus, CLASSES, options, jobs=2)
    # The two intervals after frame 100 of that video need the damaged frames; each class has one more than it needs.
    assert 0 < len(summary.failures) <= 2
    assert summary.clips == 14
    assert summary.shortfalls == {one.id: 7 for one in CLASSES.classes if summary.per_class[one.id] == 0}
    for name in summary.failures:
        row = read_ledger(workspace.ledger)[name]
        assert (row.status, row.stage) == ("failed", "cut")
        assert row.reason is not None
        assert "damaged after frame 10" in row.reason["found"]
    path.write_bytes(whole)
    assert build_dataset(workspace, corpus, CLASSES, options, jobs=2).failures == ()
    undisturbed = Workspace(workspace.root.with_name("undisturbed"))
    build_dataset(undisturbed, corpus, CLASSES, options, jobs=2)
    mended = contents(workspace)
    assert {name: mended[name] for name in contents(undisturbed)} == contents(undisturbed)  # and files of substitutes


BUILD = """
import pickle, sys
from pathlib import Path
from dataset_tools.build.building import build_dataset
from dataset_tools.build_record import BuildOptions
from dataset_tools.classes.reader import load_classes
from dataset_tools.core.workspace import Workspace
corpus = pickle.loads(Path(sys.argv[2]).read_bytes())
print("ready", flush=True)
build_dataset(Workspace(Path(sys.argv[1])), corpus, load_classes(), BuildOptions(per_class=8, short_side=64), jobs=2)
"""


def start_build(workspace: Workspace, corpus: Corpus) -> subprocess.Popen[str]:
    """Starts a build with speech in a process of its own, and waits until it is at it."""
    pickled = workspace.root.parent / "corpus.pickle"
    pickled.write_bytes(pickle.dumps(corpus))
    command = [sys.executable, "-c", BUILD, str(workspace.root), str(pickled)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_killed_again_and_again_a_build_ends_with_the_same_bytes(corpus: Corpus, tmp_path: Path) -> None:
    undisturbed = Workspace(tmp_path / "undisturbed")
    started = time.monotonic()
    with start_build(undisturbed, corpus) as process:
        assert process.wait() == 0
    took_s = time.monotonic() - started
    expected = contents(undisturbed)
    assert len([name for name in expected if name.endswith(".wav")]) == 16
    killed = Workspace(tmp_path / "killed")
    finished: dict[Path, int] = {}
    for share in (0.3, 0.4, 0.5, None):
        with start_build(killed, corpus) as process:
            if share is None:
                assert process.wait() == 0
            else:
                time.sleep(took_s * share)
                process.send_signal(signal.SIGKILL)
        now = {path: path.stat().st_mtime_ns for path in killed.clips.glob("[!.]*")}
        assert {path: now[path] for path in finished} == finished  # nothing that was finished is done again
        finished = now
    assert contents(killed) == expected


def test_a_second_build_in_the_workspace_is_refused(corpus: Corpus, workspace: Workspace) -> None:
    with Ledger(workspace.ledger), pytest.raises(StoppedError, match="Another command is working in this workspace"):
        build_dataset(workspace, corpus, CLASSES, OPTIONS, jobs=1)


def test_a_dry_run_and_bad_input_write_nothing(corpus: Corpus, workspace: Workspace) -> None:
    summary = build_dataset(workspace, corpus, CLASSES, OPTIONS, dry_run=True)
    assert summary.clips == 16
    assert sum(summary.per_class.values()) == 16
    with pytest.raises(InputError, match="fewer than 8 usable"):
        build_dataset(workspace, corpus, CLASSES, BuildOptions(**{**vars(OPTIONS), "shortfall": "stop"}))
    with pytest.raises(InputError, match="no videos in the folder"):
        build_dataset(workspace, Corpus(**{**vars(corpus), "videos": {}}), CLASSES, OPTIONS)
    assert not workspace.root.exists()


@pytest.fixture
def task(footage: dict[str, Path], workspace: Workspace) -> CutTask:
    """Four clips to cut from one source."""
    path = Path(shutil.copy(footage["s08-d21"], workspace.root.parent))
    sources, _ = read_sources({"s08": path}, workspace.cache / "sources", jobs=1)
    starts = (1, 40, 80, 120)
    spans = tuple(Span(f"c{start}", start, start + 19, workspace.clips / f"c{start}.mp4", "key") for start in starts)
    return CutTask(sources["s08"], spans, 64)


def test_a_source_that_changes_while_it_is_cut_gives_no_clip(task: CutTask, workspace: Workspace) -> None:
    os.utime(task.source.path)
    results = cut_task(task)
    assert len(results) == 4
    assert all("changed" in str(result) for result in results.values())
    assert not list(workspace.clips.iterdir())


def test_a_full_disk_stops(task: CutTask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    full = tmp_path / "full.mp4"
    full.symlink_to("/dev/full")
    monkeypatch.setattr("dataset_tools.clips.encoding.written_whole", lambda path: contextlib.nullcontext(full))
    with pytest.raises(StoppedError, match="The disk is full") as caught:
        cut_task(task)
    assert caught.value.exit_code == 3


def test_an_encoder_that_fails_gives_its_reason(task: CutTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENCODER_OPTIONS, "preset", "sideways")
    results = cut_task(task)
    assert len(results) == 4
    assert all("The encoder failed" in str(result) and "sideways" in str(result) for result in results.values())
    assert not list(task.spans[0].path.parent.iterdir())


def test_a_source_is_read_once_and_damage_to_the_memory_does_no_harm(footage: dict[str, Path], tmp_path: Path) -> None:
    first, failures = read_sources(footage, tmp_path / "memory", jobs=2)
    assert failures == {}
    assert {name: source.sha256 for name, source in first.items()} == {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in footage.items()
    }
    notes = {path: path.stat().st_mtime_ns for path in (tmp_path / "memory").iterdir()}
    assert len(notes) == 4
    assert read_sources(footage, tmp_path / "memory", jobs=1) == (first, {})
    assert {path: path.stat().st_mtime_ns for path in notes} == notes
    for path in notes:
        path.write_bytes(path.read_bytes()[:-30])
    assert read_sources(footage, tmp_path / "memory", jobs=1) == (first, {})


def test_what_build_json_says(corpus: Corpus, workspace: Workspace) -> None:
    build_dataset(workspace, corpus, CLASSES, OPTIONS, jobs=2)
    text = (workspace.manifests / "build.json").read_text()
    record = json.loads(text)
    assert record["schema"] == "fmn.build/1"
    assert record["counts"]["clips"] == 16
    assert record["counts"]["per_class"]["cut_carrot_knife"] == 8
    assert record["shortfalls"]["wash_apple"] == 8
    assert record["stand_in"] is None
    assert any("MPII Cooking 2" in licence for licence in record["licences"])
    assert str(workspace.root) not in text
    assert str(corpus.root) not in text
