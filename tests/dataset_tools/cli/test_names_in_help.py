"""Names that the help and the README list by hand, as their modules are slow to import, are those of the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import typer.main

from dataset_tools.cli.export import export
from dataset_tools.cli.main import app
from dataset_tools.corpora.annotations.formats import FORMATS
from dataset_tools.exports.registry import FORMATS as EXPORT_FORMATS
from dataset_tools.exports.rights import PARTS
from dataset_tools.manifests import SpeakerFacts

ROOT = Path(__file__).parents[3]
COLUMNS = {"path", "class", "clip", "voice", "text", "licence", "language", *SpeakerFacts.__struct_fields__}
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def listed_in_help(command: str, name: str, beginning: str) -> set[str]:
    """Names in the help of a parameter: those of the list that follows a beginning."""
    found = typer.main.get_command(app)
    for word in command.split():
        found = found.commands[word]  # type: ignore[attr-defined]
    (help_text,) = [part.help for part in found.params if part.name == name]
    listing = help_text[help_text.index(beginning) + len(beginning) :].partition(".")[0].partition(", or ")[0]
    return {word.strip() for word in listing.split(",")}


@pytest.mark.parametrize(
    ("command", "name", "beginning", "names"),
    [
        ("build", "format", "if it cannot be detected: ", set(FORMATS)),
        ("classes", "format", "if it cannot be detected: ", set(FORMATS)),
        ("export", "format_name", "", set(EXPORT_FORMATS)),
        ("export", "allow", "if you may redistribute them: ", set(PARTS)),
        ("speech import", "source", "a CSV with the columns ", COLUMNS),
    ],
)
def test_help_lists_all_names(command: str, name: str, beginning: str, names: set[str]) -> None:
    assert listed_in_help(command, name, beginning) == names


def test_the_summary_of_export_names_all_formats() -> None:
    summary = re.sub(r"[^a-z]", "", (inspect.getdoc(export) or "").partition(";")[0].lower())
    assert [name for name in EXPORT_FORMATS if name not in summary] == []


def test_the_docs_name_and_count_all_annotation_formats() -> None:
    table = (ROOT / "docs" / "own-footage.md").read_text("utf-8")
    assert [name for name in FORMATS if f"\n| `{name}` " not in table] == []
    files = NUMBERS[len([name for name in FORMATS if name != "folder"])]
    assert f"one of {files} annotation formats" in (ROOT / "README.md").read_text("utf-8")
