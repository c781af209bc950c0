"""The shipped class file: the classes and words of Table 1 of the paper."""

from __future__ import annotations

import pytest

from dataset_tools.classes.reader import load_classes
from dataset_tools.manifests import ClassLabel

# Table 1 of the paper.
ACTIONS = {"pour", "cut", "sprinkle", "squeeze", "stir", "take out", "wash", "grate", "peel"}
SUBJECTS = {
    *("apple", "bowl", "carrot", "cucumber", "frying pan", "cutting board", "knife", "lemon", "lime", "milk", "oil"),
    *("onion", "orange", "plate", "jar", "pineapple", "salt", "spatula", "spice", "tin"),
}
OBJECTS = {"fork", "frying pan", "knife", "spice", "squeezer", "spatula", "plate", "jar"}
CHINESE_ACTIONS = ["倒", "切", "撒", "挤压", "搅拌", "取出", "洗", "磨碎", "剥"]
CHINESE_THINGS = [
    *("苹果", "碗", "萝卜", "黄瓜", "煎锅", "切菜板", "餐刀", "柠檬", "青柠", "牛奶", "油", "洋葱", "橙子", "盘子"),
    *("罐子", "菠萝", "盐", "抹刀", "香料", "罐头", "餐叉", "榨汁机"),
]


def test_the_shipped_classes_cover_table_1():
    classes = load_classes()
    names = {key: word.name for key, word in (classes.actions | classes.things).items()}
    assert len(classes.classes) == 20
    assert {names[one.action] for one in classes.classes} == ACTIONS
    assert {names[one.subject] for one in classes.classes} == SUBJECTS
    assert {names[one.object] for one in classes.classes if one.object} == OBJECTS
    assert {names[thing] for thing in classes.objects} == OBJECTS
    assert [word.zh for word in classes.actions.values()] == CHINESE_ACTIONS
    assert {word.zh for word in classes.things.values()} == set(CHINESE_THINGS)


def test_the_first_classes_are_taken_and_say_what_they_are():
    three = load_classes(count=3)
    assert [one.id for one in three.classes] == ["take-out_knife_plate", "take-out_plate_spice", "cut_pineapple_plate"]
    assert three.objects == load_classes().objects  # what a class without object excludes does not depend on the count
    label = ClassLabel(id="take-out_knife_plate", action="take-out", subject="knife", object="plate")
    assert three.classes[0].label() == label
    assert load_classes(count=None) == load_classes()


def test_the_shipped_file_states_every_form_so_that_no_dictionary_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_dictionary(*_: object) -> None:
        raise AssertionError("half a second for every command")

    for asked in ("usual_action", "usual_thing"):
        monkeypatch.setattr(f"dataset_tools.classes.reader.{asked}", no_dictionary)
    assert load_classes().things["milk"].plural is None
