"""Writes a class file that `dataset_tools.classes.reader` reads back to the same classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dataset_tools.classes.triplets import SCHEMA, ActionClass, ActionWord, ClassFile, ThingWord, usual_phrase
from dataset_tools.core.files import write_bytes


def write_classes(
    path: Path, classes: ClassFile, *, heading: str = "", remarks: Mapping[str, str] | None = None
) -> None:
    """Writes the classes, their words, and what counts as an object.

    Args:
        path: where to; the file appears only when complete.
        classes: what to write; the classes it has, in its order.
        heading: a comment at the top, one or several lines.
        remarks: a comment, one line, for the row of a class, by id.
    """
    import yaml

    def dumped(name: str, value: object) -> str:
        return yaml.safe_dump({name: value}, allow_unicode=True, sort_keys=False, width=120, default_flow_style=None)

    lines = [f"# {line}".rstrip() for line in heading.splitlines()]
    lines += [f"schema: {SCHEMA}", ""]
    lines += [dumped("actions", {key: _without_defaults(word) for key, word in classes.actions.items()})]
    lines += [dumped("things", {key: _without_defaults(word) for key, word in classes.things.items()})]
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
        usual = usual_phrase(classes.actions[one.action], classes.things[one.object])
        row |= {name: text for name, text in own.items() if text and text != getattr(usual, name, None)}
    return row


def _without_defaults(word: ActionWord | ThingWord) -> dict[str, Any]:
    """The fields of a word that say something, tuples as lists."""
    return {name: _plain(value) for name, value in asdict(word).items() if value not in (None, False, {})}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return list(value) if isinstance(value, tuple) else value
