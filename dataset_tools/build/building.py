"""The build pipeline: intervals → clips → sentences → speech → manifests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from dataset_tools.build.build_speech import check_speech, speech_of
from dataset_tools.build.inputs import built_from, check_same_footage, remember_inputs
from dataset_tools.build.opened_videos import source_cache
from dataset_tools.build.planning_on_sources import OpenedSources, plan_on_sources, plan_with
from dataset_tools.build_record import BuildOptions, BuildSummary, check_options, write_build
from dataset_tools.classes.triplets import ClassFile
from dataset_tools.clips.applied_decisions import OF_ALL_CLASSES
from dataset_tools.clips.clip_plan import Plan
from dataset_tools.clips.cutting import ClipCutter, planned_row
from dataset_tools.clips.interval_selection import NOTHING_KNOWN
from dataset_tools.clips.renamed_videos import rows_under_new_ids
from dataset_tools.core.errors import InputError, ToolkitError, group_reasons
from dataset_tools.core.files import sha256_of
from dataset_tools.core.ledger import DryRunLedger, Ledger, LedgerRow
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.unicode_names import require_unicode
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.corpus import Corpus
from dataset_tools.decisions.journal import ReviewRow, append_reviews, read_reviews, reviews_lock, reviews_path
from dataset_tools.decisions.majority_rule import Decision, decide
from dataset_tools.decisions.verdicts import with_verdicts
from dataset_tools.manifests import ClipRow, UtteranceRow, write_rows
from dataset_tools.speech.dataset_speech import note_spoken_decisions
from dataset_tools.video.source_videos import read_sources

_SHOWN_REASONS = 5


@dataclass(frozen=True)
class _Samples:
    """Rows of the samples that a build has made, and the errors of those that failed, by id."""

    clips: Sequence[ClipRow] = ()
    utterances: Sequence[UtteranceRow] = ()
    uncut: Mapping[str, ToolkitError] = field(default_factory=dict)
    unspoken: Mapping[str, ToolkitError] = field(default_factory=dict)


def build_dataset(
    workspace: Workspace,
    corpus: Corpus,
    classes: ClassFile,
    options: BuildOptions,
    *,
    jobs: int = 1,
    dry_run: bool = False,
    replace_footage: bool = False,
    retry_died: bool = False,
    progress: Progress = silent,
) -> BuildSummary:
    """Cuts the clips of the classes, synthesizes their utterances, writes clips.jsonl, utterances.jsonl and build.json.

    Results of earlier builds from the same inputs are reused. The decisions in annotations/reviews.jsonl (trims,
    changed classes and sentences, rejections) are applied if they refer to the current content of the clip. A clip that
    cannot be cut is replaced by another interval of its class, if there is one; its ledger row stays, as failed. Files
    of clips that are no longer in the data set are kept: another build may need them. A data set of other footage is
    replaced only with ``replace_footage``. Samples that crashed their worker process in the last build are retried only
    with ``retry_died``.

    Raises:
        InputError: an input is invalid; nothing was written.
        StoppedError: an external cause stopped the build (a full disk, another build in the workspace).
    """
    check_options(options)
    check_place(workspace, corpus)
    for path in (corpus.root, corpus.annotations.path, classes.path, *options.voices.sentences):
        require_unicode(path)  # workspace.json stores it
    if not replace_footage:
        check_same_footage(workspace, corpus)
    reviews = read_reviews(reviews_path(workspace))
    renamed = rows_under_new_ids(
        reviews, corpus, lambda names: _contents(workspace, corpus, names, jobs, dry_run=dry_run, progress=progress)
    )
    reviews += renamed
    decisions = decide(reviews, "clip")
    plan_with(corpus, classes, options, NOTHING_KNOWN, decisions)  # raises before anything is written
    _check_videos(corpus)
    speech_notes = check_speech(options.voices, classes, reviews) if options.speech else ()
    if dry_run:
        with source_cache(workspace, dry_run=True) as cache, DryRunLedger(workspace.ledger) as ledger:
            opened = OpenedSources(corpus, cache, jobs, progress)
            summary = _planned(workspace, opened, classes, options, decisions, renamed, ledger)
            return replace(summary, speech_notes=(*speech_notes, *summary.speech_notes))
    with Ledger(workspace.ledger, retry_died=retry_died) as ledger:
        if built_from(workspace) is None:
            # In case the first build is interrupted.
            remember_inputs(workspace, corpus, classes, options.voices.sentences)
        if renamed:
            with reviews_lock(workspace):
                append_reviews(reviews_path(workspace), renamed)
        opened = OpenedSources(corpus, workspace.cache / "sources", jobs, progress, retry_died)
        cutter = ClipCutter(workspace, opened.read, options.short_side, options.keep_audio, jobs, ledger, progress)
        plan, clips, uncut = _cut(opened, classes, options, decisions, cutter)
        if not clips and not plan.left_out:
            _note_refusals(plan, ledger)
            raise _no_clip(plan, uncut, corpus)
        utterances, unspoken, more_notes = speech_of(
            workspace, plan, clips, classes, options, ledger, jobs=jobs, progress=progress
        )
        samples = _Samples(*with_verdicts(clips, utterances, reviews), uncut, unspoken)
        write_rows(workspace.manifests / "clips.jsonl", samples.clips)
        write_rows(workspace.manifests / "utterances.jsonl", samples.utterances)
        summary = _summary(plan, corpus, classes, samples, renamed, opened.without_times(), options)
        summary = replace(summary, speech_notes=(*speech_notes, *more_notes))
        sources = {row.video: opened.read[row.video].sha256 for row in clips}
        write_build(workspace, corpus, classes, options, summary, sources)
        _note_plan(ledger, plan, samples, decisions)
        if options.speech:
            note_spoken_decisions(reviews, clips, ledger)
        remember_inputs(workspace, corpus, classes, options.voices.sentences)
    return summary


def _planned(
    workspace: Workspace,
    opened: OpenedSources,
    classes: ClassFile,
    options: BuildOptions,
    decisions: Mapping[str, Decision],
    renamed: Sequence[ReviewRow],
    ledger: DryRunLedger,
) -> BuildSummary:
    """Returns the summary of a dry run, which opens the videos of the plan, and synthesizes nothing.

    It cuts only the clips whose decisions are in doubt, since their video is not the one that was shown, and to a
    temporary folder.

    Raises:
        InputError: no clip can be cut, or no clip has a sentence in the language.
    """
    with TemporaryDirectory() as folder:
        place = Workspace(Path(folder))
        cutter = ClipCutter(
            place, opened.read, options.short_side, options.keep_audio, opened.jobs, ledger, opened.progress
        )
        plan, clips, uncut = _cut(opened, classes, options, decisions, cutter, dry_run=True)
    if not plan.clips and not plan.left_out:
        raise _no_clip(plan, uncut, opened.corpus)
    utterances, unspoken, notes = speech_of(workspace, plan, clips, classes, options, ledger, dry_run=True)
    samples = _Samples(clips, utterances, uncut, unspoken)
    summary = _summary(plan, opened.corpus, classes, samples, renamed, opened.without_times(), options)
    return replace(summary, speech_notes=notes, with_sound=None, dry_run=True)


def check_place(workspace: Workspace, corpus: Corpus) -> None:
    """Checks that footage does not lie where the clips are written: they would count as footage in the next build.

    Raises:
        InputError: it does, or the clips or utterances would be written outside of the workspace.
    """
    workspace.check_media_folders()
    clips = workspace.clips.resolve()
    if corpus.is_own and any(
        path.resolve().is_relative_to(clips) for path in (corpus.annotations.path, *corpus.videos.values())
    ):
        raise InputError(
            "The footage is in the folder that the workspace's clips are written to",
            where=workspace.clips,
            expected="footage in another folder",
            next_step="move it to another folder, such as my-videos/, and name that; or name another workspace: -w DIR",
        )


def _contents(
    workspace: Workspace, corpus: Corpus, names: Collection[str], jobs: int, *, dry_run: bool, progress: Progress
) -> dict[str, str]:
    """Returns the SHA-256 of the readable videos, by name; a dry run does not cache it."""
    videos = {name: corpus.videos[name] for name in names}
    if dry_run:
        return {name: sha256_of(path) for name, path in videos.items() if path.is_file()}
    sources, _ = read_sources(videos, workspace.cache / "sources", jobs=jobs, progress=progress)
    return {name: source.sha256 for name, source in sources.items()}


def _check_videos(corpus: Corpus) -> None:
    """Checks that there is a video to cut from.

    Raises:
        InputError: there is none.
    """
    if not corpus.videos:
        raise InputError(
            "None of the videos is in the folder" if corpus.is_own else "There are no videos in the folder",
            where=corpus.root,
            expected=(
                f"videos such as {corpus.annotations.intervals[0].video_file}, which {corpus.annotations.path} names"
                if corpus.is_own
                else "videos such as videos/s07-d72-cam-002.avi"
            ),
            next_step=(
                "check the names in the list, and --videos"
                if corpus.is_own
                else "put the videos there; to try without them: fmn-data standin DIR"
            ),
        )


def _cut(
    opened: OpenedSources,
    classes: ClassFile,
    options: BuildOptions,
    decisions: Mapping[str, Decision],
    cutter: ClipCutter,
    *,
    dry_run: bool = False,
) -> tuple[Plan, list[ClipRow], dict[str, ToolkitError]]:
    """Plans on the opened videos and cuts the clips; repeats both until no clip fails and no decision is stale.

    Decisions are dropped once the content of their clip turns out to differ from what was reviewed. A dry run cuts
    clips only to find out about that.

    Returns:
        The last plan, the rows of its clips, and the errors of clips of earlier plans, by id.
    """
    failures: dict[str, ToolkitError] = {}
    failed: set[str] = set()
    contents: dict[str, str] = {}
    while True:
        plan = plan_on_sources(opened, classes, options, decisions, failed)
        decided = [clip for clip in (*plan.clips, *plan.left_out) if clip.decision is not None]
        for clip in decided:
            if clip.decision and clip.decision.row.shown.source_sha256 == opened.read[clip.interval.video].sha256:
                contents[clip.id] = clip.decision.content_sha256  # the same frames, whatever their encoding
        found, errors = cutter.untrimmed_contents([clip for clip in decided if clip.id not in contents])
        contents |= found
        stale = {clip.id for clip in decided if clip.decision and contents.get(clip.id) != clip.decision.content_sha256}
        if not stale:  # so there are no errors: decisions on clips that cannot be cut are stale
            if dry_run:
                return plan, [planned_row(clip) for clip in plan.clips], failures
            clips, errors = cutter.cut(plan.clips)
            if not errors:
                return plan, clips, failures
        decisions = {clip_id: decision for clip_id, decision in decisions.items() if clip_id not in stale}
        failures |= errors
        failed |= {clip.interval.id for clip in (*plan.clips, *plan.left_out) if clip.id in errors}


def _no_clip(plan: Plan, failures: Mapping[str, ToolkitError], corpus: Corpus) -> InputError:
    """Returns the error of a build without a single clip, with the most frequent reasons first."""
    reasons = group_reasons([*failures.values(), *(refusal.reason for refusal in plan.refusals)])
    next_step = next((reason.first.next_step for reason in reasons if reason.first.next_step), None)
    return InputError(
        "No clip can be cut" + "".join(f"\n  - {reason.text()}" for reason in reasons[:_SHOWN_REASONS]),
        where=corpus.annotations.path,
        expected="intervals that can become clips",
        # No build is recorded, so there is none to retry.
        next_step=(next_step or "correct the annotations; see what is usable with: fmn-data classes").replace(
            "fmn-data retry", "fmn-data build"
        ),
    )


def _note_refusals(plan: Plan, ledger: Ledger) -> None:
    for refusal in plan.refusals:
        ledger.record(
            LedgerRow(id=f"interval/{refusal.id}", status=refusal.status, stage="plan", reason=refusal.reason.as_dict())
        )


def _note_plan(ledger: Ledger, plan: Plan, samples: _Samples, decisions: Mapping[str, Decision]) -> None:
    """Notes what the build left out, and the decisions on it; removes the rows of builds with other options.

    The manifests are written before: after a kill, an export (`dataset_tools.exports.waiting_decisions`) must not
    believe that they reflect decisions which only the ledger has.
    """
    _note_refusals(plan, ledger)
    unused = decisions.keys() - {clip.id for clip in plan.clips}
    for one in (decisions[clip_id] for clip_id in sorted(unused)):  # those that come later may add their clips
        ledger.record(
            LedgerRow(
                id=f"decided/{one.id}",
                status="ok",
                stage="review",
                key=one.key(),
                sha256=one.content_sha256,
                values={OF_ALL_CLASSES: True},
            )
        )
    known = {f"clip/{row.id}" for row in samples.clips} | {f"clip/{clip_id}" for clip_id in samples.uncut}
    known |= {f"interval/{refusal.id}" for refusal in plan.refusals}
    known |= {f"reviewed/{clip.id}" for clip in (*plan.clips, *plan.left_out) if clip.decision is not None}
    known |= {f"decided/{clip_id}" for clip_id in unused}
    kinds = ("clip/", "decided/", "interval/", "reviewed/")
    ledger.forget([name for name in ledger.rows if name.startswith(kinds) and name not in known])


def _summary(
    plan: Plan,
    corpus: Corpus,
    classes: ClassFile,
    samples: _Samples,
    renamed: Sequence[ReviewRow],
    without_times: Sequence[str],
    options: BuildOptions,
) -> BuildSummary:
    refused = Counter(refusal.reason.found.split(":")[0] for refusal in plan.refusals if refusal.status == "skipped")
    counts = Counter(clip.class_id for clip in samples.clips)
    applied = [clip.decision for clip in (*plan.clips, *plan.left_out) if clip.decision is not None]
    reviewed = Counter(decision.verdict for decision in applied)
    unreached = [refusal for refusal in plan.refusals if refusal.status == "failed"]
    missing = sorted(f"interval/{refusal.id}" for refusal in unreached)
    errors = (*samples.uncut.values(), *samples.unspoken.values(), *(refusal.reason for refusal in unreached))
    return BuildSummary(
        clips=len(samples.clips),
        utterances=len(samples.utterances),
        per_class={one.id: counts[one.id] for one in classes.classes},
        shortfalls=dict(plan.shortfalls),
        refused=dict(sorted(refused.items())),
        failures=(
            *(f"clip/{clip_id}" for clip_id in sorted(samples.uncut)),
            *(f"utterance/{utterance_id}" for utterance_id in sorted(samples.unspoken)),
            *missing,
        ),
        reasons=tuple(reason.text() for reason in group_reasons(errors)[:_SHOWN_REASONS]),
        reviewed=dict(sorted(reviewed.items())),
        conflicts=tuple(sorted(decision.id for decision in applied if decision.conflict)),
        renamed=sum(row.item == "clip" for row in renamed),
        notes=corpus.notes,
        without_times=tuple(without_times),
        with_sound=sum(clip.sound is True for clip in samples.clips) if options.keep_audio else None,
        with_sentence=sum(row.text_source == "tacos" and not row.augmented for row in samples.utterances)
        if options.speech and options.voices.sentences and not options.footage_sentences
        else None,
        is_own=corpus.is_own,
        stand_in=corpus.standin,
    )
