"""Speech of a build: its options are checked before clips are cut, its utterances made from the clips."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from dataset_tools.build_record import BuildOptions
from dataset_tools.classes.triplets import ClassFile
from dataset_tools.clips.clip_plan import Plan
from dataset_tools.core.errors import ToolkitError
from dataset_tools.core.ledger import Ledger
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.sentence_files import SentenceSpans, read_sentences
from dataset_tools.decisions.journal import ReviewRow
from dataset_tools.decisions.majority_rule import decide
from dataset_tools.decisions.verdicts import agreed_sentences
from dataset_tools.manifests import ClipRow, UtteranceRow
from dataset_tools.speech.dataset_speech import assemble, speak
from dataset_tools.speech.engines.registry import engine_for_workers
from dataset_tools.speech.recordings.recording_rows import note_on_unused
from dataset_tools.speech.sentences.clip_sentences import may_describe_a_clip, note_on_repeated, notes_on_sentences
from dataset_tools.speech.sentences.generation import LANGUAGES, check_words, note_on_letters
from dataset_tools.speech.synthesis import SpeechOptions, no_sentence


def check_speech(options: SpeechOptions, classes: ClassFile, reviews: Sequence[ReviewRow]) -> tuple[str, ...]:
    """Checks the speech options before the clips are cut, which takes long; returns warnings.

    Raises:
        InputError: the engine does not exist or does not speak the language, there are neither words nor sentences in
            it, or a sentence file cannot be read.
    """
    sentences = check_speech_options(options, classes)
    agreed = agreed_sentences(decide(reviews, "clip"))
    if options.language not in LANGUAGES and not may_describe_a_clip(sentences, agreed, options.language):
        raise no_sentence(options.language)
    return notes_on_sentences(sentences, agreed, options.language)


def check_speech_options(options: SpeechOptions, classes: ClassFile) -> SentenceSpans:
    """Checks what does not depend on the footage; returns the contents of the sentence files.

    Raises:
        InputError: the engine does not exist or does not speak the language, or a sentence file cannot be read.
    """
    check_words(classes, options.language)
    engine_for_workers(options.engine, options.language)
    return read_sentences(options.sentences)


def speech_of(
    workspace: Workspace,
    plan: Plan,
    clips: Sequence[ClipRow],
    classes: ClassFile,
    options: BuildOptions,
    ledger: Ledger,
    *,
    jobs: int = 1,
    dry_run: bool = False,
    progress: Progress = silent,
) -> tuple[list[UtteranceRow], Mapping[str, ToolkitError], tuple[str, ...]]:
    """Returns the utterances of the clips, the errors of those that failed, by id, and warnings.

    Raises:
        InputError: the engine cannot be used, or no clip has a sentence in the language.
    """
    unspoken: Mapping[str, ToolkitError] = {}
    notes: tuple[str, ...] = ()
    if options.speech:
        utterances, unspoken = speak(
            workspace, clips, classes, options.voices, jobs=jobs, ledger=ledger, dry_run=dry_run, progress=progress
        )
        generated = {row.class_id for row in utterances if row.text_source == "grammar"}
        sentences = read_sentences(options.voices.sentences)
        repeated = note_on_repeated(clips, utterances, sentences, options.voices.language)
        notes = (*_note_on_letters(classes, options, generated), *repeated)
    else:
        utterances = assemble(workspace, clips, classes, ledger)
    class_of = {clip.id: clip.class_id for clip in (*plan.clips, *plan.left_out)}
    class_ids = {one.id for one in classes.classes}
    return utterances, unspoken, (*notes, *note_on_unused(workspace, class_of, class_ids, utterances))


def _note_on_letters(classes: ClassFile, options: BuildOptions, spoken: Collection[str]) -> tuple[str, ...]:
    """Returns a warning if generated English sentences of the ``spoken`` classes have words in another script."""
    used = replace(classes, classes=tuple(one for one in classes.classes if one.id in spoken))
    return note_on_letters(used, options.voices.language)
