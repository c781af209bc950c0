"""``fmn eval``: metrics of a run in both directions, and TREC files for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataset_tools.core.command import DryRunOption
from dataset_tools.core.console import Terminal
from dataset_tools.core.count_of import count_of
from fmn.cli.dry_run import show_dry_run
from fmn.cli.options import RunOptions, check_used, short, show_failures, titled

if TYPE_CHECKING:
    from fmn.evaluation.evaluate import Evaluation, Metrics


def evaluate(
    terminal: Terminal,
    options: RunOptions,
    update_memory: Annotated[
        bool, typer.Option("--update-memory", help="Also evaluate with memories updated by every query.")
    ] = False,
    orders: Annotated[
        int | None,
        typer.Option("--orders", min=1, help="Random query orders to average over with --update-memory (default: 5)."),
    ] = None,
    of_classes: Annotated[bool, typer.Option("--by-class", help="Also show results per class.")] = False,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics", metavar="NAMES", help="Additional metrics, e.g. ndcg@10,mrr,map,recall@5,hit@5 (any k)."
        ),
    ] = None,
    trec: Annotated[
        Path | None,
        typer.Option("--trec", metavar="DIR", help="Also write TREC run and qrels files to DIR.", file_okay=False),
    ] = None,
    trec_top: Annotated[
        int | None,
        typer.Option(
            "--trec-top", min=1, help="Number of best items per query in the run files of --trec (default: 1000)."
        ),
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Evaluate retrieval in both directions: clips for an utterance, and utterances for a clip.

    Example: fmn eval runs/fmn-demo --manifest manifests/test.jsonl
    """
    from fmn.evaluation.evaluate import evaluate as evaluate_run
    from fmn.evaluation.evaluate import plan_evaluation
    from fmn.evaluation.sanity_baselines import trivial_rows
    from fmn.metrics.chosen_metrics import parse_metrics

    check_used("--orders", orders, is_used=update_memory, needed="--update-memory")
    check_used("--trec-top", trec_top, is_used=trec is not None, needed="--trec")
    names = () if metrics is None else parse_metrics(metrics)
    folder, chosen = options.folder(), options.manifest_or("test.jsonl")
    if dry_run:
        planned = plan_evaluation(
            folder,
            chosen,
            **options.compute,
            updates_memory=update_memory,
            trec=trec,
            progress=terminal.progress,
        )
        show_dry_run(terminal, planned, "evaluate")
        return
    found = evaluate_run(
        folder,
        chosen,
        **options.compute,
        update_orders=(orders or 5) if update_memory else 0,
        metric_names=names,
        trec=trec,
        trec_top=trec_top or 1000,
        progress=terminal.progress,
    )
    trivial = trivial_rows(
        folder, found.items, root=options.root, jobs=options.jobs, metric_names=names, progress=terminal.progress
    )
    _show_tables(terminal, found, trivial, chosen_metrics=bool(names), of_classes=of_classes)
    items = f"{count_of(found.clips, 'clip')} and {count_of(found.utterances, 'utterance')}"
    terminal.closing("eval", items, short(found.path))
    if trec:
        terminal.closing("trec", f"{len(found.trec_files)} run and qrels files", short(trec))
    show_failures(terminal, found.failures)
    terminal.result(found.as_dict() | {"trivial": trivial})


def _show_tables(
    terminal: Terminal, found: Evaluation, trivial: Metrics, *, chosen_metrics: bool, of_classes: bool
) -> None:
    """Shows the metrics of a run, those with updated memories, and those of the sanity-check baselines."""
    from fmn.evaluation.evaluate import UPDATED
    from fmn.evaluation.results_table import WHAT_INTERVALS_ARE, chosen_table, class_table, results_table

    title = f"{titled(found.run)} on {titled(found.manifest, is_standin=found.is_standin)}"
    results, notes = {found.system: found.metrics}, [WHAT_INTERVALS_ARE, *found.notes]
    if UPDATED in found.metrics:
        results[f"{found.system}, updated"] = found.metrics[UPDATED]
        notes.insert(1, found.metrics[UPDATED]["how"])
    results |= {f"{name} (trivial)": metrics for name, metrics in trivial.items()}
    terminal.say(results_table(results, title=title, notes=notes))
    if chosen_metrics:
        terminal.say(chosen_table(results, title=f"chosen metrics: {title}"))
    if of_classes:
        terminal.say(class_table(found.metrics, title=f"classes, worst first: {title}"))
