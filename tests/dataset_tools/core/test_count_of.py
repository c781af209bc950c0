"""Numbers of things in messages."""

from __future__ import annotations

import pytest

from dataset_tools.core.count_of import count_of


@pytest.mark.parametrize(
    ("words", "of_one", "of_many"),
    [
        (("clip",), "1 clip", "12,345 clips"),
        (("class", "classes"), "1 class", "12,345 classes"),
        (("file has", "files have"), "1 file has", "12,345 files have"),
    ],
)
def test_one_thing_is_no_plural(words: tuple[str, ...], of_one: str, of_many: str) -> None:
    assert (count_of(1, *words), count_of(12_345, *words)) == (of_one, of_many)
    assert count_of(0, *words) == f"0 {of_many.split(' ', 1)[1]}"
