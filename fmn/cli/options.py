"""Options shared by ``fmn`` commands: configuration, paths, reporting of failed items."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypedDict

import typer

from dataset_tools.core.command import DEFAULT_JOBS, JobsOption, WorkspaceOption
from dataset_tools.core.console import SOME_FAILED_EXIT_CODE, Terminal
from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.core.errors import InputError
from fmn.torch_threads import MOST_THREADS

if TYPE_CHECKING:
    from fmn.config import Config, Form

FORMS: Final[Mapping[str, Form]] = {"standard": "standard", "as-published": "as_published"}
OutOption = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Output folder (default: one under runs/ in the workspace).", file_okay=False),
]

RefitOption = Annotated[
    bool,
    typer.Option("--refit", help="Also train on the validation split (fold 0), after all other choices are made."),
]

LabelsOption = Annotated[
    Literal["class", "pairs"] | None,
    typer.Option("--labels", help="Supervision: class labels, or only which clip each utterance was spoken for."),
]
AllOption = Annotated[bool, typer.Option("--all", help="Search the whole data set, not only the test manifest.")]


class Compute(TypedDict):
    """`ComputeOptions` as keyword arguments."""

    root: Path | None
    device: str
    jobs: int


@dataclass(frozen=True)
class ComputeOptions:
    """Device, number of workers and workspace."""

    device: Annotated[
        str, typer.Option("--device", help="Torch device: auto (a GPU if there is one), cpu, cuda, cuda:1, …")
    ] = "auto"
    jobs: JobsOption = DEFAULT_JOBS
    root: WorkspaceOption = None

    @property
    def compute(self) -> Compute:
        """These options as keyword arguments of the functions that do the work."""
        return {"root": self.root, "device": self.device, "jobs": self.jobs}


@dataclass(frozen=True)
class RunOptions(ComputeOptions):
    """A trained run, and the manifest that it is evaluated on."""

    run: Annotated[
        Path | None, typer.Argument(help="Folder of a trained run (default: the newest under runs/).", metavar="RUN")
    ] = None
    manifest: Annotated[
        Path | None,
        typer.Option("--manifest", help="Test manifest (default: test.jsonl of --workspace, else of the run's data)."),
    ] = None

    def folder(self) -> Path:
        """The given run, else the newest one."""
        from fmn.training.run_folder import latest_run

        return self.run or latest_run(self.root or Path())

    def manifest_or(self, name: str) -> Path:
        """The given manifest, else ``name`` next to the run's training manifest, or in another ``--workspace``."""
        from fmn.training.run_folder import manifest_for

        return self.manifest or manifest_for(self.folder(), name, self.root)


