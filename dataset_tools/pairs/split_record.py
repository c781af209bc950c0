"""Split record, manifests/split.json: how the train and test manifests were made, for verification."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from dataset_tools.core.errors import ManifestError
from dataset_tools.core.files import write_bytes
from dataset_tools.core.workspace import Workspace
from dataset_tools.pairs.splits import SplitName
from dataset_tools.speech.consents import Withdrawal

SPLIT_FILE = "split.json"


class SplitRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="schema", tag="fmn.split/1", omit_defaults=True):
    """manifests/split.json.

    Attributes:
        split, test_share, seed, reviewed: the options of `dataset_tools.pairs.pairing.PairOptions`.
        train, test: how many rows the manifests have.
        dropped: items on neither side, counted by reason.
        merged: ids of the items that are one content under several names, a list for each; left out if none.
        withdrawn: the speakers who withdrew their consent, as tombstones name them; left out if none.
    """

    split: SplitName
    test_share: float
    seed: int
    reviewed: bool
    train: int
    test: int
    dropped: Mapping[str, int]
    merged: tuple[tuple[str, ...], ...] = ()
    withdrawn: tuple[Withdrawal, ...] = ()


def split_path(workspace: Workspace) -> Path:
    """The path of the record."""
    return workspace.manifests / SPLIT_FILE


def write_split(manifests: Path, record: SplitRecord) -> None:
    """Writes the record of the manifests that were just written to this folder."""
    write_bytes(manifests / SPLIT_FILE, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")


def read_split(workspace: Workspace) -> SplitRecord | None:
    """The record, or None where there is none: manifests made elsewhere, or by an earlier version.

    Raises:
        ManifestError: it cannot be read.
    """
    path = split_path(workspace)
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=SplitRecord)
    except (ValueError, RecursionError) as error:
        raise ManifestError(
            f"The record of the split cannot be read: {error}",
            where=path,
            expected="the JSON object that fmn-data pairs writes",
            next_step="run fmn-data pairs again",
        ) from error
