"""XML parsing of annotation files; document types and entities are rejected, as they can refer to other files."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from dataset_tools.corpora.annotations.interval_list import read_content, refusal

_DEEPEST = 100


def read_xml(path: Path, expected: str, root: str) -> Element:
    """Returns the root element of an XML file.

    Raises:
        InputError: the file cannot be read, has a document type, or a different root.
    """
    found = _parse(path, expected)
    if found.tag != root:
        raise refusal(path, f"begins with <{found.tag[:40]}>, not <{root}>", expected, "name its format with --format")
    return found


def root_tag(path: Path, expected: str) -> str:
    """Returns the name of the root element.

    Raises:
        InputError: the file cannot be read.
    """
    return _parse(path, expected).tag


def attribute(element: Element, name: str) -> str:
    """Returns a required attribute.

    Raises:
        ValueError: the attribute is missing.
    """
    value = element.get(name)
    if value is None:
        raise ValueError(f"<{element.tag[:40]}> has no {name}")
    return value


def _parse(path: Path, expected: str) -> Element:
    parser, builder = expat.ParserCreate(), TreeBuilder()
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise ValueError(f"elements are nested more than {_DEEPEST} deep")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: object) -> None:
        raise ValueError("it has a document type (<!DOCTYPE …>), which annotation files must not have")

    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(read_content(path, expected), True)
        return builder.close()
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise refusal(path, f"is not usable XML: {str(error)[:200]}", expected, "export it again") from error
