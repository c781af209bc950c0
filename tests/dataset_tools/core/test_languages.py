"""Codes of languages, and what the script of a sentence tells of its language."""

from __future__ import annotations

from itertools import product
from string import ascii_lowercase

import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.core.languages import ISO_639_1, language_code, language_of, language_option, may_be_in


@pytest.mark.parametrize(
    ("stated", "code"),
    [
        *(("de", "de"), (" DE ", "de"), ("deu", "de"), ("GER", "de")),
        *(("eng", "en"), ("cmn", "zh"), ("yue", "yue"), ("haw", "haw")),
    ],
)
def test_codes(stated: str, code: str) -> None:
    assert language_code(stated) == language_option(stated) == code


@pytest.mark.parametrize("stated", ["German", "jp", "en-US", "", "d", "de2"])
def test_what_is_no_code_is_refused(stated: str) -> None:
    with pytest.raises(ValueError, match="code of ISO 639, such as en, zh or de, without a region"):
        language_code(stated)
    with pytest.raises(InputError, match=f"'{stated}' is not a language"):
        language_option(stated)


def test_the_codes_are_those_that_babel_knows() -> None:
    babel = pytest.importorskip("babel")
    known = {code for code in babel.Locale("en").languages if len(code) == 2}
    assert known - {"sh"} == ISO_639_1  # Serbo-Croatian is deprecated


def test_no_language_has_two_codes() -> None:
    pytest.importorskip("babel")
    from babel.core import get_global

    shorter = {code: short for code, short in get_global("language_aliases").items() if len(code) == 3}
    shorter |= {"twi": "tw", "tgl": "tl"}  # one with Akan and Filipino in CLDR, not in ISO 639
    for three in map("".join, product(ascii_lowercase, repeat=3)):
        code = language_code(three)
        assert code == three or code == shorter[three]
    assert {language_code(code) for code in shorter} >= ISO_639_1


@pytest.mark.parametrize(
    ("text", "languages"),
    [
        ("She cuts.", ["en", "de"]),
        ("她切。", ["zh", "ja"]),
        ("彼女は切る。", ["ja"]),
        ("Она режет.", ["ru"]),
        ("Она режет USB-кабель.", ["ru"]),
        ("Sie trägt 5 µl δ-Wasser auf.", ["en", "de"]),
        ("", ["en", "de", "ru"]),
        ("2 + 2", ["en", "de", "ru"]),
        ("李 cuts.", ["zh", "ja"]),
        ("ｶｯﾄ", ["ja"]),
        ("约翰・史密斯切。", ["zh", "ja"]),
    ],
)
def test_scripts(text: str, languages: list[str]) -> None:
    assert [language for language in ("en", "zh", "de", "ja", "ru") if may_be_in(text, language)] == languages


def test_languages_beside_mandarin_and_japanese_that_have_their_scripts() -> None:
    assert all(may_be_in("她切。", language) for language in ("yue", "nan", "wuu", "hak", "ko"))
    assert may_be_in("切ゆん", "ryu")
    assert all(may_be_in(text, "sr") for text in ("Ona seče.", "Она сече."))
    assert not may_be_in("切ゆん", "nan")


@pytest.mark.parametrize(
    ("text", "default", "language"),
    [
        ("", "zh", "zh"),
        ("She cuts.", "zh", "en"),
        ("她切。", "en", "zh"),
        ("彼女は切る。", "zh", "ja"),
        ("Она режет.", "ru", "ru"),
        ("Она режет.", "en", "und"),
        ("Она режет.", "de", "und"),
        ("She cuts.", "ru", "en"),
    ],
)
def test_the_language_of_a_sentence_is_the_default_unless_its_script_is_another(
    text: str, default: str, language: str
) -> None:
    assert language_of(text, default) == language
