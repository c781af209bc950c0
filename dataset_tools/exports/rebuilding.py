"""Rebuild from an export without media: builds the data set from the footage and compares it with the export."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dataset_tools.build.building import build_dataset, check_place
from dataset_tools.build.inputs import check_same_footage
from dataset_tools.build_record import BuildSummary, read_build, sha256_of_annotations
from dataset_tools.classes.reader import load_classes
from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of, write_bytes
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.shipped_files import shipped_file
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.corpus import Corpus
from dataset_tools.decisions.journal import read_reviews, reviews_path
from dataset_tools.exports.recipe import COMPARED, FOLDER, Recipe, read_recipe
from dataset_tools.last_build import LastBuild, read_last_build
from dataset_tools.manifests import ClipRow, UtteranceRow, read_rows
from dataset_tools.pairs.pair_assignment import PairOptions
from dataset_tools.pairs.pairing import make_pairs
from dataset_tools.speech.recordings.recording_rows import read_recordings

_SHOWN = 5


@dataclass(frozen=True)
class RebuildSummary:
    """Summary of a rebuild.

    Attributes:
        build: summary of the build.
        pairs: number of pairs; None: not known, in a dry run.
        differences: differences from the exported data set, one sentence each; none: the same bytes, or a dry run.
        missing: number of recorded utterances that are not in the export and cannot be rebuilt.
    """

    build: BuildSummary
    pairs: int | None
    differences: tuple[str, ...]
    missing: int

    def as_dict(self) -> dict[str, Any]:
        dry_run = self.build.dry_run
        return {**asdict(self), "same": None if dry_run else not self.differences, "dry_run": dry_run}


@dataclass(frozen=True)
class Rebuild:
    """An export to rebuild.

    Attributes:
        export: its folder.
        recipe: its recipe.
        classes: its class file.
        last: options of its build.
    """

    export: Path
    recipe: Recipe
    classes: ClassFile
    last: LastBuild

    def files(self, workspace: Workspace) -> dict[Path, Path]:
        """Files that the workspace needs from the export, by target: class file, decisions, recordings, consents."""
        source = self.export / FOLDER
        names = ["annotations/reviews.jsonl", "recordings/recordings.jsonl", "recordings/consents.jsonl"]
        names += sorted(path.relative_to(source).as_posix() for path in source.glob("speech/*.wav"))
        found = {workspace.root / name: source / name for name in names if (source / name).is_file()}
        class_file = source / self.recipe.class_file
        if sha256_of(class_file) != sha256_of(shipped_file("classes.yaml")):
            found[workspace.annotations / class_file.name] = class_file
        return found


def open_rebuild(export: Path | str, workspace: Workspace) -> Rebuild:
    """Reads the recipe of an export; writes nothing.

    Raises:
        InputError: there is no recipe, a file of the export cannot be read, or the workspace has a class file,
            decisions or recordings of its own.
    """
    export = Path(export)
    recipe, theirs = read_recipe(export), Workspace(export / FOLDER)
    last = read_last_build(theirs)
    read_reviews(reviews_path(theirs))  # damage is told before these files are copied
    read_recordings(theirs)
    rebuild = Rebuild(export, recipe, load_classes(export / FOLDER / recipe.class_file, last.classes), last)
    wanted = rebuild.files(workspace)
    own = [target for target, path in wanted.items() if target.exists() and sha256_of(target) != sha256_of(path)]
    foreign = (workspace.annotations / "reviews.jsonl", workspace.recordings / "recordings.jsonl")
    own += [path for path in foreign if path.exists() and path not in wanted]
    if own:
        raise InputError(
            f"The workspace has files of its own that differ from the export's: {own[0].name}",
            where=own[0],
            expected="a new workspace, or one in which this export was built before",
            next_step="choose another workspace: -w DIR",
        )
    return rebuild


def rebuild_dataset(
    workspace: Workspace,
    corpus: Corpus,
    rebuild: Rebuild,
    sentences: Sequence[Path | str],
    *,
    jobs: int = 1,
    dry_run: bool = False,
    progress: Progress = silent,
) -> RebuildSummary:
    """Cuts clips, synthesizes speech and pairs both as in the export, then compares the manifests and so all hashes.

    Args:
        workspace: workspace to build in; see `open_rebuild`.
        corpus: the footage.
        rebuild: the export.
        sentences: candidates for the sentence files that were used.
        jobs: number of processes.
        dry_run: make, compare and write nothing.
        progress: progress callback.

    Raises:
        InputError: the annotation file or a sentence file is not the one that was used, or the workspace has a data set
            of other footage; nothing was built.
        StoppedError: an external cause, such as a full disk, stopped it.
    """
    found = sha256_of_annotations(corpus.annotations.path)
    if found != rebuild.recipe.annotations_sha256:
        raise InputError(
            f"The annotation file is not that of the export: its SHA-256 is {found[:12]}…",
            where=corpus.annotations.path,
            expected=f"the one that the exported data set was built from, {rebuild.recipe.annotations_sha256[:12]}…",
            next_step="name the footage that the export was made from: --mpii DIR, or --annotations FILE",
        )
    options = rebuild.last.options_with(sentences)
    check_place(workspace, corpus)
    check_same_footage(workspace, corpus)
    if dry_run:
        with TemporaryDirectory() as folder:  # since the plan depends on the decisions and recordings of the export
            place = Workspace(Path(folder))
            classes = _with_files(place, rebuild, as_links=True)
            built = build_dataset(place, corpus, classes, options, jobs=jobs, dry_run=True, progress=progress)
        return RebuildSummary(built, None, (), rebuild.recipe.missing)
    classes = _with_files(workspace, rebuild)
    built = build_dataset(workspace, corpus, classes, options, jobs=jobs, progress=progress)
    split = rebuild.recipe.split
    pair_options = PairOptions(split=split.split, test_share=split.test_share, seed=split.seed, reviewed=split.reviewed)
    pairs = make_pairs(workspace, classes, pair_options, progress=progress)
    differences = tuple(_differences(workspace, rebuild))
    return RebuildSummary(built, pairs.pairs, differences, rebuild.recipe.missing)


def _with_files(workspace: Workspace, rebuild: Rebuild, *, as_links: bool = False) -> ClassFile:
    """Copies the export's files that the workspace lacks, or links to them; returns its class file."""
    wanted = rebuild.files(workspace)
    for target, path in wanted.items():
        if as_links:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path.absolute())
        elif not target.exists():
            write_bytes(target, path.read_bytes())
    own = workspace.annotations / rebuild.recipe.class_file
    return load_classes(own if own in wanted else shipped_file("classes.yaml"), rebuild.last.classes)


