from __future__ import annotations

import re
import shlex
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from dataset_tools.core import extras
from dataset_tools.core.extras import install_command, reinstall_command

ROOT = Path(__file__).parents[3]


def test_the_command_names_the_checkout_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    *_, place = shlex.split(install_command("ray"))
    assert (place.endswith("[ray]"), Path(place.removesuffix("[ray]"), "pyproject.toml").is_file()) == (True, True)


def test_a_checkout_of_any_path_is_two_words_of_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "o'brien's $HOME \"x\""
    root.mkdir()
    (root / "pyproject.toml").touch()
    monkeypatch.setattr(extras, "__file__", str(root / "dataset_tools" / "core" / "extras.py"))
    expected = ["pip", "install", "-c", f"{root}/constraints.txt", "-e", f"{root}[ray]"]
    assert shlex.split(install_command("ray")) == expected


def test_an_installed_wheel_is_named_with_the_torch_that_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "__file__", str(tmp_path / "site-packages" / "dataset_tools" / "core" / "extras.py"))
    name = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
    assert install_command("ray") == f"pip install '{name}[ray]' torch=={version('torch')}"
    again = reinstall_command("torchvision")
    assert again == f"pip uninstall --yes torchvision && pip install torchvision torch=={version('torch')}"


def test_every_extra_that_a_message_or_the_docs_name_exists() -> None:
    texts = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "fmn").rglob("*.py")]
    texts += [*(ROOT / "dataset_tools").rglob("*.py")]
    named: set[str] = set()
    for path in texts:
        text = path.read_text("utf-8")
        assert "'fmn-toolkit[" not in text, f"{path}: the docs and messages install from a checkout"
        assert not re.search(r"pip install (-e )?'\.\[", text), f"{path}: without constraints, pip replaces torch"
        named |= set(re.findall(r"install_command\([\"'](\w+)|pip install -c constraints\.txt -e '\.\[(\w+)\]'", text))
    found = {name for pair in named for name in pair if name}
    assert {"ray", "review", "exports", "light"} <= found
    assert found <= set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
