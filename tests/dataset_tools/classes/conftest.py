"""A class file that states nothing but its classes."""

from __future__ import annotations

from pathlib import Path

import pytest

MINIMAL = """
schema: fmn.classes/1
classes:
  - {action: take-out, subject: milk, object: fridge, role: source}
  - {action: stop, subject: leaf}
"""


@pytest.fixture
def minimal(tmp_path: Path) -> Path:
    path = tmp_path / "minimal.yaml"
    path.write_text(MINIMAL)
    return path
