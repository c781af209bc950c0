"""Commands of studies that train several networks: ``fmn ablate``, ``fmn tune``, ``fmn newclasses``."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from dataset_tools.core.command import DryRunOption
from dataset_tools.core.console import Terminal
from dataset_tools.core.count_of import count_of
from fmn.cli.options import OutOption, TrainingOptions, check_used, listed, short, show_failures, titled

if TYPE_CHECKING:
    from fmn.studies.tune import Tuning


def ablate(
    terminal: Terminal,
    only: Annotated[
        str, typer.Option("--only", help="Groups of variants to compare, comma-separated (default: all).")
    ] = "",
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Training runs per variant, each with its own seed.")
    ] = 3,
    out: OutOption = None,
    dry_run: DryRunOption = False,
    *,
    options: TrainingOptions,
) -> None:
    """Run the ablation study: compare design choices on the validation split (fold 0).

    Example: fmn ablate manifests/train.jsonl --only score,space,capacity --seeds 3
    """
    from fmn.studies.variants import check_groups, variants_of

    folder = out or options.default_folder(f"ablation-{options.preset}")
    config = options.config()
    groups = listed(only, "--only") if only else []
    check_groups(groups)
    from fmn.studies.ablate import FILES, FORMAT, trainings_of
    from fmn.studies.ablate import ablate as run_ablation
    from fmn.studies.validation_harness import check_study
    from fmn.training.result_files import check_result_files

    if dry_run:
        check_result_files(folder, FILES, FORMAT)
        items, _ = check_study(options.manifest, config, options.root, options.device)
        variants = variants_of(config, groups, classes=len(items.classes))
        each = trainings_of(config, variants)
        terminal.closing(
            "dry run",
            f"would train {seeds} × {each} networks and evaluate {len(variants)} variants per seed",
            short(folder),
        )
        terminal.result({"dry_run": True, "trainings": seeds * each, "variants": len(variants)})
        return
    found = run_ablation(
        options.manifest,
        config,
        folder,
        only=groups,
        seeds=seeds,
        **options.compute,
        progress=terminal.progress,
    )
    from fmn.studies.ablation_table import ablation_table

    corpus = "  [bold yellow](stand-in corpus)[/]" if found.values["stand_in"] else ""
    terminal.say(ablation_table(found.values, title=f"class hit on fold 0 of {titled(options.manifest)}{corpus}"))
    trainings = count_of(found.trainings, "training run") + (f", {found.reused} of them reused" if found.reused else "")
    terminal.closing(
        "ablate",
        f"{len(found.values['rows']) - 1} variants from {trainings}; the other metrics: ablation.md",
        short(folder),
    )
    show_failures(terminal, found.failures)
    terminal.result(found.as_dict())


def tune(
    terminal: Terminal,
    budget: Annotated[int, typer.Option("--budget", min=4, help="Maximum number of configurations to try.")] = 160,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Training runs to average each configuration over.")] = 2,
    out: OutOption = None,
    dry_run: DryRunOption = False,
    *,
    options: TrainingOptions,
) -> None:
    """Tune T1, T2, margin, capacity and temperature on the validation split (fold 0).

    Example: fmn tune manifests/train.jsonl --budget 160
    """
    folder = out or options.default_folder(f"tuning-{options.preset}")
    config = options.config()
    if dry_run:
        from fmn.studies.tune import FORMAT, TUNED_FILE, most_trainings
        from fmn.studies.validation_harness import check_study
        from fmn.training.result_files import check_result_files

        check_result_files(folder, [TUNED_FILE], FORMAT)
        check_study(options.manifest, config, options.root, options.device)
        most = most_trainings(config, seeds, budget)
        terminal.closing(
            "dry run", f"would try at most {budget} configurations with at most {most} training runs", short(folder)
        )
        terminal.result({"dry_run": True, "trainings": most, "trials": budget})
        return
    from fmn.studies.tune import tune as run_tuning

    found = run_tuning(
        options.manifest,
        config,
        folder,
        budget=budget,
        seeds=seeds,
        **options.compute,
        progress=terminal.progress,
    )
    _show_tuning(terminal, found)
    if not found.is_default:
        terminal.next(training_with(found, options))


def training_with(found: Tuning, options: TrainingOptions) -> str:
    """The command that trains with the tuned values and the options used for tuning, in a run of its own."""
    from fmn.training.run_folder import workspace_words

    typed = ["fmn", "train", str(short(options.manifest))]
    if options.config_file is None:
        typed += ["--config", str(short(found.path))]
    else:  # the tuned values override the file
        values = (part for name, value in found.values.items() for part in ("--set", f"{name}={value}"))
        typed += ["--config", str(options.config_file), *values]
    run = options.default_folder(f"fmn-{options.preset}-tuned")  # that without the values has the default name
    typed += [*options.repeated(beside=found.values), "--run", str(short(run))]
    return shlex.join(typed + workspace_words(options.manifest, options.root))


def _show_tuning(terminal: Terminal, found: Tuning) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title="configurations tried on fold 0, percent",
        title_justify="left",
        caption=Text("\n".join(found.notes)),
        caption_justify="left",
        box=SIMPLE_HEAD,
    )
    names = list(found.default.values)
    for name in (*(name.partition(".")[2] for name in names), "mAP", "a→v hit@1", "v→a hit@1", ""):
        table.add_column(name, justify="right")
    for trial in found.trials:
        remarks = [
            text
            for text, is_meant in (
                ("default", trial is found.default),
                ("best", trial is found.best),
                ("retrained", trial.retrained),
            )
            if is_meant
        ]
        table.add_row(
            *(Text(str(trial.values[name])) for name in names),
            f"{trial.map:.1f}",
            f"{trial.audio_to_video:.1f}",
            f"{trial.video_to_audio:.1f}",
            ", ".join(remarks),
            style="bold" if remarks else None,
        )
    terminal.say(table)
    outcome = "the defaults are kept" if found.is_default else "better than the defaults, also when retrained"
    terminal.closing(
        "tune",
        f"{count_of(len(found.trials), 'configuration')} from {count_of(found.trainings, 'training run')}: {outcome}",
        short(found.path),
    )
    show_failures(terminal, found.failures)
    terminal.result(found.as_dict())


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
    )
    corpus = "  [bold yellow](stand-in corpus)[/]" if found.values["stand_in"] else ""
    terminal.say(new_classes_table(found.values, title=f"class hit on fold 0 of {titled(options.manifest)}{corpus}"))
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
