from __future__ import annotations

import csv
from io import StringIO

from rich.console import Console

from fmn.evaluation.table_formats import Bold, Row, Table, number, to_csv, to_latex, to_markdown, to_rich

TABLE = Table(
    title="a → b, percent",
    head=("system", "hit @1", "chosen"),
    sections=(
        [Row(("fmn_as_published", Bold("-1.5±0.2"), "rate=3-4")), Row(("cca [x]", "7.0–8.0", "as it is"))],
        [],
        [Row(("chance", "5.0"), "dim")],
    ),
    notes=("95 % of it.", "More."),
    left=(0, 2),
)


def test_markdown_has_a_heading_an_alignment_and_paragraphs() -> None:
    assert to_markdown(TABLE).splitlines() == [
        "## a → b, percent",
        "",
        "| system | hit @1 | chosen |",
        "|---|---:|---|",
        "| fmn_as_published | **-1.5±0.2** | rate=3-4 |",
        "| cca [x] | 7.0–8.0 | as it is |",
        "| chance | 5.0 |  |",
        "",
        "95 % of it.",
        "",
        "More.",
    ]


def test_latex_escapes_what_latex_reads_and_rules_between_sections() -> None:
    assert to_latex(TABLE).splitlines() == [
        "% a → b, percent",
        r"\begin{tabular}{lrl}",
        r"\toprule",
        r"system & hit @1 & chosen \\",
        r"\midrule",
        r"fmn\_as\_published & \textbf{$-$1.5$\pm$0.2} & rate=3-4 \\",
        r"cca [x] & 7.0--8.0 & as it is \\",
        r"\midrule",
        r"chance & 5.0 &  \\",
        r"\bottomrule",
        r"\end{tabular}",
        "% 95 % of it.",
        "% More.",
    ]


def test_a_terminal_shows_texts_as_they_are_and_bold_only_what_is_bold() -> None:
    made = to_rich(TABLE)
    assert [column.justify for column in made.columns] == ["left", "right", "left"]
    console = Console(width=100, record=True, file=StringIO(), force_terminal=True, color_system="standard")
    console.print(made)
    lines = console.export_text(clear=False).splitlines()
    assert "a → b, percent" in lines[0]
    assert any("cca [x]" in line for line in lines)
    (last,) = (number for number, line in enumerate(lines) if "chance" in line)
    assert not lines[last - 1].strip()  # between two sections
    styled = console.export_text(styles=True)
    assert "\x1b[1m-1.5±0.2" in styled
    assert "\x1b[1m7.0–8.0" not in styled


def test_a_figure_that_does_not_fit_is_marked() -> None:
    console = Console(width=12, record=True, file=StringIO())
    console.print(to_rich(TABLE, no_wrap=range(1, 3)))
    assert "…" in console.export_text()  # a digit that is missing would be another number


def test_csv_keeps_every_digit_and_leaves_nothing_empty() -> None:
    text = to_csv(("name", "mean", "sd"), [("a, b", 1 / 3, None), ("c", 2, "x")])
    assert list(csv.reader(StringIO(text))) == [["name", "mean", "sd"], ["a, b", repr(1 / 3), ""], ["c", "2", "x"]]
    assert "\r" not in text


def test_numbers_have_one_digit_and_a_deviation_if_there_is_one() -> None:
    assert number(82.34, 1.36) == "82.3 ± 1.4"
    assert number(0.05, 0.0, between="±", sign="+") == "+0.1±0.0"
    assert number(82.34) == "82.3"
    assert number(None, 1.0) == "–"
