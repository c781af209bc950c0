"""Utterances of a data set: synthesized ones, replaced by recordings where they exist."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import ToolkitError
from dataset_tools.core.ledger import DryRunLedger, Ledger, LedgerRow
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import ReviewRow, read_reviews, reviews_path
from dataset_tools.decisions.majority_rule import same_words
from dataset_tools.decisions.verdicts import agreed_sentences, followed, judged_bad, with_verdicts
from dataset_tools.manifests import ClipRow, SpeakerFacts, UtteranceRow, read_rows, write_rows
from dataset_tools.speech.augmentation import augment
from dataset_tools.speech.earlier_speech import (
    earlier_speech,
    earlier_speech_path,
    has_its_file,
    replacing_speech,
    speech_in_use,
)
from dataset_tools.speech.recordings.consents import note_speakers, read_speakers
from dataset_tools.speech.recordings.import_in_progress import ImportOptions
from dataset_tools.speech.recordings.recording_import import import_recordings
from dataset_tools.speech.recordings.recording_rows import (
    RecordingRow,
    listed_recordings,
    merge_recordings,
    read_recordings,
)
from dataset_tools.speech.recordings.speaker_facts import NOTHING_SAID
from dataset_tools.speech.recordings.withdrawn_recordings import named_in
from dataset_tools.speech.synthesis import SpeechOptions, synthesize

SPOKEN_DECISIONS = "speech/decisions"
"""Id of the ledger row on the decisions that the utterances reflect; earlier versions wrote none."""


def count_recorded(rows: Sequence[UtteranceRow]) -> int:
    """Counts the recordings, without augmented copies of them."""
    return sum(row.source == "recorded" and row.augmented is UNSET for row in rows)


@dataclass(frozen=True)
class SpeechSummary:
    """Content of utterances.jsonl after synthesis or import, and failures.

    Attributes:
        utterances, recorded: number of rows, and how many of them are recordings (not augmented copies of them).
        added: new recordings. known: recordings that had been imported before. corrected: those of them whose sentence,
            license, language or speaker's name changed.
        failures: errors by utterance id or file.
        mismatches: files and rows of a CSV that were not imported, a message each.
        notes: further messages about the imported files. voices: number of recordings among them, by voice.
        assumed_languages: number of new recordings by language, of those for which none was stated.
        dry_run: whether nothing was written; utterances.jsonl is as before.
        to_make: after the dry run of a synthesis, number of audio files that it would write.
    """

    utterances: int
    recorded: int
    failures: Mapping[str, ToolkitError]
    added: int = 0
    known: int = 0
    corrected: int = 0
    mismatches: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    voices: Mapping[str, int] = field(default_factory=dict)
    assumed_languages: Mapping[str, int] = field(default_factory=dict)
    dry_run: bool = False
    to_make: int = 0

    def as_dict(self) -> dict[str, Any]:
        return vars(self) | {"failures": {name: error.as_dict() for name, error in self.failures.items()}}


def speak(
    workspace: Workspace,
    clips: Sequence[ClipRow],
    classes: ClassFile,
    options: SpeechOptions,
    *,
    jobs: int,
    ledger: Ledger,
    dry_run: bool = False,
    progress: Progress = silent,
) -> tuple[list[UtteranceRow], dict[str, ToolkitError]]:
    """Synthesizes a description of every clip; returns all utterances of the data set, including recordings.

    With ``dry_run``, nothing is written (`dataset_tools.speech.synthesis.synthesize`). Once utterances.jsonl has the
    rows, `note_spoken_decisions` records that it reflects the decisions.

    Raises:
        InputError: the engine cannot be used, or a sentence file cannot be read.
    """
    reviews = read_reviews(reviews_path(workspace))
    if SPOKEN_DECISIONS in ledger.rows and not speaks_as_decided(workspace, clips, ledger.rows):
        ledger.record(LedgerRow(id=SPOKEN_DECISIONS, status="ok", stage="speak"))  # until utterances.jsonl is written
    with nullcontext() if dry_run else replacing_speech(workspace, ledger):
        spoken, failures = synthesize(
            workspace,
            clips,
            classes,
            options,
            jobs=jobs,
            ledger=ledger,
            progress=progress,
            agreed=agreed_sentences(followed(reviews, clips)),
            judged_bad=judged_bad(reviews),
            dry_run=dry_run,
        )
        originals = _with_recordings(workspace, clips, classes, spoken)
        recorded = {row.clip for row in originals if row.source == "recorded"}
        failures = {name: error for name, error in failures.items() if name not in recorded}  # those without a sentence
        current = {f"utterance/{row.id}" for row in spoken} | {f"utterance/{name}" for name in failures}
        ledger.forget([name for name in ledger.rows if name.startswith("utterance/") and name not in current])
        copies, failed = augment(
            workspace,
            originals,
            copies=options.augment,
            seed=options.seed,
            jobs=jobs,
            ledger=ledger,
            dry_run=dry_run,
            progress=progress,
        )
    return sorted([*originals, *copies], key=lambda row: row.id), failures | failed


def note_spoken_decisions(reviews: Sequence[ReviewRow], clips: Sequence[ClipRow], ledger: Ledger) -> None:
    """Records that utterances.jsonl reflects the reviews, as read before `speak`; called once that file is written."""
    if reviews:
        ledger.record(LedgerRow(id=SPOKEN_DECISIONS, status="ok", stage="speak", key=_decisions_key(reviews, clips)))
    else:
        ledger.forget([SPOKEN_DECISIONS])


def speaks_as_decided(workspace: Workspace, clips: Sequence[ClipRow], ledger: Mapping[str, LedgerRow]) -> bool:
    """Whether the last synthesis had the same decisions as there are now, of those that a synthesis depends on."""
    reviews = read_reviews(reviews_path(workspace))
    return SPOKEN_DECISIONS in ledger and ledger[SPOKEN_DECISIONS].key == _decisions_key(reviews, clips)


def _decisions_key(reviews: Sequence[ReviewRow], clips: Sequence[ClipRow]) -> str:
    agreed = agreed_sentences(followed(reviews, clips))
    decided = [sorted(agreed.items()), sorted(judged_bad(reviews).items())]
    return hashlib.sha256(msgspec.json.encode(decided)).hexdigest()


def assemble(workspace: Workspace, clips: Sequence[ClipRow], classes: ClassFile, ledger: Ledger) -> list[UtteranceRow]:
    """Returns the utterances of a data set from the ledger and the recordings, sorted by id.

    Synthesized utterances are those of the last synthesis that is complete; if a later one was killed, without those
    whose file it had replaced but not yet recorded. Copies are used with their originals.
    """
    earlier = earlier_speech(workspace)
    synthesized = speech_in_use(earlier, ledger.rows)
    if earlier is not None:
        synthesized = [row for row in synthesized if has_its_file(workspace, row)]
    originals = _with_recordings(workspace, clips, classes, [row for row in synthesized if row.augmented is UNSET])
    there = {row.id for row in originals}
    copies = [row for row in synthesized if row.augmented is not UNSET and row.augmented.original in there]
    speakers = read_speakers(workspace)
    return sorted([*originals, *(_with_speaker(row, speakers) for row in copies)], key=lambda row: row.id)


def _with_recordings(
    workspace: Workspace, clips: Sequence[ClipRow], classes: ClassFile, synthesized: Sequence[UtteranceRow]
) -> list[UtteranceRow]:
    """Returns the synthesized utterances of the clips, replaced by recordings where they exist, sorted by id.

    A recording of a clip is used unless a review moved the clip to another class, or changed the sentence to a
    different one than was recorded. The recording itself is kept in any case.
    """
    class_of = {clip.id: clip.class_id for clip in clips}
    class_ids = {one.id for one in classes.classes} | {clip.class_id for clip in clips}  # --classes may name fewer
    agreed = _agreed(workspace, clips)
    recordings = []
    for row in read_recordings(workspace):
        clip_id = row.utterance.clip
        if clip_id is None:
            fits = row.utterance.class_id in class_ids
        else:
            sentence, is_written = agreed.get(clip_id, ("", False))
            says_it = same_words(row.utterance.text, sentence)
            if is_written and says_it and clip_id in class_of:
                utterance = msgspec.structs.replace(row.utterance, class_id=class_of[clip_id])
                row = msgspec.structs.replace(row, utterance=utterance)
            fits = row.utterance.class_id == class_of.get(clip_id)
            fits = fits and (says_it or not is_written or not row.utterance.text)
        if fits:
            recordings.append(row)
    speakers = read_speakers(workspace)
    merged = merge_recordings([row for row in synthesized if row.clip in class_of], recordings)
    return [_with_speaker(row, speakers) for row in merged]


def _with_speaker(row: UtteranceRow, speakers: Mapping[str, SpeakerFacts]) -> UtteranceRow:
    """Returns the row with the current metadata of its speaker, if it is recorded."""
    facts = speakers.get(row.voice, NOTHING_SAID) if row.source == "recorded" else NOTHING_SAID
    return msgspec.structs.replace(row, speaker=UNSET if facts == NOTHING_SAID else facts)


def _agreed(workspace: Workspace, clips: Sequence[ClipRow]) -> dict[str, tuple[str, bool]]:
    """Sentences of the clips that annotators agreed with."""
    return agreed_sentences(followed(read_reviews(reviews_path(workspace)), clips))


def write_utterances(
    workspace: Workspace, clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow]
) -> list[UtteranceRow]:
    """Writes utterances.jsonl with the verdicts of the review journal; returns its rows."""
    _, rows = with_verdicts(clips, utterances, read_reviews(reviews_path(workspace)))
    write_rows(workspace.manifests / "utterances.jsonl", rows)
    return rows


def import_dataset(
    workspace: Workspace,
    source: Path | str,
    classes: ClassFile,
    options: ImportOptions = ImportOptions(),
    *,
    retry_died: bool = False,
    dry_run: bool = False,
    jobs: int = 1,
    progress: Progress = silent,
) -> SpeechSummary:
    """Imports the recordings of a folder or a CSV file and writes utterances.jsonl with them.

    A recording that crashed its worker process in an earlier import is tried again only with ``retry_died``.

    Raises:
        InputError: there are no clips yet, there is nothing to import, or a voice with withdrawn consent is not in
            `ImportOptions.renewed`; nothing was written.
    """
    workspace.check_media_folders()
    clips = list(read_rows(workspace.manifests / "clips.jsonl", ClipRow))
    with (DryRunLedger if dry_run else Ledger)(workspace.ledger, retry_died=retry_died) as ledger:
        imported = import_recordings(
            workspace,
            Path(source),
            classes,
            clips,
            options,
            ledger=ledger,
            dry_run=dry_run,
            jobs=jobs,
            progress=progress,
        )
        if dry_run:
            rows = list(read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow, missing_ok=True))
        else:
            note_speakers(workspace, imported.speakers)
            rows = write_utterances(workspace, clips, assemble(workspace, clips, classes, ledger))
            _drop_other_ids(workspace, ledger)
    notes = (*imported.notes, *_note_on_sentences(imported.added), *_note_on_quality(imported.added))
    if earlier_speech_path(workspace).is_file():
        told = "the last synthesis was interrupted: the speech that it has not replaced is used until it is run again"
        notes = (*notes, f"{told} (fmn-data build or speech synthesize)")
    return SpeechSummary(
        len(rows),
        count_recorded(rows),
        imported.refused,
        added=len(imported.added),
        known=imported.known,
        corrected=imported.corrected,
        mismatches=imported.mismatches,
        notes=notes,
        voices=imported.voices,
        assumed_languages=imported.assumed_languages,
        dry_run=dry_run,
    )


def _note_on_sentences(added: Sequence[RecordingRow]) -> tuple[str, ...]:
    """Returns a note that counts the new recordings whose sentence is not stated."""
    silent_on_it = sum(not row.utterance.text for row in added)
    if not silent_on_it:
        return ()
    number = count_of(silent_on_it, "new recording states no sentence", "new recordings state no sentence")
    ways = "in a .txt of the same name beside the recording, or in the column text of a CSV"
    return (f"{number}, so the data set has none: add it {ways}, and import again",)


def _note_on_quality(added: Sequence[RecordingRow]) -> tuple[str, ...]:
    """Returns a note that counts the new recordings with quality warnings, and each kind of warning."""
    doubtful = [warnings for row in added if (warnings := row.utterance.quality["warnings"])]
    if not doubtful:
        return ()
    kinds = Counter(text.partition(":")[0] for warnings in doubtful for text in warnings)
    counts = ", ".join(f"{kind} {number}" for kind, number in sorted(kinds.items()))
    number = count_of(len(doubtful), "new recording has", "new recordings have")
    return (f"{number} warnings of the audio quality ({counts}): once imported, fmn-data report shows them",)


def _drop_other_ids(workspace: Workspace, ledger: Ledger) -> None:
    """Removes files and ledger rows of recording ids without a row if another id of the same file has a row.

    They are left over from an import of the file under another voice, clip or class that was interrupted, or whose
    row was removed.
    """
    ids = {row.id for row in listed_recordings(workspace)}
    known = {named[1] for one in ids if (named := named_in(one)) is not None}

    def is_other(name: str) -> bool:
        named = named_in(name)
        return named is not None and named[1] in known and re.sub(r"_aug\d+\Z", "", name) not in ids

    kinds = ("recording/", "copy/")
    ledger.forget([one for one in ledger.rows if one.startswith(kinds) and is_other(one.partition("/")[2])])
    for path in workspace.speech.glob("*.wav"):
        if is_other(path.stem):
            path.unlink(missing_ok=True)
