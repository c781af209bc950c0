"""Counting what classes have, and proposing a set of them."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from dataset_tools.classes.interval_counts import audit, support_table
from dataset_tools.classes.matching import classify
from dataset_tools.classes.proposal import propose
from dataset_tools.classes.reader import load_classes
from dataset_tools.classes.triplets import ClassFile, make_class
from dataset_tools.classes.usable_intervals import MIN_FRAMES
from dataset_tools.core.errors import InputError
from dataset_tools.corpora.corpus import Annotations, Corpus, Interval


def _corpus(rows: list[tuple[str, int, str, str]], videos: tuple[str, ...] = ()) -> Corpus:
    """Intervals of (video, frames, verb, things), one after the other."""
    intervals = tuple(
        Interval(
            index, video, 1 + 1000 * index, 1000 * index + frames, verb, frozenset(things.split()), frozenset({verb})
        )
        for index, (video, frames, verb, things) in enumerate(rows)
    )
    names = {f"{verb}V" for _, _, verb, _ in rows} | {thing for *_, things in rows for thing in things.split()}
    annotations = Annotations(Path("annotations.mat"), intervals, 25.0, tuple(sorted(names)), "test")
    return Corpus(Path(), annotations, {video: Path(video) for video in videos}, {}, None, None)


def test_audit_counts_each_class():
    corpus = _corpus(
        [
            ("s07-d01-cam-002", 50, "wash", "apple"),
            ("s07-d02-cam-002", 100, "wash", "apple hand"),
            ("s08-d02-cam-002", 10, "wash", "apple"),  # too short
            ("s08-d02-cam-002", -3, "wash", "apple"),  # the end before the start
            ("s09-d03-cam-002", 75, "wash", "apple"),  # without video
            ("s09-d03-cam-002", 75, "wash", "apple knife"),  # an object, where the class has none
            ("s07-d01-cam-002", 50, "take out", "frying-pan plate spatula"),  # fits two classes
        ],
        videos=("s07-d01-cam-002", "s07-d02-cam-002", "s08-d02-cam-002"),
    )
    support = {row.class_id: row for row in audit(corpus, load_classes(), per_class=4)}
    assert list(support) == [one.id for one in load_classes().classes]
    apple = support["wash_apple"]
    assert (apple.intervals, apple.usable, apple.too_short, apple.invalid, apple.without_video) == (5, 2, 1, 1, 1)
    assert (apple.persons, apple.dishes, apple.shortfall, apple.ambiguous) == (3, 3, 2, 0)
    assert apple.seconds == pytest.approx((50 + 100 + 10 + 75) / 25)
    assert apple.median_s == pytest.approx((50 + 75) / 2 / 25)
    assert support["take-out_frying-pan_plate"].ambiguous == support["take-out_spatula_frying-pan"].ambiguous == 1
    assert support["take-out_frying-pan_plate"].intervals == 0
    assert support["take-out_tin"].notes == ("The annotation file has no attribute tin.",)
    assert support["grate_cucumber"].notes[0] == "The annotation file has no activity grate."
    assert apple.as_dict()["class_id"] == "wash_apple"


def test_without_any_video_the_annotations_alone_are_counted():
    corpus = _corpus([("s07-d01-cam-002", 50, "wash", "apple")])
    (apple,) = (row for row in audit(corpus, load_classes()) if row.class_id == "wash_apple")
    assert (apple.usable, apple.without_video, apple.shortfall) == (1, 0, 49)


def test_the_table_fits_a_narrow_terminal_and_says_why():
    things = "frying-pan plate spatula"  # fits two classes
    corpus = _corpus([("s07-d01-cam-002", 5, "wash", "apple")] * 4 + [("s07-d01-cam-002", 50, "take out", things)])
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(support_table(audit(corpus, load_classes())))
    text = console.export_text()
    assert "take-out_spatula_frying-pan" in text
    assert " ambig. short" in text
    assert "4 intervals have fewer than 15 frames." in text
    assert "take-out_tin: The annotation file has no attribute tin." in text
    assert "…" not in text


@pytest.mark.parametrize("number", [1, 3])
def test_remarks_say_why_intervals_cannot_be_used(number: int):
    (apple,) = (one for one in audit(_corpus([]), load_classes()) if one.class_id == "wash_apple")
    reasons = {"invalid": number, "too_short": number, "without_video": number, "past_end": number}
    caption = str(support_table([replace(apple, notes=(), **reasons)]).caption)
    expected = {
        1: "1 interval ends before it starts, or starts before frame 1.\n1 interval has fewer than 15 frames.\n"
        "1 interval has no readable video.\n1 interval ends after the end of its video.",
        3: "3 intervals end before they start, or start before frame 1.\n3 intervals have fewer than 15 frames.\n"
        "3 intervals have no readable video.\n3 intervals end after the end of their video.",
    }
    assert caption == expected[number]


def test_words_of_the_class_file_are_shown_as_they_are():
    shipped = load_classes()
    action = replace(shipped.actions["wash"], verbs=("[/]rinse[red]",))
    (apple,) = (one for one in shipped.classes if one.id == "wash_apple")
    classes = replace(shipped, classes=(replace(apple, verbs=action.verbs),))
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(support_table(audit(_corpus([("s07-d01-cam-002", 50, "wash", "apple")]), classes)))
    assert "no activity [/]rinse[red]." in " ".join(console.export_text().split())


def _base(subjects: int = 4) -> ClassFile:
    """A small cover: wash and cut; some subjects; the objects knife and plate."""
    shipped = load_classes()
    words = {key: shipped.actions[key] for key in ("wash", "cut")}
    keys = ("apple", "carrot", "onion", "orange")[:subjects]
    classes = [make_class(words, shipped.things, "cut", key, "knife" if key == "apple" else "plate") for key in keys]
    return replace(shipped, actions=words, classes=tuple(classes), objects=frozenset({"knife", "plate"}))


def _random_corpus(seed: int, count: int) -> Corpus:
    rng = np.random.default_rng(seed)
    things = np.array(["apple", "carrot", "onion", "orange", "knife", "plate"])
    likely = rng.random(6) * 0.7
    rows = [
        (
            "s07-d01-cam-002",
            int(rng.choice([50, 50, MIN_FRAMES - 1])),  # a third is too short
            str(rng.choice(["wash", "cut"])),
            " ".join(things[rng.random(6) < likely]),
        )
        for _ in range(count)
    ]
    return _corpus(rows)


def _value(corpus: Corpus, base: ClassFile, classes: tuple, per_class: int, penalty: float) -> float:
    """What a set of classes is worth: usable intervals of each, at most per_class, less what is left out."""
    chosen = replace(base, classes=classes)
    counts = dict.fromkeys((one.id for one in classes), 0)
    for interval in corpus.annotations.intervals:
        found = classify(interval, chosen)
        if found.class_id and interval.frames >= MIN_FRAMES:
            counts[found.class_id] += 1
    covered = {part for one in classes for part in (one.action, "s " + one.subject, "o " + (one.object or ""))}
    cover = {*base.actions, *("s " + one.subject for one in base.classes), *("o " + thing for thing in base.objects)}
    return sum(min(count, per_class) for count in counts.values()) - penalty * len(cover - covered)


@pytest.mark.parametrize("seed", range(6))
def test_the_proposal_is_the_best_of_all_sets(seed):
    base, corpus = _base(subjects=3), _random_corpus(seed, 40)
    per_class, penalty, count = 6, 4.0, 3
    proposal = propose(corpus, base, count=count, per_class=per_class, penalty=penalty)
    everything = [
        make_class(base.actions, base.things, action, subject, thing)
        for action in base.actions
        for subject in ("apple", "carrot", "onion")
        for thing in (None, "knife", "plate")
    ]
    annotated = [one for one in everything if _value(corpus, base, (one,), 1, 0) == 1]
    sets = (some for size in range(1, count + 1) for some in combinations(annotated, size))
    best = max(_value(corpus, base, some, per_class, penalty) for some in sets)
    assert proposal.proven
    assert _value(corpus, base, proposal.classes.classes, per_class, penalty) == best


def test_what_cannot_be_covered_is_named_with_its_reason():
    rows = [("s07-d01-cam-002", 50, "wash", "apple plate")] * 30 + [("s07-d01-cam-002", 50, "cut", "carrot knife")] * 2
    proposal = propose(_corpus(rows), _base(), count=3, per_class=20)
    assert [one.id for one in proposal.classes.classes] == ["wash_apple_plate", "cut_carrot_knife"]
    assert [row.usable for row in proposal.support] == [30, 2]
    assert proposal.uncovered == (
        "The subject onion is left out: no usable interval has it in combination with the rest of a class.",
        "The subject orange is left out: no usable interval has it in combination with the rest of a class.",
    )
    single = propose(_corpus(rows), _base(), count=1, per_class=20)
    assert single.uncovered[0] == (
        "The action cut is left out: the best class with it, cut_carrot_knife, has 2 usable intervals."
    )


def test_a_tool_is_no_subject_of_what_is_done_with_it():
    base = replace(_base(1), classes=tuple(one for one in load_classes().classes if one.subject in ("orange", "knife")))
    base = replace(base, actions=load_classes().actions)
    corpus = _corpus(
        [("s07-d01-cam-002", 50, "peel", "knife hand")] * 9 + [("s07-d01-cam-002", 50, "wash", "knife")] * 2
    )
    proposal = propose(corpus, base, count=5)
    assert [one.id for one in proposal.classes.classes] == ["wash_knife"]


def test_nothing_to_propose_is_refused():
    with pytest.raises(InputError, match="No interval has an action, a subject"):
        propose(_corpus([("s07-d01-cam-002", 50, "smell", "apple")]), _base())
