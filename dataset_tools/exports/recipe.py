"""Rebuild recipe of an export without media: ``rebuild/``, read by ``fmn-data build --from-export``.

It holds ``recipe.json``, the manifests of clips and utterances, build.json, the class file, the annotators' decisions
(pseudonymized, without notes), and recordings whose speakers consented, since these cannot be rebuilt. Speakers are
identified by the voice name of the manifests, not by the name they gave. It has nothing of withheld voices, and no
tombstones. Footage, annotation file and sentence files are not included, only identified by their SHA-256.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from shutil import copyfile

import msgspec

from dataset_tools.build.inputs import known_class_file
from dataset_tools.build_record import read_build
from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.json_record import read_record, record_bytes
from dataset_tools.core.jsonl import Row, numbered_lines, write_jsonl
from dataset_tools.core.path_parts import FileName, Sha256
from dataset_tools.core.shipped_files import shipped_file
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import ReviewRow, read_reviews, reviews_path
from dataset_tools.decisions.verdicts import ACCEPTED
from dataset_tools.exports.exported_rows import ExportedRows, TableName
from dataset_tools.exports.output_folder import OutputFolder
from dataset_tools.last_build import LastBuild, read_last_build
from dataset_tools.manifests import ClipRow, UtteranceRow, read_rows
from dataset_tools.pairs.split_record import SplitRecord, read_split, split_path
from dataset_tools.speech.engines.registry import open_engine
from dataset_tools.speech.recordings.consent_rows import ConsentRow
from dataset_tools.speech.recordings.recording_rows import RecordingRow, listed_recordings

FOLDER = "rebuild"
COMPARED = ("clips.jsonl", "utterances.jsonl", "pairs.jsonl", "train.jsonl", "test.jsonl")
"""The manifests that a rebuild has to reproduce."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True, tag_field="schema", tag="fmn.recipe/1"):
    """rebuild/recipe.json.

    Attributes:
        manifests: SHA-256 of the manifests, by name (see `COMPARED`).
        sources: SHA-256 of the source videos, by name; empty if build.json is of a version that did not record them.
        class_file: its name in ``rebuild/``.
        annotations_sha256: SHA-256 of the annotation file of the footage.
        split: how the pairs were split.
        missing: number of recorded utterances left out because they may not be redistributed.
    """

    manifests: dict[str, Sha256]
    sources: dict[FileName, Sha256]
    class_file: FileName
    annotations_sha256: Sha256
    split: SplitRecord
    missing: int


def make_recipe(rows: ExportedRows) -> Recipe:
    """Returns the recipe of a data set; writes nothing.

    Raises:
        InputError: it is not recorded how the data set was built, spoken or split, its pairs are of other clips and
            utterances, or its class file is missing or has changed.
    """
    workspace = rows.workspace
    _check_speech(rows, read_last_build(workspace))
    split = read_split(workspace)
    if split is None:
        raise InputError(
            "It is not recorded how the pairs were split",
            where=split_path(workspace),
            expected="the record that fmn-data pairs writes",
            next_step="run fmn-data pairs again",
        )
    _check_pairs(rows, reviewed=split.reviewed)
    return Recipe(
        manifests={name: _sha256_as_written(workspace.manifests / name) for name in COMPARED},
        sources=read_build(workspace).get("sources", {}),
        class_file=_class_file(workspace).name,
        annotations_sha256=read_build(workspace)["annotations"]["sha256"],
        split=msgspec.structs.replace(split, withdrawn=()),
        missing=len(rows.withheld),
    )


def _sha256_as_written(manifest: Path) -> str:
    """Returns the SHA-256 that a manifest has without what editors add: a rebuild writes no byte order mark."""
    digest = hashlib.sha256()
    for _, line in numbered_lines(manifest):
        digest.update(line.strip() + b"\n")
    return digest.hexdigest()


