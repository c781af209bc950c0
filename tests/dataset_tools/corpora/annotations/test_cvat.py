"""CVAT: tracks are intervals while they are seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.corpora.annotations.interval_list import IntervalList

TOOLS = Path(__file__).parents[3] / "fixtures" / "annotation_tools"
CVAT = (TOOLS / "cvat.xml").read_text("utf-8")
BOX = '    <box frame="{}" keyframe="1" outside="{}" occluded="0" xtl="1" ytl="1" xbr="9" ybr="9" z_order="0"></box>\n'


def test_cvat_tracks_are_intervals_while_they_are_seen(read: Callable[..., IntervalList], spans: Callable) -> None:
    seen = [*((frame, 0) for frame in range(10, 20)), (20, 1), *((frame, 0) for frame in (40, 41)), (42, 1)]
    text = CVAT.format(boxes="".join(BOX.format(*shape) for shape in seen))
    listed = read(text, "annotations.xml")
    assert not listed.in_seconds
    # Frames 10 to 19 and 40 to 41, counted from 0.
    assert spans(listed) == [
        ("kitchen.mp4", 11, 20, "cut", "carrot", "knife"),
        ("kitchen.mp4", 41, 42, "cut", "carrot", "knife"),
    ]
    # Of a copy with 10 frames per second: frame 10 begins at 1 s, frame 19 ends at 2 s.
    (first, _) = read(text, "annotations.xml", fps=10.0).rows
    assert (first.start, first.end) == (1.0, 2.0)


def test_key_frames_alone_give_the_same_intervals(read: Callable[..., IntervalList], spans: Callable) -> None:
    text = CVAT.format(boxes="".join(BOX.format(*shape) for shape in [(10, 0), (15, 0), (20, 1), (40, 0), (42, 1)]))
    assert [row[1:3] for row in spans(read(text, "annotations.xml"))] == [(11, 20), (41, 42)]


def test_a_cvat_export_of_a_job_is_called_like_its_video(read: Callable[..., IntervalList], spans: Callable) -> None:
    text = CVAT.format(boxes=BOX.format(3, 0)).replace("<source>kitchen.mp4</source>", "")
    assert spans(read(text, "hall.xml")) == [("hall", 4, 4, "cut", "carrot", "knife")]
    with pytest.raises(InputError, match="does not name its video"):
        read(text, "annotations.xml")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (CVAT.format(boxes=BOX.format("x", 0)), "track '0': `frame`: 'x' is not a frame number"),
        (CVAT.format(boxes=BOX.format(3, 0) * 2), "track '0': it has the same frame twice"),
        (CVAT.format(boxes=BOX.format(3, 1)), "has no rows"),
        (CVAT.format(boxes="").replace("track", "image"), "has images"),
        (
            CVAT.format(boxes=BOX.format(3, 0)).replace("</meta>", "<a><source>b.mp4</source></a></meta>"),
            "several tasks",
        ),
        (CVAT.format(boxes=BOX.format(3, 0)).replace("label=", "lable="), "<track> has no label"),
    ],
)
def test_cvat_that_cannot_be_used_is_refused(text: str, found: str, read: Callable[..., IntervalList]) -> None:
    with pytest.raises(InputError) as caught:
        read(text, "a.xml")
    assert found in caught.value.found


def test_frames_of_cvat_may_count_from_1(read: Callable[..., IntervalList], spans: Callable) -> None:
    text = CVAT.format(boxes=BOX.format(1, 0) + BOX.format(5, 0))
    assert [row[1:3] for row in spans(read(text, "annotations.xml", frame_base=1))] == [(1, 5)]
    with pytest.raises(InputError, match="track '0': frame 0 is before the first frame"):
        read(CVAT.format(boxes=BOX.format(0, 0)), "annotations.xml", frame_base=1)
