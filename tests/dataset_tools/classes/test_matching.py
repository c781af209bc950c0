"""The class of an interval: by verb, subject and object, and by the roles that annotations tell."""

from __future__ import annotations

from typing import Any

import pytest

from dataset_tools.classes.matching import classify
from dataset_tools.classes.reader import load_classes
from dataset_tools.corpora.corpus import Interval


def _interval(verb: str, *things: str, **roles: Any) -> Interval:
    parts = {role: None if words is None else frozenset(words) for role, words in roles.items()}
    return Interval(0, "s07-d72-cam-002", 1, 50, verb, frozenset(things), frozenset({verb}), **parts)


def test_further_verbs_count_for_their_subjects_only():
    classes = load_classes()
    assert classify(_interval("add", "salt"), classes).class_id == "sprinkle_salt"
    assert classify(_interval("add", "onion", "spatula"), classes).status == "none"
    assert classify(_interval("add", "oil", "frying-pan"), classes).class_id == "pour_oil_frying-pan"


@pytest.mark.parametrize(
    ("interval", "status", "candidates"),
    [
        (_interval("take out", "knife", "plate"), "class", ["take-out_knife_plate"]),
        (
            _interval("take out", "knife", "plate", "hand", "fork"),
            "class",
            ["take-out_knife_plate"],
        ),  # others may be there
        (_interval("take out", "knife"), "none", []),  # without its object
        (_interval("wash", "knife", "plate"), "none", []),  # another verb
        (_interval("cut dice", "carrot", "chefs-knife"), "class", ["cut_carrot_knife"]),  # several verbs and attributes
        (_interval("wash", "apple", "hand"), "class", ["wash_apple"]),
        (_interval("wash", "apple", "knife"), "none", []),  # an object, where the class has none
        (_interval("take out", "jar", "hand"), "class", ["take-out_jar"]),  # itself an object of other classes
        (
            _interval("take out", "frying-pan", "plate", "spatula"),
            "ambiguous",
            ["take-out_frying-pan_plate", "take-out_spatula_frying-pan"],
        ),
        (Interval(0, "s07-d72", 1, 2, "rub", frozenset({"apple"}), frozenset({"wash"})), "class", ["wash_apple"]),
        (Interval(0, "s07-d72", 1, 2, "wash", frozenset({"apple"}), frozenset()), "class", ["wash_apple"]),
    ],
)
def test_an_interval_belongs_to_the_one_class_that_it_fits(interval, status, candidates):
    found = classify(interval, load_classes())
    assert (found.status, list(found.candidates)) == (status, candidates)
    assert found.class_id == (candidates[0] if status == "class" else None)


@pytest.mark.parametrize(
    ("roles", "fits"),
    [
        ({}, True),
        ({"tools": None, "ingredients": None, "containers": None}, True),
        ({"tools": ["knife"], "ingredients": ["carrot"]}, True),
        ({"tools": ["knife"], "ingredients": []}, True),  # left empty says nothing
        ({"tools": ["carrot", "knife"], "ingredients": []}, True),
        ({"tools": ["hand"], "ingredients": ["knife", "carrot"]}, False),  # a knife is taken up, not cut with
        ({"tools": ["carrot"], "ingredients": ["plate"]}, False),  # what is cut is the plate
        ({"tools": ["hand"], "ingredients": ["carrot"]}, True),  # the knife's part is not told
        ({"tools": ["knife"], "ingredients": ["hand"], "containers": ["carrot"]}, False),
    ],
)
def test_roles_decide_where_they_are_told(roles, fits):
    found = classify(_interval("cut", "carrot", "knife", "hand", "plate", **roles), load_classes())
    assert found.class_id == ("cut_carrot_knife" if fits else None)


@pytest.mark.parametrize(
    ("interval", "class_id"),
    [
        (
            _interval("cut", "pineapple", "plate", ingredients=["pineapple"], containers=["plate"]),
            "cut_pineapple_plate",
        ),
        (_interval("cut", "pineapple", "plate", ingredients=["pineapple", "plate"], containers=["bowl"]), None),
        (_interval("cut", "pineapple", "plate", ingredients=["pineapple"], tools=["plate"]), "cut_pineapple_plate"),
        # A companion may play any part, the subject may not.
        (
            _interval("take out", "knife", "plate", ingredients=["knife", "plate"], containers=["drawer"]),
            "take-out_knife_plate",
        ),
        (_interval("take out", "knife", "plate", ingredients=["plate"], tools=["knife"]), None),
    ],
)
def test_the_part_that_counts_is_that_of_the_class(interval, class_id):
    assert classify(interval, load_classes()).class_id == class_id
