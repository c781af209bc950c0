"""At which rate clips play, and what their frames show: against what a player shows at that moment."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_tools.clips.timing import clip_timing
from dataset_tools.video.frame_index import FrameIndex


def index_of(appear_ms: list[int]) -> FrameIndex:
    rate = Fraction(1000 * (len(appear_ms) - 1), appear_ms[-1] - appear_ms[0])
    return FrameIndex(len(appear_ms), str(rate), stamps=tuple(appear_ms), tick_s="1/1000")


def seen(appear_ms: list[int], at_ms: float) -> int:
    return sum(time <= at_ms for time in appear_ms)


@given(steps=st.lists(st.sampled_from([33, 34, 40, 67, 100, 400]), min_size=3, max_size=60), data=st.data())
def test_what_happens_when_plays_then(steps: list[int], data: st.DataObject) -> None:
    appear_ms = [0, *accumulate(steps)]
    start = data.draw(st.integers(1, len(appear_ms) - 1))
    end = data.draw(st.integers(start + 1, len(appear_ms)))
    index = index_of(appear_ms)
    timing = clip_timing(index, start, end)
    step_ms = 1000 / float(timing.rate)
    if timing.source_frames is None:
        for place, frame in enumerate(range(start, end + 1)):  # each within half a frame of its time
            assert abs(place * step_ms - (appear_ms[frame - 1] - appear_ms[start - 1])) <= step_ms / 2 + 1e-6
    else:
        for place, frame in enumerate(timing.source_frames):
            assert frame == min(end, seen(appear_ms, appear_ms[start - 1] + (place + 0.5) * step_ms))
        lasts_ms = (appear_ms[end] if end < len(appear_ms) else appear_ms[-1] + 1000 / float(Fraction(index.rate))) - (
            appear_ms[start - 1]
        )
        assert abs(len(timing.source_frames) * step_ms - lasts_ms) <= step_ms


# A recording of a screen, 25 frames a second, in which frame 25 is seen for ten seconds.
SCREEN_MS = [40 * place for place in range(25)] + [10_960 + 40 * place for place in range(25)]


@pytest.mark.parametrize(
    ("start_s", "end_s", "start_frame", "end_frame"),
    [(0, 2, 1, 25), (0.5, 1.5, 13, 25), (10, 11.5, 25, 39), (5, 6, 25, 25), (3, 11, 25, 26)],
)
def test_a_still_is_shown_as_long_as_it_was_asked_for(
    start_s: float, end_s: float, start_frame: int, end_frame: int
) -> None:
    timing = clip_timing(index_of(SCREEN_MS), start_frame, end_frame, start_s=start_s, end_s=end_s)
    shown = timing.source_frames or tuple(range(start_frame, end_frame + 1))
    step_s = 1 / float(timing.rate)
    assert len(shown) * step_s == pytest.approx(end_s - start_s, abs=0.05)
    for place, frame in enumerate(shown):
        middle_ms = 1000 * (start_s + (place + 0.5) * step_s)
        assert seen(SCREEN_MS, middle_ms - 41) <= frame <= seen(SCREEN_MS, middle_ms + 41)  # within a frame


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(147, 5), Fraction(12)])
@pytest.mark.parametrize("offset", [0.0, 0.3, 0.9])
def test_seconds_within_a_frame_of_a_usual_rate_change_nothing(rate: Fraction, offset: float) -> None:
    index = FrameIndex(100, str(rate), stamps=tuple(range(100)), tick_s=str(1 / rate))
    timing = clip_timing(index, 11, 40, start_s=float((10 + offset) / rate), end_s=float((39 + offset) / rate))
    assert (timing.rate, timing.source_frames) == (rate, None)
