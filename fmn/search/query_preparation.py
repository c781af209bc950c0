"""Preparation of a query: a text is synthesized, a recording post-processed; own features are those of the file."""

from __future__ import annotations

from pathlib import Path

from dataset_tools.core.errors import InputError, ToolkitError
from dataset_tools.core.files import sha256_of
from fmn.config import Config
from fmn.search.query_files import clip_doubts, finish_query, known_speech
from fmn.search.search_results import GallerySource, QueryKind, check_top
from fmn.search.text_query import main_language, speak_query

QUERY_FILES = {"speech": "an audio file that FFmpeg can read", "clip": "a video file that FFmpeg can read"}


def check_query(query: Path | str, kind: QueryKind, top: int = 1) -> None:
    """Checks that a query that is a file exists, and what is asked of it.

    Raises:
        InputError: it does not, or is not a regular file; the kind is unknown, or a text does not search clips; or the
            number of results is below 1.
    """
    if kind not in QUERY_FILES:
        raise InputError(f"The kind of the query is {kind!r}", where="kind", expected=" or ".join(QUERY_FILES))
    check_top(top)
    if kind == "clip" and isinstance(query, str):
        raise InputError(
            "The query is a text (str), which finds clips, not utterances",
            where=query,
            expected="the Path of a video file",
            next_step="pass Path(query), or kind 'speech'",
        )
    if isinstance(query, Path) and not query.is_file():
        raise InputError(
            "This is not a regular file" if query.exists() else "There is no such file",
            where=query,
            expected=QUERY_FILES[kind],
            next_step="choose another file",
        )


def own_features(config: Config, kind: QueryKind) -> str:
    """Returns the path of the user's features that queries of a kind are looked up in; empty: they are computed."""
    return config.audio.features if kind == "speech" else config.video.features


def prepared_query(
    query: Path | str,
    kind: QueryKind,
    config: Config,
    source: GallerySource,
    folder: Path,
    *,
    voices: str = "espeak",
) -> tuple[Path, tuple[str, ...]]:
    """Prepares a query as `fmn.search.gallery_search.search` describes.

    Args:
        query: a file, or a text.
        kind: kind of the query.
        config: configuration of the run.
        source: its speech is known; a text is in the language of most utterances of its manifest.
        folder: for a wav.
        voices: the speech engine that synthesizes a text.

    Returns:
        The file to search, and caveats.

    Raises:
        InputError: the text cannot be synthesized, or the run has the user's own features of speech.
    """
    if isinstance(query, str):
        wav, note = spoken_query(query, config, folder, main_language(source), engine=voices)
        return wav, (note,)
    if kind == "clip":
        return query, clip_doubts(query)
    if own_features(config, kind) or sha256_of(query) in known_speech(source):
        return query, ()
    return finish_query(query, folder, refuse=False)


def spoken_query(text: str, config: Config, folder: Path, language: str, *, engine: str = "espeak") -> tuple[Path, str]:
    """`fmn.search.text_query.speak_query`, unless the features of speech are the user's: a synthesized text has none.

    Raises:
        InputError: they are, or see `speak_query`.
    """
    if path := own_features(config, "speech"):
        raise InputError(
            "A typed text has no features: the run reads those of speech from files",
            where=path,
            expected="an audio file that has a feature there",
            next_step="search with one (fmn search --speech FILE), or by words: fmn search --text TEXT --by-words",
        )
    return speak_query(text, folder, language, engine=engine)


def unusable_query(error: ToolkitError, query: Path, kind: QueryKind, config: Config) -> InputError:
    """Returns the error for a query without features, from that of its extraction."""
    if path := own_features(config, kind):
        return InputError(
            error.found,
            where=path,
            expected=error.expected,
            next_step="add it, or choose a file that has one",
        )
    return InputError(error.found, where=query, expected=QUERY_FILES[kind], next_step="choose another file")
