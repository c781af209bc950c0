"""``fmn search``: clips for a spoken or typed description, or utterances for a clip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataset_tools.core.command import DryRunOption
from dataset_tools.core.console import Terminal
from fmn.cli.dry_run import show_dry_run
from fmn.cli.options import AllOption, RunOptions, check_used, short, show_failures

if TYPE_CHECKING:
    from fmn.search.search_results import QueryKind, SearchResult

_OF_MODEL = "similarity by the run's model, higher is better, may be negative"
_MEANING = {"speech": _OF_MODEL, "clip": _OF_MODEL, "words": "cosine of the words, 0 to 1 (the same words)"}


def search(
    terminal: Terminal,
    options: RunOptions,
    speech: Annotated[
        Path | None, typer.Option("--speech", help="Find clips for this audio file.", dir_okay=False)
    ] = None,
    clip: Annotated[
        Path | None, typer.Option("--clip", help="Find utterances for this video file.", dir_okay=False)
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            "--text",
            help="Find clips for this text, spoken in the language of most utterances, else English or Chinese.",
        ),
    ] = None,
    by_words: Annotated[
        bool, typer.Option("--by-words", help="Match the words of --text with the clips' sentences instead.")
    ] = False,
    voices: Annotated[
        str | None, typer.Option("--voices", help="Speech engine that synthesizes --text (default: espeak).")
    ] = None,
    everything: AllOption = False,
    top: Annotated[int, typer.Option("--top", min=1, help="Number of results.")] = 10,
    dry_run: DryRunOption = False,
) -> None:
    """Find the clips that match a spoken or typed description, or the utterances that match a clip.

    Example: fmn search runs/fmn-demo --speech question.wav --top 10
    """
    from dataset_tools.core.errors import InputError
    from fmn.data.dry_run import DryRun
    from fmn.search.gallery_search import search as search_run
    from fmn.search.prepare import plan_search
    from fmn.search.search_results import GallerySource

    queries = [query for query in (speech, clip, text) if query is not None]
    if len(queries) != 1 or (by_words and text is None):
        raise InputError(
            "--by-words requires --text" if by_words else "There is more than one query" if queries else "No query",
            expected="one of --speech FILE, --clip FILE and --text TEXT",
            next_step="specify one of them, such as fmn search RUN --speech q.wav",
        )
    check_used("--voices", voices, is_used=text is not None and not by_words, needed="--text, without --by-words")
    if text is not None and not text.strip():
        raise InputError("The query is empty", where="--text", expected="a description", next_step="type a sentence")
    source = GallerySource(options.manifest_or("test.jsonl"), everything, options.root)
    if text is not None and by_words:
        from fmn.search.text_query import search_words

        result = search_words(text, source, top=top)
        if dry_run:  # it would only be shown
            show_dry_run(terminal, DryRun(result.gallery, 0, 0), "search")
            return
    else:
        kind: QueryKind = "speech" if clip is None else "clip"
        how: dict[str, Any] = {"voices": voices or "espeak", "device": options.device, "jobs": options.jobs}
        if dry_run:
            planned = plan_search(options.folder(), queries[0], kind, source, **how, progress=terminal.progress)
            show_dry_run(terminal, planned, "search")
            return
        result = search_run(options.folder(), queries[0], kind, source, top=top, **how, progress=terminal.progress)
    _show_search(terminal, result, f"“{text}”" if text is not None else short(Path(result.query)))


def _show_search(terminal: Terminal, result: SearchResult, query: Path | str) -> None:
    found, who = ("utterances", "voice") if result.kind == "clip" else ("clips", "person")
    ranked = f"best {len(result.hits)} of {result.gallery:,} in {short(Path(result.manifest))}"
    terminal.say(f"{found} for {query}, {ranked}" + (f" by {short(Path(result.run))}" if result.run else ""))
    width = max((len(hit.class_id) for hit in result.hits), default=0)
    for hit in result.hits:
        terminal.say(f"{hit.rank:>4}  {hit.score:>7.3f}  {hit.class_id:<{width}}  {who} {hit.person}")
        terminal.say(f"      {hit.path}")
        if hit.text:  # a recording's sentence may be unknown
            terminal.say(f"      “{hit.text}”")
    terminal.say(f"  score: {_MEANING[result.kind]}; comparable within one search only")
    for note in result.notes:
        terminal.warn(note)
    show_failures(terminal, result.failures)
    terminal.result(result.as_dict())
