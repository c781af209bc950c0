from __future__ import annotations

import numpy as np
import pytest

from dataset_tools.core.errors import InputError
from fmn.metrics.bootstrap import FEWEST_LEVELS, excludes, interval_of_mean

CLASSES, PEOPLE, SEEDS = 20, 10, 5


def crossed(random: np.random.Generator, *, classes: float = 0, people: float = 0, seeds: float = 0, noise: float = 0):
    """One value for each combination: the effects of its class, person and seed (their standard deviations), noise."""
    labels = np.stack(np.meshgrid(range(CLASSES), range(PEOPLE), range(SEEDS), indexing="ij"), axis=-1).reshape(-1, 3)
    values = noise * random.normal(size=len(labels))
    for column, (size, spread) in enumerate(((CLASSES, classes), (PEOPLE, people), (SEEDS, seeds))):
        values += spread * random.normal(size=size)[labels[:, column]]
    return values, {"class": labels[:, 0], "person": labels[:, 1], "seed": labels[:, 2]}


@pytest.mark.parametrize(
    ("effect", "levels"), [({"classes": 1.0}, CLASSES), ({"people": 1.0}, PEOPLE), ({"seeds": 1.0}, SEEDS)]
)
def test_an_effect_of_one_factor_alone_has_its_textbook_width(effect: dict[str, float], levels: int) -> None:
    values, factors = crossed(np.random.default_rng(0), **effect)
    found = interval_of_mean(values, factors, draws=4000)
    assert found.mean == pytest.approx(values.mean())
    sd = np.unique(values).std()  # one value a level; the bootstrap's own (1/L, not 1/(L−1))
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * sd / levels**0.5, rel=0.07)
    assert found.levels == {"class": CLASSES, "person": PEOPLE, "seed": SEEDS}


def test_crossed_effects_are_covered_as_often_as_promised() -> None:
    covered = {"together": 0, "queries alone": 0}
    for trial in range(120):
        values, factors = crossed(np.random.default_rng(trial), classes=0.5, people=0.4, seeds=0.1, noise=1.0)
        for name, resampled in (("together", factors), ("queries alone", {"query": np.arange(len(values))})):
            found = interval_of_mean(values, resampled, draws=200, seed=trial)
            covered[name] += found.low <= 0 <= found.high
    assert 0.88 * 120 <= covered["together"] <= 120
    assert covered["queries alone"] < 0.5 * 120, "resampling queries alone is far too narrow"


def test_a_draw_without_a_query_is_drawn_again() -> None:
    # Of two classes and two people only two combinations occur: half of the draws that take one class miss.
    found = interval_of_mean([0.0, 1.0], {"class": ["a", "b"], "person": ["s1", "s2"]}, draws=500)
    assert (found.low, found.high) == (0, 1)


def test_the_same_seed_gives_the_same_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    values, factors = crossed(np.random.default_rng(1), noise=1.0)
    assert interval_of_mean(values, factors, draws=50) == interval_of_mean(values, factors, draws=50)
    assert interval_of_mean(values, factors, draws=50) != interval_of_mean(values, factors, draws=50, seed=1)
    monkeypatch.setattr("fmn.metrics.bootstrap.WEIGHTS_AT_ONCE", 1)
    assert interval_of_mean(values, factors, draws=50).mean == pytest.approx(values.mean())


def test_a_higher_level_is_wider() -> None:
    values, factors = crossed(np.random.default_rng(2), classes=1.0)
    narrow, wide = (interval_of_mean(values, factors, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high
    assert narrow.as_dict()["level"] == 0.5


@pytest.mark.parametrize(
    ("values", "factors", "level"),
    [
        ([], {"class": []}, 0.95),
        ([1.0, 2.0], {}, 0.95),
        ([1.0, 2.0], {"class": ["a"]}, 0.95),
        ([1.0, np.nan], {"class": ["a", "b"]}, 0.95),
        ([1.0, 2.0], {"class": ["a", "b"]}, 95),
    ],
)
def test_what_has_no_interval_is_refused(values: list[float], factors: dict[str, list[str]], level: float) -> None:
    with pytest.raises(InputError):
        interval_of_mean(values, factors, level=level)


@pytest.mark.parametrize(
    ("levels", "is_evidence"),
    [
        ({"class": FEWEST_LEVELS, "seed": 1}, True),
        ({"class": FEWEST_LEVELS - 1, "seed": 50}, False),  # seeds are no sample of queries
        ({"corpus": 2}, True),
    ],
)
def test_an_interval_of_few_levels_is_no_evidence(levels: dict[str, int], is_evidence: bool) -> None:
    assert excludes({"low": 1.0, "high": 2.0, "levels": levels}, 0) is is_evidence
    assert not excludes({"low": 1.0, "high": 2.0, "levels": levels}, 1)
