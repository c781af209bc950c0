"""Class file writer; `dataset_tools.classes.reader` reads its output back to the same classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dataset_tools.classes.triplets import SCHEMA, ActionClass, ActionWord, ClassFile, ThingWord, usual_phrase
from dataset_tools.classes.usual_words import usual_action, usual_phrase_of, usual_thing
from dataset_tools.core.files import write_bytes


def write_classes(
    path: Path, classes: ClassFile, *, heading: str = "", remarks: Mapping[str, str] | None = None
) -> None:
    """Writes the classes, their words, and what counts as an object.

    Args:
        path: the output file, written atomically.
        classes: the content to write; its classes, in their order.
        heading: a comment at the top, one or several lines.
        remarks: one-line comments on the rows of classes, by class id.
    """
    import yaml

    def dumped(name: str, value: object) -> str:
        return yaml.safe_dump({name: value}, allow_unicode=True, sort_keys=False, width=120, default_flow_style=None)

    actions = {key: _non_default(key, word, usual_action(key, word.name)) for key, word in classes.actions.items()}
    things = {key: _non_default(key, word, usual_thing(key, word.name)) for key, word in classes.things.items()}
    of_actions = {one.action for one in classes.classes}
    of_things = {thing for one in classes.classes for thing in (one.subject, one.object)}
    lines = [f"# {line}".rstrip() for line in heading.splitlines()]
    lines += [f"schema: {SCHEMA}", ""]
    for name, words, named in (("actions", actions, of_actions), ("things", things, of_things)):
        if any(words.values()) or words.keys() - named:  # else the section follows from the classes
            lines.append(dumped(name, words))
    lines += [f"objects: [{', '.join(sorted(classes.objects))}]", ""] if classes.objects else []
    lines += ["classes:"]
    for one in classes.classes:
        remark = (remarks or {}).get(one.id)
        row = yaml.safe_dump(
            _row(one, classes), allow_unicode=True, sort_keys=False, default_flow_style=True, width=10**6
        )
        lines.append(f"  - {row.strip()}" + (f" # {remark}" if remark else ""))
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def _row(one: ActionClass, classes: ClassFile) -> dict[str, str]:
    row = {"action": one.action, "subject": one.subject}
    if one.object is not None:
        row["object"] = one.object
        own = {"role": one.role, "preposition": one.preposition, "phrase_zh": one.phrase_zh}
        usual = usual_phrase(classes.actions[one.action], classes.things[one.object]) or usual_phrase_of(None)
        row |= {name: text for name, text in own.items() if text and text != getattr(usual, name)}
    return row


def _non_default(key: str, word: ActionWord | ThingWord, usual: ActionWord | ThingWord) -> dict[str, Any]:
    """Returns the fields of a word that differ from the defaults of its key, tuples as lists."""
    default = asdict(usual) | {"name": key.replace("-", " ")}
    return {name: _plain(value) for name, value in asdict(word).items() if value is not None and value != default[name]}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return list(value) if isinstance(value, tuple) else value
