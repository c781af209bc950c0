"""Clips are cut from sources whose frames carry their number: exact, or failed with a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import av
import msgspec
import numpy as np
import pytest

from dataset_tools.build.building import build_dataset
from dataset_tools.build.verify import verify_dataset
from dataset_tools.build_record import BuildOptions
from dataset_tools.classes.reader import load_classes
from dataset_tools.core.errors import InputError, StoppedError
from dataset_tools.core.ledger import Ledger, read_ledger
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.corpus import Corpus

CLASSES = load_classes()
OPTIONS = BuildOptions(per_class=8, short_side=64, speech=False)


def test_every_clip_has_just_the_frames_of_its_interval(
    corpus: Corpus,
    workspace: Workspace,
    read_numbers: Callable[[Path], list[int]],
    rows_of: Callable,
    appears_ms: Callable[[int], int],
) -> None:
    def shown_at(time_ms: float, start_frame: int) -> int:
        """The number of the frame that is seen so long after ``start_frame`` appears."""
        return sum(appears_ms(place) <= appears_ms(start_frame - 1) + time_ms for place in range(170))

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


def test_damage_fails_what_it_touches_and_others_take_their_place(
    corpus: Corpus, workspace: Workspace, make_interval: Callable, contents: Callable[[Workspace], dict[str, bytes]]
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
