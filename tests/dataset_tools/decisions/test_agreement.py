from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from dataset_tools.decisions.agreement import agreement, cohens_kappa, gwets_ac1, krippendorffs_alpha
from dataset_tools.decisions.journal import ReviewRow

MakeReview = Callable[..., ReviewRow]


def test_kappa_of_the_textbook_example() -> None:
    # 50 proposals: both yes 20, both no 15, yes/no 5, no/yes 10: p_o = .7, p_e = .5
    pairs = [("yes", "yes")] * 20 + [("no", "no")] * 15 + [("yes", "no")] * 5 + [("no", "yes")] * 10
    assert cohens_kappa(pairs) == pytest.approx(0.4)


def test_kappa_is_not_defined_without_variation() -> None:
    assert cohens_kappa([("yes", "yes")] * 3) is None
    assert cohens_kappa([]) is None
    assert cohens_kappa([("a", "a"), ("b", "b")]) == 1


def test_alpha_of_krippendorffs_own_example() -> None:
    # Krippendorff 2011, section C: nominal data, four observers, missing values: alpha = 0.743
    table = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]
    units = [[value for value in column if value != "."] for column in zip(*table, strict=True)]
    assert krippendorffs_alpha(units) == pytest.approx(0.743, abs=5e-4)


def test_alpha_against_its_definition_by_pairs() -> None:
    random = np.random.default_rng(3)
    units = [["abc"[i] for i in random.integers(0, 3, size)] for size in random.integers(1, 6, 40)]
    usable = [unit for unit in units if len(unit) > 1]
    everything = [value for unit in usable for value in unit]
    observed = sum(sum(a != b for a, b in itertools.permutations(unit, 2)) / (len(unit) - 1) for unit in usable) / len(
        everything
    )
    chance = sum(a != b for a, b in itertools.permutations(everything, 2)) / (len(everything) * (len(everything) - 1))
    assert krippendorffs_alpha(units) == pytest.approx(1 - observed / chance)
    assert krippendorffs_alpha([["a", "a"], ["a", "a"]]) is None


def test_ac1_of_gwets_own_examples() -> None:
    # Gwet 2014, page 120 (Krippendorff's table, too; cac.raw4raters of his package irrCAC): AC1 = 0.77544. The twelfth
    # item has one value.
    table = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]
    units = [[value for value in column if value != "."] for column in zip(*table, strict=True)]
    assert gwets_ac1(units) == pytest.approx(0.77544, abs=5e-6)
    # irrCAC's overview, cont3x3abstractors: two annotators, 100 items, AC1 = 0.8493305
    counts = {"ee": 13, "aa": 20, "an": 7, "na": 4, "nn": 56}
    assert gwets_ac1([pair for pair, count in counts.items() for _ in range(count)]) == pytest.approx(0.8493305)


def test_ac1_against_its_definition_by_pairs() -> None:
    random = np.random.default_rng(5)
    units = [["abc"[i] for i in random.integers(0, 3, size)] for size in random.integers(0, 6, 60)]
    agreeing = [np.mean([a == b for a, b in itertools.permutations(unit, 2)]) for unit in units if len(unit) > 1]
    shares = np.mean([[unit.count(value) / len(unit) for value in "abcd"] for unit in units if unit], axis=0)
    chance = float(np.sum(shares * (1 - shares))) / 3  # "d" could have been given, too
    expected = (float(np.mean(agreeing)) - chance) / (1 - chance)
    assert gwets_ac1(units, "abcd") == pytest.approx(expected)


def test_ac1_does_not_fall_where_nearly_everything_is_accepted() -> None:
    pairs = [("accept", "accept")] * 97 + [("accept", "reject")] * 2 + [("reject", "accept")]
    kappa, ac1 = cohens_kappa(pairs), gwets_ac1(pairs, ("accept", "trim", "reject"))
    # p_o = .97; kappa's p_e = .99 · .98 + .01 · .02; AC1's π = (.985, .015, 0)
    assert kappa == pytest.approx((0.97 - 0.9704) / (1 - 0.9704))
    assert ac1 == pytest.approx((0.97 - 0.985 * 0.015) / (1 - 0.985 * 0.015))
    assert gwets_ac1([("accept", "accept")] * 3, ("accept", "reject")) == 1
    assert gwets_ac1([("accept", "accept")] * 3) is None
    assert gwets_ac1([("accept",)], ("accept", "reject")) is None


def test_agreement_by_field(make_review: MakeReview) -> None:
    def say(clip: int, who: str, **fields: object) -> ReviewRow:
        number = clip * 10 + len(who)
        return make_review(minute=clip, annotation=number, id=f"clip-{clip}", annotator=who, **fields)

    rows = [
        say(1, "a"), say(1, "bb"),
        say(2, "a", verdict="reject"), say(2, "bb", verdict="reject"),
        say(3, "a"), say(3, "bb", corrected_class="wash_apple"),
        say(4, "a"), say(4, "bb", verdict="trim", trim=(101, 130)),
        say(5, "a"),
    ]  # fmt: skip
    found = {one.field: one for one in agreement(rows)}
    assert set(found) == {"verdict", "action", "subject", "object", "frames kept"}
    # verdicts: (accept, accept), (reject, reject), (accept, accept), (accept, trim)
    verdict = found["verdict"]
    assert (verdict.measure, verdict.annotators, verdict.items) == ("Cohen's kappa", 2, 4)
    expected = (3 / 4 * 2 / 4) + (1 / 4 * 1 / 4)
    assert verdict.value == pytest.approx((3 / 4 - expected) / (1 - expected))
    chance = (0.7 * 0.3 + 0.2 * 0.8 + 0.1 * 0.9) / 2  # shares of accept, reject, trim over five clips
    assert verdict.ac1 == pytest.approx((3 / 4 - chance) / (1 - chance))
    assert found["object"].items == 3  # a rejected clip has no class
    assert found["frames kept"].value == pytest.approx((1 + 1 + 30 / 60) / 3)
    assert found["frames kept"].ac1 is None

    with_third = {one.field: one for one in agreement([*rows, say(1, "ccc"), say(4, "ccc", verdict="reject")])}
    assert with_third["verdict"].measure == "Krippendorff's alpha"
    assert with_third["verdict"].annotators == 3
    assert agreement([say(1, "a"), say(2, "bb")]) == ()
