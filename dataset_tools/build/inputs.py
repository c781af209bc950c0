"""Remembered build inputs, workspace.json: the footage, class file and sentence files of a workspace.

The record holds their paths, relative to the workspace if they lie in it, so that a copy of the workspace uses its own.
Their content is recorded in build.json, which has no paths; without this record, a build must name its footage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from dataset_tools.build_record import read_build, sha256_of_annotations
from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of, write_bytes
from dataset_tools.core.json_record import read_record, record_bytes
from dataset_tools.core.shipped_files import shipped_file
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.annotations.formats import ListOptions
from dataset_tools.corpora.annotations.own_footage import OwnCorpus
from dataset_tools.corpora.corpus import Corpus
from dataset_tools.corpora.mpii.mpii_corpus import STANDIN_NAME, find_mat

INPUTS_SCHEMA = "fmn.inputs/1"
Kind = Literal["annotations", "mpii", "standin"]
_NAMES: dict[Kind, str] = {
    "annotations": "your own footage (--annotations)",
    "mpii": "MPII Cooking 2 (--mpii)",
    "standin": "the synthetic (stand-in) corpus",
}


class Footage(msgspec.Struct, frozen=True):
    """Location of footage.

    Attributes:
        path: the annotation file of the user's own footage, else the folder of the corpus.
        read_with: options for reading the annotation file.
    """

    kind: Kind
    path: str
    videos: str | None = None
    read_with: ListOptions = ListOptions()


class Inputs(msgspec.Struct, frozen=True):
    """Inputs of a workspace's build; ``class_file`` is None if it is the workspace's own or the shipped one."""

    schema: str
    footage: Footage
    class_file: str | None = None
    sentences: tuple[str, ...] = ()


def drawn_standin(workspace: Workspace) -> Path:
    """Returns the folder of the synthetic corpus that is generated if no footage is named."""
    return workspace.cache / "standin"


def own_class_file(workspace: Workspace) -> Path:
    """Returns the path of the workspace's own class file, which need not exist."""
    return workspace.annotations / "classes.yaml"


def remember_inputs(workspace: Workspace, corpus: Corpus, classes: ClassFile, sentences: Iterable[Path] = ()) -> None:
    """Writes workspace.json."""
    videos = _stored_path(corpus.root, workspace) if corpus.is_own else None
    read_with = corpus.read_with if isinstance(corpus, OwnCorpus) else ListOptions()
    footage = Footage(_kind(corpus), _stored_path(_place(corpus), workspace), videos, read_with)
    usual = {shipped_file("classes.yaml").resolve(), own_class_file(workspace).resolve()}
    class_file = None if classes.path.resolve() in usual else _stored_path(classes.path, workspace)
    files = tuple(_stored_path(path, workspace) for path in sentences)
    _write(workspace, Inputs(INPUTS_SCHEMA, footage, class_file, files))


def remember_sentences(workspace: Workspace, sentences: Iterable[Path]) -> None:
    """Replaces the sentence files in workspace.json, if that exists."""
    if (inputs := _stored(workspace)) is not None:
        files = tuple(_stored_path(path, workspace) for path in sentences)
        _write(workspace, msgspec.structs.replace(inputs, sentences=files))


def _write(workspace: Workspace, inputs: Inputs) -> None:
    write_bytes(workspace.root / "workspace.json", record_bytes(inputs))
    _former_record(workspace).unlink(missing_ok=True)


def read_inputs(workspace: Workspace) -> Inputs | None:
    """Returns the inputs of the workspace's last build, with resolved paths; None if nothing is recorded.

    Raises:
        InputError: the record cannot be read.
    """
    inputs = _stored(workspace)
    if inputs is None:
        return None
    root, footage = workspace.root, inputs.footage
    videos = None if footage.videos is None else str(root / footage.videos)
    class_file = None if inputs.class_file is None else str(root / inputs.class_file)
    found = Footage(footage.kind, str(root / footage.path), videos, footage.read_with)
    return Inputs(inputs.schema, found, class_file, tuple(str(root / path) for path in inputs.sentences))


def _stored(workspace: Workspace) -> Inputs | None:
    places = (workspace.root / "workspace.json", _former_record(workspace))
    return read_record(
        next((place for place in places if place.is_file()), places[0]),
        Inputs,
        name="record of the workspace's inputs",
        expected=f"the JSON object of schema {INPUTS_SCHEMA} that fmn-data build writes",
        next_step="move it elsewhere, and name the footage and the class file in the next build",
        check=_check_schema,
    )


