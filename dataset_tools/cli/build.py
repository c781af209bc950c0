"""``fmn-data build`` and ``retry``: cut clips from the footage and synthesize their spoken descriptions."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from dataset_tools.cli.build_options import (
    CuttingOptions,
    as_typed,
    build_options,
    first_classes,
    last_build_of,
    last_sentences,
)
from dataset_tools.cli.export import FromExportOption, build_from_export, not_with_from_export
from dataset_tools.cli.footage import FootageOptions, Recorded, check_classes_of_standin
from dataset_tools.cli.options import (
    ClassFileOption,
    ClassOptions,
    ExecutionOptions,
    SentencesOption,
    SynthesisOptions,
    class_file_of,
    warn_synthetic,
)
from dataset_tools.core.command import DryRunOption
from dataset_tools.core.console import SOME_FAILED_EXIT_CODE, Terminal, workspace_option
from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.core.workspace import Workspace

if TYPE_CHECKING:
    from dataset_tools.build_record import BuildSummary

_SHOWN_CLASSES = 3
_SHOWN_CLIPS = 3


def build(
    terminal: Terminal,
    workspace: Workspace,
    classes: ClassOptions,
    footage: FootageOptions,
    cutting: CuttingOptions,
    synthesis: SynthesisOptions,
    execution: ExecutionOptions,
    replace_footage: Annotated[
        bool,
        typer.Option("--replace-footage", help="Replace the workspace's data set if it was built from other footage."),
    ] = False,
    from_export: FromExportOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Cut the clips of each class and synthesize spoken descriptions.

    If the footage is that of the last build in the workspace, options that are not given are those of that build.

    Example: fmn-data build --classes 20 --mpii /data/mpii-cooking-2
    """
    from dataset_tools.build.build_speech import check_speech_options
    from dataset_tools.build.building import build_dataset
    from dataset_tools.build.inputs import is_footage_of_build, known_class_file, own_class_file
    from dataset_tools.corpora.sentence_files import footage_sentences
    from dataset_tools.speech.engines.registry import voice_licences

    workspace, jobs = execution.resolved(workspace), execution.jobs
    if from_export is not None:
        is_plain = classes == ClassOptions() and cutting == CuttingOptions() and not synthesis.given()
        if not is_plain or replace_footage or footage.forget_options:
            raise not_with_from_export()
        files = synthesis.sentences or ()
        with execution.running():
            build_from_export(terminal, workspace, from_export, footage, files, jobs, dry_run=dry_run)
        return
    class_file = classes.load(workspace)
    source = footage.source(workspace)
    is_same = not footage.forget_options and is_footage_of_build(workspace, source)
    last = last_build_of(workspace, terminal) if is_same else None
    options, kept = build_options(cutting, synthesis, last)
    class_file, kept_classes = first_classes(workspace, classes, class_file, last)
    kept |= kept_classes
    sentences = None if synthesis.sentences is None else tuple(synthesis.sentences)
    if sentences is None and last is not None and kept.pop("footage_sentences", None) is not None:
        sentences, kept_sentences = last_sentences(workspace, last, edited_ok=True)
        kept |= kept_sentences
    if classes.class_file is None and known_class_file(workspace) not in (None, own_class_file(workspace)):
        terminal.say(f"  class file: {class_file.path}")
    if footage.would_draw_standin(workspace):
        check_classes_of_standin(class_file)
        if options.speech:  # before minutes of rendering
            check_speech_options(replace(options.voices, sentences=sentences or ()), class_file)
        if dry_run:
            terminal.say("  the synthetic (stand-in) corpus would be rendered first, then its clips cut")
            terminal.result({"dry_run": True, "clips": None})
            return
    corpus = footage.corpus(class_file, workspace, terminal, jobs, dry_run=dry_run, kept=as_typed(kept))
    if options.speech and options.voices.seed != options.seed:  # as synthesized after that build
        terminal.say(f"  speech: with the seed of fmn-data speech synthesize --seed {options.voices.seed}")
    if sentences is None:
        sentences = footage_sentences(corpus) if options.footage_sentences else ()
    options = replace(options, voices=replace(options.voices, sentences=sentences))
    with execution.running():
        summary = build_dataset(
            workspace,
            corpus,
            class_file,
            options,
            jobs=jobs,
            dry_run=dry_run,
            replace_footage=replace_footage,
            progress=terminal.progress,
        )
    for licence in voice_licences(options.voices.engine) if options.speech else ():
        terminal.say(f"  {licence}")
    _show_build(terminal, summary, workspace)


