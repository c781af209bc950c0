"""Whether the data set was changed after its pairs were made."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

import msgspec

from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.core.errors import InputError
from dataset_tools.manifests import ClipRow, PairRow, UtteranceRow, paired_facts, read_rows
from fmn.data.items import Items

_SHOWN = 3


class _Split(msgspec.Struct):
    """What is read of split.json: whether the pairs are of accepted items only."""

    reviewed: bool


def outdated_pairs(items: Items) -> str | None:
    """Returns a warning if clips.jsonl or utterances.jsonl beside the manifest were changed after its pairs were made.

    The rows are compared, not the times of the files, which copies do not keep. None if both agree, and if it cannot be
    known: the manifest is alone in its folder, or one beside it is unreadable (`fmn-data verify` names it).
    """
    folder = items.manifest.parent
    try:
        clips = {row.id: row for row in read_rows(folder / "clips.jsonl", ClipRow)}
        utterances = {row.id: row for row in read_rows(folder / "utterances.jsonl", UtteranceRow)}
        unpaired = _unpaired(folder, clips, utterances)
    except InputError:
        return None
    now, paired = _facts(clips.values(), utterances.values()), _facts(items.clips, items.utterances)
    older = sorted(name for name, facts in paired.items() if now.get(name) != facts)
    found = []
    if older:
        what = count_of(len(older), "clip or utterance", "clips or utterances")
        found.append(f"{what} of {items.manifest.name} changed or removed: {', '.join(first_of(older, _SHOWN))}")
    if unpaired:
        what = count_of(len(unpaired), "clip or utterance", "clips or utterances")
        found.append(f"{what} in no pair: {', '.join(first_of(unpaired, _SHOWN))}")
    if not found:
        return None
    return (
        f"{items.manifest.name} is older than clips.jsonl and utterances.jsonl beside it ({'; '.join(found)}). To use "
        f"the data set as it is now: fmn-data pairs --workspace {shlex.quote(str(folder.parent))}, and train into "
        "another --run"
    )


def _facts(clips: Iterable[ClipRow], utterances: Iterable[UtteranceRow]) -> dict[str, tuple[str | None, ...]]:
    facts = {row.id: paired_facts(row) for row in clips}
    return facts | {row.id: paired_facts(row) for row in utterances}


def _unpaired(folder: Path, clips: dict[str, ClipRow], utterances: dict[str, UtteranceRow]) -> list[str]:
    """Ids of items that pairs.jsonl lacks, although there are others to pair them with."""
    try:
        split = msgspec.json.decode((folder / "split.json").read_bytes(), type=_Split)
    except (OSError, msgspec.DecodeError):  # made elsewhere: by which rule is not known
        return []
    if split.reviewed or not (folder / "pairs.jsonl").is_file():
        return []
    classes = {row.class_id for row in clips.values()} & {row.class_id for row in utterances.values()}
    wanted = {name for name, row in (*clips.items(), *utterances.items()) if row.class_id in classes}
    for pair in read_rows(folder / "pairs.jsonl", PairRow):
        wanted.discard(pair.clip)
        wanted.discard(pair.utterance)
    return sorted(wanted)
