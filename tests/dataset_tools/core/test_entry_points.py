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


@pytest.mark.parametrize("group", OPENED)
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import a_package_that_nobody_has", "No module named 'a_package_that_nobody_has'"),
        ("raise RuntimeError('needs a newer driver')", "RuntimeError: needs a newer driver"),
        ("def", "SyntaxError"),
        ("", "has no attribute 'extension'"),
    ],
)
def test_an_extension_that_cannot_be_loaded_is_an_error_of_input(
    group: str, code: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "broken_package-1.0.dist-info"
    info.mkdir()
    (tmp_path / "broken_package.py").write_text(code + "\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\nbroken = broken_package:extension\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_package", raising=False)
    opened: Callable[[str], Any] = OPENED[group]
    with pytest.raises(InputError) as refused:
        opened("broken")
    assert "'broken'" in refused.value.found
    assert "broken-package" in refused.value.found
    assert reason in refused.value.found
    assert refused.value.where == f"broken_package:extension (entry point group {group})"
