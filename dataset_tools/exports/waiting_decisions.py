"""Waiting decisions: those of annotators that the data set does not reflect, since no build has applied them yet."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec import UNSET

from dataset_tools.build.inputs import known_class_file, known_sentences
from dataset_tools.build_record import read_build
from dataset_tools.classes.reader import load_classes
from dataset_tools.clips.applied_decisions import MOVED, OF_ALL_CLASSES, REJECTED
from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.ledger import DryRunLedger, LedgerRow, read_ledger
from dataset_tools.decisions.journal import read_reviews, reviews_path
from dataset_tools.decisions.majority_rule import Decision, decide, is_followed, judged_sha256
from dataset_tools.decisions.verdicts import with_verdicts
from dataset_tools.exports.exported_rows import ExportedRows
from dataset_tools.last_build import read_last_build
from dataset_tools.manifests import ClipRow, UtteranceRow, read_rows
from dataset_tools.speech.dataset_speech import SPOKEN_DECISIONS, speak, speaks_as_decided

_SHOWN = 3


def waiting_decisions(rows: ExportedRows) -> tuple[list[str], InputError | None]:
    """Returns the ids of the clips and utterances that the next build will change because of decisions, sorted.

    Memory grows with the rows only if there are reviews.

    Returns:
        The ids; and why it cannot be told which speech the next build would change, or None if it can be: the voice
        engine, class file or sentence files of the speech may not be available.

    Raises:
        InputError: that cannot be told, in an export without media of a data set whose speech is known to be of other
            decisions, or may be. Earlier versions did not record the decisions, so their data sets are not refused.
        ManifestError: a row cannot be read.
    """
    reviews = read_reviews(reviews_path(rows.workspace))
    if not reviews:
        return [], None
    named = {row.id for row in reviews}
    all_clips = (one.row for one in rows.read("clips"))
    clips = [row for row in all_clips if isinstance(row, ClipRow) and (row.id in named or row.review)]
    named |= {clip.id for clip in clips}
    all_utterances = (one.row for one in rows.read("utterances"))
    utterances = [
        row
        for row in all_utterances
        if isinstance(row, UtteranceRow)
        and (row.review or row.id in named or row.clip in named or _original(row) in named)
    ]
    now, heard = with_verdicts(clips, utterances, reviews)
    waiting = {row.id for new, row in zip(now, clips, strict=True) if new.review != row.review}
    waiting |= {row.id for new, row in zip(heard, utterances, strict=True) if new.review != row.review}
    built = read_build(rows.workspace)
    class_ids, sources = built.get("counts", {}).get("per_class", {}), built.get("sources", {})
    decisions = decide(reviews, "clip")
    waiting |= {
        clip.id
        for clip in clips
        if clip.id in decisions and _would_change(clip, decisions[clip.id], sources.get(clip.video), class_ids)
    }
    ledger = read_ledger(rows.workspace.ledger)
    waiting.update(_no_longer_left_out(ledger, decisions, class_ids))
    unknown = None
    try:
        waiting.update(_spoken_otherwise(rows, ledger))
    except InputError as error:
        unknown = _not_told(error)
        if not rows.with_media and SPOKEN_DECISIONS in ledger:
            raise unknown from error
    outside = decisions.keys() - {clip.id for clip in clips}
    waiting.update(_may_come_in(ledger, [decisions[clip_id] for clip_id in outside], class_ids))
    return sorted(waiting), unknown


def decisions_on(waiting: Sequence[str]) -> str:
    """Returns the sentence on the clips and utterances whose decisions are waiting."""
    counted = count_of(len(waiting), "clip or utterance", "clips or utterances")
    return f"Annotators' decisions on {counted} are not applied yet: {', '.join(first_of(waiting, _SHOWN))}"


def _not_told(error: InputError) -> InputError:
    """Returns the error of a workspace without what its speech was synthesized from."""
    return InputError(
        f"It cannot be told whether a build has applied the decisions on speech. {error.found}",
        where=error.where,
        expected=error.expected,
        next_step="make that available, or run fmn-data build and fmn-data pairs with what there is; then export again",
    )


def _original(row: UtteranceRow) -> str | None:
    return None if row.augmented is UNSET else row.augmented.original


def _would_change(clip: ClipRow, decision: Decision, source_sha256: str | None, class_ids: Collection[str]) -> bool:
    """Whether a decision refers to a clip, and the clip is not as decided; see `applied_decisions` for the rules."""
    refers = judged_sha256(clip) == decision.content_sha256 or (
        source_sha256 is not None and decision.row.shown.source_sha256 == source_sha256
    )
    confirms_unknown_class = not decision.corrected and decision.class_id not in class_ids
    is_outdated = decision.verdict != "reject" and confirms_unknown_class
    return refers and not is_outdated and not is_followed(decision, clip)


def _no_longer_left_out(
    ledger: Mapping[str, LedgerRow], decisions: Mapping[str, Decision], class_ids: Collection[str]
) -> Iterator[str]:
    """Yields the clips that the build left out because of a decision, but that those of now do not leave out."""
    for row in ledger.values():
        reason = row.reason or {}
        found, clip_id = reason.get("found", ""), reason.get("where", "")
        if row.stage == "plan" and found.startswith((REJECTED, MOVED)):
            decision = decisions.get(clip_id)
            if decision is None or not _leaves_out(decision, class_ids):
                yield clip_id


def _leaves_out(decision: Decision, class_ids: Collection[str]) -> bool:
    return decision.verdict == "reject" or (decision.corrected and decision.class_id not in class_ids)


class _LedgerOfKeys(DryRunLedger):
    """The ledger of a dry run for which a sample is finished even if its file is missing: that is no decision."""

    def finished(self, row_id: str, key: str) -> LedgerRow | None:
        row = self.rows.get(row_id)
        return row if row is not None and (row.status, row.key) == ("ok", key) else None


def _spoken_otherwise(rows: ExportedRows, ledger: Mapping[str, LedgerRow]) -> Iterator[str]:
    """Yields the utterances that a synthesis with the decisions of now would leave out, make otherwise, or add.

    Decisions change sentences, voices and renderings, even those on utterances that are no longer in the data set.
    Another version of the engine makes other utterances, too, but not because of decisions.
    """
    workspace, last = rows.workspace, read_last_build(rows.workspace)
    if not last.options.speech:
        return
    clips = list(read_rows(workspace.manifests / "clips.jsonl", ClipRow))
    if speaks_as_decided(workspace, clips, ledger):
        return  # without the engine, which may have to be loaded
    classes = load_classes(known_class_file(workspace), last.classes)
    options = last.options_with(known_sentences(workspace)).voices
    with _LedgerOfKeys(workspace.ledger) as planned:
        spoken, _ = speak(workspace, clips, classes, options, jobs=1, ledger=planned, dry_run=True)
    failed = {name.partition("/")[2] for name, row in ledger.items() if row.status == "failed"}
    now = {row.id: row for row in spoken if row.sha256 or not failed.intersection((row.id, _original(row)))}
    here = {row.id: row for row in read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow)}
    yield from here.keys() - now.keys()
    described = {row.clip for row in here.values()}
    for name, row in now.items():
        before = here.get(name)
        if before is None:
            is_changed = row.clip not in described  # else the earlier description of the clip is named
        else:
            is_new_rendering = row.sha256 != before.sha256 and row.engine == before.engine
            is_changed = is_new_rendering or (row.class_id, row.text) != (before.class_id, before.text)
        if is_changed:
            yield name


def _may_come_in(
    ledger: Mapping[str, LedgerRow], outside: Sequence[Decision], class_ids: Collection[str]
) -> Iterator[str]:
    """Yields the clips outside of the data set that somebody kept since the build: they have precedence over others.

    Earlier versions also ignored clips that were moved from a class not in use; those have no row with a reason.
    """
    refused = {
        row_id.partition("/")[2].partition("#")[0] for row_id in ledger if row_id.startswith(("clip/", "interval/"))
    }
    for decision in outside:
        considered = ledger.get(f"decided/{decision.id}")
        is_new = considered is None or considered.key != decision.key()
        if considered is not None and decision.may_have_moved and decision.id not in refused:
            is_new |= OF_ALL_CLASSES not in considered.values
        if decision.verdict != "reject" and decision.class_id in class_ids and is_new:
            yield decision.id
