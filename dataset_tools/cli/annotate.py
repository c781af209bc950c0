"""``fmn-data annotate …``: human review of clips and speech in Label Studio."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataset_tools.cli.options import class_file_of, refuse_beside
from dataset_tools.cli.push_options import ProjectOption, SelectionOptions, TaskOptions
from dataset_tools.core.command import DEFAULT_JOBS, CommandLine, DryRunOption, JobsOption
from dataset_tools.core.console import Terminal, workspace_option
from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace

if TYPE_CHECKING:
    from dataset_tools.label_studio.pull_summary import PullSummary
    from dataset_tools.label_studio.push_summary import PushSummary
    from dataset_tools.label_studio.workspace_server import Target

annotate_app = CommandLine(
    help="Review clips and speech in Label Studio.\n\n"
    "Without a subcommand: find or start a server, push tasks, pull decisions, show progress and the project's "
    "address. Set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY to use your own server.\n\nExample: fmn-data annotate",
)

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Install Label Studio without asking (90 s, 1 GB).")]


@annotate_app.callback()
def annotate(
    terminal: Terminal,
    workspace: Workspace,
    tasks: TaskOptions,
    open_page: Annotated[
        bool | None,
        typer.Option(
            "--open/--no-open", help="Open the project in a browser (default: only if this command started the server)."
        ),
    ] = None,
    yes: YesOption = False,
    jobs: JobsOption = DEFAULT_JOBS,
    dry_run: DryRunOption = False,
) -> None:
    """Find or start a server, push, pull, and show the project's address. Users see the help text of the group."""
    from dataset_tools.label_studio.pull import pull
    from dataset_tools.label_studio.push import push

    classes = class_file_of(tasks.class_file, workspace)
    target, started = _target(workspace, terminal, may_install=yes, may_start=not dry_run)
    pushed = push(
        workspace,
        target,
        classes,
        options=tasks.push_options(SelectionOptions()),
        jobs=jobs,
        dry_run=dry_run,
        progress=terminal.progress,
    )
    _show_push(terminal, pushed)
    if pushed.project is not None:  # else this is a dry run, which makes no project to pull from
        pulled = pull(workspace, target, project=tasks.project, dry_run=dry_run, progress=terminal.progress)
        _show_pull(terminal, workspace, pulled)
    _show_status(terminal, workspace, pushed=not dry_run)
    if dry_run:
        terminal.result({"dry_run": True})
        return
    if open_page or (open_page is None and started and sys.stdout.isatty() and not terminal.as_json):
        _open(pushed.address)


@annotate_app.command("push")
def annotate_push(
    terminal: Terminal,
    workspace: Workspace,
    tasks: TaskOptions,
    selection: SelectionOptions,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write the tasks to a JSON file for manual import instead.", dir_okay=False),
    ] = None,
    yes: YesOption = False,
    jobs: JobsOption = DEFAULT_JOBS,
    dry_run: DryRunOption = False,
) -> None:
    """Push one task per clip; a clip that changed after a decision gets a new task.

    Example: fmn-data annotate push --dry-run
    """
    from dataset_tools.label_studio.expected_tasks import clips_of, read_items
    from dataset_tools.label_studio.predictions import read_predictions
    from dataset_tools.label_studio.push import push
    from dataset_tools.label_studio.task_file import push_to_file

    classes, options = class_file_of(tasks.class_file, workspace), tasks.push_options(selection)
    if out is not None:
        refuse_beside(
            "--out",
            {
                "--project": options.project,
                "--replace-config": options.replace_config,
                "--annotators": options.annotators,
                "--resolve-conflicts": options.resolve_conflicts,
                "--from-run": options.from_run,
            },
        )
        count = push_to_file(
            workspace,
            out,
            classes,
            media_url=options.media_url,
            ids=options.ids,
            jobs=jobs,
            dry_run=dry_run,
            progress=terminal.progress,
        )
        would = " would be written" if dry_run else ""
        page = out.with_suffix(".xml").name
        terminal.closing("push", f"{count_of(count, 'task')}{would}; labeling configuration: {page}", out)
        terminal.result({"tasks": count, "dry_run": dry_run})
        return
    if options.from_run is not None:
        read_predictions(options.from_run)  # to fail before a server is started
    if options.ids is not None:
        clips_of(options.ids, *read_items(workspace))
    target, _ = _target(workspace, terminal, may_install=yes, may_start=not dry_run)
    pushed = push(
        workspace,
        target,
        classes,
        options=options,
        jobs=jobs,
        dry_run=dry_run,
        progress=terminal.progress,
    )
    _show_push(terminal, pushed)


