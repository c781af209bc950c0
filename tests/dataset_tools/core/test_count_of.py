"""Numbers of things in messages."""

from __future__ import annotations

import pytest

from dataset_tools.core.count_of import count_of, first_of


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


def test_the_first_of_many_are_named_and_the_others_counted() -> None:
    names = {f"n{number}": None for number in range(2_003)}  # any collection, in its order
    assert first_of(names, 2) == ["n0", "n1", "and 2,001 more"]
    assert first_of(names.keys(), 1, "more videos") == ["n0", "and 2,002 more videos"]
    assert first_of(["a", "b"], 2) == ["a", "b"]
    assert first_of([], 2) == []
