from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from dataset_tools.decisions.agreement import agreement, cohens_kappa, krippendorffs_alpha
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
    assert found["object"].items == 3  # a rejected clip has no class
    assert found["frames kept"].value == pytest.approx((1 + 1 + 30 / 60) / 3)

    with_third = {one.field: one for one in agreement([*rows, say(1, "ccc"), say(4, "ccc", verdict="reject")])}
    assert with_third["verdict"].measure == "Krippendorff's alpha"
    assert with_third["verdict"].annotators == 3
    assert agreement([say(1, "a"), say(2, "bb")]) == ()
