"""Query files: checks and post-processing of recordings, caveats of clips."""

from __future__ import annotations

from pathlib import Path

from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import SampleError
from dataset_tools.manifests import UtteranceRow, read_rows
from dataset_tools.speech.audio.utterance_writer import write_utterance
from fmn.data.items import load_items
from fmn.features.frames import frame_times
from fmn.search.search_results import GallerySource

LEAST_FRAMES = 15
"""Minimum length of a clip of a data set (`dataset_tools.classes.usable_intervals`)."""


def finish_query(sound: Path, folder: Path, *, refuse: bool = True) -> tuple[Path, tuple[str, ...]]:
    """Checks and post-processes a spoken query by the same rules as utterances of a data set.

    Args:
        sound: in any format that FFmpeg reads.
        folder: for the wav.
        refuse: whether a query that is rejected raises an error; if not, it is returned as it is, with the reason.

    Returns:
        The wav, and warnings about its quality.

    Raises:
        SampleError: it cannot be decoded, or it is rejected: silent, too short, too long, clipped.
    """
    wav = folder / "query.wav"
    try:
        written = write_utterance(sound, wav)
    except SampleError as error:
        if refuse:
            raise
        return sound, (f"A data set would reject this query. {error.found}",)
    return wav, tuple(written.quality["warnings"])


def clip_doubts(clip: Path) -> tuple[str, ...]:
    """Returns a caveat if a clip has fewer frames than those of a data set, or none if it cannot be read."""
    try:
        frames = len(frame_times(clip))
    except SampleError:
        return ()
    if frames >= LEAST_FRAMES:
        return ()
    return (f"A data set would reject this query: {count_of(frames, 'frame')}, of at least {LEAST_FRAMES}.",)


def known_speech(source: GallerySource) -> set[str]:
    """Returns the SHA-256 of the utterances of a manifest, and of those in utterances.jsonl next to it."""
    beside = read_rows(source.manifest.with_name("utterances.jsonl"), UtteranceRow, missing_ok=True)
    return {row.sha256 for row in (*load_items(source.manifest, source.root).utterances, *beside)}
