"""Export of a data set: checks redistribution rights, then runs the writer of a format; resumes when killed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
from dataset_tools.exports.dataset_facts import gather_facts
from dataset_tools.exports.exported_rows import ExportedRows, TableName
from dataset_tools.exports.item_sides import Split
from dataset_tools.exports.output_folder import OutputFolder
from dataset_tools.exports.recipe import add_recipe, make_recipe
from dataset_tools.exports.registry import FormatOptions, find_format
from dataset_tools.exports.rights import check_rights, withheld_parts

EXPORT_SCHEMA = "fmn.export/1"
MANIFESTS = ("build.json", "clips.jsonl", "pairs.jsonl", "split.json", "test.jsonl", "train.jsonl", "utterances.jsonl")


@dataclass(frozen=True)
class ExportSummary:
    """What was exported.

    Attributes:
        counts: rows by table and split.
        written: files that were written. kept: those that an earlier run had completed.
        withheld: parts that may not be passed on without leave, a sentence each.
        missing: how many recorded utterances an export without media leaves out: they cannot be made again.
        is_standin: whether the footage is made up.
    """

    counts: Mapping[TableName, Mapping[Split, int]]
    written: int
    kept: int
    withheld: tuple[str, ...]
    missing: int
    is_standin: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def export_dataset(
    workspace: Workspace,
    format_name: str,
    folder: Path,
    *,
    options: FormatOptions | None = None,
    with_media: bool = True,
    allowed: Collection[str] = (),
    progress: Progress = silent,
) -> ExportSummary:
    """Writes the clips, utterances and pairs of a data set into a folder, in the format of another library.

    Killed at any moment, the same call continues and ends with the same bytes.

    Args:
        workspace: where the data set is; nothing is written there.
        format_name: see `dataset_tools.exports.registry`.
        folder: empty, or with an export of the same data set.
        options: of the format.
        with_media: whether clips and utterances go along; otherwise how to build them again does.
        allowed: parts of `dataset_tools.exports.rights.PARTS` that are passed on all the same.
        progress: is told how many rows were read.

    Raises:
        InputError: the format is not known, media may not be passed on, the manifests do not fit together, or there is
            something else in the folder.
        ManifestError: a row cannot be read, or a file is not what its row says.
        StoppedError: the data set changed meanwhile, another export writes there, or the disk is full.
    """
    options = options or FormatOptions()
    write = find_format(format_name)
    _check_folder(workspace, folder)
    before = _hashes(workspace)
    rows = ExportedRows(workspace, with_media=with_media, progress=progress)
    withheld = withheld_parts(rows)
    check_rights(rows, withheld, allowed)
    recipe = None if with_media else make_recipe(rows)
    facts = gather_facts(rows, tuple(withheld), tuple(sorted({part.name for part in withheld} & set(allowed))))
    built = facts.built
    stand_in = built.get("stand_in")
    record = {
        "schema": EXPORT_SCHEMA,
        "format": format_name,
        "media": with_media,
        "shard_bytes": options.shard_bytes,
        "counts": rows.counts,
        "stand_in": stand_in and stand_in.get("notice", "made-up footage"),
        "licences": built.get("licences", []),
        "allowed": facts.allowed,
        "inputs": before,
        "toolkit": _toolkit_version(),
    }
    with OutputFolder(folder, record) as output:
        declared = write(rows, output, replace(options, facts=facts))
        output.add_text(CARD, card(facts, declared or {}))
        if recipe is not None:
            add_recipe(rows, output, recipe)
        if _hashes(workspace) != before:
            raise StoppedError(
                "The data set was changed while it was exported",
                where=workspace.manifests,
                expected="manifests that stay as they are",
                next_step="remove the folder, then export again",
            )
    missing = 0 if recipe is None else recipe.missing
    texts = tuple(part.text() for part in withheld)
    return ExportSummary(rows.counts, output.written, output.kept, texts, missing, bool(stand_in))


def _check_folder(workspace: Workspace, folder: Path) -> None:
    """Refuses the folders of the data set itself, which fmn-data clean and other commands tidy up."""
    own = [workspace.annotations, workspace.manifests, workspace.clips, workspace.speech]
    own += [workspace.recordings, workspace.cache, workspace.runs]
    if any(folder.resolve().is_relative_to(one.resolve()) for one in own):
        raise InputError(
            "The folder belongs to the workspace, or is inside one that does",
            where=folder,
            expected="a new folder, of the workspace or elsewhere",
            next_step="name another folder",
        )


def _hashes(workspace: Workspace) -> dict[str, str]:
    """SHA-256 of each file that the export is made of, as far as it is there: of the media, their rows have it."""
    paths = [workspace.manifests / name for name in MANIFESTS]
    paths += [workspace.recordings / name for name in ("recordings.jsonl", "consents.jsonl")]
    paths += [reviews_path(workspace), workspace.ledger]
    return {path.name: sha256_of(path) for path in paths if path.is_file()}


def _toolkit_version() -> str:
    try:
        return version("fmn-toolkit")
    except PackageNotFoundError:
        return "not installed"