def retry(
    terminal: Terminal,
    workspace: Workspace,
    footage: FootageOptions,
    execution: ExecutionOptions,
    class_file: ClassFileOption = None,
    sentences: SentencesOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Retry the failed samples of the last build with its options; finished samples are kept.

    Example: fmn-data retry --mpii /data/mpii-cooking-2
    """
    from dataset_tools.build.building import build_dataset
    from dataset_tools.build.inputs import known_sentences
    from dataset_tools.corpora.sentence_files import footage_sentences
    from dataset_tools.last_build import read_last_build

    workspace = execution.resolved(workspace)
    last = read_last_build(workspace)
    last.check_sentences(sentences or ())
    if dry_run and footage.would_draw_standin(workspace):
        _show_failed(terminal, workspace)
        return
    class_words = class_file_of(class_file, workspace, last.classes)
    recorded = Recorded(last.annotation_options, "last build") if last.annotation_options else None
    corpus = footage.corpus(class_words, workspace, terminal, execution.jobs, dry_run=dry_run, recorded=recorded)
    if corpus.is_own and last.options.footage_sentences:
        # Of the list as it is now: frames of whole videos and of seconds depend on videos that may have been mended.
        options = replace(last.options, voices=replace(last.options.voices, sentences=footage_sentences(corpus)))
    else:
        options = last.options_with([*known_sentences(workspace), *(sentences or ()), *footage_sentences(corpus)])
    if dry_run:
        _show_failed(terminal, workspace)
        return
    with execution.running():
        summary = build_dataset(
            workspace, corpus, class_words, options, jobs=execution.jobs, retry_died=True, progress=terminal.progress
        )
    _show_build(terminal, summary, workspace)


def _show_failed(terminal: Terminal, workspace: Workspace) -> None:
    from dataset_tools.core.ledger import DryRunLedger

    with DryRunLedger(workspace.ledger) as ledger:
        # Recordings are retried by their import, since their files are not in the workspace.
        failed = [row for row in ledger.status("failed") if not row.id.startswith("recording/")]
    for row in failed:
        terminal.say(f"  {row.id}: {(row.reason or {}).get('found', '')}")
    terminal.say(f"  {count_of(len(failed), 'failed sample')} would be retried")
    terminal.result({"dry_run": True, "failures": {row.id: row.reason for row in failed}})


def _show_build(terminal: Terminal, summary: BuildSummary, workspace: Workspace) -> None:
    warn_synthetic(terminal, summary.stand_in is not None)
    for note in summary.notes:
        terminal.say(f"  {note}") if summary.is_own else logging.getLogger(__name__).info(note)
    for message in (*summary.speech_notes, *summary.without_times):
        terminal.warn(message)
    would, would_be = (" would be cut", " would be in the data set") if summary.dry_run else ("", "")
    if not summary.clips:
        terminal.exit_code = SOME_FAILED_EXIT_CODE
        terminal.warn("no clips are left: annotators rejected all of them")
        terminal.result(summary.as_dict())
        return
    if summary.with_sound is not None:
        others = "; the videos of the others have none" if summary.with_sound < summary.clips else ""
        terminal.say(f"  clips with sound: {summary.with_sound:,} of {summary.clips:,}{others}")
    if summary.with_sentence is not None:
        terminal.say(f"  sentences from the files of --sentences: {summary.with_sentence:,}")
        if not summary.with_sentence:
            terminal.warn(
                "no sentence of these files was used: each needs the name of a video, frames that contain those of a"
                " clip, and the subject of its class; they are used for English only"
            )
    empty = [class_id for class_id, clips in summary.per_class.items() if not clips]
    filled = len(summary.per_class) - len(empty)
    terminal.closing("clips", f"{summary.clips} of {count_of(filled, 'class', 'classes')}{would}", workspace.clips)
    terminal.closing("speak", f"{count_of(summary.utterances, 'utterance')}{would_be}", workspace.speech)
    if not summary.dry_run:
        terminal.closing("manifests", "clips.jsonl, utterances.jsonl, build.json", workspace.manifests)
    if summary.renamed:
        decisions = count_of(summary.renamed, "decision was", "decisions were")
        terminal.say(f"  {decisions} matched to renamed videos")
    if summary.conflicts:
        in_conflict = ", ".join(first_of(summary.conflicts, _SHOWN_CLIPS))
        terminal.warn(
            f"annotators disagree on {count_of(len(summary.conflicts), 'clip')}, the latest vote counts: {in_conflict}"
            "; fmn-data annotate push --resolve-conflicts shows those in the data set to one more annotator"
        )
    for reason, number in summary.refused.items():
        terminal.say(f"  {count_of(number, 'interval')} refused: {reason[0].lower()}{reason[1:]}")
    if empty:
        have = count_of(len(empty), "class has", "classes have")
        terminal.warn(f"{have} no clips: {', '.join(first_of(empty, _SHOWN_CLASSES))}")
    short = {class_id: number for class_id, number in summary.shortfalls.items() if class_id not in empty}
    if short:
        lacking = ", ".join(f"{class_id} {number}" for class_id, number in short.items())
        have = count_of(len(short), "class has", "classes have")
        terminal.warn(f"{have} fewer clips than --per-class; missing: {lacking}")
    terminal.result(summary.as_dict())
    for reason in summary.reasons:
        terminal.say(f"  failed {reason}")
    of = workspace_option(workspace.root)
    if summary.dry_run:
        terminal.some_failed(len(summary.failures), "fix the causes before the build", reasons="the reasons are above")
    else:
        then = f"fix the causes, then run fmn-data retry{of}: it processes only those"
        terminal.some_failed(len(summary.failures), then)
        speak = f"fmn-data speech record{of}, or fmn-data speech import{of} DIR; or fmn-data speech synthesize{of}"
        terminal.next(f"fmn-data annotate{of} (human review), or fmn-data pairs{of}" if summary.utterances else speak)
