"""``fmn-data speech …``: utterances by synthesis, from audio files or from a microphone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataset_tools.cli.build_options import (
    as_typed,
    check_sentence_options,
    first_classes,
    last_build_of,
    last_sentences,
    speech_options,
)
from dataset_tools.cli.footage import say_inherited
from dataset_tools.cli.options import ClassOptions, LicenceOption, SynthesisOptions
from dataset_tools.core.command import DEFAULT_JOBS, AddressOptions, CommandLine, DryRunOption, JobsOption
from dataset_tools.core.console import Terminal, workspace_option
from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.core.workspace import Workspace

if TYPE_CHECKING:
    from dataset_tools.corpora.sentence_files import SentenceSpans
    from dataset_tools.last_build import LastBuild
    from dataset_tools.speech.dataset_speech import SpeechSummary
    from dataset_tools.speech.transcripts import TranscriptSummary

_SHOWN_VOICES = 10

speech_app = CommandLine(help="Synthesize, import or record spoken descriptions.", no_args_is_help=True)


@speech_app.command("synthesize")
def speech_synthesize(
    terminal: Terminal,
    workspace: Workspace,
    classes: ClassOptions,
    synthesis: SynthesisOptions,
    no_sentences: Annotated[
        bool, typer.Option("--no-sentences", help="Use no sentence files, not even those of the last build.")
    ] = False,
    forget_options: Annotated[
        bool, typer.Option("--forget-options", help="Use only the options that are given, not those of the last build.")
    ] = False,
    jobs: JobsOption = DEFAULT_JOBS,
    dry_run: DryRunOption = False,
) -> None:
    """Synthesize the descriptions of existing clips, with other voices or in another language.

    Options that are not given are those of the last build.

    Example: fmn-data speech synthesize --voices coqui:tts_models/en/vctk/vits
    """
    from dataset_tools.build.dataset_synthesis import synthesize_dataset
    from dataset_tools.speech.engines.registry import voice_licences

    check_sentence_options(synthesis, False if no_sentences else None)
    last = None if forget_options else last_build_of(workspace, terminal)
    options, kept = speech_options(synthesis, last)
    class_file, kept_classes = first_classes(workspace, classes, classes.load(workspace), last)
    kept |= kept_classes
    sentences = tuple(synthesis.sentences or ())
    if synthesis.sentences is None and not no_sentences and last is not None:
        sentences, kept_sentences = last_sentences(workspace, last, edited_ok=False)
        kept |= kept_sentences
    say_inherited(terminal, as_typed(kept))
    options = replace(options, sentences=sentences)
    summary = synthesize_dataset(workspace, class_file, options, jobs=jobs, dry_run=dry_run, progress=terminal.progress)
    for message in summary.notes:
        terminal.warn(message)
    for licence in voice_licences(options.engine):
        terminal.say(f"  {licence}")
    _show_speech(terminal, "speak", summary, workspace)


@speech_app.command("import")
def speech_import(
    terminal: Terminal,
    workspace: Workspace,
    classes: ClassOptions,
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder of <class id>/<voice>_….wav or <clip id>.* files, or a CSV with the columns path, class, clip,"
            " voice, text, licence, language, accent, age_band, device."
        ),
    ],
    language: Annotated[
        str | None,
        typer.Option(
            "--language",
            metavar="CODE",
            help="Language of recordings that do not state one, e.g. de (default: that of the last build, or zh for"
            " Chinese sentences; known ones keep theirs).",
        ),
    ] = None,
    licence: LicenceOption = "",
    renewed: Annotated[
        list[str] | None,
        typer.Option(
            "--renewed-consent", help="Forgotten speaker (name or voice) who has consented again. Repeatable."
        ),
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Retry recordings whose worker process died (e.g. out of memory).")
    ] = False,
    dry_run: DryRunOption = False,
    jobs: JobsOption = DEFAULT_JOBS,
) -> None:
    """Import recordings; each replaces a synthesized utterance in the data set.

    Example: fmn-data speech import recordings-of-monday/
    """
    from dataset_tools.speech.dataset_speech import import_dataset
    from dataset_tools.speech.recordings.import_in_progress import ImportOptions
    from dataset_tools.speech.synthesis import SpeechOptions

    assumed = SpeechOptions()
    if language is None:
        assumed, _ = speech_options(SynthesisOptions(), last_build_of(workspace, terminal))
    summary = import_dataset(
        workspace,
        source,
        classes.load(workspace),
        ImportOptions(language, assumed.language, licence, tuple(renewed or ())),
        retry_died=retry,
        dry_run=dry_run,
        jobs=jobs,
        progress=terminal.progress,
    )
    for message in (*summary.mismatches, *summary.notes):
        terminal.warn(message)
    if summary.added and not dry_run:
        _check_imported(terminal, workspace, jobs)
    _show_speech(terminal, "import", summary, workspace)


@speech_app.command("check")
def speech_check(
    terminal: Terminal,
    workspace: Workspace,
    synthesized: Annotated[bool, typer.Option("--synthesized", help="Check synthesized utterances, too.")] = False,
    jobs: JobsOption = DEFAULT_JOBS,
    dry_run: DryRunOption = False,
) -> None:
    """Warn about recordings that may not match their sentence (English only; needs the extra transcripts).

    Example: fmn-data speech check
    """
    from dataset_tools.speech.transcripts import check_transcripts

    summary = check_transcripts(
        workspace, recorded=not synthesized, jobs=jobs, dry_run=dry_run, progress=terminal.progress
    )
    _show_check(terminal, summary, workspace)
    terminal.result(summary.as_dict())
    terminal.some_failed(
        len(summary.failures), "fix those files, then run fmn-data speech check again", reasons="the reasons are above"
    )


@speech_app.command("voices")
def speech_voices(
    terminal: Terminal,
    workspace: Workspace,
    synthesized: Annotated[bool, typer.Option("--synthesized", help="Compare synthesized voices, too.")] = False,
) -> None:
    """Compare voices and list pairs that may be the same person (needs the package resemblyzer).

    Example: fmn-data speech voices
    """
    from dataset_tools.speech.speaker_similarity import compare_voices

    summary = compare_voices(workspace, synthesized=synthesized, progress=terminal.progress)
    for one, other, similarity in summary.alike:
        terminal.warn(f"{one} and {other} are as similar as recordings of one speaker ({similarity:.2f}): same person?")
    for voice, reason in summary.skipped.items():
        terminal.say(f"  {voice} was not compared: {reason}")
    for name, error in summary.failures.items():
        terminal.warn(f"{name}: {error.found}")
    numbers = summary.as_dict()
    similarities = f"within a voice {numbers['within']:.2f}, between voices {numbers['between']:.2f} (1: identical)"
    voices = count_of(numbers["voices"], "voice")
    terminal.closing("voices", f"{voices} compared; similarity {similarities}", workspace.manifests)
    terminal.result(numbers)
    terminal.some_failed(
        len(summary.failures), "fix those files, then run fmn-data speech voices again", reasons="the reasons are above"
    )


def _check_imported(terminal: Terminal, workspace: Workspace, jobs: int) -> None:
    from dataset_tools.core.errors import InputError
    from dataset_tools.speech.transcripts import check_transcripts

    try:
        summary = check_transcripts(workspace, jobs=jobs, progress=terminal.progress)
    except InputError as error:
        terminal.say(f"  transcripts were not checked: {error.next_step}")
        return
    _show_check(terminal, summary, workspace)


def _show_check(terminal: Terminal, summary: TranscriptSummary, workspace: Workspace) -> None:
    doubtful = [row for row in summary.rows if row.warning is not None]
    for row in doubtful:
        terminal.warn(f"{row.id}: {row.warning} ({row.text})")
    for reason, number in Counter(summary.skipped.values()).items():
        terminal.say(f"  {number} not checked: {reason}")
    for name, error in summary.failures.items():
        terminal.warn(f"{name}: {error.found}")
    text = f"{count_of(len(summary.rows), 'utterance')}, {len(doubtful)} may not match their sentence"
    text += f"; {summary.to_check} more would be checked" if summary.dry_run else ""
    terminal.closing("check", text, workspace.manifests / "transcripts.jsonl")


@speech_app.command("record")
def speech_record(
    terminal: Terminal,
    workspace: Workspace,
    classes: ClassOptions,
    where: AddressOptions,
    consent: Annotated[
        Path | None, typer.Option("--consent", help="Consent text that speakers agree to (default: the shipped one).")
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(
            "--language",
            metavar="CODE",
            help="Language of sentences for clips without one (default: that of the last build, else en).",
        ),
    ] = None,
    licence: LicenceOption = "",
) -> None:
    """Record utterances in the browser: speakers watch clips and read their descriptions aloud.

    Example: fmn-data speech record --licence CC-BY-4.0
    """
    from dataset_tools.speech.booth.server import serve_booth
    from dataset_tools.speech.booth.sessions import Booth
    from dataset_tools.speech.recordings.consents import CONSENT, read_consent_text
    from dataset_tools.speech.sentences.clip_sentences import notes_on_sentences

    text = CONSENT if consent is None else read_consent_text(consent)
    last = last_build_of(workspace, terminal)
    options, kept = speech_options(SynthesisOptions(language=language), last)
    if "language" in kept:
        terminal.say(f"  as in the last build: --language {options.language}")
    sentences = _sentences_of_build(workspace, last, terminal)
    booth = Booth(
        workspace,
        classes.load(workspace),
        language=options.language,
        sentences=sentences,
        licence=licence,
        consent=text,
    )
    for note in () if sentences is None else notes_on_sentences(sentences, {}, options.language):
        terminal.warn(note)
    before = len(booth.recorded())

    def announce(address: str) -> None:
        terminal.say(f"  the booth is open: {address}\n  anyone with this address can record; Ctrl+C stops the server")

    serve_booth(booth, where.address(), announce=announce)
    done = len(booth.recorded())
    progress = f"{count_of(done - before, 'sentence')} recorded now, {done} of {len(booth.lines)} in total"
    terminal.closing("record", progress, workspace.recordings)
    skips = dict(booth.skips.counts)
    if skips:
        reasons = ", ".join(f"{number} × {reason}" for reason, number in sorted(skips.items()))
        terminal.say(f"  skipped: {reasons}; the sentences are in annotations/skips.jsonl")
    terminal.result({"recorded": done, "now": done - before, "sentences": len(booth.lines), "skipped": skips})
    terminal.next(f"fmn-data pairs{workspace_option(workspace.root)}")


@speech_app.command("forget")
def speech_forget(
    terminal: Terminal,
    workspace: Workspace,
    voice: Annotated[
        str, typer.Argument(help="Voice of the speaker who withdraws, as in the report, or the name as written.")
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Remove all data of a recorded speaker who withdraws consent; only a tombstone remains.

    Example: fmn-data speech forget anna --dry-run
    """
    from dataset_tools.cli.forget import forget

    forget(terminal, workspace, voice, yes=yes, dry_run=dry_run)


