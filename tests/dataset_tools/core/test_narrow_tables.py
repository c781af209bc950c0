from __future__ import annotations

import pytest
from rich.table import Table

from dataset_tools.core.console import Terminal

HEADS = [f"{name} hit @{k}" for name in ("class", "instance", "voice") for k in (1, 10, 25, 100)]
SYSTEMS = ("a_system_with_a_name", "chance")
CELLS = [[f"{row}{column}.5±{column}.25" for column in range(len(HEADS))] for row in range(len(SYSTEMS))]
CHOSEN = "a learning rate of 0.003, and a margin of one half"


def shown(columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    table = Table("system", *HEADS, "chosen", title="figures", caption="what they are")
    for system, cells in zip(SYSTEMS, CELLS, strict=True):
        table.add_row(system, *cells, CHOSEN)
    monkeypatch.setenv("COLUMNS", str(columns))
    Terminal(as_json=False).say(table)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(("columns", "parts"), [(60, 5), (80, 4), (300, 1)])
def test_a_table_that_is_too_wide_comes_in_parts_and_loses_nothing(
    columns: int, parts: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(columns, monkeypatch, capsys)
    words = [line.replace("│", " ").replace("┃", " ").split() for line in lines]
    assert max(map(len, lines)) <= columns
    for system, cells in zip(SYSTEMS, CELLS, strict=True):  # each part has the name of every row, each cell stands once
        rows = [row for row in words if row[:1] == [system]]
        assert len(rows) == parts
        assert [cell for row in rows for cell in row[1:] if cell in cells] == cells
    everything = [word for line in words for word in line]
    assert set(CHOSEN.split()) | {word for head in HEADS for word in head.split()} <= set(everything)
    assert [everything.count(word) for word in ("figures", "what")] == [1, 1]
