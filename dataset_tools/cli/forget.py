"""``fmn-data speech forget``: lists the data of a voice, asks, removes them, and reports what remains to be done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from dataset_tools.core.console import Terminal, workspace_option
from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace

if TYPE_CHECKING:
    from dataset_tools.withdrawal.forgetting import Trace
    from dataset_tools.withdrawal.trained_runs import LinkedRun

_SHOWN = 5
_LINKS = {
    "trained": "it was trained on {0} of the voice: delete the run and train again",
    "validated": "the voice was in its validation split, which selected the epoch: delete the run and train again",
    "learned": "it learned classes from utterances of the voice: remove its new_classes.safetensors, then learn again",
    "named": "its files name utterances of the voice: delete it, or evaluate again",
    "unread": "some of its files cannot be read: make them readable and run this command again, or delete the run",
    "unknown": "its training data are not recorded: if they were this data set, delete it and train again",
}


def forget(terminal: Terminal, workspace: Workspace, name: str, *, yes: bool, dry_run: bool) -> None:
    """Runs the command."""
    from dataset_tools.speech.recordings.voice_names import different_names
    from dataset_tools.withdrawal.forgetting import find_traces, forget_voice
    from dataset_tools.withdrawal.linked_files import linked_files, shown_path
    from dataset_tools.withdrawal.recorded_voice import find_voice
    from dataset_tools.withdrawal.remaining_data import own_files, shown_tasks, sizes_of
    from dataset_tools.withdrawal.trained_runs import linked_runs

    voice = find_voice(workspace, name)
    traces = find_traces(workspace, voice)
    sizes, runs, tasks = sizes_of(workspace, voice), linked_runs(workspace, voice), shown_tasks(workspace, voice)
    linked = linked_files(workspace, voice, traces)
    _show_traces(terminal, voice.name, traces)
    names = different_names(voice.written - {voice.name}).values()
    if len(names) > 1:
        listed = " and ".join(map(repr, sorted(names)))
        terminal.warn(f"the speaker is named {listed}: if these are two persons, this removes the recordings of both")
    if not dry_run:
        if not yes:
            _ask(terminal, voice.name)
        voice = forget_voice(workspace, voice, progress=terminal.progress)
    files, rows = sum(trace.files for trace in traces), sum(trace.rows for trace in traces)
    would = "would be removed" if dry_run else "removed"
    removed = f"{count_of(files, 'file')} and {count_of(rows, 'row')}"
    terminal.closing("forget", f"{voice.name}: {removed} {would}", workspace.root)
    to_remove = {name for trace in traces for name in (trace.where, *trace.paths)} if dry_run else set()
    targets = {shown_path(workspace, path) for path in linked if path.exists()}
    left = sorted({*own_files(workspace, voice, sizes), *targets} - to_remove)
    _show_rest(terminal, runs, tasks, left)
    terminal.result(
        {
            "voice": voice.name,
            "dry_run": dry_run,
            "files": files,
            "size_bytes": sum(trace.size_bytes for trace in traces),
            "rows": rows,
            "removed": [trace.as_dict() for trace in traces],
            "runs": [asdict(run) for run in runs],
            "label_studio": tasks,
            "left": left,
        }
    )
    if not dry_run:
        of = workspace_option(workspace.root)
        terminal.next(f"fmn-data speech synthesize{of} to fill the gaps, then fmn-data pairs{of}")


def _ask(terminal: Terminal, voice: str) -> None:
    if not terminal.can_ask():
        raise InputError(
            "The removal has to be confirmed, and there is no terminal to ask on",
            where="standard input" if not terminal.as_json else "--json",
            expected="a terminal, or --yes",
            next_step="check with --dry-run, then run it with --yes",
        )
    typer.confirm(f"Remove all of this permanently? {voice} cannot be restored", abort=True)


def _show_traces(terminal: Terminal, voice: str, traces: Sequence[Trace]) -> None:
    terminal.say(f"  {voice}: {'data of the voice' if traces else 'no data of the voice'}")
    for trace in traces:
        size = count_of(trace.rows, "row")
        if trace.files:
            size = f"{count_of(trace.files, 'file')}, {trace.size_bytes / 1e6:.2f} MB"
        terminal.say(f"  {trace.where:<32} {size:<22} {trace.what}")


def _show_rest(
    terminal: Terminal, runs: Sequence[LinkedRun], tasks: Mapping[str, Sequence[str]], left: Sequence[str]
) -> None:
    for run in runs:
        spoken = count_of(run.utterances, "utterance")
        terminal.warn(f"{run.run}: {_LINKS[run.link].format(spoken)}")
    for address, clips in tasks.items():
        terminal.warn(
            f"{address}: tasks of {_listed(clips)} may still play the voice; fmn-data annotate push removes it"
        )
    if left:
        terminal.warn(f"check other files that contain the voice or its name, or cannot be read: {_listed(left)}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(first_of(names, _SHOWN, "more (--json lists all)"))
