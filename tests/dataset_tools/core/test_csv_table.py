"""CSV as spreadsheets write it."""

from __future__ import annotations

import csv

import pytest

from dataset_tools.core.csv_table import table_of


@pytest.mark.parametrize("sign", [",", ";", "\t"])
@pytest.mark.parametrize("start", ["", "\ufeff", "sep={}\r\n"])
def test_any_delimiter_mark_and_case(sign: str, start: str) -> None:
    text = start.format(sign) + 'Path, Class \r\na,"x\r\ny"\r\n\r\n,\r\nb,c,\r\n'.replace(",", sign)
    table = table_of(text.encode())
    assert table_of(text.removeprefix("\ufeff").encode("utf-16")) == table  # Excel's “Unicode Text”
    assert table.columns == ("path", "class")
    first = 2 + text.startswith("sep")
    assert table.rows == (
        (first + 1, {"path": "a", "class": "x\r\ny"}),
        (first + 4, {"path": "b", "class": "c"}),
    )


def test_fields_without_a_column_and_columns_without_a_field() -> None:
    table = table_of(b"a,b,,\n1\n1,2,3,4\n1,2,,,\n,,,\n")
    assert table.columns == ("a", "b")
    assert [row for _, row in table.rows] == [
        {"a": "1", "b": None},
        {"a": "1", "b": "2", "": "3 4"},
        {"a": "1", "b": "2"},
    ]


def test_what_is_not_csv() -> None:
    with pytest.raises(csv.Error):
        table_of(b'a,b\n"1,2\n')
    with pytest.raises(UnicodeDecodeError):
        table_of("ä".encode("latin-1"))
    assert table_of(b"") == table_of(b"\n") == table_of(b",,\n")


@pytest.mark.parametrize("blank", ["\n \r\n", ";\n;;\n", ",,,\r\n , ,\r\n", "\t\n\xa0;\n"])
def test_blank_rows_before_the_header_are_skipped_and_counted(blank: str) -> None:
    table = table_of(f"{blank}video;label\na;wave\n".encode())
    assert table.columns == ("video", "label")
    assert table.rows == ((4, {"video": "a", "label": "wave"}),)


def test_a_first_column_without_a_name_is_an_index() -> None:
    table = table_of(b",video,label\n0,a,wave\n1,b,cut\n")
    assert table.columns == ("unnamed", "video", "label")
    assert table.rows[1] == (3, {"unnamed": "1", "video": "b", "label": "cut"})
    assert table_of(b",video\n,a\n").rows == ((2, {"video": "a"}),)
