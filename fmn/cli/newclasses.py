"""``fmn newclasses``: few-shot learning of classes that are held out of training."""

from __future__ import annotations

from typing import Annotated

import typer

from dataset_tools.core.command import DryRunOption
from dataset_tools.core.console import Terminal
from dataset_tools.core.count_of import count_of
from fmn.cli.options import OutOption, TrainingOptions, check_used, listed, short, show_failures, titled


def newclasses(
    terminal: Terminal,
    held_out: Annotated[
        int | None, typer.Option("--held-out", min=1, help="Number of classes held out of training (default: 4).")
    ] = None,
    classes: Annotated[
        str, typer.Option("--held-out-classes", help="Class ids to hold out, comma-separated (instead of --held-out).")
    ] = "",
    pairs: Annotated[
        str, typer.Option("--pairs", help="Numbers of pairs per held-out class to write, comma-separated.")
    ] = "1,5",
    seeds: Annotated[
        int,
        typer.Option(
            "--seeds",
            min=1,
            help="Draws of held-out classes, each with one training run of fmn and one of two_classifiers.",
        ),
    ] = 3,
    out: OutOption = None,
    dry_run: DryRunOption = False,
    *,
    options: TrainingOptions,
) -> None:
    """Measure few-shot learning of held-out classes: write some of their pairs to the memories of a trained network.

    Example: fmn newclasses manifests/train.jsonl --held-out 4 --pairs 1,5
    """
    from fmn.studies.new_classes import learn_new_classes
    from fmn.studies.new_classes_table import new_classes_table

    check_used("--held-out", held_out, is_used=not classes, needed="classes that are drawn, not --held-out-classes")
    held_out = held_out or 4
    folder = out or options.default_folder(f"newclasses-{options.preset}")
    config, names, numbers = options.config(), listed(classes, "--held-out-classes") if classes else [], _counts(pairs)
    if dry_run:
        from fmn.studies.held_out_classes import held_out_classes
        from fmn.studies.new_classes import FILES, FORMAT
        from fmn.studies.validation_harness import check_study
        from fmn.training.result_files import check_result_files

        check_result_files(folder, FILES, FORMAT)
        checked = check_study(options.manifest, config, options.root, options.device)
        held_out_classes(*checked, held_out, names, config.training.seed)
        out_of = len(names) or held_out
        held = count_of(out_of, "class", "classes")
        terminal.closing(
            "dry run",
            f"would train {seeds} × 2 networks, fmn and two_classifiers, each without {held}",
            short(folder),
        )
        terminal.result({"dry_run": True, "trainings": 2 * seeds, "held_out": out_of})
        return
    found = learn_new_classes(
        options.manifest,
        config,
        folder,
        held_out=held_out,
        classes=names,
        pairs=numbers,
        seeds=seeds,
        **options.compute,
        progress=terminal.progress,
        warn=terminal.warn,
    )
    title = titled(options.manifest, is_standin=found.values["stand_in"])
    terminal.say(new_classes_table(found.values, title=f"class hit on fold 0 of {title}"))
    terminal.closing("newclasses", f"{2 * seeds} training runs; the other metrics: newclasses.md", short(folder))
    show_failures(terminal, found.failures)
    terminal.result(found.as_dict())


def _counts(text: str) -> list[int]:
    """Parses comma-separated whole numbers above 0."""
    from dataset_tools.core.errors import InputError

    parts = listed(text, "--pairs") if text.strip() else [text]
    wrong = [part for part in parts if not part.isdecimal() or not int(part)]
    if wrong:
        raise InputError(
            f"{wrong[0]!r} is not a number of pairs",
            where="--pairs",
            expected="whole numbers above 0, separated by commas",
            next_step="specify numbers, such as --pairs 1,5",
        )
    return [int(part) for part in parts]
