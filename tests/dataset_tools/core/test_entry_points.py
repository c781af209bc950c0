"""Extensions of installed packages that cannot be loaded: the error names the package and the reason."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.exports.registry import find_format
from dataset_tools.speech.engine_registry import open_engine
from fmn.features.encoders.registry import open_speech_encoder, open_video_encoder

OPENED = {
    "fmn.exports": find_format,
    "fmn_data.engines": open_engine,
    "fmn.video_encoders": lambda name: open_video_encoder(name, "cpu"),
    "fmn.speech_encoders": lambda name: open_speech_encoder(name, "cpu", "last"),
}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Installs a package of one module, whose object ``extension`` is the extension ``broken`` of a group."""

    def install(group: str, code: str, package: str = "broken-package") -> None:
        module = package.replace("-", "_")
        info = tmp_path / package / f"{module}-1.0.dist-info"
        info.mkdir(parents=True)
        (info.parent / f"{module}.py").write_text(code + "\n")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\nbroken = {module}:extension\n")
        monkeypatch.syspath_prepend(info.parent)
        monkeypatch.delitem(sys.modules, module, raising=False)

    return install


@pytest.mark.parametrize("group", OPENED)
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import a_package_that_nobody_has", "No module named 'a_package_that_nobody_has'"),
        ("raise RuntimeError('needs a newer driver')", "RuntimeError: needs a newer driver"),
        ("def", "SyntaxError"),
        ("raise SystemExit", "SystemExit"),
        ("import sys; sys.exit('no license')", "SystemExit: no license"),
        ("raise type('Ended', (BaseException,), {})('by itself')", "Ended: by itself"),
        ("", "has no attribute 'extension'"),
    ],
)
def test_an_extension_that_cannot_be_loaded_is_an_error_of_input(
    group: str, code: str, reason: str, install: Callable[..., None]
) -> None:
    install(group, code)
    opened: Callable[[str], Any] = OPENED[group]
    with pytest.raises(InputError) as refused:
        opened("broken")
    assert "'broken'" in refused.value.found
    assert "broken-package" in refused.value.found
    assert reason in refused.value.found
    assert refused.value.where == f"broken_package:extension (entry point group {group})"


@pytest.mark.parametrize("group", OPENED)
def test_an_interrupt_while_an_extension_is_loaded_stays_an_interrupt(group: str, install: Callable[..., None]) -> None:
    install(group, "raise KeyboardInterrupt")
    opened: Callable[[str], Any] = OPENED[group]
    with pytest.raises(KeyboardInterrupt):
        opened("broken")
