from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from scipy import stats

from dataset_tools.classes.matching import classify
from dataset_tools.classes.reader import load_classes
from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.errors import InputError
from dataset_tools.corpora.corpus import Interval
from dataset_tools.corpora.standin.agenda import Agenda, AgendaItem, plan_agendas
from dataset_tools.corpora.standin.cast import sequences
from dataset_tools.corpora.standin.class_assignment import interval_counts
from dataset_tools.corpora.standin.difficulty import LEVELS, STANDARD
from dataset_tools.corpora.standin.director import timed
from dataset_tools.corpora.standin.things import SUBJECTS
from dataset_tools.corpora.standin.vocabulary import ATTRIBUTE_MAP

Agendas = tuple[Agenda, ...]


def items(agendas: Agendas) -> list[AgendaItem]:
    return [item for agenda in agendas for item in agenda.items]


def judged(item: AgendaItem, classes: ClassFile) -> str | None:
    """What the reader of annotation files makes of an item."""
    interval = Interval(
        index=0,
        video="s07-d72-cam-002",
        start_frame=1,
        end_frame=item.frames,
        verb=item.verb,
        things=frozenset(item.things),
        verbs=frozenset([item.verb]),
        tools=frozenset(item.tools),
        ingredients=frozenset(item.ingredients),
        containers=frozenset(item.containers),
    )
    found = classify(interval, classes)
    return found.class_id if found.status == "class" else found.status


def test_a_corpus_of_the_usual_size_is_as_large_as_promised(agendas: Agendas) -> None:
    assert len(agendas) == 60
    assert len({agenda.sequence.person for agenda in agendas}) == 30
    assert len({agenda.sequence.dish for agenda in agendas}) == 59
    assert len({agenda.sequence.id for agenda in agendas}) == 60
    assert min(timed(agenda)[0] for agenda in agendas) / 29.4 >= 60


def test_every_item_is_of_the_class_that_it_was_made_for(agendas: Agendas, classes: ClassFile) -> None:
    kinds = Counter()
    for item in items(agendas):
        found = judged(item, classes)
        if item.class_id is not None:
            assert found == item.class_id
        else:
            assert found in ("ambiguous", "none")
        kinds["class" if item.class_id else found] += 1
    assert kinds["class"] == 1000
    assert kinds["ambiguous"] >= 20
    assert kinds["none"] >= 50


def test_classes_have_uneven_support(agendas: Agendas, classes: ClassFile) -> None:
    counts = Counter(item.class_id for item in items(agendas) if item.class_id)
    assert counts == interval_counts(classes, 50)
    assert sum(count < 50 for count in counts.values()) == 3
    assert [counts[one.id] for one in classes.classes[-3:]] == [35, 35, 35]
    assert sum(counts.values()) == 20 * 50


def test_even_a_rare_class_has_an_interval_in_the_smallest_corpus(classes: ClassFile) -> None:
    assert set(interval_counts(classes, 1).values()) == {1}


def test_the_class_does_not_show_in_the_length(classes: ClassFile) -> None:
    cast = sequences(1, 240)
    lengths = defaultdict(list)
    for item in items(plan_agendas(classes, STANDARD, cast, seed=1, per_class=200)):
        lengths[item.class_id].append(item.frames)
    del lengths[None]
    assert stats.kruskal(*lengths.values()).pvalue > 0.01
    seconds = np.concatenate(list(lengths.values())) / 29.4
    assert np.median(seconds) == pytest.approx(1.7, abs=0.1)
    assert seconds.min() >= 0.9
    assert seconds.max() > 5
    # Many short ones and a long tail, as in TACoS: the logarithm is about normal before it is cut off.
    assert abs(stats.skew(np.log(seconds))) < 0.8 < 1.2 < stats.skew(seconds)


def test_every_video_shows_what_it_needs_and_not_much_more(agendas: Agendas, classes: ClassFile) -> None:
    needed = {one.id: {one.subject, one.object} - {None} for one in classes.classes}
    for agenda in agendas:
        assert len(agenda.things) == len(set(agenda.things))
        assert len(SUBJECTS.keys() & agenda.things) == STANDARD.subjects
        for item in agenda.items:
            assert item.subject in agenda.things
            assert needed.get(item.class_id, set()) <= set(agenda.things)


def test_attributes_are_mpii_s_and_of_several_tools(agendas: Agendas) -> None:
    for item in items(agendas):
        assert {f"{item.verb}V", *item.things} <= set(ATTRIBUTE_MAP)
    assert sum(len(item.tools) >= 2 for item in items(agendas)) > 100
    verbs = {item.verb for item in items(agendas) if item.action == "cut"}
    assert {"cut", "cut apart", "slice"} <= verbs


def test_the_tool_in_the_hand_names_several_classes(agendas: Agendas) -> None:
    by_tool = defaultdict(set)
    for item in items(agendas):
        if item.class_id:
            by_tool[item.tool].add(item.class_id)
    assert len(by_tool["knife"]) >= 3
    assert len(by_tool[None]) >= 14


def test_agendas_depend_on_the_seed_and_on_nothing_else(classes: ClassFile, agendas: Agendas) -> None:
    assert plan_agendas(classes, STANDARD, sequences(0, 60), seed=0, per_class=50) == agendas
    assert plan_agendas(classes, STANDARD, sequences(1, 60), seed=1, per_class=50) != agendas


@pytest.mark.parametrize("level", sorted(LEVELS))
def test_every_level_can_be_planned(level: str, classes: ClassFile) -> None:
    planned = plan_agendas(classes, LEVELS[level], sequences(0, 6), seed=0, per_class=5)
    assert {len(SUBJECTS.keys() & agenda.things) >= 8 for agenda in planned} == {True}


def test_a_class_that_cannot_be_drawn_is_refused(tmp_path) -> None:
    shipped = load_classes()
    text = shipped.path.read_text("utf-8")
    path = tmp_path / "classes.yaml"
    path.write_text(text.replace("apple", "papaya"), "utf-8")
    with pytest.raises(InputError, match="papaya"):
        plan_agendas(load_classes(path), STANDARD, sequences(0, 4), seed=0, per_class=1)
