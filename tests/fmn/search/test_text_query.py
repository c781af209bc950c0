"""Typed queries: spoken in their language, or compared with the words of the sentences."""

from __future__ import annotations

import math
import unicodedata
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from dataset_tools.core.audio_decoding import decode
from dataset_tools.core.errors import InputError
from dataset_tools.manifests import SplitPairRow, UtteranceRow, read_rows, write_rows
from fmn.data.items import load_items
from fmn.search import query_preparation
from fmn.search.gallery_search import search
from fmn.search.search_results import GallerySource
from fmn.search.text_query import main_language, search_words, speak_query

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")


def test_words_find_the_clips_whose_sentences_have_them(whole: Path) -> None:
    manifest = whole / "manifests" / "test.jsonl"
    result = search_words("THING 2!", GallerySource(manifest), top=50)
    # All 12 sentences have "thing", three have "2": those come first, alike and in order of their ids.
    assert [hit.class_id for hit in result.hits[:3]] == [load_items(manifest).classes[2].id] * 3
    # cosine of "thing 2" and "somebody washes thing 2"; weights: 1 for words that all have, else ln(13 / 4) + 1
    rare = math.log(13 / 4) + 1
    expected = (1 + rare**2) / math.sqrt((1 + rare**2) * (3 + rare**2))
    assert [hit.score for hit in result.hits[:3]] == pytest.approx([expected] * 3)
    assert result.hits[3].score < 0.2
    assert [hit.id for hit in result.hits[:3]] == sorted(hit.id for hit in result.hits[:3])
    assert result.gallery == len(result.hits) == 12
    whole_result = search_words("thing 2", GallerySource(manifest, everything=True), top=50)
    assert (whole_result.gallery, whole_result.manifest) == (32, str(manifest.with_name("clips.jsonl")))
    assert (result.run, result.manifest) == (None, str(manifest))
    nothing = search_words("zebra", GallerySource(manifest))
    assert (nothing.hits, nothing.notes[-1]) == ((), "No sentence contains any of these words.")
    with pytest.raises(InputError, match="no words"):
        search_words("?!", GallerySource(manifest))
    with pytest.raises(InputError, match="number of results is 0"):
        search_words("thing 2", GallerySource(manifest), top=0)


