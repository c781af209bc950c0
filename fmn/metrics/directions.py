"""The two directions of retrieval, query → gallery."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, TypeVar, get_args

from numpy.typing import NDArray

Direction = Literal["audio_to_video", "video_to_audio"]
DIRECTIONS: Final[tuple[Direction, ...]] = get_args(Direction)
T = TypeVar("T")


def by_direction(*matrices: NDArray[Any]) -> Iterator[tuple[Direction, tuple[NDArray[Any], ...]]]:
    """Yields each direction with matrices [clips, utterances] as [queries, gallery]."""
    yield "audio_to_video", tuple(matrix.T for matrix in matrices)
    yield "video_to_audio", matrices


def queries_and_gallery(direction: Direction, clips: T, utterances: T) -> tuple[T, T]:
    """Returns what belongs to the clips and to the utterances in the order queries, gallery."""
    return (utterances, clips) if direction == "audio_to_video" else (clips, utterances)
