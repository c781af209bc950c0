"""Leak check of a split before it is written: items, persons and voices on both sides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from dataset_tools.manifests import ClipRow, UtteranceRow
from dataset_tools.pairs.same_content import Content
from dataset_tools.pairs.sides import Sides
from dataset_tools.pairs.splits import SplitName


def find_leaks(
    clips: Mapping[str, ClipRow],
    utterances: Mapping[str, UtteranceRow],
    content: Content,
    sides: Sides,
    split: SplitName,
) -> tuple[str, ...]:
    """Returns what is on both sides: contents, clips and their descriptions; for ``person``, persons and voices."""
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    for clip_id, side in sides.clips.items():
        seen["interval", content.clips[clip_id]].add(side)
        if split == "person":
            seen["person", clips[clip_id].person].add(side)
        if split == "mpii":
            seen["sequence", f"{clips[clip_id].person}-{clips[clip_id].dish}"].add(side)
    for utterance_id, side in sides.utterances.items():
        utterance = utterances[utterance_id]
        seen["utterance", content.utterances[utterance_id]].add(side)
        if utterance.clip is not None:
            seen["interval", content.clips[utterance.clip]].add(side)
        if split == "person":
            seen["voice", utterance.voice].add(side)
    return tuple(f"{kind} {name}" for (kind, name), where in sorted(seen.items()) if len(where) > 1)