def _differences(workspace: Workspace, rebuild: Rebuild) -> Iterator[str]:
    recipe = rebuild.recipe
    theirs = Workspace(rebuild.export / FOLDER)
    changed = [name for name in COMPARED if sha256_of(workspace.manifests / name) != recipe.manifests.get(name)]
    if not changed:
        return
    built = read_build(workspace)
    here = built["sources"]
    for name, digest in recipe.sources.items():
        if here.get(name, digest) != digest:
            yield f"source video {name}: its SHA-256 is {here[name][:12]}…, in the export {digest[:12]}…"
    versions, used = built["versions"], read_build(theirs).get("versions", {})
    for name, version in versions.items():
        if used.get(name) != version:
            yield f"{name}: {version} here, {used.get(name)} in the export"
    for table, row_type in (("clips", ClipRow), ("utterances", UtteranceRow)):
        yield from _row_differences(table, _by_id(workspace, table, row_type), _by_id(theirs, table, row_type))
    yield f"these manifests differ: {', '.join(changed)}"


def _row_differences(table: str, here: dict[str, Any], theirs: dict[str, Any]) -> Iterator[str]:
    """Describes rows that are missing, additional, or differ in content or otherwise, with some ids of each."""
    both = here.keys() & theirs.keys()
    kinds: tuple[tuple[str, str, Callable[[], set[str]]], ...] = (
        ("is missing", "are missing", lambda: theirs.keys() - here.keys()),
        ("is not in the export", "are not in the export", lambda: here.keys() - theirs.keys()),
        (
            "has a different SHA-256",
            "have a different SHA-256",
            lambda: {one for one in both if here[one].sha256 != theirs[one].sha256},
        ),
        (
            "has a different row",
            "have a different row",
            lambda: {one for one in both if here[one] != theirs[one] and here[one].sha256 == theirs[one].sha256},
        ),
    )
    for has, have, find in kinds:
        ids = sorted(find())
        if ids:
            counted = count_of(len(ids), f"{table.removesuffix('s')} {has}", f"{table} {have}")
            yield f"{counted}: {', '.join(first_of(ids, _SHOWN))}"


def _by_id(workspace: Workspace, table: str, row_type: type[ClipRow] | type[UtteranceRow]) -> dict[str, Any]:
    return {row.id: row for row in read_rows(workspace.manifests / f"{table}.jsonl", row_type)}