@dataclass(frozen=True)
class TrainingOptions(ComputeOptions):
    """Training manifest and configuration."""

    train: Annotated[
        Path | None,
        typer.Argument(help="Training manifest (default: manifests/train.jsonl in the workspace).", metavar="TRAIN"),
    ] = None
    selected_preset: Annotated[
        Literal["demo", "light", "paper"] | None,
        typer.Option(
            "--preset",
            help="Base configuration: demo (default; for two CPU cores), light (demo with small pretrained encoders; "
            "requires the extra light) or paper (as in the paper, for a GPU).",
        ),
    ] = None
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config", help="Read configuration values from a tuned.json (fmn tune) or config.json.", dir_okay=False
        ),
    ] = None
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Set a configuration value, e.g. memory.capacity=100. Repeatable."
        ),
    ] = None
    video_encoder: Annotated[
        str | None,
        typer.Option(
            "--video-encoder", metavar="NAME", help="Pretrained video encoder: timm:NAME, transformers:NAME, …"
        ),
    ] = None
    speech_encoder: Annotated[
        str | None,
        typer.Option(
            "--speech-encoder", metavar="NAME", help="Pretrained speech encoder: hubert_base, whisper:tiny, …"
        ),
    ] = None
    features: Annotated[
        Path | None,
        typer.Option(
            "--features",
            metavar="DIR",
            help="Read features from DIR/video and DIR/audio (one may be missing) instead of extracting them.",
        ),
    ] = None
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Maximum number of epochs (default: the preset's).")
    ] = None
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Random seed; of several runs, that of the first (default: 0).")
    ] = None
    threads: Annotated[
        int | None,
        typer.Option("--threads", min=1, max=MOST_THREADS, help="Number of torch threads (default: the preset's)."),
    ] = None

    @property
    def manifest(self) -> Path:
        """The training manifest."""
        return self.train or (self.root or Path()) / "manifests" / "train.jsonl"

    @property
    def preset(self) -> Literal["demo", "light", "paper"]:
        """The base configuration."""
        return self.selected_preset or "demo"

    def default_folder(self, name: str) -> Path:
        """The folder runs/NAME in the manifest's workspace."""
        from fmn.training.run_folder import default_run

        return default_run(self.manifest, self.root, name)

    def changes(self) -> dict[str, Any]:
        """Changes of the preset by ``--config``, ``--set`` and the options of single values; later ones override."""
        from fmn.config import values_in

        changes = values_in(self.config_file) if self.config_file else {}
        changes |= settings_of(self.settings or [])
        if self.features is not None:
            changes |= features_in(self.features)
        own = {
            "video.encoder": self.video_encoder,
            "audio.encoder": self.speech_encoder,
            "training.epochs": self.epochs,
            "training.seed": self.seed,
            "training.threads": self.threads,
        }
        return changes | {name: value for name, value in own.items() if value is not None}

    def repeated(self, beside: Mapping[str, Any]) -> list[str]:
        """These options, except ``--config``, as arguments of the next command, which also sets ``beside``."""
        given: dict[str, Any] = {
            "--preset": self.selected_preset,
            "--video-encoder": self.video_encoder,
            "--speech-encoder": self.speech_encoder,
            "--features": self.features,
            "--epochs": self.epochs,
            "--seed": self.seed,
            "--threads": self.threads,
        }
        settings = [left for setting in self.settings or [] for left in _without(setting, beside.keys())]
        typed = [part for setting in settings for part in ("--set", setting)]
        return typed + [part for name, value in given.items() if value is not None for part in (name, str(value))]

    def config(
        self, model: str | None = None, form: Literal["standard", "as-published"] | None = None, **changes: Any
    ) -> Config:
        """Returns the preset adapted by the system ``model``, with `changes` and the changes given here applied.

        Without ``model``, the system is that of the changes, else fmn.

        Raises:
            InputError: the changes name a system other than ``model`` or an unknown encoder, or are invalid for it; or
                ``--config`` is a complete configuration of another preset or form.
        """
        from fmn.cli.whole_configuration import contradiction
        from fmn.config import preset, values_in, with_values
        from fmn.features.encoders.registry import check_encoders
        from fmn.systems import find_system

        changes = self.changes() | changes
        named = str(changes.pop("system", model or "fmn"))
        system = find_system(named)
        if model not in (None, named):
            raise InputError(
                f"The configuration is for {named}, but --model is {model}",
                where=self.config_file or "--set",
                expected="the same system",
                next_step=f"use --model {named}, or remove `system` from the configuration",
            )
        if self.config_file is not None:
            held = values_in(self.config_file, notice=False)
            if found := contradiction(held, system, self.selected_preset, form and FORMS[form]):
                raise InputError(
                    f"The configuration is complete and contradicts {found.option}: {found.how}",
                    where=self.config_file,
                    expected=f"a complete configuration, or {found.option}",
                    next_step=f"leave out {found.option}, or --config",
                )
        adapted = system.adapt(preset(self.preset, FORMS[form or "standard"]))
        config = with_values(adapted, {"system": system.name, **changes})
        check_encoders(config.video.encoder, config.audio.encoder)
        return config


