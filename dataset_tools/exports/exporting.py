"""Export of a data set: checks redistribution rights, then runs the writer of a format; a killed export resumes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dataset_tools.core.errors import InputError, StoppedError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import reviews_path
from dataset_tools.exports.card import NAME as CARD
from dataset_tools.exports.card import card
from dataset_tools.exports.dataset_facts import DatasetFacts, gather_facts
from dataset_tools.exports.exported_rows import ExportedRows, TableName
from dataset_tools.exports.item_sides import Split
from dataset_tools.exports.output_folder import OutputFolder
from dataset_tools.exports.planned_folder import PlannedFolder
from dataset_tools.exports.recipe import add_recipe, make_recipe
from dataset_tools.exports.registry import FormatOptions, find_format
from dataset_tools.exports.rights import check_rights, withheld_parts
from dataset_tools.exports.waiting_decisions import decisions_on, waiting_decisions

EXPORT_SCHEMA = "fmn.export/1"
MANIFESTS = ("build.json", "clips.jsonl", "pairs.jsonl", "split.json", "test.jsonl", "train.jsonl", "utterances.jsonl")


@dataclass(frozen=True)
class ExportSummary:
    """Summary of an export.

    Attributes:
        counts: rows by table and split.
        written: number of files written. kept: number of files that an earlier run had completed.
        withheld: parts that may not be redistributed without permission, one sentence each.
        missing: number of recorded utterances that an export without media leaves out; they cannot be rebuilt.
        is_standin: whether the footage is synthetic.
        waiting: clips and utterances with decisions of annotators that no build has applied yet.
        unknown: why it cannot be told whether a build has applied the decisions on speech; None if it can be.
        dry_run: whether nothing was written: ``written`` and ``kept`` are what an export would write and keep.
    """

    counts: Mapping[TableName, Mapping[Split, int]]
    written: int
    kept: int
    withheld: tuple[str, ...]
    missing: int
    is_standin: bool
    waiting: tuple[str, ...] = ()
    unknown: str | None = None
    dry_run: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def export_dataset(
    workspace: Workspace,
    format_name: str,
    folder: Path | str,
    *,
    options: FormatOptions | None = None,
    with_media: bool = True,
    allowed: Iterable[str] = (),
    dry_run: bool = False,
    progress: Progress = silent,
) -> ExportSummary:
    """Writes the clips, utterances and pairs of a data set into a folder, in the format of another library.

    After a kill at any point, the same call resumes and produces the same bytes.

    Args:
        workspace: workspace of the data set; nothing is written there.
        format_name: see `dataset_tools.exports.registry`.
        folder: empty, or with an export of the same data set.
        options: options of the format.
        with_media: whether clips and utterances are included; otherwise a rebuild recipe is.
        allowed: parts of `dataset_tools.exports.rights.PARTS` to include although they are withheld by default.
        dry_run: run all checks, including the hashes of the media, and count the files; write nothing.
        progress: progress callback, in rows read.

    Raises:
        InputError: the format is unknown, media may not be redistributed, the manifests are inconsistent, the folder
            has other content, or an export without media would have decisions that no build has applied.
        ManifestError: a row cannot be read, or a file does not match its row.
        StoppedError: the data set changed during the export, another export writes there, or the disk is full.
    """
    folder, options, allowed = Path(folder), options or FormatOptions(), frozenset(allowed)
    write = find_format(format_name)
    _check_folder(workspace, folder)
    before = _hashes(workspace)
    rows = ExportedRows(workspace, with_media=with_media, checks_media=dry_run, progress=progress)
    withheld = withheld_parts(rows)
    check_rights(rows, withheld, allowed)
    waiting, unknown = waiting_decisions(rows)
    if waiting and not with_media:
        raise _not_applied(workspace, waiting)
    recipe = None if with_media else make_recipe(rows)
    facts = gather_facts(rows, tuple(withheld), tuple(sorted({part.name for part in withheld} & set(allowed))))
    record = _record(facts, format_name, options.shard_bytes, before)
    with (PlannedFolder if dry_run else OutputFolder)(folder, record) as output:
        declared = write(rows, output, replace(options, facts=facts))
        output.add_text(CARD, card(facts, declared or {}))
        if recipe is not None:
            add_recipe(rows, output, recipe)
        if _hashes(workspace) != before:
            raise StoppedError(
                "The data set changed during the export",
                where=workspace.manifests,
                expected="manifests that do not change",
                next_step="remove the folder if it exists, then export again",
            )
    return ExportSummary(
        rows.counts,
        output.written,
        output.kept,
        withheld=tuple(part.text() for part in withheld),
        missing=0 if recipe is None else recipe.missing,
        is_standin=facts.is_standin,
        waiting=tuple(waiting),
        unknown=None if unknown is None else unknown.found,
        dry_run=dry_run,
    )


def _record(facts: DatasetFacts, format_name: str, shard_bytes: int, inputs: Mapping[str, str]) -> dict[str, Any]:
    """Returns the content of export.json: what the export is made from, how, and by which version."""
    stand_in = facts.built.get("stand_in")
    return {
        "schema": EXPORT_SCHEMA,
        "format": format_name,
        "media": facts.with_media,
        "shard_bytes": shard_bytes,
        "counts": facts.counts,
        "stand_in": stand_in and stand_in.get("notice", "made-up footage"),
        "licences": facts.built.get("licences", []),
        "allowed": facts.allowed,
        "inputs": inputs,
        "toolkit": _toolkit_version(),
    }


def _check_folder(workspace: Workspace, folder: Path) -> None:
    """Refuses the workspace's own folders, in which fmn-data clean and other commands remove files."""
    own = [workspace.annotations, workspace.manifests, workspace.clips, workspace.speech]
    own += [workspace.recordings, workspace.cache, workspace.runs]
    if any(folder.resolve().is_relative_to(one.resolve()) for one in own):
        raise InputError(
            "The folder belongs to the workspace, or is inside one that does",
            where=folder,
            expected="a new folder, in the workspace or elsewhere",
            next_step="choose another folder",
        )


def _not_applied(workspace: Workspace, waiting: list[str]) -> InputError:
    """Returns the error of a recipe with decisions that the data set does not reflect: a rebuild would apply them."""
    return InputError(
        decisions_on(waiting),
        where=reviews_path(workspace),
        expected="decisions that a build has applied: a rebuild applies them, so it would make another data set",
        next_step="run fmn-data build and fmn-data pairs, then export again",
    )


def _hashes(workspace: Workspace) -> dict[str, str]:
    """SHA-256 of each existing input file of the export; those of media files are in their rows."""
    paths = [workspace.manifests / name for name in MANIFESTS]
    paths += [workspace.recordings / name for name in ("recordings.jsonl", "consents.jsonl")]
    paths += [reviews_path(workspace), workspace.ledger]
    return {path.name: sha256_of(path) for path in paths if path.is_file()}


def _toolkit_version() -> str:
    try:
        return version("fmn-toolkit")
    except PackageNotFoundError:
        return "not installed"
