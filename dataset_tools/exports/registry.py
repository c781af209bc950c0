"""Registry of export formats: built-in ones and those of other packages.

A new format is a function with the signature of `Writer`, registered as an entry point of an installed package::

    [project.entry-points."fmn.exports"]
    mine = "my_package.export:write"

After that, `fmn-data export mine DIR` finds it. The function passes each file to `OutputFolder.add`, in an order that
depends on the rows alone, and writes the same bytes for the same rows: resuming then needs no further code.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

from dataset_tools.core.entry_points import Extension, extension_names, find_extension
from dataset_tools.core.errors import InputError
from dataset_tools.exports.dataset_facts import DatasetFacts
from dataset_tools.exports.exported_rows import ExportedRows
from dataset_tools.exports.output_folder import OutputFolder

ENTRY_POINT_GROUP = "fmn.exports"
DEFAULT_SHARD_BYTES = 500_000_000


@dataclass(frozen=True)
class FormatOptions:
    """Options of a format.

    Attributes:
        shard_bytes: maximum size of a shard, if the format has shards; a larger sample gets a shard of its own.
        facts: facts about the data set; filled in by the export.
    """

    shard_bytes: int = DEFAULT_SHARD_BYTES
    facts: DatasetFacts | None = None


Writer = Callable[[ExportedRows, OutputFolder, FormatOptions], Mapping[str, Any] | None]
"""Writes every row into the folder; media only if ``ExportedRows.with_media`` is true.

Files of the folder exist only for the functions that are passed to `OutputFolder.add`, which a dry run does not call.
Returns entries of the format for the front matter of README.md, if any; that file is written afterwards.
"""

FORMATS = {
    "croissant": "dataset_tools.exports.formats.croissant",
    "csv": "dataset_tools.exports.formats.csv_tables",
    "huggingface": "dataset_tools.exports.formats.huggingface",
    "lhotse": "dataset_tools.exports.formats.lhotse",
    "mteb": "dataset_tools.exports.formats.mteb",
    "webdataset": "dataset_tools.exports.formats.webdataset",
}
"""Name of each built-in format, and the module whose function ``write`` is its `Writer`."""


def find_format(name: str) -> Writer:
    """Returns the writer of a format.

    Raises:
        InputError: there is no format of that name, or the package that provides it cannot be loaded.
    """
    if name in FORMATS:
        return cast("Writer", import_module(FORMATS[name]).write)
    extension = find_extension(ENTRY_POINT_GROUP, name)
    if extension is None:
        raise InputError(
            f"There is no export format {name!r}",
            expected="one of " + ", ".join([*FORMATS, *extension_names(ENTRY_POINT_GROUP)]),
            next_step=f"choose one, or install the package that provides it (entry point group {ENTRY_POINT_GROUP})",
        )
    return _writer(extension)


def _writer(extension: Extension) -> Writer:
    """Returns the writer of an extension, whose faults are then those of its package."""
    expected = "a function of rows, output folder and options that returns a mapping or None"
    write_rows = extension.load()
    with extension.blamed("cannot be used", expected), suppress(ValueError):  # code in C may have no signature
        inspect.signature(write_rows).bind(None, None, None)  # now: nothing has been written yet

    def write(rows: ExportedRows, output: OutputFolder, options: FormatOptions) -> Mapping[str, Any] | None:
        with extension.blamed("failed", expected):
            declared = write_rows(rows, output, options)
            if not isinstance(declared, Mapping | None):
                raise TypeError(f"it returned an object of the type {type(declared).__name__}")
        return declared

    return write
