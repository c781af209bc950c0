"""Items of one data set that are also in another, by id or by content."""

from __future__ import annotations

from collections.abc import Sequence, Set

from dataset_tools.manifests import ClipRow, UtteranceRow


def known_items(
    clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow], known_clips: Set[str], known_utterances: Set[str]
) -> str:
    """Counts the items that are known by their id or by their content, which copies under other ids share.

    Args:
        clips: clips to look for.
        utterances: utterances to look for.
        known_clips: ids and SHA-256 digests of known clips.
        known_utterances: ids and SHA-256 digests of known utterances.

    Returns:
        Such as "3 of the 12 clips and 0 of the 12 utterances"; empty if no item is known.
    """
    parts: tuple[tuple[Sequence[ClipRow | UtteranceRow], Set[str], str], ...] = (
        (clips, known_clips, "clips"),
        (utterances, known_utterances, "utterances"),
    )
    counts = [sum(row.id in known or row.sha256 in known for row in rows) for rows, known, _ in parts]
    if not any(counts):
        return ""
    return " and ".join(
        f"{count} of the {len(rows)} {name}" for count, (rows, _, name) in zip(counts, parts, strict=True) if rows
    )
