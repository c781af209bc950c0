"""Split record, manifests/split.json: options and counts of the train and test manifests, for verification."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from dataset_tools.core.errors import ManifestError
from dataset_tools.core.files import write_bytes
from dataset_tools.core.json_record import read_record, record_bytes
from dataset_tools.core.workspace import Workspace
from dataset_tools.pairs.splits import SplitName
from dataset_tools.speech.recordings.consents import Withdrawal

SPLIT_FILE = "split.json"


class SplitRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="schema", tag="fmn.split/1", omit_defaults=True):
    """manifests/split.json.

    Attributes:
        split, test_share, seed, reviewed: the options of `dataset_tools.pairs.pairing.PairOptions`.
        train, test: numbers of rows of the manifests.
        dropped: items on neither side, counted by reason.
        merged: ids of items with the same content, a list for each content; omitted if empty.
        withdrawn: tombstones of the speakers who withdrew their consent; omitted if empty.
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
    """Path of the record."""
    return workspace.manifests / SPLIT_FILE


def write_split(manifests: Path, record: SplitRecord) -> None:
    """Writes the record of the manifests in the same folder."""
    write_bytes(manifests / SPLIT_FILE, record_bytes(record))


def read_split(workspace: Workspace) -> SplitRecord | None:
    """Reads the record; returns None if there is none, as for manifests made elsewhere or by an earlier version.

    Raises:
        ManifestError: it cannot be read.
    """
    return read_record(
        split_path(workspace),
        SplitRecord,
        name="record of the split",
        expected="the JSON object that fmn-data pairs writes",
        next_step="run fmn-data pairs again",
        raises=ManifestError,
    )
