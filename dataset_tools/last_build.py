"""How the data set of a workspace was built, according to its build record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from dataset_tools.build_record import BuildOptions, read_build
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.sentence_files import sentence_files


@dataclass(frozen=True)
class LastBuild:
    """How the data set was built, according to build.json.

    Attributes:
        options: all but the sentence files, whose paths are not recorded.
        classes: number of classes used.
        sentences: name of each sentence file, by SHA-256.
        annotation_options: options that the annotation file was read with (earlier versions did not record them).
        uses_all_classes: whether these were all classes of the class file (earlier versions did not record it: False).
    """

    options: BuildOptions
    classes: int
    sentences: Mapping[str, str]
    annotation_options: Mapping[str, Any]
    uses_all_classes: bool = False

    def options_with(self, sentences: Iterable[Path | str]) -> BuildOptions:
        """The options of that build; see `sentences_among`."""
        files = self.sentences_among(sentences, missing_ok=not self.options.speech)
        return replace(self.options, voices=replace(self.options.voices, sentences=files))

    def sentences_among(self, candidates: Iterable[Path | str], *, missing_ok: bool = False) -> tuple[Path, ...]:
        """Returns the sentence files of that build, recognized by their content.

        Raises:
            InputError: one of them is missing, or its content has changed.
        """
        found = {sha256_of(file): file for file in sentence_files(candidates) if file.is_file()}
        lacking = sorted(name for digest, name in self.sentences.items() if digest not in found)
        if lacking and not missing_ok:
            raise InputError(
                f"The last build used sentence files that are not available: {', '.join(lacking)}",
                where="manifests/build.json",
                expected="these files, with unchanged content",
                next_step="give them with --sentences, or "
                + (
                    "run fmn-data build, which takes those beside the footage"
                    if self.options.footage_sentences
                    else "do without: fmn-data build --no-sentences"
                ),
            )
        return tuple(found[digest] for digest in self.sentences if digest in found)

    def check_sentences(self, given: Iterable[Path]) -> None:
        """Checks that that build used the sentence files, or some of a folder: others would be ignored.

        Raises:
            InputError: it did not.
        """
        for path in given:
            if not any(file.is_file() and sha256_of(file) in self.sentences for file in sentence_files(path)):
                raise InputError(
                    "The last build did not use this sentence file" if path.exists() else "There is no such file",
                    where=f"--sentences {path}",
                    expected=f"a file with the content of {' or '.join(sorted(self.sentences.values()))}"
                    if self.sentences
                    else "no --sentences: that build used no sentence file",
                    next_step="leave it out; or, to use other sentences, run fmn-data build --sentences FILE",
                )


def read_last_build(workspace: Workspace) -> LastBuild:
    """Reads how the data set of a workspace was built.

    Raises:
        InputError: nothing was built here, or the record is of another version.
    """
    record = read_build(workspace)
    try:
        recorded = record["options"]
        sentences = {row["sha256"]: row["name"] for row in recorded["voices"]["sentences"]}
        recorded["voices"]["sentences"] = []
        count = recorded.pop("classes")
        reading = record.get("annotations", {}).get("options", {})
        return LastBuild(
            msgspec.convert(recorded, BuildOptions),
            count,
            sentences,
            reading,
            uses_all_classes=record.get("class_file", {}).get("classes") == count,
        )
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        raise InputError(
            "The options of the last build are not known",
            where=workspace.manifests / "build.json",
            expected="the record of a build in this workspace",
            next_step="run fmn-data build with the same options: it also retries just what failed",
        ) from error
