"""Text queries: synthesized and searched as speech, or compared with the words of the sentences.

TF-IDF and cosine similarity are implemented here in a few lines, to avoid scikit-learn as a dependency for them alone.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from dataset_tools.core.errors import InputError, SampleError
from dataset_tools.core.languages import may_be_in
from dataset_tools.manifests import ClipRow, UtteranceRow
from dataset_tools.speech.engines.registry import faults_named, open_engine, voices_in
from fmn.data.items import load_items
from fmn.search.query_files import finish_query
from fmn.search.search_results import GallerySource, SearchResult, check_top, hit_of

_HAN = {"CJK", "IDEOGRAPHIC"}
"""The latter are marks between Chinese characters, such as 々."""
_SPOKEN = {"", "LATIN", "MODIFIER", *_HAN}
_CHINESE = r"\u3400-\u9fff\U00020000-\U000323af"
_WORD = re.compile(rf"[{_CHINESE}]|[^\W_{_CHINESE}]+")


def require_engine(name: str) -> None:
    """Checks that a speech engine can be used.

    Raises:
        InputError: it cannot, or there is none of this name.
    """
    open_engine(name)


def main_language(source: GallerySource) -> str:
    """Returns the language of most utterances of a manifest; of those with as many, the first one by its code."""
    counts = Counter(row.language for row in load_items(source.manifest, source.root).utterances)
    return min(counts, key=lambda language: (-counts[language], language))


def speak_query(text: str, folder: Path, language: str = "en", *, engine: str = "espeak") -> tuple[Path, str]:
    """Synthesizes a text as `fmn-data build` does for descriptions, with the first voice of its language.

    Args:
        text: in the language of the data set, or else English, or Chinese (Mandarin) if it has a Chinese character.
        folder: for the wav.
        language: of the data set, its code; ``und``: undetermined.
        engine: name of the engine, as in `fmn-data build --voices`.

    Returns:
        The wav, and a sentence that names the voice.

    Raises:
        InputError: the text is in neither script or has no word, there is no such engine, it has no voice for the
            language, or the speech is too short or too long.
        SampleError: the engine fails.
    """
    if language in ("en", "zh", "und") or not any(map(str.isalpha, text)) or not may_be_in(text, language):
        language = _language_of(text)
    chosen = open_engine(engine)
    by_words = "choose another engine with --voices, or search by words: --by-words"
    voices = voices_in(engine, language, text="the query", otherwise=by_words)
    raw = folder / "spoken.wav"
    with faults_named(engine):
        chosen.speak(text, voices[0], path=raw, seed=0)
    try:
        wav, _ = finish_query(raw, folder)
    except SampleError as error:
        raise InputError(
            f"The synthesized text cannot be searched. {error.found}",
            where=f"{text[:40]!r}",
            expected="a sentence",
            next_step="type a complete sentence, or a shorter text; with fmn search, --by-words accepts any text",
        ) from error
    return wav, f"The text was synthesized by {chosen.name}'s voice {voices[0].id}, and searched as speech."


def _language_of(text: str) -> str:
    """Returns ``zh`` for a text with Chinese characters, ``en`` for one with words of other Latin letters only.

    Single Greek letters, as in units (5 µm), may occur in both.

    Raises:
        InputError: it has letters of another script, which the voices spell out or leave out, or no word.
    """
    runs = [(script, list(run)) for script, run in groupby(unicodedata.normalize("NFKC", text), _script)]
    scripts = {script for script, _ in runs}
    is_chinese = bool(scripts & _HAN)
    can_be_word = is_chinese or "LATIN" in scripts
    others = [
        letter
        for script, run in runs
        if script not in _SPOKEN and not (can_be_word and script == "GREEK" and len(run) == 1)
        for letter in run
    ]
    if others or not can_be_word:
        raise InputError(
            f"The text cannot be spoken: it has the letters {''.join(others[:10])}" if others else "There is no word",
            where=f"{text[:40]!r}",
            expected="a sentence in English, or in Chinese (Mandarin)",
            next_step="speak it instead (fmn search --speech FILE, or the page's microphone), or search by words: "
            "fmn search --text TEXT --by-words",
        )
    return "zh" if is_chinese else "en"


def _script(letter: str) -> str:
    """Returns the first word of a letter's Unicode name, which is mostly its script; empty for other characters."""
    return unicodedata.name(letter, "?").split()[0] if letter.isalpha() else ""


def search_words(text: str, source: GallerySource, *, top: int = 10) -> SearchResult:
    """Ranks clips by the TF-IDF cosine similarity of their sentences with a text; a clip's best sentence counts.

    Args:
        text: the query; each Chinese character is a word.
        source: its clips and utterances are searched.
        top: number of results.

    Raises:
        InputError: there is no such manifest, the text contains no word, or ``top`` is below 1.
    """
    check_top(top)
    query = _words(text)
    if not query:
        raise InputError("The query contains no words", expected="a text with letters", next_step="type a description")
    clips, utterances = source.rows("speech"), source.rows("clip")
    scores = _scores(query, clips, [row for row in utterances if isinstance(row, UtteranceRow)])
    ranked = sorted((row for row in clips if row.id in scores), key=lambda row: (-scores[row.id][0], row.id))
    hits = tuple(
        hit_of(row, rank, score, {row.id: sentence})
        for rank, row in enumerate(ranked[:top], start=1)
        for score, sentence in [scores[row.id]]
    )
    notes = ["Ranked by the words of the clips' sentences; the model was not used."]
    if not hits:
        notes.append("No sentence contains any of these words.")
    listing = str(source.listing("speech"))
    return SearchResult(text, "words", hits, len(clips), tuple(notes), run=None, manifest=listing)


def _scores(
    query: Counter[str], clips: Sequence[ClipRow | UtteranceRow], utterances: Sequence[UtteranceRow]
) -> dict[str, tuple[float, str]]:
    """Returns the best cosine similarity of each clip that shares a word with the query, and the sentence of that."""
    sentences: dict[str, dict[str, Counter[str]]] = defaultdict(dict)
    for row in utterances:
        if row.clip is not None:
            sentences[row.clip][row.text] = _words(row.text)
    documents = [words for one in sentences.values() for words in one.values()]
    document_counts = Counter(word for words in documents for word in words)
    weights = {word: math.log((1 + len(documents)) / (1 + number)) + 1 for word, number in document_counts.items()}
    scores = {}
    for clip in clips:
        each = ((_cosine(query, words, weights), text) for text, words in sentences.get(clip.id, {}).items())
        best = max(each, key=lambda one: one[0], default=(0.0, ""))
        if best[0]:
            scores[clip.id] = best
    return scores


def _cosine(one: Mapping[str, int], other: Mapping[str, int], weights: Mapping[str, float]) -> float:
    shared = sum(count * other[word] * weights[word] ** 2 for word, count in one.items() if word in other)
    lengths = [math.sqrt(sum((count * weights.get(word, 1.0)) ** 2 for word, count in v.items())) for v in (one, other)]
    return shared / (lengths[0] * lengths[1]) if shared else 0.0


def _words(text: str) -> Counter[str]:
    """The words of a text, in whatever case and form its letters are written, such as decomposed ones.

    Marks that do not compose with a letter are left out: they would split words, as in Hindi, or the Turkish İ.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return Counter(_WORD.findall("".join(each for each in folded if not unicodedata.category(each).startswith("M"))))
