"""The registry of export formats: built-in ones and those of other packages.

A new format is a function with the signature of `Writer` in an installed package, as an entry point of it::

    [project.entry-points."fmn.exports"]
    mine = "my_package.export:write"

After that `fmn-data export mine DIR` finds it. The function passes each file to `OutputFolder.add`, in an order that
depends on the rows alone, and writes the same bytes from the same rows: so it resumes without further ado.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, cast

from dataset_tools.core.errors import InputError
from dataset_tools.exports.dataset_facts import DatasetFacts
from dataset_tools.exports.exported_rows import ExportedRows
from dataset_tools.exports.output_folder import OutputFolder

ENTRY_POINT_GROUP = "fmn.exports"
DEFAULT_SHARD_BYTES = 500_000_000


@dataclass(frozen=True)
class FormatOptions:
    """What a format may be told.

    Attributes:
        shard_bytes: of a shard, at most, where the format has shards; a larger sample has one of its own.
        facts: what there is to say of the data set; the export fills it in.
    """

    shard_bytes: int = DEFAULT_SHARD_BYTES
    facts: DatasetFacts | None = None


Writer = Callable[[ExportedRows, OutputFolder, FormatOptions], Mapping[str, Any] | None]
"""Writes every row into the folder; media only where ``ExportedRows.with_media`` says so.

Gives what the front matter of README.md has to declare of the format, if anything: that file is written after it.
"""

FORMATS = {
    "croissant": "dataset_tools.exports.formats.croissant",
    "csv": "dataset_tools.exports.formats.csv_tables",
    "huggingface": "dataset_tools.exports.formats.huggingface",
    "lhotse": "dataset_tools.exports.formats.lhotse",
    "mteb": "dataset_tools.exports.formats.mteb",
    "webdataset": "dataset_tools.exports.formats.webdataset",
}
"""Name, and the module whose function ``write`` is the `Writer`."""


def find_format(name: str) -> Writer:
    """The format of a name.

    Raises:
        InputError: there is none, or it needs a package that is not installed.
    """
    found = {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
    if name in FORMATS:
        return cast("Writer", import_module(FORMATS[name]).write)
    if name not in found:
        raise InputError(
            f"There is no export format {name!r}",
            expected="one of " + ", ".join([*FORMATS, *sorted(found)]),
            next_step=f"choose one, or install the package that has it (entry point group {ENTRY_POINT_GROUP})",
        )
    return cast("Writer", found[name].load())
