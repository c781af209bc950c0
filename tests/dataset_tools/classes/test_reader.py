"""Class files of a user's own: what is left out, and what is refused by name."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.errors import InputError
from dataset_tools.core.shipped_files import shipped_file
from dataset_tools.speech.sentences.generation import check_words, every_sentence

SHIPPED = yaml.safe_load(shipped_file("classes.yaml").read_text("utf-8"))


def test_what_an_object_is_comes_from_the_row_else_the_action_else_the_thing(own_classes):
    by_id = {one.id: one for one in load_classes().classes}
    assert (by_id["cut_carrot_knife"].role, by_id["cut_carrot_knife"].preposition) == ("tool", "with")
    assert (by_id["wash_cutting-board_knife"].role, by_id["wash_cutting-board_knife"].phrase_zh) == (
        "companion",
        "连同{object}",
    )
    own = own_classes(lambda content: content["classes"][0].update(preposition="by means of"))
    assert (own.classes[0].role, own.classes[0].preposition) == ("tool", "by means of")


@pytest.fixture
def own_file(tmp_path: Path) -> Callable[..., Path]:
    """A small class file of one's own, changed by a function."""

    def write(change: Callable[[Any], Any] = lambda content: None) -> Path:
        content = {
            "schema": "fmn.classes/1",
            "actions": {key: SHIPPED["actions"][key] for key in ("cut", "wash")},
            "things": {key: SHIPPED["things"][key] for key in ("apple", "carrot", "knife", "milk")},
            "classes": [
                {"action": "cut", "subject": "carrot", "object": "knife"},
                {"action": "wash", "subject": "apple"},
            ],
        }
        content = copy.deepcopy(content)
        change(content)
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(content, allow_unicode=True), "utf-8")
        return path

    return write


@pytest.fixture
def own_classes(own_file):
    return lambda change=lambda content: None: load_classes(own_file(change), count=2)


def test_a_file_of_ones_own_is_read(own_classes):
    classes = own_classes()
    assert [one.id for one in classes.classes] == ["cut_carrot_knife", "wash_apple"]
    assert classes.objects == {"knife"}
    assert (classes.things["milk"].mass, classes.things["milk"].plural) == (True, None)
    assert own_classes(lambda content: content.update(objects=["apple"])).objects == {"knife", "apple"}
    assert own_classes(lambda content: content["classes"][1].update(object=None)).classes[1].object is None


def _set(*keys: Any) -> Callable[[Any], None]:
    *way, last, value = keys

    def change(content: Any) -> None:
        for key in way:
            content = content[key]
        content[last] = value

    return change


def _del(*keys: Any) -> Callable[[Any], None]:
    *way, last = keys

    def change(content: Any) -> None:
        for key in way:
            content = content[key]
        del content[last]

    return change


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (_set("schema", "fmn.classes/2"), "`schema`: found 'fmn.classes/2', expected fmn.classes/1"),
        (_del("schema"), "`schema`: found nothing, expected fmn.classes/1"),
        (_set("class", 3), "`class`: unknown key, expected one of schema, actions"),
        (_set("classes", []), "`classes`: found [], expected a list of at least"),
        (_set("things", []), "`things`: found [], expected a mapping of keys to values"),
        (_set("actions", "cut", "verb", "x"), "`actions.cut.verb`: unknown key"),
        (_set("actions", "cut", "verbs", []), "`actions.cut.verbs`: found [], expected a list of at least"),
        (_set("actions", "cut", "verbs", "cut"), "`actions.cut.verbs`: found 'cut', expected a list"),
        (_set("actions", "cut", "verbs", ["cut", "cut"]), "`actions.cut.verbs`: found ['cut', 'cut'], expected each"),
        (_set("actions", "cut", "past", ""), "`actions.cut.past`: found '', expected a non-empty string"),
        (
            _set("actions", "cut", "also_verbs", {"add": ["salt"]}),
            "`actions.cut.also_verbs.add`: found 'salt', expected",
        ),
        (_set("actions", "Cut_it", {}), "`actions.Cut_it`: found 'Cut_it', expected a key of a-z"),
        (_set("classes", [{}]), "`classes[1]`: found {}, expected a mapping of keys to values"),
        (_set("things", "apple", "mass", "maybe"), "`things.apple.mass`: found 'maybe', expected true or false"),
        (_set("things", "milk", "plural", "milks"), "`things.milk.plural`: found 'milks', expected no plural"),
        (_set("things", "apple", "plural", ""), "`things.apple.plural`: found '', expected a non-empty string"),
        (
            _set("things", "knife", "as_object", "role", "hero"),
            "`things.knife.as_object.role`: found 'hero', expected one",
        ),
        (_set("things", "knife", "as_object", "phrase_zh", "用"), "`things.knife.as_object.phrase_zh`: found '用'"),
        (_set("things", "knife", "as_object", "phrase_zh", "{}{object}"), "and no other braces"),
        (_set("things", "knife", "as_object", "verb", "x"), "`things.knife.as_object.verb`: unknown key"),
        (_set("actions", "cut", "verbs", ["cut", " "]), "`actions.cut.verbs`: found ['cut', ' '], expected a list of"),
        (
            _del("things", "knife", "as_object", "role"),
            "`things.knife.as_object.role`: found nothing, expected",
        ),
        (_set("classes", 0, "action", "chop"), "`classes[1].action`: found 'chop', expected one of cut, wash"),
        (_set("classes", 0, "object", "carrot"), "`classes[1].object`: found 'carrot', expected a thing other"),
        (_set("classes", 1, "role", "tool"), "`classes[2].role`: found 'tool', expected nothing, as the class has no"),
        (
            _set("classes", 1, {"action": "cut", "subject": "carrot", "object": "knife"}),
            "expected each class only once",
        ),
        (_set("classes", 1, "wash apple"), "`classes[2]`: found 'wash apple', expected a mapping of keys to values"),
        (_set("objects", ["spoon"]), "`objects`: found 'spoon', expected a key of things"),
    ],
)
def test_what_is_wrong_is_named(own_file, change, found):
    path = own_file(change)
    with pytest.raises(InputError) as refused:
        load_classes(path, count=2)
    assert found in str(refused.value)
    assert refused.value.where == str(path)


