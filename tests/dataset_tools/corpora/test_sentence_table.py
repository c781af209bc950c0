"""Tables of sentences: columns by name, columns by content, and what cannot be told."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.corpora.sentence_files import read_sentences


def test_a_header_names_the_columns_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "mine.tsv"
    path.write_text('Sentence\tstart\tend\tvideo\tother\nHe "cuts".\t10\t50\tclips/a_01.mp4\t7\n')
    assert read_sentences(path).covering("clips/a_01.mp4", 12, 40) == [(10, 50, 'He "cuts".')]
    # as Excel and R write it
    path.write_text(
        '\ufeff""\t""\r\n"video"\tStart frame\tend\tsentence\r\na\t"1"\t9\t"He ""cuts"", then stirs."\r\n""\t""\t\r\n'
    )
    assert read_sentences(path).spans == {"a": [(1, 9, 'He "cuts", then stirs.')]}
    path.write_bytes(
        "Video\tStart\tEnd\tSentence\r\na\t1\t9\tSchäle, 切。\r\n".encode("utf-16")
    )  # Excel's “Unicode Text”
    assert read_sentences(path).spans == {"a": [(1, 9, "Schäle, 切。")]}


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("s13-d21.aligned.tsv", ["236\t387\tThe person gets a knife.", "388\t500\tHe cuts it.\t"]),
        ("all.tsv", ["s13-d21\t236\t387\tThe person gets a knife.", "s13-d21.avi\t388\t500\tHe cuts it."]),
    ],
)
def test_without_a_header_the_content_tells_them(tmp_path: Path, name: str, rows: list[str]) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / name).write_text("\n".join(rows) + "\n")
    found = read_sentences(tmp_path)  # a folder, the table below it
    assert found.spans["s13-d21"] == [(236, 387, "The person gets a knife."), (388, 500, "He cuts it.")]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", "no rows"),
        ("1\t2\t3\the cuts it\n", "3 have whole numbers"),
        ("1\t2\the cuts\tand stirs it\n", "2 sentences"),
        ("1\t2\the cuts it\n", "names no video"),
        (2 * "s01-d01\t1\t9\tHe cuts.\n" + "s01-d01\t1\t9\n", "2 have whole numbers, 0 sentences"),
        ("video\tstart\tend\tsentence\na\t1.5\t2\tx\n", "line 2: '1.5' and '2' are not frame numbers"),
        ("video\tstart\tend\tsentence\na\t1\n", "line 2 has 2 columns"),
        ("\nstart\tend\ttext\tclip\n1\t2\t9\tHe cuts.\ta\n", "line 3 has 5 cells in 4 columns"),  # row names of R
        ("start\tend\ttext\n1\t9\tHe cuts\tand stirs.\n", "line 2 has 4 cells in 3 columns"),
        ("s01-d01\t1\t9\tHe cuts\tand stirs.\n" + 2 * "s01-d01\t1\t9\tHe cuts.\n", "line 1 has 5 cells"),
        (f"video\tstart\tend\ttext\na\t1\t{'9' * 5000}\tx\n", "are not frame numbers"),
        (
            "\nvideo\tclip\tstart\tend\ttext\na\tb\t1\t2\tx\n",
            "line 2: the columns 'video' and 'clip' both name the video",
        ),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path: Path, content: str, found: str) -> None:
    path = tmp_path / "table.tsv"
    path.write_text(content)
    with pytest.raises(InputError, match=found) as refused:
        read_sentences(path)
    assert refused.value.where == str(path)


def test_a_table_that_is_not_there_needs_another_path_and_no_header(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file") as refused:
        read_sentences(tmp_path / "table.tsv")
    assert refused.value.next_step == "check the path, and that it is text in UTF-8"