@annotate_app.command("pull")
def annotate_pull(
    terminal: Terminal,
    workspace: Workspace,
    project: ProjectOption = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Read a JSON export of Label Studio instead of a server.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Pull every ten seconds until interrupted.")] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Pull annotators' decisions into annotations/reviews.jsonl; repeated pulls add only changes.

    Example: fmn-data annotate pull --watch
    """
    from dataset_tools.label_studio.export_file import pull_from_file
    from dataset_tools.label_studio.pull import pull
    from dataset_tools.label_studio.pull import watch as keep_pulling

    if source is not None:
        refuse_beside("--from", {"--project": project, "--watch": watch})
        _show_pull(terminal, workspace, pull_from_file(workspace, source, dry_run=dry_run))
        return
    if watch and dry_run:
        raise InputError(
            "--watch pulls until it is interrupted, and a dry run pulls nothing",
            where="--watch",
            expected="--watch or --dry-run",
            next_step="leave out one of them",
        )
    target, _ = _target(workspace, terminal, may_install=False, may_start=not dry_run)
    if not watch:
        pulled = pull(workspace, target, project=project, dry_run=dry_run, progress=terminal.progress)
        _show_pull(terminal, workspace, pulled)
        return
    for news in keep_pulling(workspace, target, project=project):
        if isinstance(news, Exception):
            terminal.warn(news.found)
        else:
            _show_pull(terminal, workspace, news)


@annotate_app.command("status")
def annotate_status(
    terminal: Terminal,
    workspace: Workspace,
) -> None:
    """Show review progress per class and per annotator, from the decisions pulled so far.

    Example: fmn-data annotate status
    """
    _show_status(terminal, workspace)


@annotate_app.command("serve")
def annotate_serve(
    terminal: Terminal,
    workspace: Workspace,
    port: Annotated[
        int,
        typer.Option(
            "--port",
            min=0,
            max=65535,
            show_default=False,
            help="Port on this machine (default: the previous one, else a free one).",
        ),
    ] = 0,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the workspace's server instead.")] = False,
) -> None:
    """Start the workspace's Label Studio server on this machine; install it first if missing (90 s, 1 GB).

    Example: fmn-data annotate serve
    """
    from dataset_tools.label_studio.workspace_server import login_file, serve
    from dataset_tools.label_studio.workspace_server import stop as stop_server

    if stop:
        terminal.say("stopped" if stop_server(workspace) else "no server was running")
        return
    target = serve(workspace, port=port or None, progress=terminal.progress)
    _show_serve(terminal, workspace, target)
    terminal.result({"url": target.url, "login": str(login_file(workspace))})
    terminal.next(f"fmn-data annotate{workspace_option(workspace.root)}")


def _target(
    workspace: Workspace, terminal: Terminal, *, may_install: bool, may_start: bool = True
) -> tuple[Target, bool]:
    """Returns the server to use, and whether this call started it: the workspace's own, if no other is found.

    Asks before Label Studio is installed. No server is started for a workspace without clips, or without the SDK.
    """
    from dataset_tools.label_studio.connection import require_sdk
    from dataset_tools.label_studio.expected_tasks import read_items
    from dataset_tools.label_studio.workspace_server import find_server, serve

    target = find_server(workspace)
    if target is not None:
        return target, False
    read_items(workspace)
    require_sdk()
    if not may_start:
        raise InputError(
            "No Label Studio server is running for this workspace, and a dry run does not start one",
            where=workspace.root,
            expected="a server to compare with",
            next_step="start it with fmn-data annotate serve, or name one with LABEL_STUDIO_URL",
        )
    if not may_install and terminal.can_ask():
        may_install = typer.confirm(
            "No Label Studio server is configured. Start one here (and install it if missing: 90 s, 1 GB)?"
        )
    target = serve(workspace, may_install=may_install, progress=terminal.progress)
    _show_serve(terminal, workspace, target)
    return target, True


def _open(address: str) -> None:
    """Opens a page in the browser if there is a display."""
    import webbrowser

    if not sys.platform.startswith("linux") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(address)


def _show_serve(terminal: Terminal, workspace: Workspace, target: Target) -> None:
    from dataset_tools.label_studio.workspace_server import login_file

    terminal.closing("serve", f"Label Studio is running at {target.url}")
    terminal.say(f"  sign in as {target.email}; the password is in {login_file(workspace)}")
    if target.replaced is not None:
        terminal.say(f"  the workspace was moved: its server for {Path(target.replaced).parents[2]} was stopped")


def _show_push(terminal: Terminal, pushed: PushSummary) -> None:
    terminal.closing("push", pushed.text(), pushed.address)
    if pushed.without_margin:
        clips = count_of(pushed.without_margin, "clip is", "clips are")
        terminal.warn(f"{clips} shown without surrounding footage: no source videos")
    if pushed.predicted == 0:
        terminal.warn("no task shows a prediction: annotators have worked on all; --ids ID,ID shows clips again")
    terminal.result({"push": pushed.as_dict()})


def _show_pull(terminal: Terminal, workspace: Workspace, pulled: PullSummary) -> None:
    from dataset_tools.decisions.journal import reviews_path

    terminal.closing("pull", pulled.text(), reviews_path(workspace))
    for clip, who, why in (*pulled.problems, *pulled.changed):
        terminal.warn(f"{clip}, {who}: {why}")
    if pulled.unread:
        decisions = count_of(pulled.unread, "decision is", "decisions are")
        terminal.warn(f"{decisions} in Label Studio but could not be read: pull again")
    terminal.result({"pull": pulled.as_dict()})


def _show_status(terminal: Terminal, workspace: Workspace, *, pushed: bool = False) -> None:
    from dataset_tools.decisions.unread import unread_warning
    from dataset_tools.label_studio.review_status import status, status_tables

    progress = status(workspace)
    for table in status_tables(progress):
        terminal.say(table)
    warning = unread_warning(workspace)
    if warning is not None:
        terminal.warn(warning)
    terminal.say(f"  {progress.next_step(workspace_option(workspace.root), pushed=pushed)}")
    if (again := progress.how_to_ask_again(workspace_option(workspace.root))) is not None:
        terminal.say(f"  {again}")
    terminal.result({"status": {**progress.as_dict(), "warning": warning}})
