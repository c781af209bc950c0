"""Planning: which intervals become clips, which do not, and why."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from dataset_tools.classes.interval_counts import audit
from dataset_tools.classes.reader import load_classes
from dataset_tools.clips.clip_plan import Plan
from dataset_tools.clips.interval_selection import SourceStatus
from dataset_tools.clips.planning import plan_clips
from dataset_tools.core.errors import InputError, SampleError
from dataset_tools.corpora.corpus import Corpus, Interval
from dataset_tools.manifests import IntervalOrigin, WindowOrigin

CLASSES = load_classes()
CUT = "cut_carrot_knife"
STIR = "stir_onion_spatula"
WASH = "wash_apple"


def ids(plan: Plan) -> set[str]:
    return {clip.id for clip in plan.clips}


def reasons(plan: Plan) -> dict[str, tuple[str, str]]:
    return {refusal.interval.id: (refusal.status, refusal.reason.found) for refusal in plan.refusals}


def test_clips_are_spread_over_persons_and_dishes(make_interval: Callable, make_corpus: Callable) -> None:
    intervals = [
        make_interval(f"s{person:02d}-d{dish:02d}", 100 * number + 1, 100 * number + 50)
        for person in range(7, 11)
        for dish in range(person, person + 3)
        for number in range(person)  # the later persons have many more
    ]
    plan = plan_clips(make_corpus(intervals), CLASSES, per_class=12)
    assert len(plan.clips) == 12
    assert set(Counter(clip.interval.person for clip in plan.clips).values()) == {3}
    for person in ("s07", "s08", "s09", "s10"):
        assert len({clip.interval.dish for clip in plan.clips if clip.interval.person == person}) >= 2
    assert all(clip.class_id == CUT and clip.origin == IntervalOrigin() for clip in plan.clips)
    assert [clip.id for clip in plan.clips] == sorted(ids(plan))
    assert plan == plan_clips(make_corpus(intervals), CLASSES, per_class=12)
    assert ids(plan) != ids(plan_clips(make_corpus(intervals), CLASSES, per_class=12, seed=1))


def test_an_edited_list_keeps_its_selection(make_interval: Callable, make_corpus: Callable) -> None:
    """Rows of one's own list are added anywhere, sorted and removed; clips that people reviewed must not be swapped."""
    rows = [
        make_interval(f"p{person}-d20", 100 * number + 1, 100 * number + 50)
        for person in range(1, 5)
        for number in range(20)
    ]

    def selected(rows: list[Interval]) -> set[str]:
        listed = [replace(row, index=index) for index, row in enumerate(rows)]
        return ids(plan_clips(replace(make_corpus(listed), is_own=True), CLASSES, per_class=12))

    before = selected(rows)
    others = [make_interval(f"p1-d{dish}", 1, 50, "wash", "apple") for dish in range(3)]
    assert selected([*others[:1], *rows[:30], *others[1:], *rows[30:]]) >= before
    assert selected(rows[::-1]) == before
    withdrawn = selected([row for row in rows if row.person != "p2"])
    assert len(withdrawn) == 12
    assert withdrawn > {name for name in before if not name.startswith("p2")}  # those of p2 were replaced, no others
    assert selected([*rows, *rows]) == before  # listed twice


