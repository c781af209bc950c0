"""Reads a class file, YAML of schema ``fmn.classes/1``; ``annotations/classes.yaml`` is the shipped one.

Users write their own, so the reader takes nothing for granted, and reports every problem at once: the key, what was
found, what was expected. All scalars are read as text, so that ``preposition: on`` is the word and not YAML's ``true``.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any, cast, get_args

import yaml

from dataset_tools.class_words import SCHEMA, ActionClass, ActionWord, ClassFile, Role, ThingWord
from dataset_tools.errors import InputError
from dataset_tools.shipped import shipped_file

_KEY = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ACTION_FIELDS = ("name", "zh", "verbs", "third_person", "past", "participle", "gerund")
_THING_FIELDS = ("name", "zh", "attributes", "measure_zh")
_OBJECT_FIELDS = ("role", "preposition", "phrase_zh")


def load_classes(path: Path | None = None, count: int = 20) -> ClassFile:
    """Reads a class file and takes its first ``count`` classes.

    Args:
        path: the class file; None is the shipped one.
        count: how many classes to take, from the first.

    Raises:
        InputError: there is no such file, or it is not a class file (all problems in one message), or it has fewer
            classes than ``count``.
    """
    path = shipped_file("classes.yaml") if path is None else path
    problems = _Problems()
    classes = _read(_parse(path), path, problems)
    if problems:
        raise InputError(
            "The class file cannot be used" + "".join(f"\n  - {problem}" for problem in problems),
            where=path,
            expected=f"a YAML file of schema {SCHEMA}, such as the one that ships with the toolkit",
            next_step=f"correct the keys named above; the shipped file has comments: {shipped_file('classes.yaml')}",
        )
    if not 1 <= count <= len(classes.classes):
        raise InputError(
            f"{count} classes are asked for, and the class file has {len(classes.classes)}",
            where=path,
            expected=f"a number from 1 to {len(classes.classes)}",
            next_step="ask for fewer with --classes, or add classes to the file",
        )
    return ClassFile(path, classes.classes[:count], classes.actions, classes.things)


class _Problems(list[str]):
    """What is wrong with a class file, one sentence each."""

    def note(self, key: str, found: str, expected: str) -> None:
        self.append(f"`{key}`: found {found}, expected {expected}")


class _TextLoader(yaml.BaseLoader):
    """Reads every scalar as text, and refuses a mapping that has a key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key is not a word", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} is there twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _parse(path: Path) -> object:
    """The YAML of a file, mappings, lists and texts."""
    try:
        # YAML's alias is refused: a few of them, nested, can stand for gigabytes.
        content = path.read_bytes()
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(content, Loader=yaml.BaseLoader)):
            raise InputError("The class file has a YAML alias (*name)", where=path, expected="values written out")
        return yaml.load(content, Loader=_TextLoader)  # a BaseLoader: it makes texts, lists and dicts only
    except OSError as error:
        raise InputError(
            f"The class file cannot be read: {error.strerror}",
            where=path,
            expected=f"a YAML file of schema {SCHEMA}",
            next_step="check the path",
        ) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(
            f"The class file is not YAML that can be read: {error}",
            where=path,
            expected=f"a YAML file of schema {SCHEMA}",
            next_step="correct the line named above",
        ) from error


def _read(content: object, path: Path, problems: _Problems) -> ClassFile:
    """Builds the class file as far as it is right; what is wrong goes into ``problems``."""
    top = _mapping(content, "the file", problems)
    if top and top.get("schema") != SCHEMA:
        problems.note("schema", _shown(top.get("schema")), SCHEMA)
    _known_keys(top, ("schema", "actions", "things", "classes"), "", problems)
    actions = {
        key: _action(_mapping(row, f"actions.{key}", problems), f"actions.{key}", problems)
        for key, row in _words(top, "actions", problems).items()
    }
    things = {
        key: _thing(_mapping(row, f"things.{key}", problems), f"things.{key}", problems)
        for key, row in _words(top, "things", problems).items()
    }
    rows = top.get("classes")
    if not isinstance(rows, list) or not rows:
        problems.note("classes", _shown(rows), "a list of classes, one at least")
        rows = []
    classes: dict[str, ActionClass] = {}
    for number, row in enumerate(rows, start=1):
        place = f"classes[{number}]"
        one = _class(_mapping(row, place, problems), place, actions, things, problems)
        if one.id in classes:
            problems.note(place, f"the class {one.id} a second time", "each class once")
        classes[one.id] = one
    return ClassFile(path, tuple(classes.values()), actions, things)


def _action(row: dict[str, Any], place: str, problems: _Problems) -> ActionWord:
    _known_keys(row, _ACTION_FIELDS, place, problems)
    return ActionWord(
        name=_text(row, "name", place, problems),
        zh=_text(row, "zh", place, problems),
        verbs=_texts(row, "verbs", place, problems),
        third_person=_text(row, "third_person", place, problems),
        past=_text(row, "past", place, problems),
        participle=_text(row, "participle", place, problems),
        gerund=_text(row, "gerund", place, problems),
    )