def _sentences_of_build(workspace: Workspace, last: LastBuild | None, terminal: Terminal) -> SentenceSpans | None:
    """Reads the sentence files of the last build; warns if they are not there anymore."""
    from dataset_tools.core.errors import InputError
    from dataset_tools.corpora.sentence_files import read_sentences

    if last is None:
        return None
    try:
        files, _ = last_sentences(workspace, last, edited_ok=True)
        return read_sentences(files) if files else None
    except InputError as error:
        terminal.warn(f"{error.found} ({error.where}): clips without a sentence get a generated one")
        return None


def _show_speech(terminal: Terminal, stage: str, summary: SpeechSummary, workspace: Workspace) -> None:
    if stage == "import":
        is_new, are_new = ("would be", "would be") if summary.dry_run else ("is", "are")
        new = count_of(summary.added, f"recording {is_new}", f"recordings {are_new}")
        corrected = f", {summary.corrected} of them with a new sentence, license, language or name"
        left = len(summary.failures) + len(summary.mismatches)
        left_out = f"; {count_of(left, 'file or row', 'files or rows')} not imported" if left else ""
        known = count_of(summary.known, "was", "were")
        terminal.say(f"  {new} new, {known} known{corrected if summary.corrected else ''}{left_out}")
        voices = [f"{voice} {number}" for voice, number in Counter(summary.voices).most_common()]
        if voices:
            terminal.say(f"  voices: {', '.join(first_of(voices, _SHOWN_VOICES))}")
        if summary.assumed_languages:
            languages = [f"{number} {language}" for language, number in sorted(summary.assumed_languages.items())]
            terminal.say(f"  language not stated, assumed: {', '.join(languages)}; another: --language CODE")
    utterances = count_of(summary.utterances, "utterance")
    if summary.dry_run and stage == "import":
        terminal.say("  nothing was written: to import, run the same command without --dry-run")
    else:
        made = f"; {count_of(summary.to_make, 'file')} would be made" if summary.dry_run else ""
        terminal.closing(stage, f"{utterances}, {summary.recorded} of them recorded{made}", workspace.speech)
    terminal.result(summary.as_dict())
    for name, error in summary.failures.items():
        terminal.warn(f"{name}: {error.found}")
    of = workspace_option(workspace.root)
    if stage == "import":  # fmn-data retry does not know files outside the workspace
        then = "correct those files, names or rows and import them again"
        terminal.some_failed(left, then, reasons="the reasons are above")
    else:
        terminal.some_failed(len(summary.failures), f"fmn-data retry{of} tries just those again")
    if summary.utterances and not summary.dry_run:
        terminal.next(f"fmn-data pairs{of}")
