"""What the commands of ``fmn`` share: their options, the configuration that these name, paths and failures as shown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dataset_tools.core.console import SOME_FAILED_EXIT_CODE, Terminal

if TYPE_CHECKING:
    from fmn.config import Config

RootOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        "--root",
        "-w",
        help="Folder that the manifest's paths are relative to (default: the parent of the manifest's folder).",
        file_okay=False,
        rich_help_panel="Common",
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto (a GPU when there is one), cpu, cuda, cuda:1, …")]
JobsOption = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, help="Workers that compute features (default: one a core).")
]
RunArgument = Annotated[
    Path | None,
    typer.Argument(help="Folder of a trained run (default: the newest under runs/).", metavar="[RUN]"),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Folder for tables and runs (default: one under runs/).", file_okay=False)
]
TrainArgument = Annotated[Path, typer.Argument(help="Training manifest.", metavar="[TRAIN]")]
PresetOption = Annotated[
    Literal["demo", "paper"],
    typer.Option("--preset", help="demo: for two cores; paper: the paper's setting, for a GPU."),
]
FormOption = Annotated[
    Literal["working", "printed"],
    typer.Option("--form", help="Equations in the form that works, or as the paper prints them."),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="A tuned.json of fmn tune, or a config.json: its values.", dir_okay=False),
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One value of the configuration, as memory.capacity=100."),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Threads of torch on the CPU (default: the preset's; see fmn/config.py)."),
]


def changes_of(config_file: Path | None, settings: Sequence[str] | None, **training: int | None) -> dict[str, Any]:
    """The values that ``--config``, then ``--set``, then options of their own (``epochs``, …) change in a preset."""
    from fmn.config import values_in

    changes = values_in(config_file) if config_file else {}
    changes |= settings_of(settings or [])
    return changes | {f"training.{name}": value for name, value in training.items() if value is not None}


def settings_of(texts: Sequence[str]) -> dict[str, Any]:
    """``KEY=VALUE`` texts as a dictionary; values are JSON where they can be, else text."""
    from dataset_tools.core.errors import InputError

    changes: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(
                f"There is no value in {text!r}",
                where="--set",
                expected="KEY=VALUE, such as memory.capacity=100",
                next_step="see the keys in config.json of a run",
            )
        try:
            changes[key] = json.loads(value)
        except json.JSONDecodeError:
            changes[key] = value
    return changes


def config_of(
    run: Path,
    model: str,
    preset: Literal["demo", "paper"],
    form: Literal["working", "printed"],
    changes: Mapping[str, Any],
    *,
    resume: bool,
) -> Config:
    """The configuration that the options name; with ``--resume`` that of the run."""
    from fmn.config import preset as preset_of
    from fmn.config import with_values

    if resume:
        from fmn.training.checkpoint import load_config

        return with_values(load_config(run), changes)
    from fmn.systems import find_system

    system = find_system(model)
    return with_values(system.adapt(preset_of(preset, form)), {"system": system.name, **changes})


def short(path: Path) -> Path:
    """``path`` as seen from the current folder, when it lies in it."""
    here = Path.cwd()
    return path.resolve().relative_to(here) if path.resolve().is_relative_to(here) else path


def show_failures(terminal: Terminal, failures: Mapping[str, str]) -> None:
    """Items that took no part: exit code 1."""
    if failures:
        terminal.exit_code = SOME_FAILED_EXIT_CODE
        listed = "".join(f"\n  {name}: {reason}" for name, reason in list(failures.items())[:10])
        more = f"\n  and {len(failures) - 10} more" if len(failures) > 10 else ""
        terminal.warn(f"{len(failures)} files have no features and took no part:{listed}{more}")