def test_each_refusal_has_its_reason(make_interval: Callable, make_corpus: Callable) -> None:
    good = make_interval("s07-d20", 1, 50)
    past_end = make_interval("s08-d20", 80, 130)
    broken = make_interval("s10-d20", 1, 50)
    missing = make_interval("s11-d20", 1, 50)
    intervals = [
        good,
        make_interval("s07-d20", 49, 90),  # shares two frames
        make_interval("s07-d20", 91, 104),
        make_interval("s07-d20", 300, 200),
        make_interval("s07-d20", 0, 40),
        make_interval("s07-d20", 400, 450, "take out", "plate spice frying-pan"),
        make_interval("s07-d20", 500, 550, "rip off", "hand"),
        past_end,
        broken,
        missing,
    ]
    corpus = make_corpus(intervals)
    del corpus.videos[missing.video]
    known = SourceStatus({past_end.video: 129}, {broken.video: SampleError("It cannot be opened")})
    plan = plan_clips(corpus, CLASSES, per_class=50, known=known)
    overlap = ids(plan)
    assert overlap in ({"s07-d20_000001-000050"}, {"s07-d20_000049-000090"})
    (other,) = {"s07-d20_000001-000050", "s07-d20_000049-000090"} - overlap
    found = reasons(plan)
    assert found.pop(other) == ("skipped", f"The interval overlaps one that was chosen: {min(overlap)}")
    ambiguous = found.pop("s07-d20_000400-000450")
    assert found == {
        "s07-d20_000091-000104": ("skipped", "The interval has fewer than 15 frames: 14"),
        "s07-d20_000300-000200": ("skipped", "The interval is not valid: from frame 300 to 200"),
        "s07-d20_000000-000040": ("skipped", "The interval is not valid: from frame 0 to 40"),
        past_end.id: ("failed", "The interval ends past the end of its video: at frame 130 of 129"),
        broken.id: ("failed", "It cannot be opened"),
        missing.id: ("failed", f"The video is missing: {missing.video}.avi"),
    }
    assert ambiguous[0] == "skipped"
    assert ambiguous[1].startswith("The interval fits several classes: take-out_")
    assert plan.shortfalls[CUT] == 49
    assert plan.shortfalls[STIR] == 50
    assert len({refusal.id for refusal in plan.refusals}) == len(plan.refusals)


def test_what_is_out_of_reach_fails_only_where_it_was_wanted(make_interval: Callable, make_corpus: Callable) -> None:
    intervals = [make_interval(f"s{person:02d}-d20", 1, 50) for person in range(7, 37)]
    corpus = make_corpus(intervals)
    for interval in intervals[::3]:
        del corpus.videos[interval.video]
    plan = plan_clips(corpus, CLASSES, per_class=5)
    assert len(plan.clips) == 5
    assert CUT not in plan.shortfalls
    assert 0 < len(plan.refusals) < 10
    everything = plan_clips(make_corpus(intervals), CLASSES, per_class=5 + len(plan.refusals))
    assert ids(plan) | {refusal.interval.id for refusal in plan.refusals} == ids(everything)


def test_a_span_annotated_twice_is_one_clip(make_interval: Callable, make_corpus: Callable) -> None:
    intervals = [
        make_interval("s07-d20", 1, 50),
        make_interval("s07-d20", 1, 50, "slice"),
        make_interval("s07-d20", 1, 50, "stir", "onion spatula"),
        make_interval("s07-d20", 1, 50, video="s07-d20-cam-004"),
    ]
    plan = plan_clips(make_corpus(intervals), CLASSES, per_class=50)
    assert ids(plan) == {"s07-d20_000001-000050"}
    assert [(r.interval.id, r.status) for r in plan.refusals] == [("s07-d20_000001-000050", "skipped")] * 3


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shortfall", ["accept", "windows"])
def test_intervals_that_touch_are_all_clips_and_no_frame_is_in_two(
    seed: int, shortfall: str, make_interval: Callable, make_corpus: Callable
) -> None:
    kinds = [(), ("stir", "onion spatula"), ("take out", "plate spice")]
    bounds = [1, 50, 90, 150, 300, 330]  # each interval ends on the frame that the next one begins on
    intervals = [make_interval("s07-d20", *span, *kinds[n % 3]) for n, span in enumerate(itertools.pairwise(bounds))]
    plan = plan_clips(make_corpus(intervals), CLASSES, per_class=5, seed=seed, shortfall=shortfall)
    assert {clip.interval.id for clip in plan.clips} == {interval.id for interval in intervals}
    assert not plan.refusals
    frames = Counter(frame for clip in plan.clips for frame in range(clip.start_frame, clip.end_frame + 1))
    assert frames == dict.fromkeys(range(1, 331), 1)
    if shortfall == "accept":
        assert {clip.id: (clip.start_frame, clip.end_frame) for clip in plan.clips} == {
            "s07-d20_000001-000050": (1, 50),
            "s07-d20_000050-000090": (51, 90),
            "s07-d20_000090-000150": (91, 150),
            "s07-d20_000150-000300": (151, 300),
            "s07-d20_000300-000330": (301, 330),
        }