def test_a_class_alone_is_enough(minimal):
    classes = load_classes(minimal, count=None)
    assert [one.id for one in classes.classes] == ["take-out_milk_fridge", "stop_leaf"]
    assert (classes.classes[0].role, classes.classes[0].preposition) == ("source", "from")
    take, stop = classes.actions["take-out"], classes.actions["stop"]
    assert (take.third_person, take.past, take.participle, take.gerund) == (
        *("takes out", "took out", "taken out", "taking out"),
    )
    assert (stop.verbs, stop.past, stop.gerund) == (("stop",), "stopped", "stopping")
    assert {key: word.plural for key, word in classes.things.items()} == {
        **{"milk": "milks", "fridge": "fridges", "leaf": "leaves"}
    }
    # Whether milk is counted was not said: neither "a milk" nor "some leaf" may be heard.
    said = {text for one in classes.classes for text in every_sentence(one, classes)}
    assert any("takes the milk out from the fridge" in text for text in said)
    assert not [text for text in said if re.search(r"\b(a|an|some) (milk|leaf|fridge)\b", text)]


def test_words_of_one_language_are_enough_and_the_other_is_refused_by_key(minimal):
    classes = load_classes(minimal, count=None)
    with pytest.raises(InputError, match="no Chinese word for: fridge, leaf, milk, stop, take-out"):
        check_words(classes, "zh")
    check_words(classes, "en")
    check_words(load_classes(), "zh")


def test_all_problems_come_in_one_message(own_file):
    def change(content: Any) -> None:
        content["actions"]["cut"]["zh"] = []
        content["things"]["apple"]["colour"] = "red"
        content["classes"][1]["subject"] = "pear"

    with pytest.raises(InputError) as refused:
        load_classes(own_file(change), count=2)
    assert refused.value.found.count("\n  - ") == 3


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: 1\na: 2", "duplicate key 'a'"),
        ("a: &x [1]\nb: *x", "an alias (*name) is not allowed"),
        ("a: [1", "cannot be read as YAML"),
        ("? [1]\n: 2", "a key is not a scalar"),
        ("", "`the file`: found nothing, expected a mapping of keys"),
        ("- 1", "`the file`: found ['1'], expected a mapping of keys"),
        ("[" * 1_000_000, "it is nested too deeply"),
        ("a: caf\udce9 x", "can't decode byte 0xe9 in position 6"),
    ],
)
def test_what_is_no_class_file_is_refused(tmp_path, text, found):
    path = tmp_path / "classes.yaml"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(InputError) as refused:
        load_classes(path)
    assert found in str(refused.value)


def test_words_that_yaml_takes_for_something_else_stay_words(own_classes):
    classes = own_classes(_set("classes", 0, "preposition", "on"))
    assert classes.classes[0].preposition == "on"


def test_a_missing_file_and_a_wrong_count_are_refused(tmp_path, own_file):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load_classes(tmp_path / "none.yaml")
    for count in (0, 3):
        with pytest.raises(InputError, match=f"{count} classes are requested, but the class file has 2"):
            load_classes(own_file(), count=count)


KEYS = st.sampled_from(
    [
        *("schema", "actions", "things", "classes", "objects", "cut", "apple", "knife", "name", "zh", "verbs", "add"),
        *("also_verbs", "with_object", "attributes", "mass", "plural", "as_object", "role", "preposition"),
        *("phrase_zh", "action", "subject", "object"),
    ]
)
SCALARS = st.sampled_from([None, True, 3, 2.5, "", "cut", "apple", "knife", "fmn.classes/1", "tool", "{object}", "{"])
CONTENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_of_a_class_file_is_read_or_refused(own_file, data):
    def change(content: Any) -> None:
        place = content
        while True:
            options = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = data.draw(st.sampled_from(options) if options else KEYS)
            deeper = isinstance(place, list | dict) and options and isinstance(place[key], list | dict) and place[key]
            if deeper and data.draw(st.booleans()):
                place = place[key]
                continue
            place[key] = data.draw(CONTENTS)
            return

    path = own_file(change)
    try:
        assert load_classes(path, count=None).classes
    except InputError as error:
        assert "mine.yaml" in str(error)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_bytes_are_read_or_refused(own_file, data):
    path = own_file()
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path.write_bytes(content)
    try:
        assert load_classes(path, count=None).classes
    except InputError as error:
        assert "mine.yaml" in str(error)


@pytest.mark.parametrize("key", ["-rf", "cut-", "-"])
def test_a_key_without_a_word_before_or_behind_its_hyphen_is_named(tmp_path: Path, key: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"schema: fmn.classes/1\nclasses:\n  - {{action: '{key}', subject: '{key}'}}\n", "utf-8")
    with pytest.raises(InputError) as raised:
        load_classes(path)
    assert f"actions.{key}" in str(raised.value)
    assert f"things.{key}" in str(raised.value)
