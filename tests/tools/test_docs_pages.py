"""The pages that the site of the docs has beside the files of docs/, and the links between them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docs_pages
import pytest
import typer.main
import yaml

from dataset_tools.cli.main import app as data_app
from fmn.cli.main import app

ROOT = Path(__file__).parents[2]


def names(command: Any, name: str) -> Iterator[str]:
    """Full names of a command and of those in it."""
    yield name
    for word, inner in getattr(command, "commands", {}).items():
        yield from names(inner, f"{name} {word}")


@pytest.mark.parametrize(("name", "command"), [("fmn-data", data_app), ("fmn", app)])
def test_every_command_has_a_section_and_a_whole_summary(name: str, command: Any) -> None:
    text = docs_pages.command_reference(name, docs_pages.COMMAND_LINES[name])
    expected = {each for each in names(typer.main.get_command(command), name) if each != name}
    expected -= {
        each for each in expected if each.startswith("fmn data")
    }  # cli.py adds it, where a test has imported that
    assert set(re.findall("^##+ `(.+)`$", text, re.MULTILINE)) == expected
    assert not [line for line in text.splitlines() if line.startswith("* `") and line.endswith("...")]


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("README.md", "[x](../CONTRIBUTING.md)", "[x](project/contributing.md)"),
        ("tutorials/share.md", "[x](../sharing.md#csv)", "[x](../sharing.md#csv)"),
        ("tutorials/share.md", "[x](../../README.md)", "[x](../project/overview.md)"),
        ("project/overview.md", "![x](docs/images/standin.jpg)", "![x](../images/standin.jpg)"),
        ("project/overview.md", "[x](docs/paper.md#the-papers-table)", "[x](../paper.md#the-papers-table)"),
        ("formats.md", "see [manifests/example/](../manifests/example/).", "see manifests/example/."),
        ("formats.md", "[x](#below) [y](https://example.org/a.md)", "[x](#below) [y](https://example.org/a.md)"),
    ],
)
def test_links_lead_to_pages_of_the_site(page: str, link: str, expected: str) -> None:
    assert docs_pages.on_page_markdown(link, SimpleNamespace(file=SimpleNamespace(src_uri=page))) == expected


def test_every_page_of_docs_is_in_the_navigation() -> None:
    navigation = re.findall(r"[\w/-]+\.md$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    made = [*docs_pages.TOP_PAGES.values(), *(f"reference/{name}.md" for name in docs_pages.COMMAND_LINES)]
    pages = [str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(navigation) == sorted([*pages, *made])


def test_every_page_of_docs_is_in_the_index() -> None:
    linked = set(re.findall(r"\]\(([\w/-]+\.md)", (ROOT / "docs" / "README.md").read_text("utf-8")))
    assert {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")} - linked == {"README.md"}


def test_every_module_has_its_place_in_the_api() -> None:
    listed = re.findall(r"^::: ([\w.]+)$", "\n".join(text for _, text in docs_pages.api_pages()), re.MULTILINE)
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for package in ("dataset_tools", "fmn")
        for path in (ROOT / package).rglob("*.py")
    }
    assert len(listed) == len(set(listed))
    assert modules - set(listed) <= {"dataset_tools", "dataset_tools.corpora", "fmn"}  # which hold packages alone


def test_the_navigation_lists_the_api() -> None:
    config = SimpleNamespace(nav=[{"Reference": [{"Formats": "formats.md"}, {"API": []}]}])
    docs_pages.on_config(config)
    assert config.nav[0]["Reference"][1]["API"][0] == "reference/api/index.md"
    groups = [next(iter(entry)) for entry in yaml.load((ROOT / "mkdocs.yml").read_text(), yaml.BaseLoader)["nav"][1:]]
    assert groups == ["Tutorials", "How-to", "Reference", "Explanation", "Project"]