def _check_schema(inputs: Inputs) -> None:
    if inputs.schema != INPUTS_SCHEMA:
        raise ValueError(f"`schema`: found {inputs.schema!r}")


def known_sentences(workspace: Workspace) -> tuple[Path, ...]:
    """Returns the sentence files of the last build, as far as their paths are recorded; they need not exist."""
    inputs = read_inputs(workspace)
    return () if inputs is None else tuple(Path(path) for path in inputs.sentences)


def with_remembered_options(workspace: Workspace, named: Footage) -> Footage:
    """Returns the named footage; if it is that of the last build, with the last build's values for missing options.

    It is recognized by its path or, if it or the workspace was moved, by the content of its annotation file.

    Raises:
        InputError: a record cannot be read.
    """
    if not _is_of_build(workspace, named.kind, Path(named.path), Path(named.path)):
        return named
    inputs = read_inputs(workspace)
    if inputs is None or inputs.footage.kind != named.kind:
        recorded = (read_build(workspace).get("annotations") or {}).get("options", {})
        return msgspec.structs.replace(named, read_with=completed(named.read_with, recorded_options(recorded)))
    last = inputs.footage
    videos = named.videos or _videos_of(last, named)
    return Footage(named.kind, named.path, videos, completed(named.read_with, last.read_with))


def completed(given: ListOptions, others: ListOptions) -> ListOptions:
    """Returns the given options, with unset ones taken from the others."""
    values = {name: value for name, value in msgspec.structs.asdict(given).items() if value is not None}
    return msgspec.structs.replace(others, **values)


def recorded_options(recorded: Mapping[str, Any]) -> ListOptions:
    """Returns the options of the annotation file that build.json records.

    Raises:
        InputError: the recorded values are not valid options.
    """
    try:
        return msgspec.convert(dict(recorded), ListOptions)
    except msgspec.ValidationError as error:
        raise InputError(
            f"The recorded options of the annotation file cannot be used: {error}",
            where="manifests/build.json",
            expected=f"values of {', '.join(ListOptions.__struct_fields__)}",
            next_step="ask for another copy: this build.json was not written by fmn-data build",
        ) from error


def _videos_of(last: Footage, named: Footage) -> str | None:
    """Returns the last build's video folder: where it would be if moved with the annotations, if that exists."""
    if last.videos is None:
        return None
    is_folder = Path(named.path).is_dir()
    before, now = (Path(path) if is_folder else Path(path).parent for path in (last.path, named.path))
    videos = Path(last.videos)
    moved = now / videos.relative_to(before) if videos.is_relative_to(before) else videos
    return str(moved) if moved.is_dir() else last.videos


def is_footage_of_build(workspace: Workspace, footage: Footage | None) -> bool:
    """Whether the data set was built from this footage; None: the synthetic corpus that is drawn in the workspace.

    Raises:
        InputError: a record cannot be read, or a folder of MPII Cooking 2 has no annotation file.
    """
    if footage is None:
        return built_from(workspace) == "standin"
    place = Path(footage.path)
    if footage.kind == "annotations":
        return _is_of_build(workspace, footage.kind, place, place)
    kind: Kind = "standin" if (place / STANDIN_NAME).is_file() else "mpii"
    return _is_of_build(workspace, kind, place, find_mat(place))


def _is_of_build(workspace: Workspace, kind: Kind, place: Path, annotations: Path) -> bool:
    """Whether the data set was built from this footage: the same path, or the same annotation file.

    Annotation files are compared by content or, if no path is recorded, by name.
    """
    if built_from(workspace) != kind:
        return False
    inputs, recorded = read_inputs(workspace), read_build(workspace).get("annotations") or {}
    if inputs is not None and Path(inputs.footage.path).resolve() == place.resolve():
        return True
    if inputs is None and annotations.name and annotations.name == recorded.get("name"):
        return True
    return annotations.exists() and sha256_of_annotations(annotations) == recorded.get("sha256")


