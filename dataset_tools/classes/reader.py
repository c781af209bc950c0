"""Class file reader: YAML of schema ``fmn.classes/1``, such as the shipped ``annotations/classes.yaml``.

Users write their own class files, so the reader validates everything and reports all problems at once: the key, what
was found, what was expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast, get_args

from dataset_tools.classes.triplets import (
    SCHEMA,
    ActionClass,
    ActionWord,
    ClassFile,
    ObjectPhrase,
    Role,
    ThingWord,
    make_class,
    usual_phrase,
)
from dataset_tools.classes.usual_words import usual_action, usual_phrase_of, usual_thing
from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.shipped_files import shipped_file
from dataset_tools.core.yaml_text import read_yaml_text

_KEY = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ACTION_TEXTS = ("name", "third_person", "past", "participle", "gerund")
_ACTION_FIELDS = (*_ACTION_TEXTS, "verbs")
_THING_FIELDS = ("name", "attributes", "measure_zh", "plural")
_PHRASE_FIELDS = ("role", "preposition", "phrase_zh")
_NO_OBJECT = (None, "", "null", "~")


def load_classes(path: Path | str | None = None, count: int | None = 20) -> ClassFile:
    """Reads a class file and takes its first ``count`` classes.

    Args:
        path: the class file; None: the shipped one.
        count: number of classes to take, from the first; None: all.

    Raises:
        InputError: the file does not exist, is not a valid class file (all problems in one message), or has fewer
            classes than ``count``.
    """
    path = shipped_file("classes.yaml") if path is None else Path(path)
    problems = _Problems()
    classes = _read(read_yaml_text(path, f"a YAML file of schema {SCHEMA}"), path, problems)
    if problems:
        raise InputError(
            "The class file cannot be used" + "".join(f"\n  - {problem}" for problem in problems),
            where=path,
            expected=f"a YAML file of schema {SCHEMA}, such as the one that ships with the toolkit",
            next_step=f"correct the keys named above; the shipped file has comments: {shipped_file('classes.yaml')}",
        )
    if count is not None and not 1 <= count <= len(classes.classes):
        raise InputError(
            f"{count_of(count, 'class is', 'classes are')} requested, but the class file has {len(classes.classes)}",
            where=path,
            expected=f"a number from 1 to {len(classes.classes)}",
            next_step="request fewer with --classes, or add classes to the file",
        )
    return replace(classes, classes=classes.classes[:count], in_file=len(classes.classes))


class _Problems(list[str]):
    """Problems of a class file, one sentence each."""

    def note(self, key: str, found: object, expected: str) -> None:
        shown = "nothing" if found is None else repr(found)
        self.append(f"`{key}`: found {shown if len(shown) <= 60 else shown[:57] + '...'}, expected {expected}")


def _read(content: object, path: Path, problems: _Problems) -> ClassFile:
    """Builds the class file from its valid parts; the invalid ones are added to ``problems``."""
    top = _mapping(content, "the file", problems)
    if problems:
        return ClassFile(path, (), {}, {}, frozenset())
    if top.get("schema") != SCHEMA:
        problems.note("schema", top.get("schema"), SCHEMA)
    _known_keys(top, ("schema", "actions", "things", "objects", "classes"), "", problems)
    actions = {
        key: _action(key, _mapping(row, f"actions.{key}", problems), f"actions.{key}", problems)
        for key, row in _words(top, "actions", problems, "action").items()
    }
    things = {
        key: _thing(key, _mapping(row, f"things.{key}", problems), f"things.{key}", problems)
        for key, row in _words(top, "things", problems, "subject", "object").items()
    }
    for key, action in actions.items():
        for verb, subjects in action.also_verbs.items():
            for subject in set(subjects) - things.keys():
                problems.note(f"actions.{key}.also_verbs.{verb}", subject, "a key of things")
    rows = top.get("classes")
    if not isinstance(rows, list) or not rows:
        problems.note("classes", rows, "a list of at least one class")
        rows = []
    classes: dict[str, ActionClass] = {}
    for number, row in enumerate(rows, start=1):
        place = f"classes[{number}]"
        one = _class(_row(row, place, problems), place, actions, things, problems)
        if one is None:
            continue
        if one.id in classes:
            problems.note(place, one.id, "each class only once")
        classes[one.id] = one
    objects = {one.object for one in classes.values() if one.object}
    if "objects" in top:
        own = _texts(top, "objects", "", problems)
        for thing in own:
            if thing not in things:
                problems.note("objects", thing, "a key of things")
        objects |= set(own)
    return ClassFile(path, tuple(classes.values()), actions, things, frozenset(objects))


def _action(key: str, row: dict[str, Any], place: str, problems: _Problems) -> ActionWord:
    _known_keys(row, (*_ACTION_FIELDS, "zh", "also_verbs", "with_object"), place, problems)
    also = _mapping(row.get("also_verbs", {}), f"{place}.also_verbs", problems)
    row = _completed(row, _ACTION_FIELDS, usual_action, key)
    return ActionWord(
        **{name: _text(row, name, place, problems) for name in _ACTION_TEXTS},
        zh=_text(row, "zh", place, problems) if "zh" in row else "",
        verbs=_texts(row, "verbs", place, problems),
        also_verbs={verb: _texts(also, verb, f"{place}.also_verbs", problems) for verb in also},
        with_object=_object_phrase(row, "with_object", place, problems),
    )


def _thing(key: str, row: dict[str, Any], place: str, problems: _Problems) -> ThingWord:
    _known_keys(row, (*_THING_FIELDS, "zh", "mass", "as_object"), place, problems)
    mass = row.get("mass", "false" if "plural" in row else None)
    if mass not in ("true", "false", None):
        problems.note(f"{place}.mass", mass, "true or false")
    if mass == "true" and "plural" in row:
        problems.note(f"{place}.plural", row["plural"], "no plural, as the thing is a mass noun (mass: true)")
    fields = tuple(field for field in _THING_FIELDS if field != "plural" or mass != "true")
    row = _completed(row, fields, usual_thing, key)
    return ThingWord(
        name=_text(row, "name", place, problems),
        zh=_text(row, "zh", place, problems) if "zh" in row else "",
        attributes=_texts(row, "attributes", place, problems),
        mass=None if mass is None else mass == "true",
        plural=None if mass == "true" or row["plural"] is None else _text(row, "plural", place, problems),
        measure_zh=_text(row, "measure_zh", place, problems),
        as_object=_object_phrase(row, "as_object", place, problems),
    )


def _completed(
    row: dict[str, Any], fields: tuple[str, ...], usual: Callable[[str, str | None], ActionWord | ThingWord], key: str
) -> dict[str, Any]:
    """Returns the row of a word, with missing fields filled with the default forms."""
    if not set(fields) - row.keys():
        return row
    name = row.get("name")
    word = usual(key, name if isinstance(name, str) and name.strip() else None)
    values = {field: getattr(word, field) for field in fields}
    return {field: list(value) if isinstance(value, tuple) else value for field, value in values.items()} | row


def _object_phrase(row: dict[str, Any], field: str, place: str, problems: _Problems) -> ObjectPhrase | None:
    if field not in row:
        return None
    place = f"{place}.{field}"
    phrase = _mapping(row[field], place, problems)
    _known_keys(phrase, _PHRASE_FIELDS, place, problems)
    phrase = asdict(_usual_phrase_of(phrase.get("role"))) | phrase if "role" in phrase else phrase
    return _checked_phrase({name: _text(phrase, name, place, problems) for name in _PHRASE_FIELDS}, place, problems)


def _usual_phrase_of(role: str | None) -> ObjectPhrase:
    return usual_phrase_of(cast(Role, role) if role in get_args(Role) else None)


def _checked_phrase(texts: Mapping[str, str | None], place: str, problems: _Problems) -> ObjectPhrase:
    role, preposition, phrase_zh = (texts[name] for name in _PHRASE_FIELDS)
    if role and role not in get_args(Role):
        problems.note(f"{place}.role", role, "one of " + ", ".join(get_args(Role)))
    if phrase_zh and not re.fullmatch(r"[^{}]*\{object\}[^{}]*", phrase_zh):
        problems.note(f"{place}.phrase_zh", phrase_zh, "a phrase with {object} exactly once, and no other braces")
    return ObjectPhrase(cast(Role | None, role), preposition or "", phrase_zh or "")


def _class(
    row: dict[str, Any],
    place: str,
    actions: dict[str, ActionWord],
    things: dict[str, ThingWord],
    problems: _Problems,
) -> ActionClass | None:
    """Returns the class of a row, or None if its action, subject or object is not defined."""
    _known_keys(row, ("action", "subject", "object", *_PHRASE_FIELDS), place, problems)
    action = _reference(row, "action", actions, place, problems)
    subject = _reference(row, "subject", things, place, problems)
    own = {name: _text(row, name, place, problems) for name in _PHRASE_FIELDS if name in row}
    if row.get("object") in _NO_OBJECT:
        for name, text in own.items():
            problems.note(f"{place}.{name}", text, "nothing, as the class has no object")
        return make_class(actions, things, action, subject) if action and subject else None
    thing = _reference(row, "object", things, place, problems)
    if not (action and subject and thing):
        return None
    if thing == subject:
        problems.note(f"{place}.object", thing, "a thing other than the subject")
    phrase = usual_phrase(actions[action], things[thing]) or _usual_phrase_of(own.get("role"))
    texts = {name: own.get(name) or getattr(phrase, name) for name in _PHRASE_FIELDS}
    return make_class(actions, things, action, subject, thing, _checked_phrase(texts, place, problems))


def _mapping(value: object, place: str, problems: _Problems) -> dict[str, Any]:
    if isinstance(value, dict):
        return cast(dict[str, Any], value)
    problems.note(place, value, "a mapping of keys to values")
    return {}


def _row(value: object, place: str, problems: _Problems) -> dict[str, Any]:
    """Returns the keys and values of a class, which must not be empty."""
    if value == {}:
        problems.note(place, value, "a mapping of keys to values")
    return _mapping(value, place, problems)


def _words(top: dict[str, Any], name: str, problems: _Problems, *fields: str) -> dict[str, object]:
    """Returns the rows of ``actions`` or ``things``; each key must be valid in a class id.

    If the file has no such section, returns the words named by the ``fields`` of its classes, with default forms.
    """
    if name in top:
        rows = _mapping(top[name], name, problems)
    else:
        classes = [row for row in top.get("classes") or () if isinstance(row, dict)]
        named = [row.get(field) for row in classes for field in fields]
        rows = {key: {} for key in named if isinstance(key, str) and key.strip() and key not in _NO_OBJECT}
    for key in rows:
        if not _KEY.fullmatch(key):
            problems.note(f"{name}.{key}", key, "a key of a-z, 0-9 and single hyphens, as in take-out")
    return rows


def _known_keys(row: dict[str, Any], known: Iterable[str], place: str, problems: _Problems) -> None:
    known = tuple(known)
    for key in row:
        if key not in known:
            problems.append(f"`{f'{place}.{key}'.lstrip('.')}`: unknown key, expected one of {', '.join(known)}")


def _text(row: dict[str, Any], field: str, place: str, problems: _Problems) -> str:
    value = row.get(field)
    if isinstance(value, str) and value.strip():
        return value
    if row:  # a row that is not a mapping, or is empty, was already reported
        problems.note(f"{place}.{field}", value, "a non-empty string")
    return ""


def _texts(row: dict[str, Any], field: str, place: str, problems: _Problems) -> tuple[str, ...]:
    values = row.get(field)
    if isinstance(values, list) and values and all(isinstance(one, str) and one.strip() for one in values):
        if len(set(values)) < len(values):
            problems.note(f"{place}.{field}".lstrip("."), values, "each value only once")
        return tuple(values)
    if row:
        problems.note(f"{place}.{field}".lstrip("."), values, "a list of at least one non-empty string")
    return ()


def _reference(row: dict[str, Any], field: str, words: Iterable[str], place: str, problems: _Problems) -> str:
    """Returns the key of ``actions`` or ``things`` in a field of a class, or an empty string if it is invalid."""
    key = _text(row, field, place, problems)
    if not key or key in words:
        return key
    problems.note(f"{place}.{field}", key, "one of " + (", ".join(words) or "those defined in the file"))
    return ""
