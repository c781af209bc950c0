"""Texts and names that Unicode writes in several ways: equal once they are plain; what cannot be shown is named."""

from __future__ import annotations

import unicodedata

import pytest

from dataset_tools.core.files import slug
from dataset_tools.corpora.annotations.plain_text import check_printable, plain_text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (unicodedata.normalize("NFD", "Tür öffnen"), "Tür öffnen"),
        ("  a \u00a0 b\u202fc\t", "a b c"),
        ("door\u00ad\u200b\ufeff", "door"),
        ("می\u200cبرم", "می\u200cبرم"),
        ("👩\u200d🍳", "👩\u200d🍳"),
    ],
)
def test_a_text_is_composed_with_single_spaces_and_without_invisible_characters(text: str, plain: str) -> None:
    assert plain_text(text) == plain
    check_printable(plain)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a\x00b", "'a?b' has a nonprintable character (U+0000): remove it"),
        ("a\u2066", "(U+2066, LEFT-TO-RIGHT ISOLATE)"),
        ("\udcff", "(U+DCFF)"),
    ],
)
def test_what_cannot_be_shown_is_named(text: str, found: str) -> None:
    with pytest.raises(ValueError, match="nonprintable") as caught:
        check_printable(text)
    assert found in str(caught.value)


def test_a_slug_composes_letters_and_keeps_composed_names() -> None:
    assert slug(unicodedata.normalize("NFD", "Jürgen Müller")) == slug("Jürgen Müller") == "Jürgen-Müller"
    assert slug("Anna B._2 手.mp4") == "Anna-B.-2-手.mp4"
