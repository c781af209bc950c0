"""VIA 3: segments of two times, and attributes that may be the label or the sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.corpora.annotations.interval_list import IntervalList

TOOLS = Path(__file__).parents[3] / "fixtures" / "annotation_tools"
VIA = json.loads((TOOLS / "via.json").read_text("utf-8"))


def test_via_has_segments_of_two_times(read: Callable[..., IntervalList], spans: Callable) -> None:
    listed = read(VIA)
    assert listed.in_seconds
    assert spans(listed) == [
        ("01NVb-003-072-3 echo.mp4", 324.94525, 326.86192, "wave", "hand", ""),
        ("01NVb-003-072-3 echo.mp4", 350.55717, 352.88275, "open", "door", ""),
    ]
    assert any(note.startswith("1 regions and points in time") for note in listed.notes)


def test_another_attribute_of_via_may_be_the_sentence(read: Callable[..., IntervalList]) -> None:
    attributes = {**VIA["attribute"], "2": {"aname": "said", "type": 1, "options": {}}}
    first = {**VIA["metadata"]["1_jcQtDcYu"], "av": {"1": "wave_hand", "2": "He waves."}}
    project = {**VIA, "attribute": attributes, "metadata": {**VIA["metadata"], "1_jcQtDcYu": first}}
    with pytest.raises(InputError, match="There are 2 tiers"):
        read(project)
    assert [row.sentences for row in read(project, tier="TEMPORAL-SEGMENTS").rows] == [("He waves.",), ()]


@pytest.mark.parametrize(
    ("segment", "found"),
    [
        ({"vid": "8", "z": [1, 2], "av": {"1": "wave_hand"}}, "the view '8' has no file"),
        ({"vid": "7", "z": [2, 1], "av": {"1": "wave_hand"}}, "the end, 1, is before the start, 2"),
        ({"vid": "7", "z": [2, "x"], "av": {"1": "wave_hand"}}, "metadata 'a': "),
        ({"vid": "7", "z": [1, 2], "av": {"1": ""}}, "the label '' has no words"),
        ({"vid": "7", "z": [1, 2], "av": {}}, "There are 0 tiers"),
    ],
)
def test_segments_of_via_that_cannot_be_used_are_refused(
    segment: object, found: str, read: Callable[..., IntervalList]
) -> None:
    with pytest.raises(InputError) as caught:
        read({**VIA, "metadata": {"a": segment}})
    assert found in caught.value.found
