"""Whether the data set was changed after its pairs were made."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

import msgspec

from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.jsonl import numbered_lines
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import SPLIT_SIDES, ClipRow, UtteranceRow, paired_facts, read_rows
from dataset_tools.speech.recordings.consent_rows import barred_voices
from fmn.data.items import Items

_SHOWN = 3


class _Split(msgspec.Struct):
    """What is read of split.json: whether the pairs are of accepted items only."""

    reviewed: bool


class _Pair(msgspec.Struct):
    """What is read of a row of pairs.jsonl; unchecked, which takes a quarter of the time of a `PairRow`."""

    clip: str
    utterance: str


def outdated_pairs(items: Items) -> tuple[str, ...]:
    """Returns a caveat if clips.jsonl or utterances.jsonl beside the manifest were changed after its pairs were made.

    The rows are compared, not the times of the files, which copies do not keep. There is none if both agree, and if it
    cannot be known: the manifest is not one that `fmn-data pairs` writes, it is alone in its folder, or one beside it
    is unreadable (`fmn-data verify` names it).
    """
    folder = items.manifest.absolute().parent  # a link to the folder, as the workspace has it, is not followed
    if folder.name != "manifests" or items.manifest.stem not in SPLIT_SIDES:
        return ()
    try:
        clips = {row.id: row for row in read_rows(folder / "clips.jsonl", ClipRow)}
        is_barred = barred_voices(Workspace(folder.parent))  # `fmn-data pairs` leaves them out, too
        spoken = read_rows(folder / "utterances.jsonl", UtteranceRow)
        utterances = {row.id: row for row in spoken if row.source == "synthesized" or not is_barred(row.voice)}
        unpaired = _unpaired(folder, clips, utterances)
    except (InputError, OSError, ValueError, RecursionError, msgspec.DecodeError):
        return ()
    now, paired = _facts((*clips.values(), *utterances.values())), _facts((*items.clips, *items.utterances))
    older = sorted(name for name, facts in paired.items() if now.get(name) != facts)
    found = []
    if older:
        what = count_of(len(older), "clip or utterance", "clips or utterances")
        found.append(f"{what} of {items.manifest.name} changed or removed: {', '.join(first_of(older, _SHOWN))}")
    if unpaired:
        what = count_of(len(unpaired), "clip or utterance", "clips or utterances")
        found.append(f"{what} in no pair: {', '.join(first_of(unpaired, _SHOWN))}")
    if not found:
        return ()
    note = (
        f"{items.manifest.name} is older than clips.jsonl and utterances.jsonl beside it ({'; '.join(found)}). To use "
        f"the data set as it is now: fmn-data pairs --workspace {shlex.quote(str(folder.parent))}, and train into "
        "another --run"
    )
    return (note,)


def _facts(rows: Iterable[ClipRow | UtteranceRow]) -> dict[str, tuple[str | None, ...]]:
    return {row.id: paired_facts(row) for row in rows}


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
    decode = msgspec.json.Decoder(_Pair).decode
    for _, line in numbered_lines(folder / "pairs.jsonl"):
        pair = decode(line)
        wanted.discard(pair.clip)
        wanted.discard(pair.utterance)
    return sorted(wanted)
