"""MkDocs hook: generates pages for commands, the API, and the documents at the top of the repository.

`mkdocs.yml` names this file under ``hooks``. The command reference is the output of ``typer … utils docs``; an API page
is a list of modules, which mkdocstrings replaces with their docstrings, without importing them. Nothing is written to
docs/.
"""

from __future__ import annotations

import posixpath
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
COMMAND_LINES = {"fmn-data": "dataset_tools.cli.main", "fmn": "fmn.cli.main"}
TOP_PAGES = {
    "README.md": "project/overview.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "CHANGELOG.md": "project/changelog.md",
}
"""Documents in the repository root, and their pages."""
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]*)(#[^)\s]*)?(?=\))")


def on_config(config: Any) -> None:
    """Lists the API pages in the navigation; called by MkDocs after it has read mkdocs.yml."""
    (reference,) = (group["Reference"] for group in config.nav if "Reference" in group)
    (api,) = (group for group in reference if "API" in group)
    api["API"] = [path for path, _ in api_pages()]


def on_files(files: Files, config: Any) -> Files:
    """Adds the generated pages; called by MkDocs after it has listed docs/."""
    from mkdocs.structure.files import File

    pages = {f"reference/{name}.md": command_reference(name, module) for name, module in COMMAND_LINES.items()}
    pages |= dict(api_pages())
    pages |= {page: (ROOT / name).read_text("utf-8") for name, page in TOP_PAGES.items()}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Rewrites links between docs/ and the repository root to pages of the site; links without a page become text."""
    sources = {path: name for name, path in TOP_PAGES.items()}
    here = page.file.src_uri
    source = sources.get(here, f"docs/{here}")

    def lead(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[1] or posixpath.basename(source)))
        if target in TOP_PAGES:
            new = TOP_PAGES[target]
        elif target.startswith("docs/"):
            new = target.removeprefix("docs/")
        else:
            return "\0"
        return posixpath.relpath(new, posixpath.dirname(here) or ".") + (match[2] or "")

    return re.sub(r"\[([^\]]*)\]\(\0\)", r"\1", LINK.sub(lead, markdown))


def command_reference(name: str, module: str) -> str:
    """Markdown reference of a command line: every command with its options, as in ``--help``."""
    command = [sys.executable, "-m", "typer", module, "utils", "docs", "--name", name, "--title", f"Commands of {name}"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    text = re.sub(r"^Example: (.+)$", r"Example: `\1`", text, flags=re.MULTILINE)
    summaries = dict(re.findall(r"^##+ `(.+)`\n\n(.+)$", text, flags=re.MULTILINE))
    group, lines = name, []
    for line in text.splitlines():
        if heading := re.match(r"##+ `(.+)`", line):
            group = heading[1]
        if (listed := re.match(r"\* `(\S+)`: ", line)) and f"{group} {listed[1]}" in summaries:
            line = listed[0] + summaries[f"{group} {listed[1]}"]  # typer truncates it in lists of commands
        lines.append(line)
    return "\n".join(lines)


def api_pages() -> Iterator[tuple[str, str]]:
    """API reference: path and Markdown of the index and of a page for each package listed in docs/architecture.md."""
    listed = re.findall(
        r"^\| `([\w.]+)` \| (.+) \|$", (ROOT / "docs/architecture.md").read_text("utf-8"), flags=re.MULTILINE
    )
    yield (
        "reference/api/index.md",
        "# API\n\n| package | what it does |\n|---|---|\n"
        + "".join(f"| [`{name}`]({name}.md) | {summary} |\n" for name, summary in listed),
    )
    for name, _ in listed:
        folder = ROOT.joinpath(*name.split("."))
        modules = [name, *(f"{name}.{path.stem}" for path in sorted(folder.glob("*.py")) if path.stem != "__init__")]
        yield f"reference/api/{name}.md", f"# {name}\n\n" + "\n\n".join(f"::: {module}" for module in modules) + "\n"
