"""Labeling configuration of Label Studio, made from a template and the class file, and validated.

The template is the workspace's annotations/labeling.xml, or else the shipped one. Its Taxonomy controls without choices
get those of the class file. Controls are identified by name, see `CONTROLS`.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from pathlib import Path

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.errors import InputError
from dataset_tools.core.shipped_files import shipped_file

CONTROLS: Mapping[str, str] = {
    "verdict": "Choices",
    "reason": "Choices",
    "trim": "TimelineLabels",
    "trim_start": "Number",
    "trim_end": "Number",
    "action": "Taxonomy",
    "subject": "Taxonomy",
    "object": "Taxonomy",
    "sentence": "TextArea",
    "speech_verdict": "Choices",
    "speech_rating": "Rating",
    "note": "TextArea",
}
"""Name and tag of every control that a pull reads."""

KEEP = "keep"
"""Label of the range to keep on the timeline."""

NO_OBJECT = "(none)"
OTHER = "other"
TASK_FIELDS = ("title", "range", "video", "start_s", "fps", "sentence", "speech", "class", "clip_id")
"""Fields of a task that a page may show, each as ``$name``, alone or within a text."""

_VERDICTS = {"accept", "trim", "reject"}
_SPEECH_VERDICTS = {"accept", "reject"}


def labeling_config(classes: ClassFile, template: Path | None = None) -> str:
    """Returns the labeling configuration for these classes, as Label Studio XML.

    An action, subject or object is stored by its key in the class file and shown by its name. All words of the class
    file are offered, not only those of its classes, so that annotators can state what a clip really shows.

    Args:
        classes: the class file that provides the words.
        template: a labeling.xml; None is the shipped one.

    Raises:
        InputError: decisions on a page of this template could not be pulled (all problems in one message).
    """
    path = shipped_file("labeling.xml") if template is None else template
    root = _parse(path)
    things = {key: word.name for key, word in classes.things.items()}
    words = {
        "action": {key: word.name for key, word in classes.actions.items()},
        "subject": things,
        "object": {NO_OBJECT: NO_OBJECT, **things},
    }
    for control in root.iter("Taxonomy"):
        if len(control) == 0:
            for key, name in {**words.get(control.get("name", ""), {}), OTHER: OTHER}.items():
                ElementTree.SubElement(control, "Choice", {"value": name, **({} if name == key else {"alias": key})})
    problems = list(_problems(root))
    if problems:
        raise InputError(
            "The labeling configuration cannot be used" + "".join(f"\n  - {problem}" for problem in problems),
            where=path,
            expected="Label Studio XML with the controls that are documented in the shipped one",
            next_step=f"correct it, or start again from {shipped_file('labeling.xml')}",
        )
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode")


def control_targets(config: str) -> dict[str, str]:
    """Returns the controls of a configuration by name, each with the name of its object (``toName``).

    Raises:
        InputError: the configuration is not XML.
    """
    try:
        elements = ElementTree.fromstring(config).iter()
    except ElementTree.ParseError as error:
        raise InputError(f"The labeling configuration is not XML: {error}", expected="well-formed XML") from error
    return {element.get("name", ""): target for element in elements if (target := element.get("toName"))}


def same_config(one: str, other: str) -> bool:
    """Whether two configurations are the same apart from whitespace, quotes and the order of attributes."""
    try:
        return _canonical(one) == _canonical(other)
    except ElementTree.ParseError:
        return False


def _canonical(config: str) -> str:
    return ElementTree.canonicalize(" ".join(config.split()), strip_text=True)


def _parse(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ElementTree.ParseError) as error:
        raise InputError(
            f"The labeling configuration cannot be read: {error}",
            where=path,
            expected="well-formed XML in UTF-8",
            next_step=f"correct it, or start again from {shipped_file('labeling.xml')}",
        ) from error


def _problems(root: ElementTree.Element) -> Iterator[str]:
    """Yields everything that would keep a pull from reading decisions made on the page, as full sentences."""
    named = [element for element in root.iter() if element.get("name")]
    names = [element.get("name", "") for element in named]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"The name `{name}` is used {names.count(name)} times; names must be unique."
    objects = {element.get("name") for element in named if element.get("value", "").startswith("$")}
    for element in named:
        target = element.get("toName")
        if target is not None and target not in objects:
            yield f"The control `{element.get('name')}` belongs to `{target}`, which the page does not show."
    for element in root.iter():
        for attribute in ("value", "frameRate"):
            for field in re.findall(r"\$(\w+)", element.get(attribute, "")):
                if field not in TASK_FIELDS:
                    offered = ", ".join(f"${name}" for name in TASK_FIELDS)
                    yield f"`${field}` in {element.tag} is not a field of the tasks, which offer {offered}."
    controls = {element.get("name", ""): element for element in named if element.get("toName")}
    for name, tag in CONTROLS.items():
        if name in controls and controls[name].tag != tag:
            yield f"The control `{name}` is a {controls[name].tag}; it must be a {tag}."
    words = [name for name in ("action", "subject", "object") if name in controls]
    if len(words) not in (0, 3):
        yield f"Of action, subject and object, there is only {' and '.join(words)}; a class needs all three."
    if "verdict" not in controls:
        yield "There is no control `verdict`: Choices with accept and reject."
    for name, known in (("verdict", _VERDICTS), ("speech_verdict", _SPEECH_VERDICTS)):
        if name in controls:
            values = {choice.get("alias") or choice.get("value") or "" for choice in controls[name].iter("Choice")}
            if values - known or not values >= {"accept", "reject"}:
                found = ", ".join(sorted(values)) or "none"
                yield f"The choices of `{name}` are {found}; they must be accept and reject" + (
                    " and may be trim." if name == "verdict" else "."
                )
    if "trim" in controls and KEEP not in {label.get("value") for label in controls["trim"].iter("Label")}:
        yield f"The control `trim` must have the Label {KEEP}."
    for video in root.iter("Video"):
        if "trim" in controls and video.get("frameRate") != "$fps":
            yield 'The Video must have frameRate="$fps", so that the timeline counts the clip\'s own frames.'
