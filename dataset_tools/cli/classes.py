"""``fmn-data classes``: class statistics of the footage; draft or proposal of a class file."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataset_tools.cli.footage import CORPUS_ENVIRONMENT, FootageOptions
from dataset_tools.cli.options import ClassOptions, class_file_of, warn_synthetic
from dataset_tools.core.command import DEFAULT_JOBS, DryRunOption
from dataset_tools.core.console import Terminal
from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace

if TYPE_CHECKING:
    from dataset_tools.classes.proposal import Proposal
    from dataset_tools.classes.triplets import ClassFile
    from dataset_tools.corpora.annotations.formats import ListOptions


def classes(
    terminal: Terminal,
    workspace: Workspace,
    options: ClassOptions,
    footage: FootageOptions,
    per_class: Annotated[int, typer.Option("--per-class", min=1, help="Clips required per class.")] = 50,
    draft_from: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Draft a class file from annotations: the N most frequent triplets, with N from --classes."
        ),
    ] = None,
    propose: Annotated[
        int | None,
        typer.Option(
            "--propose", min=1, help="Propose the N best supported classes that cover what the paper's classes cover."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Write the drafted or proposed class file here; an existing file is never overwritten."
        ),
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Count intervals, seconds, persons and dishes per class; draft a class file from annotations, or propose one.

    Example: fmn-data classes --from intervals.csv --classes 20 -o annotations/classes.yaml
    """
    from dataset_tools.build.opened_videos import source_cache, with_opened_videos
    from dataset_tools.classes.interval_counts import audit, support_table

    _check_given(options, footage, draft_from, propose, out)
    if draft_from is not None:
        _draft(terminal, draft_from, footage.read_with, options.count, out, dry_run=dry_run)
        return
    class_words = class_file_of(options.class_file, workspace, None if propose else options.count)
    if footage.would_draw_standin(workspace):
        raise _no_footage(workspace)
    corpus = footage.corpus(class_words, workspace, terminal, DEFAULT_JOBS, dry_run=dry_run)
    with source_cache(workspace, dry_run=dry_run) as cache:
        corpus = with_opened_videos(corpus, cache, jobs=DEFAULT_JOBS, progress=terminal.progress)
    warn_synthetic(terminal, corpus.standin is not None)
    for note in corpus.notes:
        terminal.say(f"  {note}")
    if propose is None:
        support = audit(corpus, class_words, per_class=per_class)
    else:
        from dataset_tools.classes.proposal import propose as find

        proposal = find(corpus, class_words, count=propose, per_class=per_class)
        support = proposal.support
        _show_proposal(terminal, proposal, out, dry_run=dry_run)
    terminal.say(support_table(support))
    terminal.result(
        {
            "dry_run": dry_run,
            "classes": [row.as_dict() for row in support],
            "stand_in": corpus.standin,
            "notes": list(corpus.notes),
        }
    )


def _check_given(
    options: ClassOptions, footage: FootageOptions, draft_from: Path | None, propose: int | None, out: Path | None
) -> None:
    """Refuses options that would have no effect, and a class file that would be overwritten.

    Raises:
        InputError: there are some.
    """
    if out is not None and draft_from is None and propose is None:
        source, file = (shlex.quote(str(path)) for path in (footage.own or "FILE", out))
        raise InputError(
            "--out names a class file, but none is drafted or proposed",
            where=out,
            expected="--from, or --propose",
            next_step=f"draft one with: fmn-data classes --from {source} --out {file}; or leave --out out",
        )
    main = "--propose"
    given: dict[str, object] = {"--classes": options.count if propose is not None else None}
    if draft_from is not None:
        main, given = "--from", {"--propose": propose, "--class-file": options.class_file, **footage.sources}
    if ignored := [option for option, value in given.items() if value is not None]:
        raise InputError(
            f"{main} does not use {' and '.join(ignored)}",
            where=", ".join(f"{option} {given[option]}" for option in ignored),
            expected="the annotations of --from only" if draft_from is not None else "the number of classes only once",
            next_step=f"leave {'it' if len(ignored) == 1 else 'them'} out",
        )
    if out is not None and out.exists():
        raise InputError(
            "The class file already exists, and may contain manual edits",
            where=out,
            expected="a new file",
            next_step="choose another name with --out, or move the file away",
        )


def _no_footage(workspace: Workspace) -> InputError:
    return InputError(
        "No footage is named, and this workspace has none",
        where=workspace.root,
        expected=f"--mpii DIR, --annotations FILE, --clips DIR, or {CORPUS_ENVIRONMENT}",
        next_step="name the footage; to count the classes of the synthetic corpus, render it first: "
        "fmn-data standin DIR, then fmn-data classes --mpii DIR",
    )


def _draft(
    terminal: Terminal, listing: Path, read_with: ListOptions, count: int | None, out: Path | None, *, dry_run: bool
) -> None:
    """Drafts a class file from annotations, without opening a video."""
    from dataset_tools.corpora.annotations.class_draft import draft_classes, draft_table
    from dataset_tools.corpora.annotations.footage_notes import note_on_guesses
    from dataset_tools.corpora.annotations.formats import read_intervals
    from dataset_tools.speech.sentences.generation import note_on_letters

    listed = read_intervals(listing, read_with)
    draft = draft_classes(listed, listing, count=count)
    notes = (*listed.notes, *note_on_guesses(listed.guessed))
    for note in notes:
        terminal.say(f"  {note}")
    terminal.say(draft_table(draft))
    for cluster in draft.clusters:
        terminal.say(f"  one word: {cluster}")
    if not draft.is_english:
        terminal.say("  Most words are not in the English dictionary: forms of one word (cut, cuts) were not joined.")
    letters = note_on_letters(draft.classes, "en")
    for note in letters:
        terminal.warn(note)
    if draft.left_out:
        belong = f"{count_of(len(listed.rows), 'interval')} belong{'s' * (draft.left_out == 1)}"
        terminal.say(f"  {draft.left_out:,} of {belong} to other triplets.")
    terminal.result(
        {
            "dry_run": dry_run,
            "classes": [row.as_dict() for row in draft.counts],
            "clusters": list(draft.clusters),
            "left_out": draft.left_out,
            "notes": [*notes, *letters],
        }
    )
    if out is None:
        terminal.say("Write the class file with -o annotations/classes.yaml.")
        return
    remarks = {row.class_id: count_of(row.intervals, "interval") for row in draft.counts}
    heading = f"Drafted by fmn-data classes --from {listing.name}."
    _write(terminal, draft.classes, out, heading, remarks, dry_run=dry_run)


def _write(
    terminal: Terminal, found: ClassFile, out: Path, heading: str, remarks: Mapping[str, str], *, dry_run: bool
) -> None:
    """Writes a class file, unless in a dry run, and prints that."""
    from dataset_tools.classes.writer import write_classes

    number = count_of(len(found.classes), "class", "classes")
    if dry_run:
        terminal.closing("dry run", f"{number} would be written", out)
        return
    write_classes(out, found, heading=heading, remarks=remarks)
    terminal.closing("classes", number, out)


def _show_proposal(terminal: Terminal, proposal: Proposal, out: Path | None, *, dry_run: bool) -> None:
    for sentence in proposal.uncovered:
        terminal.warn(sentence)
    if not proposal.proven:
        terminal.warn("the search ran out of time: there may be a better set")
    terminal.result({"uncovered": list(proposal.uncovered), "proven": proposal.proven})
    if out is not None:
        _write(terminal, proposal.classes, out, "Proposed by fmn-data classes --propose.", {}, dry_run=dry_run)
