"""Options that every command shares, and the decorator that makes a Typer command of a function.

A new command takes a `Terminal` first, then what it needs; it declares none of the common options::

    @app.command()
    @command
    def verify(terminal: Terminal, place: Workspace, jobs: JobsOption = DEFAULT_JOBS) -> None:
        \"\"\"Check every manifest and file.\"\"\"

`command` adds ``--json``, ``--verbose`` and ``--debug`` and runs the body within `command_context`. A parameter of type
`Workspace` becomes ``--workspace``. A parameter whose type is a dataclass stands for a group of options: one option a
field, declared as for Typer, so that several commands share the group. Only the command modules import this one.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from dataset_tools.core.console import command_context
from dataset_tools.core.workspace import Workspace

COMMON = "Common"
_BY_NAME = inspect.Parameter.KEYWORD_ONLY
DEFAULT_JOBS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)

WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        "-w",
        help="Folder of the data set (default: the one that holds the manifest, else the current folder).",
        file_okay=False,
        rich_help_panel=COMMON,
    ),
]
JobsOption = Annotated[
    int, typer.Option("--jobs", "-j", min=1, help="Number of parallel workers; the result does not depend on it.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be done; write nothing.", rich_help_panel=COMMON)
]


@dataclass(frozen=True)
class CommonOptions:
    """The options of every command."""

    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.", rich_help_panel=COMMON),
    ] = False
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show more detail.", rich_help_panel=COMMON)] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=COMMON)] = (
        False
    )


@dataclass(frozen=True)
class _WorkspaceOptions:
    """What a parameter of type `Workspace` stands for."""

    workspace: WorkspaceOption = None


def command(body: Callable[..., None]) -> Callable[..., None]:
    """Makes a Typer command of ``body(terminal, …)``; the module's text says what its parameters may be.

    In the callback of a group of commands, the body runs only when no command of the group is named.
    """
    _, *wanted = inspect.signature(body, eval_str=True).parameters.values()
    groups = {each.name: _group(each.annotation) for each in wanted if is_dataclass(each.annotation)}
    options = [each for one in wanted for each in (_options(groups[one.name]) if one.name in groups else [one])]

    @wraps(body)
    def run(context: typer.Context, **values: Any) -> None:
        if context.invoked_subcommand is not None:
            return
        common = _filled(CommonOptions, values)
        for name, group in groups.items():
            values[name] = _filled(group, values)
            if isinstance(values[name], _WorkspaceOptions):
                values[name] = Workspace(values[name].workspace or Path())
        with command_context(as_json=common.as_json, verbose=common.verbose, debug=common.debug) as terminal:
            body(terminal, **values)

    context = inspect.Parameter("context", _BY_NAME, annotation=typer.Context)
    every = [context, *(each.replace(kind=_BY_NAME) for each in options), *_options(CommonOptions)]
    run.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]  # what Typer reads
    run.__annotations__ = {each.name: each.annotation for each in every}
    return run


def _group(kind: Any) -> type[Any]:
    return _WorkspaceOptions if kind is Workspace else kind


def _options(group: type[Any]) -> list[inspect.Parameter]:
    kinds = get_type_hints(group, include_extras=True)  # of the fields of every base, each seen from its own module
    return [
        inspect.Parameter(field.name, _BY_NAME, default=field.default, annotation=kinds[field.name])
        for field in fields(group)
    ]


def _filled(group: type[Any], values: dict[str, Any]) -> Any:
    """The group with its values, which are taken out of ``values``."""
    return group(**{field.name: values.pop(field.name) for field in fields(group)})
