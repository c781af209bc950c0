"""The shape of the project: which package may import which, and what the command lines may not import."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "torchaudio", "cv2", "av", "h5py", "scipy", "label_studio_sdk", "matplotlib", "pytorchvideo", "TTS")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def modules(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found
    return found


@pytest.mark.parametrize("path", modules("dataset_tools"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_data_set_knows_nothing_of_the_model(path: Path) -> None:
    assert not [name for name in imports(path) if name.split(".")[0] == "fmn"]


@pytest.mark.parametrize("path", modules("fmn"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_model_knows_manifests_and_nothing_else_of_the_data_set(path: Path) -> None:
    allowed = {"dataset_tools.manifests"}
    known = {name for name in imports(path) if name.split(".")[0] == "dataset_tools"}
    assert {name for name in known if not name.startswith("dataset_tools.core")} <= allowed


@pytest.mark.parametrize("module", ["dataset_tools.cli.main", "fmn.cli.main", "cli"])
def test_a_command_line_is_imported_without_anything_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not set(loaded.stdout.split()) & set(HEAVY)


def test_the_wheel_holds_every_package() -> None:
    declared = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    present = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in ("dataset_tools", "fmn")
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert declared == present | {"dataset_tools.annotations"}
