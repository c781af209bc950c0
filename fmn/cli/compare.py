"""``fmn compare``: FMN and its baselines on the same data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataset_tools.core.command import DryRunOption, JobsOption
from dataset_tools.core.console import SOME_FAILED_EXIT_CODE, Terminal
from dataset_tools.core.count_of import count_of
from fmn.cli.options import OutOption, TrainingOptions, listed, short, show_failures

if TYPE_CHECKING:
    from fmn.comparison.comparison_plan import Comparison


@dataclass(frozen=True)
class ComparisonOptions(TrainingOptions):
    """The options of training, with one worker by default, since each trains its own network; and the test manifest."""

    jobs: JobsOption = 1
    test: Annotated[
        Path | None, typer.Argument(help="Test manifest (default: test.jsonl next to TRAIN).", metavar="TEST")
    ] = None

    def plan(
        self, folder: Path, *, models: Sequence[str] | None, changes: Mapping[str, Any], budget: int, seeds: int
    ) -> Comparison:
        """Plans a comparison on these manifests (`fmn.comparison.comparison_plan.plan_comparison`)."""
        from fmn.comparison.comparison_plan import plan_comparison

        return plan_comparison(
            self.manifest,
            self.test or self.manifest.parent / "test.jsonl",
            folder,
            models=models,
            preset_name=self.preset,
            changes=changes,
            budget=budget,
            seeds=seeds,
            root=self.root,
            device=self.device,
        )


def compare(
    terminal: Terminal,
    options: ComparisonOptions,
    models: Annotated[
        str | None,
        typer.Option("--models", metavar="A,B,…", help="Systems to compare (default: all; list: --dry-run)."),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Training runs per system, each with its own seed.")] = 5,
    budget: Annotated[
        int,
        typer.Option(
            "--budget",
            min=1,
            help="Maximum number of configurations per system to try on the validation split (fold 0).",
        ),
    ] = 4,
    out: OutOption = None,
    latex: Annotated[bool, typer.Option("--latex", help="Also write a LaTeX table, compare.tex.")] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Compare FMN with its baselines on your data, like Table 2 of the paper.

    An interrupted comparison resumes; finished runs are reused. docs/comparing.md explains the systems and the tables.

    Example: fmn compare manifests/train.jsonl manifests/test.jsonl --models fmn,cca,two_classifiers --seeds 3
    """
    from fmn.comparison.compare import compare as compare_systems
    from fmn.comparison.compare import load_both
    from fmn.comparison.output_files import LATEX_FILE, check_files, write_files
    from fmn.comparison.rendering import rich_tables
    from fmn.data.outdated_pairs import outdated_pairs

    folder = out or options.default_folder("compare")
    check_files(folder, latex=latex)
    named = listed(models, "--models") if models is not None else None
    planned = options.plan(folder, models=named, changes=options.changes(), budget=budget, seeds=seeds)
    if dry_run:
        train_items, _ = load_both(planned)
        for caveat in outdated_pairs(train_items):
            terminal.warn(caveat)
        _show_plan(terminal, planned)
        return
    results = compare_systems(planned, jobs=options.jobs, progress=terminal.progress, warn=terminal.warn)
    moved: list[str] = []
    written = write_files(results.values, folder, latex=latex, warn=moved.append)
    for table in rich_tables(results.values):
        terminal.say(table)
    for note in results.values["notes"]:
        terminal.warn(note)
    if (own := folder / LATEX_FILE).exists() and own not in written:
        terminal.warn(
            f"{short(own)} is not the table of the earlier compare.json (edited, or by another version): it stays, and "
            "may have figures of an earlier call"
        )
    done = len(results.values["systems"]) - len(results.failed)
    terminal.closing("compare", count_of(done, "system"), short(folder))
    terminal.say("  " + ", ".join(path.name for path in written))
    for note in moved:
        terminal.warn(note)
    show_left_out_and_failed(terminal, results.left_out, results.failed)
    terminal.result(results.values | {"files": [str(path) for path in written], "left_out": results.left_out})


def show_left_out_and_failed(terminal: Terminal, left_out: Mapping[str, str], failed: Mapping[str, str]) -> None:
    """Reports the items that have no features and the systems that failed, with the reasons, and sets the exit code."""
    show_failures(terminal, left_out)
    if failed:
        terminal.exit_code = SOME_FAILED_EXIT_CODE
        reasons = "".join(f"\n  {name}: {reason}" for name, reason in failed.items())
        terminal.warn(f"Failed systems (run the same command again to retry):{reasons}")


def _show_plan(terminal: Terminal, planned: Comparison) -> None:
    from rich.table import Table

    from fmn.comparison.comparison_plan import describe, left_out_note
    from fmn.systems import find_system

    table = Table(title="systems", title_justify="left")
    for name in ("system", "description", "tried on fold 0"):
        table.add_column(name, overflow="fold")
    for name, tried in planned.candidates.items():
        table.add_row(name, find_system(name).summary, "; ".join(describe(each.changes) for each in tried))
    terminal.say(table)
    for name, reason in planned.left_out.items():
        terminal.warn(left_out_note(name, reason))
    terminal.closing(
        "dry run",
        f"would do up to {count_of(planned.runs, 'run')} of {count_of(len(planned.candidates), 'system')} "
        f"with {count_of(len(planned.seeds), 'seed')} on {planned.device}",
        short(planned.folder),
    )
    terminal.result(
        {
            "dry_run": True,
            "runs": planned.runs,
            "systems": {name: [dict(each.changes) for each in tried] for name, tried in planned.candidates.items()},
            "systems_left_out": dict(planned.left_out),
        }
    )
