"""What docs, docstrings and comments point to exists: files by their path, Python names by their module."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("annotations", "benchmarks", "dataset_tools", "docs", "fmn", "tests", "tools")
PATH = re.compile(rf"(?<![\w./<-])((?:{'|'.join(FOLDERS)})/[\w./-]*\w\.(?:py|md|yaml|xml|html|js|jinja|safetensors))\b")
NAME = re.compile(r"`((?:fmn|dataset_tools)(?:\.\w+)+)`")
MADE_BY_USERS = {"annotations/classes.yaml", "fmn/models/baselines/contrastive.py"}
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
TEXTS = [
    *PAGES,
    *sorted(path for name in ("dataset_tools", "fmn", "benchmarks") for path in (ROOT / name).rglob("*.py")),
]


def names_in(path: Path) -> set[str]:
    """Names that a module defines at its top, or in its classes as ``Class.name``."""
    found: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        found |= _defined_by(node)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{name}" for inner in node.body for name in _defined_by(inner)}
        if isinstance(node, ast.ImportFrom):  # a package's public names
            found |= {alias.asname or alias.name for alias in node.names}
    return found


def _defined_by(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}


def exists(name: str) -> bool:
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:count])
        module = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if module.is_file():
            rest = ".".join(parts[count:])
            return not rest or rest in names_in(module)
    return False


def test_references() -> None:
    stale: dict[str, set[str]] = {}
    for path in TEXTS:
        text = path.read_text("utf-8")
        files = {match for match in PATH.findall(text) if match not in MADE_BY_USERS and not (ROOT / match).exists()}
        stale[str(path.relative_to(ROOT))] = files | {match for match in NAME.findall(text) if not exists(match)}
    assert {path: matches for path, matches in stale.items() if matches} == {}


def test_a_stale_reference_is_found() -> None:
    assert exists("fmn.models.memory.FeatureMemory.write")
    assert not exists("fmn.models.memory.Nothing")
    assert not exists("fmn.memory")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links(path: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text("utf-8"))
    assert not [target for target in targets if not (path.parent / target).exists()]
