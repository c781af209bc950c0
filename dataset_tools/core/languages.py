"""Languages of speech: ISO 639-1 codes such as ``de``, or three-letter codes (ISO 639-3) of those without one."""

from __future__ import annotations

import re

from dataset_tools.core.errors import InputError
from dataset_tools.core.letters import is_latin

_KANA = re.compile("[\u3040-\u30fa\u30fc-\u30ff\uff66-\uff9f]")  # without the dot between parts of names (・)
_WITH_KANA = frozenset(("ja", "ain", "ryu"))  # with Ainu, Okinawan
_CHINESE = "zh cdo cjy cnp cpx csp czh czo gan hak hnm hsn lzh mnp nan wuu yue"
_WITH_CHINESE_CHARACTERS = frozenset((*_CHINESE.split(), "ja", "ko", "ryu"))
_LATIN = "af ca cs cy da de en es et eu fi fr ga gl hr hu id is it lt lv mt nb nl nn no pl pt ro sk sl sq sv tr vi"
_IN_LATIN_SCRIPT = frozenset(_LATIN.split())
_IN_ANOTHER_SCRIPT = frozenset(("be", "bg", "el", "he", "hy", "ka", "ko", "mk", "ru", "th", "uk"))
"""Of languages that are often written in Latin script too, such as Hindi and Serbian, the script is not checked."""

_TWO_LETTERS = (
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo"
    " es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka"
    " kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng"
    " nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su"
    " sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)
ISO_639_1 = frozenset(_TWO_LETTERS.split())

_THREE_LETTERS = (  # of the languages above, in the same order
    "aar abk ave afr aka amh arg ara asm ava aym aze bak bel bul bis bam ben bod bre bos cat che cha cos cre ces"
    " chu chv cym dan deu div dzo ewe ell eng epo spa est eus fas ful fin fij fao fra fry gle gla glg grn guj glv"
    " hau heb hin hmo hrv hat hun hye her ina ind ile ibo iii ipk ido isl ita iku jpn jav kat kon kik kua kaz kal"
    " khm kan kor kau kas kur kom cor kir lat ltz lug lim lin lao lit lub lav mlg mah mri mkd mal mon mar msa mlt"
    " mya nau nob nde nep ndo nld nno nor nbl nav nya oci oji orm ori oss pan pli pol pus por que roh run ron rus"
    " kin san srd snd sme sag sin slk slv smo sna som sqi srp ssw sot sun swe swa tam tel tgk tha tir tuk tgl tsn"
    " ton tur tso tat twi tah uig ukr urd uzb ven vie vol wln wol xho yid yor zha zho zul"
)
_BIBLIOGRAPHIC = (
    "alb sq arm hy baq eu bur my chi zh cze cs dut nl fre fr geo ka ger de gre el ice is mac mk mao mi may ms per fa"
    " rum ro slo sk tib bo wel cy cmn zh"
)
_ALSO_CALLED = dict(zip(_THREE_LETTERS.split(), _TWO_LETTERS.split(), strict=True)) | dict(
    zip(_BIBLIOGRAPHIC.split()[::2], _BIBLIOGRAPHIC.split()[1::2], strict=True)
)
"""Three-letter codes of languages that have one of two letters: with these, one language would become two."""


def language_code(stated: str) -> str:
    """Returns the code of a language in lower case, of two letters if there is one: ``de`` for ``DEU``.

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


def has_chinese_characters(text: str) -> bool:
    """Whether a text has Chinese characters, which other languages of East Asia use too."""
    return re.search("[\u3400-\u9fff]", text) is not None


def may_be_in(text: str, language: str) -> bool:
    """Whether the script of a sentence is that of a language, which is known of some languages only."""
    if _KANA.search(text):
        return language in _WITH_KANA
    if has_chinese_characters(text):
        return language in _WITH_CHINESE_CHARACTERS
    letters = [letter for letter in text if letter.isalpha()]
    latin = sum(map(is_latin, letters))
    if language in _IN_LATIN_SCRIPT:
        return 2 * latin >= len(letters)  # "two µl of water" is English
    if language in _IN_ANOTHER_SCRIPT:
        return 2 * latin <= len(letters)
    return language not in ("zh", "ja", "yue")
