"""Options that every command shares, and the Typer app that adds them to each command.

A command is a function that takes a `Terminal` first, then what it needs; it declares none of the common options::

    app = CommandLine(name="fmn-data", help="…")

    @app.command()
    def verify(terminal: Terminal, workspace: Workspace, jobs: JobsOption = DEFAULT_JOBS) -> None:
        ...

The app adds ``--json``, ``--verbose`` and ``--debug`` and runs the function within `command_context`. A parameter of
type `Workspace` becomes ``--workspace``. A parameter whose type is a dataclass stands for a group of options: one
option per field, declared as for Typer, so that several commands share the group. Old option names are still accepted
for some time (`dataset_tools.core.renamed_options`). Only the command modules import this one.
"""

from __future__ import annotations

import atexit
import gc
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from dataset_tools.core.console import command_context, print_error
from dataset_tools.core.cores import usable_cores
from dataset_tools.core.early_interrupts import asks_for_json
from dataset_tools.core.errors import InputError
from dataset_tools.core.foreign_errors import interrupted
from dataset_tools.core.option_types import set_type
from dataset_tools.core.renamed_options import with_new_names
from dataset_tools.core.standard_streams import OutputError, usable_streams
from dataset_tools.core.workspace import Workspace

if TYPE_CHECKING:
    from dataset_tools.core.web_server import Address

COMMON = "Common"
Body = TypeVar("Body", bound=Callable[..., None])
_WIDEST_NAMES = 20  # wider ones are cut at 80 columns
_AS_JSON = "dataset_tools.as_json"  # in the data that the contexts of a command line share
_UsageError: Any = typer.BadParameter.__base__  # Typer has it from click, or from a copy of its own
_BY_NAME = inspect.Parameter.KEYWORD_ONLY
DEFAULT_JOBS = usable_cores()

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
    int,
    typer.Option("--jobs", "-j", min=1, max=1024, help="Number of parallel workers; the result does not depend on it."),
]
EngineOption = Annotated[
    Literal["local", "ray"], typer.Option("--engine", help="Run on this machine, or on a Ray cluster.")
]
AddressOption = Annotated[
    str | None,
    typer.Option("--address", help="Head of the Ray cluster, HOST:PORT (default: start Ray on this machine)."),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be done; write nothing.", rich_help_panel=COMMON)
]


def engine_running(engine: str, address: str | None, jobs: int) -> AbstractContextManager[None]:
    """Context manager that selects the engine: does nothing for ``local``, connects to a Ray cluster for ``ray``.

    Raises:
        InputError: an address is given without the engine ``ray``.
    """
    if engine == "ray":
        from dataset_tools.core.ray_engine import on_ray

        return on_ray(address, jobs)
    if address is not None:
        raise InputError("--address requires --engine ray", where=address, next_step="add --engine ray")
    return nullcontext()


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
class AddressOptions:
    """Address and TLS files of the server of a page."""

    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; other machines can connect only with --cert.")
    ] = "127.0.0.1"
    port: Annotated[
        int,
        typer.Option(
            "--port", min=0, max=65535, show_default=False, help="Port on this machine (default: a free one)."
        ),
    ] = 0
    certificate: Annotated[Path | None, typer.Option("--cert", help="TLS certificate (PEM file).")] = None
    key: Annotated[Path | None, typer.Option("--key", help="Private key of the certificate (PEM file).")] = None

    def address(self) -> Address:
        """Converts these options to the `Address` of the web server."""
        from dataset_tools.core.web_server import Address

        return Address(self.host, self.port, self.certificate, self.key)


@dataclass(frozen=True)
class _WorkspaceOptions:
    """Option group of a parameter of type `Workspace`."""

    workspace: WorkspaceOption = None


class CommandLine(typer.Typer):
    """A Typer app whose commands have the common options; with ``is_program``, also ``--version`` and completion."""

    def __init__(self, *, is_program: bool = False, **settings: Any) -> None:
        super().__init__(
            cls=_Group,
            add_completion=is_program,
            pretty_exceptions_enable=False,
            rich_markup_mode="rich",
            **settings,
        )
        if is_program:
            super().callback()(_program)

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        os.environ.setdefault("PATH", os.defpath)  # packages that start programs rely on it
        atexit.register(gc.freeze)  # else exiting would visit all of torch's objects: a third of a second
        script = vars(sys.modules["__main__"])
        file = script.pop("__file__", None)  # otherwise each worker process would import it, and with it every command
        try:
            with usable_streams():
                return super().__call__(*arguments, **settings)
        except OutputError as error:
            if not error.is_unread:
                print_error(error, as_json=False)
            raise SystemExit(error.exit_code) from None
        finally:
            if file is not None:
                script["__file__"] = file

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Body], Body]:
        """Adds a command; the module docstring describes its parameters."""
        return _registering(super().command(name, cls=_Command, **settings))

    def callback(self, **settings: Any) -> Callable[[Body], Body]:
        """Registers what the group itself does if none of its commands is named."""
        return _registering(super().callback(invoke_without_command=True, **settings))


def _show_version(is_asked: bool) -> None:
    if is_asked:
        print(f"fmn-toolkit {version('fmn-toolkit')}")
        raise typer.Exit


