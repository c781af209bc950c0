"""ARPABET pronunciations for words that the CMU dictionary lacks, from espeak-ng's IPA."""

from __future__ import annotations

from dataset_tools.core.errors import SampleError
from dataset_tools.speech.engines.espeak import phonemes

# espeak-ng's phonemes of American English; the longest match is used.
_PHONES = {
    "æ": "AE", "ɑː": "AA", "ɑ": "AA", "a": "AA", "aɪ": "AY", "aʊ": "AW", "ɐ": "AH", "ə": "AH", "ᵊ": "AH", "ɚ": "ER",
    "ɜː": "ER", "ɜ": "ER", "ɛ": "EH", "e": "EH", "eɪ": "EY", "ɪ": "IH", "ᵻ": "IH", "i": "IY", "iː": "IY", "ɔ": "AO",
    "ɔː": "AO", "ɔɪ": "OY", "o": "AO", "oː": "AO", "oʊ": "OW", "ʊ": "UH", "u": "UW", "uː": "UW", "ʌ": "AH",
    "b": "B", "d": "D", "dʒ": "JH", "ð": "DH", "f": "F", "ɡ": "G", "h": "HH", "j": "Y", "k": "K", "l": "L", "ɫ": "L",
    "m": "M", "n": "N", "ŋ": "NG", "p": "P", "r": "R", "ɹ": "R", "ɾ": "T", "s": "S", "ʃ": "SH", "t": "T", "ʔ": "T",
    "tʃ": "CH", "v": "V", "w": "W", "x": "K", "z": "Z", "ʒ": "ZH", "θ": "TH",
}  # fmt: skip
_NO_PHONES = "ˈˌː ̩̃"  # stress, non-distinctive length, syllabic and nasal marks, spaces


def pronounce(word: str) -> str:
    """Grapheme-to-phoneme conversion of an English word: ``squeezer`` is ``S K W IY Z ER``.

    Raises:
        SampleError: espeak-ng returns no phonemes, or a phoneme that English does not have.
        InputError: espeak-ng is not installed.
    """
    ipa = phonemes(word, "en-us")
    found, place = [], 0
    while place < len(ipa):
        size = next((size for size in (2, 1) if ipa[place : place + size] in _PHONES), 0)
        if size:
            found.append(_PHONES[ipa[place : place + size]])
        elif ipa[place] not in _NO_PHONES:
            raise SampleError(f"{ipa[place]!r} is not an English phoneme", where=f"{word} [{ipa}]")
        place += size or 1
    if not found:
        raise SampleError("espeak-ng returns no phonemes for the word", where=word)
    return " ".join(found)
