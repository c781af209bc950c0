"""Builds the data set: intervals of the classes → clips → sentences → speech → manifests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dataset_tools.build_record import BuildOptions, BuildSummary, write_build
from dataset_tools.classes import ClassFile
from dataset_tools.clips import Plan, PlannedClip, plan_clips
from dataset_tools.cutting import cut_clips
from dataset_tools.errors import ToolkitError
from dataset_tools.ledger import Ledger, LedgerRow, failed
from dataset_tools.manifests import ClipRow, UtteranceRow, write_rows
from dataset_tools.mpii.corpus import Corpus
from dataset_tools.progress import Progress, silent
from dataset_tools.sources import content_hashes
from dataset_tools.speech.assemble import assemble, speak
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

    What the ledger knows to be done from the same inputs is not done again. A clip that cannot be cut is replaced by
    another interval of its class where there is one; it keeps its row in the ledger, as failed. Files of clips that are
    no longer in the data set are left where they are.

    Raises:
        InputError: an input is wrong; nothing was written.
        StoppedError: something outside stopped it (a full disk, another build in the workspace).
    """
    if dry_run:
        return _summary(_plan(corpus, classes, options, ()), corpus, (), (), _Failures(), dry_run=True)
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
        summary = _summary(plan, corpus, clips, utterances, failures)
        write_build(workspace, corpus, classes, options, summary)
    return summary


def _plan(corpus: Corpus, classes: ClassFile, options: BuildOptions, exclude: Sequence[str]) -> Plan:
    return plan_clips(
        corpus,
        classes,
        per_class=options.per_class,
        shortfall=options.shortfall,
        seed=options.seed,
        min_frames=options.min_frames,
        exclude=exclude,
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
    """Plans and cuts, and plans again without the intervals that failed, until the plan holds."""
    exclude: set[str] = set()
    while True:
        plan = _plan(corpus, classes, options, sorted(exclude))
        videos = {clip.interval.video: corpus.videos[clip.interval.video] for clip in plan.clips}
        hashes, unreadable = content_hashes(
            dict(sorted(videos.items())), workspace.cache / "sources.json", jobs=jobs, progress=progress
        )
        readable = [clip for clip in plan.clips if clip.interval.video in hashes]
        for clip in plan.clips:
            if clip.interval.video in unreadable:
                failures.clips[clip.id] = unreadable[clip.interval.video]
                ledger.record(failed(f"clip/{clip.id}", "read", failures.clips[clip.id]))
        rows, failures_of_cutting = cut_clips(
            readable,
            videos,
            hashes,
            workspace,
            short_side=options.short_side,
            jobs=jobs,
            ledger=ledger,
            progress=progress,
        )
        failures.clips |= failures_of_cutting
        newly_failed = _intervals_of(plan.clips, failures.clips) - exclude
        if not newly_failed:
            return plan, rows
        exclude |= newly_failed


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
    clips: Sequence[ClipRow],
    utterances: Sequence[UtteranceRow],
    failures: _Failures,
    *,
    dry_run: bool = False,
) -> BuildSummary:
    refused = Counter(refusal.reason.found.split(":")[0] for refusal in plan.refusals if refusal.status == "skipped")
    missing = sorted(f"interval/{refusal.id}" for refusal in plan.refusals if refusal.status == "failed")
    return BuildSummary(
        clips=len(plan.clips) if dry_run else len(clips),
        utterances=len(utterances),
        per_class=dict(sorted(Counter(clip.class_id for clip in (plan.clips if dry_run else clips)).items())),
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