def _program(
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None: ...


class _UsageErrors:
    """Prints an error of usage as a JSON object on stdout, like other errors, if ``--json`` is among the arguments."""

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **extra: Any) -> Any:
        as_json = asks_for_json(args)
        with _usage_errors(info_name, as_json=as_json, is_outermost=parent is None):
            context = super().make_context(info_name, args, parent, **extra)  # type: ignore[misc]  # of the command
            if parent is None:
                context.meta[_AS_JSON] = as_json
            return context

    def invoke(self, ctx: Any) -> Any:
        with _usage_errors(ctx.info_name, as_json=ctx.meta[_AS_JSON], is_outermost=ctx.parent is None):
            return super().invoke(ctx)  # type: ignore[misc]  # of the command it is mixed into


@contextmanager
def _usage_errors(program: str | None, *, as_json: bool, is_outermost: bool) -> Iterator[None]:
    """Reports the errors of a command and of those within: of usage, if as JSON, and interrupts before it has begun."""
    try:
        yield
    except _UsageError as error:
        error.message = error.message.removeprefix("Value error, ")  # of pydantic, which Typer uses
        if not (as_json and is_outermost):
            raise
        command = error.ctx.command_path if error.ctx else program
        found = InputError(
            error.format_message().rstrip("."),
            where=command,
            expected=error.ctx.get_usage().removeprefix("Usage: ") if error.ctx else None,
            next_step=" ".join([*([command] if command else []), "--help lists the arguments and options"]),
        )
        print_error(found, as_json=True)
        raise typer.Exit(found.exit_code) from None
    except KeyboardInterrupt:
        if not is_outermost:
            raise
        stopped = interrupted()
        print_error(stopped, as_json=as_json)
        raise typer.Exit(stopped.exit_code) from None


class _NarrowHelp:
    """Saves width in the help: no types of flags, no ranges of numbers, the names of an option in one column."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from typer import rich_utils

        rich_utils.RANGE_STRING = ""
        shown: Any = copy(self)  # the command itself must still know its options after its help
        shown.params = [copy(option) for option in shown.params]
        for option in shown.get_params(ctx):
            names = [*option.opts, *option.secondary_opts]
            if len(",".join(names)) <= _WIDEST_NAMES:  # else its help has to tell of the second name
                option.opts = names
            option.secondary_opts = []
        super(_NarrowHelp, shown).format_help(ctx, formatter)  # type: ignore[misc]  # of the command it is mixed into

    def get_params(self, ctx: Any) -> list[Any]:
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]  # defined by the command it is mixed into
        for option in params:
            if getattr(option, "is_flag", False):
                option.metavar = ""
        return params


class _Command(_UsageErrors, _NarrowHelp, TyperCommand):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, with_new_names(args, _option_names(self, ctx)))


class _Group(_UsageErrors, _NarrowHelp, TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        """Sorts commands by help panel; within a panel, in the order in which they were added, groups last."""
        return sorted(
            super().list_commands(ctx),
            key=lambda name: (
                str(getattr(self.commands[name], "rich_help_panel", "")),
                isinstance(self.commands[name], TyperGroup),
            ),
        )

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, with_new_names(args, _option_names(self, ctx)))


def _option_names(command: TyperCommand | TyperGroup, context: Any) -> set[str]:
    return {name for option in command.get_params(context) for name in (*option.opts, *option.secondary_opts)}


def _registering(register: Callable[[Callable[..., None]], object]) -> Callable[[Body], Body]:
    def add(body: Body) -> Body:
        register(_typer_function(body))
        return body

    return add


def _typer_function(body: Callable[..., None]) -> Callable[..., None]:
    """Adapts ``body(terminal, …)`` to Typer: expands groups to single options and adds the common options."""
    _, *wanted = inspect.signature(body, eval_str=True).parameters.values()
    groups = {each.name: _group(each.annotation) for each in wanted if is_dataclass(each.annotation)}
    options = [each for one in wanted for each in (_options(groups[one.name]) if one.name in groups else [one])]

    @wraps(body)
    def run(context: typer.Context, **values: Any) -> None:
        if context.invoked_subcommand is not None:
            _refuse_options(context, values)
            return
        common = _filled(CommonOptions, values)
        with command_context(as_json=common.as_json, verbose=common.verbose, debug=common.debug) as terminal:
            for name, group in groups.items():
                values[name] = _filled(group, values)
                if isinstance(values[name], _WorkspaceOptions):
                    values[name] = Workspace(values[name].workspace or Path())
            body(terminal, **values)

    context = inspect.Parameter("context", _BY_NAME, annotation=typer.Context)
    for each in options:
        set_type(each.annotation)
    every = [context, *(each.replace(kind=_BY_NAME) for each in options), *_options(CommonOptions)]
    run.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]  # what Typer reads
    run.__annotations__ = {each.name: each.annotation for each in every}
    return run


def _refuse_options(context: typer.Context, names: Iterable[str]) -> None:
    """Rejects options of a group before the name of a command, which would ignore them."""
    sources = [context.get_parameter_source(name) for name in names]
    if any(source is not None and source.name == "COMMANDLINE" for source in sources):
        context.fail(f"Options of a command go after its name: {context.command_path} {context.invoked_subcommand} …")


def _group(kind: Any) -> type[Any]:
    return _WorkspaceOptions if kind is Workspace else kind


def _options(group: type[Any]) -> list[inspect.Parameter]:
    kinds = get_type_hints(group, include_extras=True)  # of all base classes, each resolved in its own module
    return [
        inspect.Parameter(field.name, _BY_NAME, default=field.default, annotation=kinds[field.name])
        for field in fields(group)
    ]


def _filled(group: type[Any], values: dict[str, Any]) -> Any:
    """Creates the group from its values, which are removed from ``values``."""
    return group(**{field.name: values.pop(field.name) for field in fields(group)})
