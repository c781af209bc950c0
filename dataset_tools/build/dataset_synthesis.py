"""Synthesis of new speech for an existing data set, recorded in build.json as if the build had made it."""

from __future__ import annotations

from dataset_tools.build.inputs import remember_sentences
from dataset_tools.build_record import read_build, record_speech
from dataset_tools.classes.known_classes import check_known
from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.ledger import DryRunLedger, Ledger
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.sentence_files import read_sentences
from dataset_tools.decisions.journal import read_reviews, reviews_path
from dataset_tools.decisions.verdicts import agreed_sentences, followed
from dataset_tools.manifests import ClipRow, read_rows
from dataset_tools.speech.dataset_speech import (
    SpeechSummary,
    count_recorded,
    note_spoken_decisions,
    speak,
    write_utterances,
)
from dataset_tools.speech.sentences.clip_sentences import note_on_repeated, notes_on_sentences
from dataset_tools.speech.synthesis import SpeechOptions


def synthesize_dataset(
    workspace: Workspace,
    classes: ClassFile,
    options: SpeechOptions,
    *,
    jobs: int = 1,
    dry_run: bool = False,
    progress: Progress = silent,
) -> SpeechSummary:
    """Synthesizes descriptions of the clips in clips.jsonl, writes utterances.jsonl and updates build.json.

    With ``dry_run``, it only checks, and counts the utterances and the files to be made.

    Raises:
        InputError: there are no clips yet, the class file lacks their classes, build.json cannot be read, or the engine
            cannot be used; nothing was written.
    """
    workspace.check_media_folders()
    clips = list(read_rows(workspace.manifests / "clips.jsonl", ClipRow))
    check_known((clip.class_id for clip in clips), classes, workspace.manifests / "clips.jsonl")
    read_build(workspace)  # raises before the long synthesis
    reviews = read_reviews(reviews_path(workspace))
    with (DryRunLedger if dry_run else Ledger)(workspace.ledger) as ledger:
        rows, failures = speak(
            workspace, clips, classes, options, jobs=jobs, ledger=ledger, dry_run=dry_run, progress=progress
        )
        if not dry_run:
            rows = write_utterances(workspace, clips, rows)
            record_speech(workspace, options, len(rows), failures)
            remember_sentences(workspace, options.sentences)
            note_spoken_decisions(reviews, clips, ledger)
    agreed = agreed_sentences(followed(reviews, clips))
    sentences = read_sentences(options.sentences)
    repeated = note_on_repeated(clips, rows, sentences, options.language)
    notes = (*notes_on_sentences(sentences, agreed, options.language), *repeated)
    to_make = sum(len(ledger.status("skipped", kind)) for kind in ("utterance/", "copy/")) if dry_run else 0
    return SpeechSummary(len(rows), count_recorded(rows), failures, notes=notes, dry_run=dry_run, to_make=to_make)
