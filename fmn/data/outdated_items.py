"""Items of a manifest that are no longer those of the data set: it was built or changed after `fmn-data pairs`."""

from __future__ import annotations

from collections.abc import Iterator

from dataset_tools.core.errors import ManifestError
from dataset_tools.manifests import ClipRow, UtteranceRow, facts_of, read_rows
from fmn.data.items import Items


def notes_on_outdated(items: Items) -> Iterator[str]:
    """Yields the caveat of items that the data set does not have, or has with other content, class, person or voice.

    A manifest outside of the workspace's manifests/ is not compared, nor one beside clips.jsonl or utterances.jsonl
    that are missing or cannot be read, which `fmn-data verify` reports: results do not depend on them.
    """
    folder = items.workspace / "manifests"
    clips, utterances = folder / "clips.jsonl", folder / "utterances.jsonl"
    if items.manifest.resolve().parent != folder.resolve() or not (clips.is_file() and utterances.is_file()):
        return
    try:
        known = {row.id: facts_of(row) for row in read_rows(clips, ClipRow)}
        known |= {row.id: facts_of(row) for row in read_rows(utterances, UtteranceRow)}
    except ManifestError:
        return
    other = [sum(known.get(row.id) != facts_of(row) for row in rows) for rows in (items.clips, items.utterances)]
    if any(other):
        yield (
            f"{other[0]:,} of the {len(items.clips):,} clips and {other[1]:,} of the {len(items.utterances):,} "
            f"utterances of {items.manifest.name} are no longer those of the data set, which has changed since "
            "fmn-data pairs: run it again."
        )
