"""The structure of the code: which package may import which, no import cycles, short files, light command lines."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("dataset_tools", "fmn")
HEAVY = ("torch", "torchaudio", "cv2", "av", "h5py", "scipy", "label_studio_sdk", "matplotlib", "pytorchvideo", "TTS")
MOST_LINES = 350
MOST_FLAT_FILES = 10

# In one worker: each that has one of these tests parses all files.
pytestmark = pytest.mark.xdist_group("architecture")
FILES = [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}
IS_PACKAGE = {module_name(path) for path in FILES if path.name == "__init__.py"}


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imported(tree: ast.AST) -> Iterator[str]:
    """Modules that a file imports: at its top, inside functions and under TYPE_CHECKING alike."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in MODULES else str(node.module)


@functools.cache
def imports_of(module: str) -> set[str]:
    """The modules of both packages that a module imports."""
    return {other for other in imported(parsed(MODULES[module])) if other in MODULES} - {module}


def package_order() -> list[str]:
    """The packages as docs/architecture.md lists them, the lowest first."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8").partition("## Packages")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([\w.]+)` \|", text, flags=re.MULTILINE)


PACKAGE_ORDER = package_order()


def unit_of(module: str) -> str:
    """What the list calls a module: itself, or the package that it lies in."""
    return module if module in PACKAGE_ORDER or module in IS_PACKAGE else module.rpartition(".")[0]


def cycle_in(arrows: Mapping[str, set[str]]) -> list[str] | None:
    """A cycle, or None; by depth-first search."""
    done: set[str] = set()

    def visit(node: str, way: list[str]) -> list[str] | None:
        if node in way:
            return [*way[way.index(node) :], node]
        if node in done:
            return None
        for other in sorted(arrows.get(node, ())):
            if found := visit(other, [*way, node]):
                return found
        done.add(node)
        return None

    return next((found for node in sorted(arrows) if (found := visit(node, []))), None)


def test_a_cycle_is_found() -> None:
    assert cycle_in({"a": {"b"}, "b": {"c"}, "c": set()}) is None
    assert cycle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_every_package_is_listed_once() -> None:
    assert sorted(set(PACKAGE_ORDER)) == sorted(PACKAGE_ORDER)
    assert {unit_of(name) for name in MODULES if name not in IS_PACKAGE} == set(PACKAGE_ORDER)


def test_imports_point_one_way() -> None:
    upward = {}
    for module in set(MODULES) - IS_PACKAGE:
        here = PACKAGE_ORDER.index(unit_of(module))
        upward[module] = {unit_of(other) for other in imports_of(module)} & set(PACKAGE_ORDER[here + 1 :])
    assert {module: later for module, later in upward.items() if later} == {}, "docs/architecture.md lists them below"


def test_no_import_cycle_between_files() -> None:
    assert cycle_in({name: imports_of(name) for name in MODULES}) is None


def test_no_import_cycle_between_packages() -> None:
    arrows: dict[str, set[str]] = {}
    for module in MODULES:
        if module not in IS_PACKAGE:
            arrows.setdefault(unit_of(module), set()).update(unit_of(other) for other in imports_of(module))
    assert cycle_in({name: others - {name} for name, others in arrows.items()}) is None


def test_the_data_set_knows_nothing_of_the_model() -> None:
    assert not [name for name in MODULES if name.startswith("dataset_tools") and any(map(_is_fmn, imports_of(name)))]


def _is_fmn(module: str) -> bool:
    return module.split(".")[0] == "fmn"


def test_the_model_knows_core_and_manifests_and_nothing_else_of_the_data_set() -> None:
    exceptions = {
        "fmn.data.items": "speech",
        "fmn.data.outdated_pairs": "speech",
        "fmn.search.query_files": "speech",
        "fmn.search.text_query": "speech",
        "fmn.serve": "report",
    }  # who withdrew (twice); what was said; what was typed; the cards
    known = {}
    for module in filter(_is_fmn, MODULES):
        also = tuple(f"dataset_tools.{what}." for importer, what in exceptions.items() if module.startswith(importer))
        others = {other for other in imports_of(module) if not _is_fmn(other)} - {"dataset_tools.manifests"}
        known[module] = {other for other in others if not other.startswith(("dataset_tools.core", *also))}
    assert {module: others for module, others in known.items() if others} == {}


def test_manifests_re_exports_nothing() -> None:
    names = {
        alias.asname or alias.name
        for path in (*FILES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py"))
        if "dataset_tools.manifests" in path.read_text("utf-8")  # parsing takes longer
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "dataset_tools.manifests"
        for alias in node.names
    }
    tree = parsed(MODULES["dataset_tools.manifests"])
    defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    assigned = (target for node in tree.body for target in getattr(node, "targets", [getattr(node, "target", None)]))
    assert names <= defined | {target.id for target in assigned if isinstance(target, ast.Name)}


@pytest.mark.parametrize("package", PACKAGES)
def test_few_files_lie_flat(package: str) -> None:
    assert len(list((ROOT / package).glob("*.py"))) <= MOST_FLAT_FILES


def test_files_are_short() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in FILES}
    assert {path: count for path, count in lines.items() if count > MOST_LINES} == {}


@pytest.mark.parametrize("module", ["dataset_tools.cli.main", "fmn.cli.main", "cli"])
def test_a_command_line_is_imported_without_anything_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not set(loaded.stdout.split()) & set(HEAVY)


IMPORT_NAMES = {"ffmpeg-python": "ffmpeg", "label-studio-sdk": "label_studio_sdk"}


def required_packages() -> dict[str, str]:
    """The packages that docs/architecture.md names with one file, and that file."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8").partition("## Required packages")[2]
    return dict(re.findall(r"^\| ([\w-]+).*\| `([\w/]+\.py)` \|$", text, flags=re.MULTILINE))