def _thing(row: dict[str, Any], place: str, problems: _Problems) -> ThingWord:
    _known_keys(row, (*_THING_FIELDS, "mass", "plural"), place, problems)
    mass = row.get("mass", "false")
    if mass not in ("true", "false"):
        problems.note(f"{place}.mass", _shown(mass), "true or false")
    if mass == "true" and "plural" in row:
        problems.note(f"{place}.plural", _shown(row["plural"]), "no plural, as the thing is not counted (mass: true)")
    return ThingWord(
        name=_text(row, "name", place, problems),
        zh=_text(row, "zh", place, problems),
        attributes=_texts(row, "attributes", place, problems),
        mass=mass == "true",
        plural=None if mass == "true" else _text(row, "plural", place, problems),
        measure_zh=_text(row, "measure_zh", place, problems),
    )


def _class(
    row: dict[str, Any],
    place: str,
    actions: dict[str, ActionWord],
    things: dict[str, ThingWord],
    problems: _Problems,
) -> ActionClass:
    _known_keys(row, ("action", "subject", "object", "also_verbs", *_OBJECT_FIELDS), place, problems)
    action = _reference(row, "action", actions, place, problems)
    subject = _reference(row, "subject", things, place, problems)
    thing = row.get("object")
    role = preposition = phrase_zh = None
    if thing in (None, "", "null", "~"):
        thing = None
        for field in _OBJECT_FIELDS:
            if field in row:
                problems.note(f"{place}.{field}", _shown(row[field]), "nothing, as the class has no object")
    else:
        thing = _reference(row, "object", things, place, problems)
        role = _text(row, "role", place, problems)
        preposition = _text(row, "preposition", place, problems)
        phrase_zh = _text(row, "phrase_zh", place, problems)
        if role and role not in get_args(Role):
            problems.note(f"{place}.role", _shown(role), "one of " + ", ".join(get_args(Role)))
        if phrase_zh and phrase_zh.count("{object}") != 1:
            problems.note(f"{place}.phrase_zh", _shown(phrase_zh), "a phrase with {object} in it, once")
        if thing and thing == subject:
            problems.note(f"{place}.object", _shown(thing), "another thing than the subject")
    also = _texts(row, "also_verbs", place, problems) if "also_verbs" in row else ()
    own = actions[action].verbs if action in actions else ()
    return ActionClass(
        id="_".join(part for part in (action, subject, thing) if part),
        action=action,
        subject=subject,
        object=thing,
        role=cast(Role | None, role),
        preposition=preposition,
        phrase_zh=phrase_zh,
        verbs=tuple(dict.fromkeys((*own, *also))),
    )


def _mapping(value: object, place: str, problems: _Problems) -> dict[str, Any]:
    if isinstance(value, dict):
        return cast(dict[str, Any], value)
    problems.note(place, _shown(value), "keys with values")
    return {}


def _words(top: dict[str, Any], name: str, problems: _Problems) -> dict[str, object]:
    """The rows of ``actions`` or ``things``, of which each needs a key that can stand in a class id."""
    rows = _mapping(top.get(name), name, problems)
    for key in rows:
        if not _KEY.fullmatch(key):
            problems.note(f"{name}.{key}", _shown(key), "a key of a-z, 0-9 and single hyphens, as in take-out")
    return rows


def _known_keys(row: dict[str, Any], known: Iterable[str], place: str, problems: _Problems) -> None:
    known = tuple(known)
    for key in row:
        if key not in known:
            problems.note(f"{place}.{key}".lstrip("."), "a key that is not known", "one of " + ", ".join(known))


def _text(row: dict[str, Any], field: str, place: str, problems: _Problems) -> str:
    value = row.get(field)
    if isinstance(value, str) and value.strip():
        return value
    if row:  # of a row that is no mapping, that was said
        problems.note(f"{place}.{field}", _shown(value), "a text")
    return ""


def _texts(row: dict[str, Any], field: str, place: str, problems: _Problems) -> tuple[str, ...]:
    values = row.get(field)
    if isinstance(values, list) and values and all(isinstance(one, str) and one.strip() for one in values):
        if len(set(values)) < len(values):
            problems.note(f"{place}.{field}", _shown(values), "each only once")
        return tuple(values)
    if row:
        problems.note(f"{place}.{field}", _shown(values), "a list of texts, one at least")
    return ()


def _reference(row: dict[str, Any], field: str, words: Iterable[str], place: str, problems: _Problems) -> str:
    """A key of ``actions`` or ``things`` that a class names."""
    key = _text(row, field, place, problems)
    if key and key not in words:
        problems.note(f"{place}.{field}", _shown(key), "one of " + (", ".join(words) or "those of the file"))
    return key


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
