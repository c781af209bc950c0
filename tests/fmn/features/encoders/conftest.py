"""Pictures, and a package that adds an encoder."""

from __future__ import annotations

from collections.abc import Callable

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
def entry_point(install_package: Callable[[str, str], None]) -> Callable[[str, str, str], None]:
    """Installs a package of one module with one entry point."""

    def install(group: str, name: str, code: str) -> None:
        install_package(code, f"[{group}]\n{name} = their_package:make\n")

    return install
