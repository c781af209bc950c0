"""An interval with a start but no end, or the reverse, is refused by every reader: it is not the whole video."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.corpora.annotations.formats import FORMATS
from dataset_tools.corpora.annotations.interval_list import IntervalList, IntervalRows

TOOLS = Path(__file__).parents[3] / "fixtures" / "annotation_tools"
ELAN = (TOOLS / "elan.eaf").read_text("utf-8")
VIA = json.loads((TOOLS / "via.json").read_text("utf-8"))
EPIC = "narration_id,video_id,start_timestamp,stop_timestamp,verb,noun\n1,P01_11,{},cut,carrot\n"


def with_segment(*times: object) -> dict[str, object]:
    return {"database": {"a": {"annotations": [{"segment": times, "label": "cut carrot"}]}}}


def cooking_with_segment(*times: object) -> dict[str, object]:
    return {"database": {"a": {"recipe_type": "1", "annotations": [{"segment": times, "sentence": "Cut it."}]}}}


def with_range(**times: int) -> list[dict[str, object]]:
    value = {"ranges": [times], "timelinelabels": ["cut carrot"]}
    result = {"id": "r", "from_name": "action", "type": "timelinelabels", "value": value}
    return [{"id": 4, "data": {"video": "a.mp4"}, "annotations": [{"result": [result]}]}]


HALVES: dict[str, list[tuple[object, str]]] = {
    "csv": [
        ("video,start_frame,end_frame,label\na.mp4,5,,cut carrot\n", "line 2: `end_frame` is empty: give both times"),
        ("video,start_frame,end_frame,label\na.mp4,,5,cut carrot\n", "line 2: `start_frame` is empty: give both"),
        ("video,start_s,end_s,label\na.mp4,0:05,,cut carrot\n", "line 2: `end_s` is empty: give both times"),
        ("video,start_s,end_s,label\na.mp4,,5,cut carrot\n", "line 2: `start_s` is empty: give both times"),
        ("video,start_s,label\na.mp4,5,cut carrot\n", "the column 'end_s' is missing: there is only 'start_s'"),
        (
            "video,end_frame,label\na.mp4,5,cut carrot\n",
            "the column 'start_frame' is missing: there is only 'end_frame'",
        ),
    ],
    "epic-kitchens": [
        (EPIC.format("00:00:01.0,"), "line 2: `stop_timestamp` is empty"),
        (EPIC.format(",00:00:01.0"), "line 2: `start_timestamp` is empty"),
    ],
    "activitynet": [(with_segment(5), "'a', segment 1: "), (with_segment(5, None), "'a', segment 1: ")],
    "activitynet-captions": [({"a": {"timestamps": [[5, None]], "sentences": ["Cut it."]}}, "'a': ")],
    "youcook2": [(cooking_with_segment(5), "'a', segment 1: "), (cooking_with_segment(None, 5), "'a', segment 1: ")],
    "elan": [
        (ELAN.replace(f' TIME_VALUE="{ms}"', ""), "annotation 'a3' of tier 'action': it lacks the time of its start or")
        for ms in (4000, 5250)
    ],
    "via": [
        ({**VIA, "metadata": {"b": {"vid": "7", "z": times, "av": {"1": "wave"}}}}, "metadata 'b': ")
        for times in ([5, None], [None, 5])
    ],
    "label-studio": [(with_range(start=5), "missing required field `end`"), (with_range(end=5), "field `start`")],
}
HAVE_BOTH = {"cvat": "the frames of a track, each with its box", "folder": "whole videos"}
"""Formats that cannot have one of the two times only."""


def test_every_format_was_thought_of() -> None:
    assert {*HALVES, *HAVE_BOTH} == set(FORMATS)


@pytest.mark.parametrize(
    ("name", "content", "found"), [(name, *half) for name, halves in HALVES.items() for half in halves]
)
def test_an_interval_with_one_time_is_refused(
    name: str, content: object, found: str, read: Callable[..., IntervalList]
) -> None:
    with pytest.raises(InputError) as caught:
        read(content, "list", format=name, **({"tier": "action"} if name == "elan" else {}))
    assert found in caught.value.found


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [
        (60.0, None, "chapter 3: it has a start, 60, but no end: give both times, or neither for the whole video"),
        (None, 60.0, "chapter 3: it has an end, 60, but no start: give both times, or neither for the whole video"),
    ],
)
def test_a_reader_cannot_pass_on_one_time(start: float | None, end: float | None, found: str) -> None:
    rows = IntervalRows(Path("chapters.txt"), "chapters")
    with rows.at("chapter 3"):
        rows.add("chapter 3", "a.mp4", start, end, ("open", "door", ""))
    with pytest.raises(InputError) as caught:
        rows.finished(in_seconds=True)
    assert found in caught.value.found
