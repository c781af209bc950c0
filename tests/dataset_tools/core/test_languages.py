"""Codes of languages, and what the script of a sentence tells of its language."""

from __future__ import annotations

import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.core.languages import ISO_639_1, language_code, language_of, language_option, may_be_in


@pytest.mark.parametrize(
    ("stated", "code"),
    [("de", "de"), (" DE ", "de"), ("eng", "en"), ("cmn", "zh"), ("yue", "yue"), ("haw", "haw")],
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


@pytest.mark.parametrize(
    ("text", "languages"),
    [
        ("She cuts.", ["en", "de", "ru"]),
        ("她切。", ["zh", "ja"]),
        ("彼女は切る。", ["ja"]),
        ("Она режет.", ["de", "ru"]),
        ("", ["en", "de", "ru"]),
        ("2 + 2", ["en", "de", "ru"]),
        ("李 cuts.", ["zh", "ja"]),
    ],
)
def test_scripts(text: str, languages: list[str]) -> None:
    assert [language for language in ("en", "zh", "de", "ja", "ru") if may_be_in(text, language)] == languages


@pytest.mark.parametrize(
    ("text", "default", "language"),
    [
        ("", "zh", "zh"),
        ("She cuts.", "zh", "en"),
        ("她切。", "en", "zh"),
        ("彼女は切る。", "zh", "ja"),
        ("Она режет.", "ru", "ru"),
        ("Она режет.", "en", "und"),
    ],
)
def test_the_language_of_a_sentence_is_the_default_unless_its_script_is_another(
    text: str, default: str, language: str
) -> None:
    assert language_of(text, default) == language
