"""Manifests that are older than the data set, as after an import without `fmn-data pairs`, are told."""

from __future__ import annotations

from pathlib import Path

import msgspec

from dataset_tools.manifests import write_rows
from fmn.data.items import load_items
from fmn.data.outdated_items import notes_on_outdated


def test_items_that_the_data_set_no_longer_has_are_counted(workspace: Path) -> None:
    folder = workspace / "manifests"
    items = load_items(folder / "test.jsonl")
    for name in ("clips.jsonl", "utterances.jsonl"):
        (folder / name).unlink(missing_ok=True)
    assert list(notes_on_outdated(items)) == []
    reviewed, *clips = items.clips
    write_rows(folder / "clips.jsonl", [msgspec.structs.replace(reviewed, review="accept"), *clips])
    write_rows(folder / "utterances.jsonl", items.utterances)
    assert list(notes_on_outdated(items)) == []
    first, _, *others = items.utterances  # one is another recording, and one is gone
    write_rows(folder / "utterances.jsonl", [msgspec.structs.replace(first, sha256="0" * 64), *others])
    (note,) = notes_on_outdated(items)
    assert note.startswith("0 of the 12 clips and 2 of the 12 utterances of test.jsonl are no longer")
    (folder / "clips.jsonl").write_text("{}\n")  # fmn-data verify tells what is wrong with it
    assert list(notes_on_outdated(items)) == []
