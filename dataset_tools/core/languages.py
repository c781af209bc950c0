"""Languages of speech: ISO 639-1 codes such as ``de``, or three-letter codes (ISO 639-3) of those without one."""

from __future__ import annotations

import re

from dataset_tools.core.errors import InputError
from dataset_tools.core.letters import is_latin

_TWO_LETTERS = (
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo"
    " es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka"
    " kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng"
    " nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su"
    " sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)
ISO_639_1 = frozenset(_TWO_LETTERS.split())

_ALSO_CALLED = {"eng": "en", "chi": "zh", "zho": "zh", "cmn": "zh"}
"""Other codes of the languages that the toolkit writes itself: with these, one language would become two."""


def language_code(stated: str) -> str:
    """Returns the code of a language in lower case.

    Raises:
        ValueError: it is not a code of ISO 639.
    """
    code = stated.strip().lower()
    code = _ALSO_CALLED.get(code, code)
    if code in ISO_639_1 or re.fullmatch("[a-z]{3}", code):
        return code
    raise ValueError(
        f"{stated!r} is not a language; expected its code of ISO 639, such as en, zh or de, without a region"
    )


def language_option(stated: str) -> str:
    """Returns the code of a language that was given as an option.

    Raises:
        InputError: it is not a code of ISO 639.
    """
    try:
        return language_code(stated)
    except ValueError as error:
        found, _, expected = str(error).partition("; expected ")
        raise InputError(found, where="--language", expected=expected) from error


def language_of(text: str, default: str) -> str:
    """Returns the language of a sentence for which none is stated: the default, unless the script is another.

    Of the others, only Chinese, Japanese and Latin script (taken for English) are known; else ``und``, undetermined.

    Args:
        text: the sentence; empty: unknown.
        default: the language of the data set.
    """
    if not text or may_be_in(text, default):
        return default
    return next((language for language in ("zh", "ja", "en") if may_be_in(text, language)), "und")


def may_be_in(text: str, language: str) -> bool:
    """Whether the script of a sentence is that of a language, which is known of a few languages only."""
    if re.search("[\u3040-\u30ff]", text):  # kana
        return language == "ja"
    if re.search("[\u3400-\u9fff]", text):  # Chinese characters, which other languages of East Asia use too
        return language in ("zh", "ja", "ko", "yue")
    if language == "en":
        letters = [letter for letter in text if letter.isalpha()]
        return 2 * sum(map(is_latin, letters)) >= len(letters)  # "two µl of water" is English
    return language not in ("zh", "ja", "yue")