@pytest.mark.parametrize(("start", "end"), [(49, 90), (50, 50), (30, 40), (1, 2)])
def test_intervals_that_share_more_than_a_boundary_are_not_both_clips(
    start: int, end: int, make_interval: Callable, make_corpus: Callable
) -> None:
    corpus = make_corpus([make_interval("s07-d20", 1, 50), make_interval("s07-d20", start, end)])
    plan = plan_clips(corpus, CLASSES, per_class=5, min_frames=1)
    assert len(plan.clips) == 1
    assert plan.refusals[0].reason.found.startswith("The interval overlaps")


def test_a_rare_class_chooses_before_a_common_one(make_interval: Callable, make_corpus: Callable) -> None:
    common = [make_interval("s07-d20", 100 * n + 1, 100 * n + 60) for n in range(10)]
    rare = make_interval("s07-d20", 340, 380, "stir", "onion spatula")
    plan = plan_clips(make_corpus([*common, rare]), CLASSES, per_class=10)
    assert rare.id in ids(plan)
    assert reasons(plan)[common[3].id][1].startswith("The interval overlaps")
    assert len(plan.clips) == 10


def test_windows_fill_a_class_that_falls_short(make_interval: Callable, make_corpus: Callable) -> None:
    intervals = [
        make_interval("s07-d20", 1, 1000),
        make_interval("s08-d20", 11, 410),
        make_interval("s10-d20", 1, 100),
    ]
    plan = plan_clips(make_corpus(intervals), CLASSES, per_class=10, shortfall="windows")
    assert len(plan.clips) == 10
    assert CUT not in plan.shortfalls
    for interval in intervals:
        windows = [clip for clip in plan.clips if clip.interval is interval]
        assert windows[0].start_frame == interval.start_frame
        assert windows[-1].end_frame == interval.end_frame
        assert all(a.end_frame + 1 == b.start_frame for a, b in itertools.pairwise(windows))
        if len(windows) > 1:
            assert [clip.origin for clip in windows] == [
                WindowOrigin(index=number, of=len(windows)) for number in range(1, len(windows) + 1)
            ]
            assert windows[0].id == f"{interval.id}_w1of{len(windows)}"
            assert min(clip.frames for clip in windows) >= 59  # two seconds
        else:
            assert windows[0].id == interval.id
    counts = Counter(clip.interval.sequence for clip in plan.clips)
    assert counts == {"s07-d20": 7, "s08-d20": 2, "s10-d20": 1}  # 142 frames at least; 6 and 3 would have 133
    plan = plan_clips(make_corpus(intervals), CLASSES, per_class=50, shortfall="windows")
    assert len(plan.clips) == 1000 // 59 + 400 // 59 + 1
    assert plan.shortfalls[CUT] == 50 - len(plan.clips)


def test_stop_names_every_class_that_falls_short(make_interval: Callable, make_corpus: Callable) -> None:
    corpus = make_corpus([make_interval("s07-d20", 1, 50)])
    with pytest.raises(InputError) as caught:
        plan_clips(corpus, CLASSES, per_class=2, shortfall="stop")
    assert all(one.id in caught.value.found for one in CLASSES.classes)
    assert f"{CUT} 1," in caught.value.found
    assert "--shortfall windows" in str(caught.value.next_step)
    assert "the videos are opened after this check" in str(caught.value.expected)


def test_stop_tells_which_videos_the_classes_lack(make_interval: Callable, make_corpus: Callable) -> None:
    corpus = make_corpus([make_interval(f"s{person:02d}-d20", 1, 50) for person in range(7, 10)])
    damaged = SampleError("The video is damaged", where="s07-d20-cam-002.avi")
    known = SourceStatus({"s08-d20-cam-002": 40}, {"s07-d20-cam-002": damaged})
    with pytest.raises(InputError) as caught:
        plan_clips(corpus, CLASSES, per_class=2, shortfall="stop", known=known)
    assert f"{CUT} 1," in caught.value.found
    assert "\n  - 1 ×: The video is damaged (s07-d20-cam-002.avi)" in caught.value.found
    assert "\n  - 1 ×: The interval ends past the end of its video" in caught.value.found
    assert "opened after" not in str(caught.value.expected)


