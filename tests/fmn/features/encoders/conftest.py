"""Pictures, and a package that adds an encoder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture
def pictures() -> Callable[..., NDArray[np.uint8]]:
    """[T, side, side, 3] of noise."""

    def make(count: int, side: int, seed: int = 0) -> NDArray[np.uint8]:
        return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)

    return make


@pytest.fixture
def entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Installs a package of one module with one entry point, as pip would leave it."""

    def install(group: str, name: str, code: str) -> None:
        place = tmp_path / "installed"
        info = place / "their_package-1.0.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (place / "their_package.py").write_text(code)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = their_package:make\n")
        monkeypatch.syspath_prepend(place)
        monkeypatch.delitem(sys.modules, "their_package", raising=False)

    return install
