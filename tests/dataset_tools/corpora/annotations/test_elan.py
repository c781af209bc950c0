"""ELAN: times in milliseconds, tiers, and sentences in tiers that refer to others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.corpora.annotations.interval_list import IntervalList

TOOLS = Path(__file__).parents[3] / "fixtures" / "annotation_tools"
ELAN = (TOOLS / "elan.eaf").read_text("utf-8")


def test_elan_has_times_in_milliseconds_and_sentences_in_other_tiers(
    read: Callable[..., IntervalList], spans: Callable
) -> None:
    listed = read(ELAN, "a.eaf", tier="action")
    assert listed.in_seconds
    assert spans(listed) == [
        ("kitchen.mp4", 1.2, 3.4, "cut", "carrot", ""),
        ("kitchen.mp4", 4.0, 5.25, "take out", "plate", ""),
    ]
    assert [row.sentences for row in listed.rows] == [("She cuts a carrot.",), ()]
    # A tier whose annotations refer to others has their times.
    (row,) = read(ELAN, "a.eaf", tier="utterance").rows
    assert (row.start, row.end, row.sentences) == (1.2, 3.4, ("cut carrot",))


def test_elan_names_its_tiers_where_there_are_several(read: Callable[..., IntervalList]) -> None:
    for tier, found in ((None, "There are 3 tiers"), ("hand", "There is no tier 'hand'")):
        with pytest.raises(InputError) as caught:
            read(ELAN, "a.eaf", tier=tier)
        assert caught.value.found.startswith(found)
        assert "'action' (2), 'utterance' (1), 'gaze' (2)" in str(caught.value.expected)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (' TIME_VALUE="5250"', "", "annotation 'a3' of tier 'action': it lacks the time of its start"),
        ('TIME_VALUE="5250"', 'TIME_VALUE="100"', "the end, 0.1, is before the start, 4"),
        ('TIME_VALUE="0"', 'TIME_VALUE="soon"', "'soon' is not a time in milliseconds"),
        (
            'TIME_SLOT_REF2="ts3"',
            'TIME_SLOT_REF2="ts99"',
            "annotation 'a2' of tier 'action': it lacks the time of its start",
        ),
        ("take out the plate", "", "annotation 'a3' of tier 'action': the label '' has no words"),
        ("<HEADER>", '<HEADER TIME_UNITS="PAL-frames">', "its times are PAL-frames"),
        ('MIME_TYPE="video/mp4"', 'MIME_TYPE="audio/x-wav"', None),  # it is called .mp4
        ("kitchen.mp4", "kitchen.wav", None),  # its type is a video's
        ("<MEDIA_DESCRIPTOR", "<OTHER", "it describes no video"),
        ("<HEADER>", "<HEADER><HEADER>", "is not usable XML"),
        ("?>\n<", '?>\n<!DOCTYPE a [<!ENTITY b "c">]>\n<', "it has a document type"),
    ],
)
def test_elan_that_cannot_be_used_is_refused(
    old: str, new: str, found: str | None, read: Callable[..., IntervalList]
) -> None:
    assert old in ELAN
    if found is None:
        assert read(ELAN.replace(old, new), "a.eaf", tier="action").rows
        return
    with pytest.raises(InputError) as caught:
        read(ELAN.replace(old, new), "a.eaf", tier="action")
    assert found in caught.value.found


def test_elans_video_may_begin_later_than_its_timeline(read: Callable[..., IntervalList]) -> None:
    later = ELAN.replace('MIME_TYPE="video/mp4"', 'MIME_TYPE="video/mp4" TIME_ORIGIN="500"')
    assert [row.start for row in read(later, "a.eaf", tier="action").rows] == [1.7, 4.5]