@pytest.mark.parametrize("query", ["Tür", "TÜR", unicodedata.normalize("NFD", "tür"), "ｔür"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_words_are_found_however_their_letters_are_written(whole: Path, query: str, form: Any) -> None:
    manifest = whole / "manifests" / "test.jsonl"
    rows = list(read_rows(manifest, SplitPairRow))
    clip = rows[0].clip.id
    for number, row in enumerate(rows):
        if row.utterance.clip == clip:
            text = unicodedata.normalize(form, "sie öffnet die Tür")
            rows[number] = msgspec.structs.replace(row, utterance=msgspec.structs.replace(row.utterance, text=text))
    write_rows(manifest, rows)
    assert [hit.id for hit in search_words(query, GallerySource(manifest)).hits] == [clip]


@pytest.mark.parametrize(
    ("query", "text", "found"),
    [
        *[("iki", "İki dilim", True), ("हिन्दी", "यह हिन्दी है", True), ("हिन्दी", "दही", False), ("बी", "बीज", False)],
        *[("萝卜", "他切2个胡萝卜", True), ("3d", "他用3D打印机", True), ("刀", "他切2个", False)],
        ("𠮷", "他切3𠮷𠮷", True),
    ],
)
def test_what_is_a_word(whole: Path, query: str, text: str, found: bool) -> None:
    manifest = whole / "manifests" / "test.jsonl"
    rows = list(read_rows(manifest, SplitPairRow))
    utterances = [msgspec.structs.replace(row.utterance, text=text) for row in rows]
    both = zip(rows, utterances, strict=True)
    write_rows(manifest, [msgspec.structs.replace(row, utterance=utterance) for row, utterance in both])
    assert bool(search_words(query, GallerySource(manifest)).hits) == found


def test_the_sentence_of_a_hit_is_the_one_that_has_the_words(whole: Path) -> None:
    """A clip may have several: recorded ones beside a synthesized one."""
    path = whole / "manifests" / "utterances.jsonl"
    first, *others = read_rows(path, UtteranceRow)
    second = msgspec.structs.replace(first, id=f"{first.id}-2", text="wash the zucchini")
    write_rows(path, [msgspec.structs.replace(first, text="slice a zucchini"), second, *others])
    source = GallerySource(whole / "manifests" / "test.jsonl", everything=True)
    for query in ("slice", "wash"):
        (hit,) = search_words(query, source).hits
        assert (hit.id, hit.text) == (first.clip, "slice a zucchini" if query == "slice" else "wash the zucchini")


def test_a_typed_query_is_spoken_in_its_language(tmp_path: Path) -> None:
    for text, voice in (("he cuts the carrot", "en"), ("他在切萝卜", "cmn")):
        wav, said = speak_query(text, tmp_path)
        sound = decode(wav, longest_s=30)
        assert sound.sample_rate_hz == 16_000
        assert 0.4 < len(sound.samples) / sound.sample_rate_hz < 5
        assert np.abs(sound.samples).max() > 0.05
        assert said == f"The text was synthesized by espeak's voice {voice}, and searched as speech."


@pytest.mark.parametrize(
    "text",
    [
        *("нарезать морковь", "ニンジンを切る", "肉を焼く", "당근을 썰어요", "يقطع الجزر"),
        *("cut the κρεμμύδι", "cut the я", "μ", "!!!", "12", ""),
    ],
)
def test_a_text_that_no_voice_can_speak_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        speak_query(text, tmp_path)
    error = refused.value
    assert error.found == "There is no word" or all(letter in text for letter in error.found.partition("letters ")[2])
    assert error.expected == "a sentence in English, or in Chinese (Mandarin)"
    for way_out in ("--speech", "microphone", "--by-words"):
        assert way_out in str(error.next_step)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["Don’t cut the jalapeños.", "ｃｕｔ ｔｈｅ ｂｒｅａｄ", "peel 2 café crêpes"])
def test_letters_of_the_alphabet_are_spoken_however_they_are_written(text: str, tmp_path: Path) -> None:
    assert "voice en," in speak_query(text, tmp_path)[1]


@pytest.mark.parametrize(
    ("text", "voice"),
    [
        ("add 5 µm of salt", "en"),
        ("measure 3 Ω at the stove", "en"),
        ("add β-carotene", "en"),
        ("他加 5 µm 盐", "cmn"),
        ("他们天天々切萝卜", "cmn"),
    ],
)
def test_units_and_iteration_marks_are_spoken(text: str, voice: str, tmp_path: Path) -> None:
    assert f"voice {voice}," in speak_query(text, tmp_path)[1]


@pytest.mark.parametrize(
    ("text", "language", "voice"),
    [
        ("Er schneidet die Möhre.", "de", "de"),
        ("Он режет морковь.", "ru", "ru"),
        ("他切胡萝卜。", "de", "cmn"),
        ("He cuts the carrot.", "zh", "en"),
        ("He cuts the carrot.", "und", "en"),
    ],
)
def test_a_typed_query_is_spoken_in_the_language_of_the_data_set(
    text: str, language: str, voice: str, tmp_path: Path
) -> None:
    assert f"voice {voice}," in speak_query(text, tmp_path, language)[1]
    with pytest.raises(InputError, match="no word"):
        speak_query("12!", tmp_path, language)


def test_an_accent_of_another_language_than_the_query_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        speak_query("He cuts the carrot.", tmp_path, engine="espeak:pt-br")
    assert caught.value.found == "The engine espeak:pt-br has no voice for the language 'en'"
    assert caught.value.expected == "voices for the language of the query"
    assert str(caught.value.next_step).startswith("leave out :pt-br, ")
    assert str(caught.value.next_step).endswith("or search by words: --by-words")


def test_a_search_uses_the_language_of_most_utterances(
    workspace: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = workspace / "manifests" / "test.jsonl"
    assert main_language(GallerySource(manifest)) == "en"
    pairs = list(read_rows(manifest, SplitPairRow))
    chosen = sorted({pair.utterance.id for pair in pairs})[:6]  # half of them
    for number, language in ((6, "de"), (5, "en")):
        german = [
            msgspec.structs.replace(pair, utterance=msgspec.structs.replace(pair.utterance, language="de"))
            if pair.utterance.id in chosen[:number]
            else pair
            for pair in pairs
        ]
        write_rows(manifest, german)
        assert main_language(GallerySource(manifest)) == language
    write_rows(manifest, [pair for pair in german if pair.utterance.language == "de"])
    spoken: list[str] = []

    def speak(text: str, folder: Path, language: str, **_: object) -> None:
        spoken.append(language)
        raise InputError("Nothing is searched here")

    monkeypatch.setattr(query_preparation, "speak_query", speak)
    with pytest.raises(InputError, match="Nothing is searched"):
        search(run, "Er schneidet die rote Möhre.", "speech", GallerySource(manifest))
    assert spoken == ["de"]