def add_recipe(rows: ExportedRows, output: OutputFolder, recipe: Recipe) -> None:
    """Writes ``rebuild/`` into the folder of an export."""
    workspace = rows.workspace
    output.add_text(f"{FOLDER}/recipe.json", record_bytes(recipe).decode())
    built = {**read_build(workspace), "failures": []}  # failures may name withheld voices
    output.add_text(f"{FOLDER}/manifests/build.json", record_bytes(built).decode())
    for table in ("clips", "utterances"):
        output.add(f"{FOLDER}/manifests/{table}.jsonl", partial(_write_table, rows, table))
    output.add(f"{FOLDER}/{recipe.class_file}", partial(copyfile, _class_file(workspace)))
    recordings = listed_recordings(workspace)
    withheld = {row.id for row in recordings if row.utterance.voice not in rows.voices} | rows.withheld
    reviews = _pseudonymous(_without_speech(read_reviews(reviews_path(workspace)), withheld))
    if reviews:
        lines = "".join(f"{msgspec.json.encode(row).decode()}\n" for row in reviews)
        output.add_text(f"{FOLDER}/annotations/reviews.jsonl", lines)
    _add_recordings(rows, output, recordings)


def read_recipe(export: Path) -> Recipe:
    """Reads the recipe of an export.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    path = export / FOLDER / "recipe.json"
    recipe = read_record(
        path,
        Recipe,
        name="rebuild recipe",
        expected="what fmn-data export --no-media writes",
        next_step="check the export against its SHA256SUMS: sha256sum -c SHA256SUMS",
    )
    if recipe is None:
        raise InputError(
            "There is no rebuild recipe",
            where=path,
            expected="the folder of an export without media",
            next_step="ask for an export that was made with: fmn-data export FORMAT DIR --no-media",
        )
    return recipe


def _check_speech(rows: ExportedRows, last: LastBuild) -> None:
    """Raises an InputError if synthesized utterances were not made as recorded.

    ``build --no-speech`` keeps those of earlier commands, and versions before 0.2.0 did not record those of
    ``speech synthesize``. Language, engine and augmentation are compared; a seed leaves no trace in the rows.
    """
    voices = last.options.voices if last.options.speech else None
    engine = None if voices is None else _name_of(voices.engine)
    spoken = [one.row for one in rows.read("utterances") if isinstance(one.row, UtteranceRow)]
    others = [
        row
        for row in spoken
        if row.source == "synthesized"
        and (
            voices is None
            or row.language != voices.language
            or (engine is not None and not f"{row.engine} ".startswith(f"{engine} "))
            or (row.augmented is not msgspec.UNSET and not voices.augment)
        )
    ]
    if others:
        raise InputError(
            f"It is not recorded how {count_of(len(others), 'utterance was', 'utterances were')} synthesized:"
            " build.json tells of "
            + (
                "no synthesis"
                if voices is None
                else f"descriptions in the language {voices.language!r}, by {voices.engine}"
                + ("" if voices.augment else ", without augmented copies")
            ),
            where=rows.workspace.manifests / "utterances.jsonl",
            expected="utterances as the last fmn-data build or fmn-data speech synthesize makes them",
            next_step="run fmn-data speech synthesize and fmn-data pairs again",
        )


def _check_pairs(rows: ExportedRows, *, reviewed: bool) -> None:
    """Raises an InputError if there are not as many pairs as a rebuild makes of the clips and utterances.

    Those of the pairs themselves are compared when they are read (`ExportedRows`).
    """
    clips: Counter[str] = Counter()
    utterances: Counter[str] = Counter()
    accepted = set()
    for clip in (one.row for one in rows.read("clips")):
        if isinstance(clip, ClipRow) and not (reviewed and clip.review not in ACCEPTED):
            clips[clip.class_id] += 1
            accepted |= {clip.id} if reviewed else set()
    for spoken in (one.row for one in rows.read("utterances")):
        if isinstance(spoken, UtteranceRow):
            is_accepted = spoken.review == "accept" and (spoken.clip is None or spoken.clip in accepted)
            utterances[spoken.class_id] += is_accepted or not reviewed
    expected = sum(number * utterances[class_id] for class_id, number in clips.items())
    found = sum(rows.counts["pairs"].values())
    if found != expected:
        raise InputError(
            f"The pairs are not those of the present clips and utterances: there are {found:,}",
            where=rows.workspace.manifests / "pairs.jsonl",
            expected=f"{count_of(expected, 'pair')}, as a rebuild makes them",
            next_step="run fmn-data pairs again, then export again",
        )


def _name_of(engine: str) -> str | None:
    """Returns the name that the rows have of an engine; None if it is not installed here."""
    try:
        return open_engine(engine).name
    except InputError:
        return None


def _class_file(workspace: Workspace) -> Path:
    """Returns the class file of the build; raises an InputError if it is missing or has changed."""
    recorded = read_build(workspace).get("class_file") or {}
    path = known_class_file(workspace) or shipped_file("classes.yaml")
    if recorded.get("sha256") != sha256_of(path):
        raise InputError(
            "The class file is not the one that the data set was built with",
            where=path,
            expected=f"the content with the SHA-256 {str(recorded.get('sha256'))[:12]}… of manifests/build.json",
            next_step="run fmn-data build and fmn-data pairs again",
        )
    return path


def _write_table(rows: ExportedRows, table: TableName, path: Path) -> None:
    write_jsonl(path, (one.row for one in rows.rows(table)))


def _without_speech(reviews: list[ReviewRow], withheld: Collection[str]) -> list[ReviewRow]:
    """Returns the decisions without those on withheld utterances, and without the sentences shown beside these."""
    replace = msgspec.structs.replace
    beside = {row.source[:2] for row in reviews if row.id in withheld}
    return [
        replace(row, shown=replace(row.shown, sentence="")) if row.source[:2] in beside else row
        for row in reviews
        if row.id not in withheld
    ]


def _pseudonymous(reviews: list[ReviewRow]) -> list[ReviewRow]:
    """Returns decisions without annotator names, notes, lead times and server; pseudonyms keep the order of names."""
    names = {name: f"annotator-{n:04d}" for n, name in enumerate(sorted({row.annotator for row in reviews}), start=1)}
    replace = msgspec.structs.replace
    return [
        replace(
            row,
            annotator=names[row.annotator],
            note=None,
            lead_time_s=None,
            label_studio=replace(row.label_studio, server=None),
        )
        for row in reviews
    ]


def _add_recordings(rows: ExportedRows, output: OutputFolder, recordings: Sequence[RecordingRow]) -> None:
    """Adds the recordings as in the data set (not the original files), their rows and their speakers' consents."""
    ids = {row.id for row in recordings}
    used = {exported.row.id: exported for exported in rows.rows("utterances") if exported.row.id in ids}
    passed_on = [
        msgspec.structs.replace(row, name="", speaker_name=msgspec.UNSET) for row in recordings if row.id in used
    ]
    if not passed_on:
        return
    voices = {row.utterance.voice for row in passed_on}
    path = rows.workspace.recordings / "consents.jsonl"
    consents = read_rows(path, ConsentRow, missing_ok=True)
    _add_rows(output, "recordings/recordings.jsonl", passed_on)
    _add_rows(
        output,
        "recordings/consents.jsonl",
        [msgspec.structs.replace(row, name=row.id) for row in consents if row.id in voices],
    )
    for exported in used.values():
        rows.copy_media(exported, output, f"{FOLDER}/speech/{exported.row.id}.wav")


def _add_rows(output: OutputFolder, name: str, rows: Sequence[Row]) -> None:
    def write(path: Path) -> None:
        write_jsonl(path, rows)

    output.add(f"{FOLDER}/{name}", write)
