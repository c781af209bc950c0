"""Annotations as files, and what is read of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_tools.corpora.annotations.formats import ListOptions, read_intervals
from dataset_tools.corpora.annotations.interval_list import IntervalList


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., IntervalList]:
    """Writes a text, or JSON, to a file of that name, and reads it."""

    def read_back(content: object, name: str = "list.json", **options: object) -> IntervalList:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return read_intervals(path, ListOptions(**options))  # type: ignore[arg-type]

    return read_back


@pytest.fixture
def spans() -> Callable[[IntervalList], list[tuple[object, ...]]]:
    """Video, start, end, action, subject and object of each row."""
    return lambda listed: [(row.video, row.start, row.end, row.action, row.subject, row.object) for row in listed.rows]