def test_no_interval_of_any_class_is_an_error(make_interval: Callable, make_corpus: Callable) -> None:
    with pytest.raises(InputError, match="No annotated interval belongs to any of the classes"):
        plan_clips(make_corpus([make_interval("s07-d20", 1, 50, "rip off", "hand")]), CLASSES, per_class=2)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_learnt_on_the_way_leads_to_the_plan_of_who_knew_all(
    seed: int, make_interval: Callable[..., Interval], make_corpus: Callable[..., Corpus]
) -> None:
    draw = random.Random(seed)
    intervals = [
        make_interval(
            f"s{draw.randint(7, 16):02d}-d{draw.randint(20, 24)}", start, start + draw.randint(10, 150), *kind
        )
        for start in draw.sample(range(1, 3000), 300)
        for kind in [draw.choice([(), ("stir", "onion spatula"), ("take out", "plate spice")])]
    ]
    corpus = make_corpus(intervals)
    frames = {video: draw.randint(1000, 3500) for video in corpus.videos}
    unreadable = {video: SampleError("It cannot be opened") for video in draw.sample(sorted(corpus.videos), 10)}

    def plan(videos: set[str]) -> Plan:
        known = SourceStatus(
            {video: frames[video] for video in videos}, {v: unreadable[v] for v in videos if v in unreadable}
        )
        return plan_clips(corpus, CLASSES, per_class=12, shortfall="windows", known=known)

    learnt: set[str] = set()
    while unknown := {clip.interval.video for clip in plan(learnt).clips} - learnt:
        learnt |= unknown
    assert learnt < corpus.videos.keys()
    known_all = plan(set(corpus.videos))
    assert plan(learnt).clips == known_all.clips
    assert ids(known_all) != ids(plan(set()))


@pytest.mark.parametrize("times", ["start_frame,end_frame", "start_s,end_s"])
def test_lengths_are_compared_in_seconds_where_videos_differ_in_rate(
    tmp_path: Path, write_video: Callable[..., Path], listed: Callable[..., Corpus], times: str
) -> None:
    """Five seconds at 60 frames per second have more frames than nine at 15: nine are longer."""
    for name, rate, seconds in (("slow", 15, 9), ("slower", 15, 1), ("fast", 60, 5)):
        write_video(tmp_path / f"{name}.mkv", rate * seconds, rate=Fraction(rate))
    spans = {"slow": (1, 135), "slower": (1, 15), "fast": (1, 300)}
    if times == "start_s,end_s":
        spans = {"slow": (0, 9), "slower": (0, 1), "fast": (0, 5)}
    rows = [f"{name}.mkv,{start},{end},cut,carrot,knife\n" for name, (start, end) in spans.items()]
    corpus = listed(tmp_path, f"video,{times},action,subject,object\n" + "".join(rows))
    plan = plan_clips(corpus, CLASSES, per_class=50, shortfall="windows")
    windows = Counter(clip.interval.sequence for clip in plan.clips)
    assert windows == {"slow": 4, "slower": 1, "fast": 2}  # of two seconds at least
    plan = plan_clips(corpus, CLASSES, per_class=5, shortfall="windows")
    assert Counter(clip.interval.sequence for clip in plan.clips) == {"slow": 3, "slower": 1, "fast": 1}
    (support,) = (one for one in audit(corpus, CLASSES) if one.class_id == CUT)
    assert (support.seconds, support.median_s) == (15, 5)


def test_windows_have_the_minimum_of_frames_also_at_low_frame_rates(
    tmp_path: Path, write_video: Callable[..., Path], listed: Callable[..., Corpus]
) -> None:
    """Two seconds at 4 frames per second are 8 frames: too few for a clip of an interval, so for one of a window."""
    write_video(tmp_path / "slow.mkv", 112, rate=Fraction(4))
    write_video(tmp_path / "fast.mkv", 300, rate=Fraction(60))
    rows = "slow.mkv,1,112,cut,carrot,knife\nfast.mkv,1,300,cut,carrot,knife\n"
    corpus = listed(tmp_path, "video,start_frame,end_frame,action,subject,object\n" + rows)
    plan = plan_clips(corpus, CLASSES, per_class=50, shortfall="windows")
    assert Counter(clip.interval.sequence for clip in plan.clips) == {"slow": 112 // 15, "fast": 2}
    assert min(clip.frames for clip in plan.clips) >= 15
