"""Commands in blocks of the docs: each exists and has the options and choices it is given there, without being run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from dataset_tools.cli.main import app as data_app
from fmn.cli.main import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS: dict[str, Any] = {"fmn": typer.main.get_command(app), "fmn-data": typer.main.get_command(data_app)}
BLOCK = re.compile(r"^```(?:ba)?sh\n(.*?)^```|^((?:    .*\n)+)", re.MULTILINE | re.DOTALL)


def commands_in(text: str) -> Iterator[list[str]]:
    """Words of every line of a shell block or of an indented block that calls one of the programs."""
    for fenced, indented in BLOCK.findall(text):
        for line in (fenced or indented).replace("\\\n", " ").splitlines():
            if re.match(r"\s*(fmn|fmn-data) ", line) and not re.search(r" \[-|…", line):  # which is a synopsis
                yield shlex.split(line, comments=True)


def misused(words: list[str]) -> str | None:
    """What is wrong with a command line, or None."""
    command, rest = PROGRAMS[words[0]], words[1:]
    while rest and rest[0] in getattr(command, "commands", {}):
        command, rest = command.commands[rest[0]], rest[1:]
    if getattr(command, "commands", None) and ((rest[:1] and rest[0][0] != "-") or not command.invoke_without_command):
        return f"no such command: {' '.join(words)}"
    try:
        command.make_context(words[0], list(rest))
    except Exception as error:
        return f"{' '.join(words)}: {error}"
    return None


def options_in_spans(text: str) -> Iterator[tuple[str, str]]:
    """Commands of the running text (`` `fmn eval --trec DIR` ``) with each option, or command, that does not exist."""
    for span in re.findall(r"(?<!`)`((?:fmn|fmn-data) [^`\n]*)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)):
        words = span.split()
        command, count = PROGRAMS[words[0]], 1
        while count < len(words) and words[count] in getattr(command, "commands", {}):
            command, count = command.commands[words[count]], count + 1
        name = " ".join(words[:count])
        if count == 1 and re.fullmatch(r"[a-z]+", words[1]):
            yield name, f"no such command: {words[1]}"
        known = {option for part in command.params for option in [*part.opts, *part.secondary_opts]} | {"--help"}
        yield from ((name, word) for word in words[count:] if word[0] == "-" and word.split("=")[0] not in known)


def test_lines_of_the_docs_have_at_most_140_characters() -> None:
    """Tables and pictures, which cannot be wrapped, may have more."""
    for page in [*PAGES, ROOT / "CHANGELOG.md"]:
        lines = enumerate(page.read_text("utf-8").splitlines(), start=1)
        long = [number for number, line in lines if len(line) > 140 and not line.startswith(("|", "!["))]
        assert not long, f"{page.relative_to(ROOT)}: lines {long}"


COMMANDS = [(page, words) for page in PAGES for words in commands_in(page.read_text("utf-8"))]


def test_the_docs_have_commands() -> None:
    assert len(COMMANDS) > 60
    assert {page.name for page, _ in COMMANDS} >= {"README.md", "own-footage.md", "sharing.md", "encoders.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_of_a_page_exist_with_their_options(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert [wrong for place, words in COMMANDS if place == page and (wrong := misused(words))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_block_of_a_page_names_its_language_and_is_rendered_as_a_block(page: Path) -> None:
    text = page.read_text("utf-8")
    assert "" not in re.findall(r"^```(.*)\n", text, re.MULTILINE)[::2]  # whose commands no test here would see
    assert not re.search(r"^[-*] .*\n(?:  .*\n)*\n    \S", text, re.MULTILINE)  # continues the text of the list


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_the_text_exist_with_their_options(page: Path) -> None:
    assert list(options_in_spans(page.read_text("utf-8"))) == []


def test_a_wrong_option_in_the_text_is_found() -> None:
    assert list(options_in_spans("`fmn eval --trek DIR`, `fmn trian x`, `fmn-data speech import DIR`")) == [
        ("fmn eval", "--trek"),
        ("fmn", "no such command: trian"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "fmn trian x",
        "fmn train x --no-such-option",
        "fmn-data pairs --split nowhere",
        "fmn-data annotate pusch",
        "fmn eval --manifest",
    ],
)
def test_a_wrong_command_is_found(line: str) -> None:
    assert misused(line.split()) is not None
