"""Builds the data set: intervals of the classes → clips → sentences → speech → manifests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dataset_tools.build_record import BuildOptions, BuildSummary, write_build
from dataset_tools.classes import ClassFile
from dataset_tools.clips import NOTHING_KNOWN, Knowledge, Plan, PlannedClip, plan_clips
from dataset_tools.cutting import cut_clips
from dataset_tools.errors import InputError, ToolkitError
from dataset_tools.ledger import Ledger, LedgerRow
from dataset_tools.manifests import ClipRow, UtteranceRow, write_rows
from dataset_tools.mpii.corpus import Corpus
from dataset_tools.mpii.tacos import read_sentences
from dataset_tools.progress import Progress, silent
from dataset_tools.sources import Source, read_sources
from dataset_tools.speech.assemble import SpeechOptions, assemble, speak
from dataset_tools.speech.voices import open_engine
from dataset_tools.workspace import Workspace


@dataclass
class _Failures:
    """Samples that failed so far, by id."""

    clips: dict[str, ToolkitError] = field(default_factory=dict)
    utterances: dict[str, ToolkitError] = field(default_factory=dict)


def build_dataset(
    workspace: Workspace,
    corpus: Corpus,
    classes: ClassFile,
    options: BuildOptions,
    *,
    jobs: int = 1,
    dry_run: bool = False,
    progress: Progress = silent,
) -> BuildSummary:
    """Cuts the clips of the classes, speaks their descriptions, writes clips.jsonl, utterances.jsonl and build.json.

    What is done from the same inputs is not done again. A clip that cannot be cut is replaced by another interval of
    its class where there is one; it keeps its row in the ledger, as failed. Files of clips that are no longer in the
    data set are left where they are: another build may want them.

    Raises:
        InputError: an input is wrong; nothing was written.
        StoppedError: something outside stopped it (a full disk, another build in the workspace).
    """
    plan = _plan(corpus, classes, options, NOTHING_KNOWN)  # raises before anything is written
    if not corpus.videos:
        raise InputError(
            "There are no videos in the folder",
            where=corpus.root,
            expected="videos such as videos/s07-d72-cam-002.avi",
            next_step="put the videos there; to try without them: fmn-data standin DIR",
        )
    if dry_run:
        return _summary(plan, corpus, classes, (), (), _Failures(), dry_run=True)
    if options.speech:
        _check_speech(options.voices)
    with Ledger(workspace.ledger) as ledger:
        failures = _Failures()
        plan, clips = _cut(workspace, corpus, classes, options, jobs, ledger, failures, progress)
        if options.speech:
            utterances, failures.utterances = speak(
                workspace, clips, classes, options.voices, jobs=jobs, ledger=ledger, progress=progress
            )
        else:
            utterances = assemble(workspace, clips, classes, ledger)
        _note_refusals(plan, ledger)
        _forget_others(ledger, plan, clips, failures)
        write_rows(workspace.manifests / "clips.jsonl", clips)
        write_rows(workspace.manifests / "utterances.jsonl", utterances)
        summary = _summary(plan, corpus, classes, clips, utterances, failures)
        write_build(workspace, corpus, classes, options, summary)
    return summary


def _check_speech(options: SpeechOptions) -> None:
    """Finds out before the clips are cut, which takes long, that they could not be spoken afterwards.

    Raises:
        InputError: there is no such engine, or a file of sentences cannot be read.
    """
    open_engine(options.engine)
    if options.sentences:
        read_sentences(options.sentences)


def _plan(corpus: Corpus, classes: ClassFile, options: BuildOptions, known: Knowledge) -> Plan:
    return plan_clips(
        corpus,
        classes,
        per_class=options.per_class,
        shortfall=options.shortfall,
        seed=options.seed,
        min_frames=options.min_frames,
        known=known,
    )


def _cut(
    workspace: Workspace,
    corpus: Corpus,
    classes: ClassFile,
    options: BuildOptions,
    jobs: int,
    ledger: Ledger,
    failures: _Failures,
    progress: Progress,
) -> tuple[Plan, list[ClipRow]]:
    """Plans, reads the videos of the plan, cuts; and plans again with what turned out, until the plan holds."""
    sources: dict[str, Source] = {}
    unreadable: dict[str, ToolkitError] = {}
    failed: set[str] = set()
    while True:
        frames = {name: source.index.frames for name, source in sources.items()}
        plan = _plan(corpus, classes, options, Knowledge(frames, unreadable, failed))
        unread = {clip.interval.video for clip in plan.clips} - sources.keys()
        if unread:
            videos = {name: corpus.videos[name] for name in unread}
            read, unreadable_now = read_sources(videos, workspace.cache / "sources", jobs=jobs, progress=progress)
            sources |= read
            unreadable |= unreadable_now
            continue
        clips, failures_now = cut_clips(
            plan.clips,
            sources,
            workspace,
            short_side=options.short_side,
            jobs=jobs,
            ledger=ledger,
            progress=progress,
        )
        if not failures_now:
            return plan, clips
        failures.clips |= failures_now
        failed |= _intervals_of(plan.clips, failures_now)


def _intervals_of(clips: Sequence[PlannedClip], failures: Mapping[str, ToolkitError]) -> set[str]:
    return {clip.interval.id for clip in clips if clip.id in failures}


def _note_refusals(plan: Plan, ledger: Ledger) -> None:
    for refusal in plan.refusals:
        ledger.record(
            LedgerRow(id=f"interval/{refusal.id}", status=refusal.status, stage="plan", reason=refusal.reason.as_dict())
        )


def _forget_others(ledger: Ledger, plan: Plan, clips: Sequence[ClipRow], failures: _Failures) -> None:
    """Drops the rows of clips and intervals that only an earlier build, with other options, knew."""
    known = {f"clip/{row.id}" for row in clips} | {f"clip/{clip_id}" for clip_id in failures.clips}
    known |= {f"interval/{refusal.id}" for refusal in plan.refusals}
    ledger.forget([name for name in ledger.rows if name.startswith(("clip/", "interval/")) and name not in known])


def _summary(
    plan: Plan,
    corpus: Corpus,
    classes: ClassFile,
    clips: Sequence[ClipRow],
    utterances: Sequence[UtteranceRow],
    failures: _Failures,
    *,
    dry_run: bool = False,
) -> BuildSummary:
    refused = Counter(refusal.reason.found.split(":")[0] for refusal in plan.refusals if refusal.status == "skipped")
    counts = Counter(clip.class_id for clip in (plan.clips if dry_run else clips))
    missing = sorted(f"interval/{refusal.id}" for refusal in plan.refusals if refusal.status == "failed")
    return BuildSummary(
        clips=len(plan.clips) if dry_run else len(clips),
        utterances=len(utterances),
        per_class={one.id: counts[one.id] for one in classes.classes},
        shortfalls=dict(plan.shortfalls),
        refused=dict(sorted(refused.items())),
        failures=(
            *(f"clip/{clip_id}" for clip_id in sorted(failures.clips)),
            *(f"utterance/{utterance_id}" for utterance_id in sorted(failures.utterances)),
            *missing,
        ),
        notes=corpus.notes,
        stand_in=corpus.standin,
        dry_run=dry_run,
    )