def known_footage(workspace: Workspace, corpus_root: Path | None) -> Footage | None:
    """Returns the footage of a build that names none: that of the last build, else ``corpus_root``.

    Returns:
        The footage; None: generate the synthetic corpus in the workspace (`drawn_standin`), which holds no other data.

    Raises:
        InputError: the footage of the last build does not exist, or its path is not known.
    """
    inputs = read_inputs(workspace)
    footage = None if inputs is None else inputs.footage
    drawn = drawn_standin(workspace)
    is_drawn = drawn.is_dir() if footage is None else Path(footage.path) == drawn
    if footage is not None and not is_drawn and Path(footage.path).exists():
        return footage
    kind = built_from(workspace) if footage is None else footage.kind
    if corpus_root is not None and kind != "annotations":
        return Footage("mpii", str(corpus_root))
    if (kind == "standin" and is_drawn) or (kind is None and not _has_data(workspace)):
        return None
    raise InputError(
        "The workspace holds a data set whose footage is not known"
        if kind is None
        else f"The data set was built from {_NAMES[kind]}, "
        + ("whose path is not recorded" if footage is None else "which no longer exists"),
        where=workspace.root if footage is None else footage.path,
        expected="the footage that the data set was built from",
        next_step=f"name it: --{'annotations FILE' if kind == 'annotations' else 'mpii DIR'};"
        " or name another workspace: -w DIR",
    )


def built_from(workspace: Workspace) -> Kind | None:
    """Returns the kind of footage that build.json records; None if nothing was built."""
    record = read_build(workspace)
    if not record:
        return None
    return "annotations" if record.get("own_footage") else "standin" if record.get("stand_in") else "mpii"


def check_same_footage(workspace: Workspace, corpus: Corpus) -> None:
    """Checks that a build does not replace a data set of other footage; one of the synthetic corpus may be replaced.

    Footage is the same if its path or the content of its annotation file is: it may be edited, or moved. If no path is
    recorded, the file name is compared instead.

    Raises:
        InputError: the data set in the workspace was built from other footage.
    """
    built = built_from(workspace)
    if built is None or built == "standin":
        return
    if _is_of_build(workspace, _kind(corpus), _place(corpus), corpus.annotations.path):
        return
    inputs, recorded = read_inputs(workspace), read_build(workspace).get("annotations") or {}
    known = recorded.get("name") if inputs is None else inputs.footage.path
    place = f": {known}" if known else ""
    raise InputError(
        f"The data set was built from {_NAMES[built]}{place}, not from {_NAMES[_kind(corpus)]}: {_place(corpus)}",
        where=workspace.root,
        expected="the footage that the data set was built from",
        next_step="name another workspace with -w DIR; or, to replace this data set, run fmn-data build with the same "
        "options and --replace-footage",
    )


def known_class_file(workspace: Workspace) -> Path | None:
    """Returns the default class file of a command: that of the last build, else the workspace's; None: the shipped one.

    Raises:
        InputError: the class file of the last build no longer exists, or its path is not recorded.
    """
    own = own_class_file(workspace)
    usual = own if own.is_file() else None
    inputs = read_inputs(workspace)
    recorded = read_build(workspace).get("class_file") or {}
    path = Path(inputs.class_file) if inputs is not None and inputs.class_file is not None else None
    if path is not None and path.is_file():
        return path
    if path is None and (inputs is not None or recorded.get("name", own.name) == own.name):
        return usual
    if usual is not None and recorded.get("sha256") == sha256_of(usual):
        return usual
    raise InputError(
        "The path of the class file of the last build is not recorded"
        if path is None
        else "The class file of the last build no longer exists",
        where=path or recorded["name"],
        expected="the class file that the data set was built with",
        next_step=f"name it with --class-file, or copy it to {own}",
    )


def is_class_file_of_build(workspace: Workspace, classes: ClassFile) -> bool:
    """Whether a class file has the content that the data set was built with; True if that is not recorded."""
    recorded = read_build(workspace).get("class_file") or {}
    return recorded.get("sha256") in (None, sha256_of(classes.path))


def _former_record(workspace: Workspace) -> Path:
    """Where unreleased versions wrote the record; a cache may be deleted."""
    return workspace.cache / "inputs.json"


def _has_data(workspace: Workspace) -> bool:
    manifests = [workspace.manifests / name for name in ("clips.jsonl", "utterances.jsonl")]
    return any(path.exists() for path in (workspace.ledger, *manifests))


def _kind(corpus: Corpus) -> Kind:
    return "annotations" if corpus.is_own else "mpii" if corpus.standin is None else "standin"


def _place(corpus: Corpus) -> Path:
    return corpus.annotations.path if corpus.is_own else corpus.root


def _stored_path(path: Path, workspace: Workspace) -> str:
    absolute, root = path.resolve(), workspace.root.resolve()
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else str(absolute)
