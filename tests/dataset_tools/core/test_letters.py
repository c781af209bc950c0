"""Letters of texts: Latin ones with and without marks, and those of other scripts."""

from __future__ import annotations

import unicodedata

import pytest

from dataset_tools.core.letters import ascii_slug, is_latin


@pytest.mark.parametrize(
    ("text", "latin", "slug"),
    [
        ("Tür öffnen", True, "tur-offnen"),
        (unicodedata.normalize("NFD", "Ñandú 2"), True, "nandu-2"),
        ("cut-up!", True, "cut-up"),
        ("42", True, "42"),
        ("", True, ""),
        ("切苹果", False, ""),
        ("дверь open", False, "open"),
        ("می‌برم", False, ""),
    ],
)
def test_letters(text: str, latin: bool, slug: str) -> None:
    assert is_latin(text) == latin
    assert ascii_slug(text) == slug