def features_in(folder: Path) -> dict[str, Any]:
    """Changes made by ``--features``: ``video.features`` and ``audio.features`` replace the preset's encoders.

    One of the two may be missing.
    """
    found: dict[str, Any] = {}
    for part in ("video", "audio"):
        places = [folder / part, *(folder / f"{part}{suffix}" for suffix in (".npz", ".parquet"))]
        there = [place for place in places if place.exists()]
        if len(there) > 1:
            where = ", ".join(map(str, there))
            raise InputError(f"There are several {part} features", where=where, next_step="keep one of them")
        if there:
            found |= {f"{part}.features": str(there[0].resolve()), f"{part}.encoder": ""}
    if not found:
        raise InputError(
            "There are no features",
            where=folder,
            expected="video or audio in it: a folder, a .npz or a .parquet",
            next_step="check the path, or write them with fmn features export",
        )
    return found


def settings_of(texts: Sequence[str], *, notice: bool = True) -> dict[str, Any]:
    """Parses ``KEY=VALUE`` settings, renaming old keys; the last one of a key counts, values are JSON, else text.

    A JSON object sets the values that it names, and leaves the others of its section: names of the result are dotted.
    ``notice``: whether to report old keys on stderr.
    """
    from fmn.config import flattened
    from fmn.renamed_keys import with_new_keys

    changes: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        try:
            held = json.loads(value)
        except json.JSONDecodeError:
            held = value
        values = flattened({key: held})
        if not key or not equals or not values:  # an empty object would set nothing
            raise InputError(
                f"There is no {'value' if key else 'key'} in {text!r}",
                where="--set",
                expected="KEY=VALUE, such as memory.capacity=100",
                next_step="see the config.json of a run for all keys",
            )
        changes |= with_new_keys(values, notice=notice)
    return changes


def _without(setting: str, names: Set[str]) -> list[str]:
    """A ``--set`` without the values ``names``; a section becomes one setting for each value that is left."""
    held = settings_of([setting], notice=False)
    if not names & held.keys():
        return [setting]
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in held.items() if key not in names]


def short(path: Path) -> Path:
    """``path`` relative to the current folder, if it is inside it."""
    here = Path.cwd()
    return path.resolve().relative_to(here) if path.resolve().is_relative_to(here) else path


def titled(path: Path, *, is_standin: bool = False) -> str:
    """`short` for the title of a table, with rich markup escaped; says whether the corpus is a stand-in."""
    from rich.markup import escape

    return escape(str(short(path))) + "  [bold yellow](stand-in corpus)[/]" * is_standin


def listed(text: str, option: str) -> list[str]:
    """Splits a comma-separated list, without duplicates.

    Raises:
        InputError: the list is empty.
    """
    parts = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not parts:
        raise InputError(
            f"{text!r} is an empty list",
            where=option,
            expected="names or numbers, separated by commas",
            next_step=f"list at least one after {option}",
        )
    return parts


def check_used(option: str, value: object, *, is_used: bool, needed: str) -> None:
    """Checks that ``option``, if a value is given (not None), has an effect: otherwise it requires what is ``needed``.

    Raises:
        InputError: it was given, and has no effect.
    """
    if value is not None and not is_used:
        raise InputError(
            f"{option} requires {needed}", where=f"{option} {value}", next_step=f"leave out {option}, or use {needed}"
        )


def show_failures(terminal: Terminal, failures: Mapping[str, str], lacking: str = "features") -> None:
    """Reports items that were left out because they have no ``lacking``, and sets exit code 1."""
    if failures:
        terminal.exit_code = SOME_FAILED_EXIT_CODE
        listed = "\n  ".join(["", *first_of([f"{name}: {reason}" for name, reason in failures.items()], 10)])
        files = count_of(len(failures), "file has", "files have")
        terminal.warn(f"{files} no {lacking}, left out:{listed}")