@functools.cache
def every_package(path: Path) -> set[str]:
    """Packages from which a file imports, by a statement or by name (``import_module("…")``)."""
    found = set(imported(parsed(path)))
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {str(one.value) for one in node.args if isinstance(one, ast.Constant)}
    return {module.split(".")[0] for module in found}


def test_the_packages_that_may_have_to_be_replaced_are_listed() -> None:
    named = {"pytorchvideo", "torchaudio", "TTS", "pydub", "ffmpeg-python", "label-studio-sdk"}
    assert set(required_packages()) == named | {"lemminflect", "onnxruntime", "pocketsphinx"}


@pytest.mark.parametrize(("package", "path"), required_packages().items())
def test_a_package_is_imported_in_the_one_file_that_is_said(package: str, path: str) -> None:
    name = IMPORT_NAMES.get(package, package)
    assert {str(file.relative_to(ROOT)) for file in FILES if name in every_package(file)} == {path}


def test_the_wheel_holds_every_package() -> None:
    declared = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    assert declared == IS_PACKAGE | {"dataset_tools.annotations"}


def test_the_source_distribution_holds_every_file() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if "pyproject.toml" not in listed:
        pytest.skip("not a checkout")
    given = [words for line in (ROOT / "MANIFEST.in").read_text().splitlines() if (words := line.split())]
    grafted = {f"{words[1]}/" for words in given if words[0] == "graft"}
    # The last ones are in the wheel, or are what setuptools includes by itself.
    folders = (*grafted, "annotations/", "dataset_tools/", "fmn/")
    files = {name for words in given if words[0] == "include" for name in words[1:]}
    files |= {"LICENSE", "NOTICE", "README.md", "pyproject.toml", "MANIFEST.in"}
    assert [name for name in listed if not name.startswith(folders) and name not in files] == []


def test_the_public_names() -> None:
    from fmn.metrics import recall_at_k
    from fmn.models.memory import FeatureMemory

    assert callable(recall_at_k)
    assert {"write", "read", "size"} <= set(dir(FeatureMemory))


def test_every_folder_of_tests_is_collected(pytestconfig: pytest.Config) -> None:
    left_out = pytestconfig.getini("norecursedirs")
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    parts = {part for folder in folders for part in folder.relative_to(ROOT).parts}
    assert not [part for part in parts if any(fnmatch(part, pattern) for pattern in left_out)]
