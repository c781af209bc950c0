"""The two feature memories (paper, section 3.4): slot x of both was written by the same pairs.

Decisions where the paper leaves room, or cannot be as printed:

- *m2* is one number for two memories, so it is judged on the pair: at each slot the smaller of the two cosines
  (``novelty="min"``), and of those the largest over the slots.
- *Thresholds*: a pair is written when S1 > T1, is new when m2 < T2, and updates its nearest slot when m2 ≥ T2.
- *Full and new*: with all slots in use a new pair goes to its nearest slot (``when_full="nearest"``): training shows
  thousands of pairs to a few dozen slots, and dropping would leave the slots to whichever pairs came first.
- *Equal candidates*: the slot with the lower number. Cosines within 1e-7 are equal, to each other and to T2: closer
  ones differ by how they were summed up, and the order of writing must not.
- *Empty*: there is nothing to agree about: a read gives 1, so that S1/Max and S1 × Max are S1.
- *Negative cosines* count as 0 in the product, or two disagreements would pass for an agreement; as printed they do.
- *Zero vectors* have cosine 0 with everything.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from dataset_tools.manifests import InputError
from fmn.memory_writing import Novelty, Rules, WhenFull, write_pairs

Space = Literal["mapped", "raw"]
Update = Literal["mean"] | float
Reduce = Literal["max", "softmax", "distance"]

ROWS_AT_ONCE = 256
"""Rows whose mutual products are held at once while writing."""

TILE_PAIRS = 1_048_576
"""Pairs read at once: bounds what is held beside the result."""


class FeatureMemory(nn.Module):
    """Two memories of up to ``capacity`` slots, [X, video_dim] and [X, audio_dim], zero at the start.

    Buffers, which travel with the state dict and the module's device: ``video_slots``, ``audio_slots``, and ``counts``
    [X], how many pairs were written to each slot. Slots in use are the first ones.

    Args:
        capacity: X, the most slots.
        video_dim: size of a clip's vector. audio_dim: of an utterance's.
        space: what vectors it is handed: ``mapped`` or ``raw`` (a label for whoever hands them in).
        update: ``mean``: a slot is the mean of all that was written to it; a number: it moves by that share.
        novelty_threshold: T2.
        novelty: how the two cosines with a slot become one: ``min``, ``mean`` or ``max``.
        when_full: where a new pair goes when all slots are in use: to the ``nearest`` slot, or nowhere (``drop``).

    Raises:
        InputError: an argument is out of its range.
    """

    video_slots: Tensor
    audio_slots: Tensor
    counts: Tensor

    def __init__(
        self,
        capacity: int,
        video_dim: int,
        audio_dim: int,
        *,
        space: Space = "mapped",
        update: Update = "mean",
        novelty_threshold: float = 0.5,
        novelty: Novelty = "min",
        when_full: WhenFull = "nearest",
    ) -> None:
        super().__init__()
        if min(capacity, video_dim, audio_dim) < 1:
            raise InputError(
                f"A memory of {capacity} slots for vectors of {video_dim} and {audio_dim} numbers holds nothing",
                expected="at least one of each",
            )
        for value, kind in ((space, Space), (novelty, Novelty), (when_full, WhenFull)):
            _check_choice(value, kind)
        self.capacity = capacity
        self.space = space
        self.rules = Rules(_share_of(update), novelty_threshold, novelty, when_full)
        self.register_buffer("video_slots", torch.zeros(capacity, video_dim))
        self.register_buffer("audio_slots", torch.zeros(capacity, audio_dim))
        self.register_buffer("counts", torch.zeros(capacity, dtype=torch.int64))
        self._size = 0  # kept beside `counts`, so that a read does not wait for the device
        self.register_load_state_dict_post_hook(_count_slots)  # type: ignore[no-untyped-call]

    @property
    def size(self) -> int:
        """Slots in use: those that were written to."""
        return self._size

    def clear(self) -> None:
        """Empties the memories."""
        for buffer in (self.video_slots, self.audio_slots, self.counts):
            buffer.zero_()
        self._size = 0

    @torch.no_grad()
    def write(self, video: Tensor, audio: Tensor, score: Tensor, *, score_threshold: float = 0.5) -> Tensor:
        """Shows pairs to the memories, in the order of the rows, as if one at a time; decisions are in float64.

        Args:
            video: [B, video_dim].
            audio: [B, audio_dim].
            score: [B], S1.
            score_threshold: T1.

        Returns:
            [B], on the CPU: the slot that each pair went to; −1: none.

        Raises:
            InputError: the shapes do not fit, or a pair to be written has a number that is not finite.
        """
        found = [tuple(part.shape) for part in (video, audio, score)]
        rows = len(score) if score.ndim else 0
        expected = [(rows, self.video_slots.shape[1]), (rows, self.audio_slots.shape[1]), (rows,)]
        _check_shapes("write", found, expected)
        shown = (score > score_threshold).nonzero()[:, 0]
        if not (torch.isfinite(video[shown]).all() and torch.isfinite(audio[shown]).all()):
            raise InputError(
                "A pair to be written to the memory has numbers that are not finite",
                expected="finite features",
                next_step="a model that gives NaN has diverged: train with a smaller learning rate",
            )
        slots = torch.full((rows,), -1)
        for part in torch.split(shown, ROWS_AT_ONCE):
            slots[part.cpu()] = write_pairs(
                self.rules, (self.video_slots, self.audio_slots), self.counts, (video[part], audio[part])
            )
        _count_slots(self)
        return slots

    def rewrite(self, video: Tensor, audio: Tensor, score: Tensor, *, score_threshold: float = 0.5) -> Tensor:
        """Clears the memories and writes anew: slots drift out of place while the mapping trains (see `write`)."""
        self.clear()
        return self.write(video, audio, score, score_threshold=score_threshold)

    def read(
        self,
        video: Tensor,
        audio: Tensor,
        *,
        reduce: Reduce = "max",
        temperature: float = 0.1,
        clamp: bool = True,
    ) -> Tensor:
        """How far the two memories agree on every pair of a clip and an utterance.

        With v_x = cos(video, video slot x) and a_x = cos(audio, audio slot x), x over the slots in use:

        - ``max``, eq. 3: max over x of max(v_x, 0) · max(a_x, 0); as printed (``clamp=False``) of v_x · a_x.
        - ``softmax``: Σ over x of softmax(v/temperature)_x · softmax(a/temperature)_x, the probability that both choose
          the same slot.
        - ``distance``, sections 3.3–3.4 read as they call it: min over x of (1 − v_x) · (1 − a_x); small is a match.

        Beside the result only tiles are held, with gradients too: no tensor is N × M × X. Cosines are in float32 at
        least, under autocast as well.

        Args:
            video: [N, video_dim].
            audio: [M, audio_dim].
            reduce: ``max``, ``softmax`` or ``distance``.
            temperature: of the softmax.
            clamp: whether negative cosines count as 0 in ``max``.

        Returns:
            [N, M], differentiable in video and audio; 1 while the memories are empty.

        Raises:
            InputError: the shapes do not fit, there is no such ``reduce``, or the temperature is not above 0.
        """
        found = [tuple(video.shape), tuple(audio.shape)]
        _check_shapes("read", found, [(len(part), held.shape[1]) for part, held in self._beside(video, audio)])
        _check_choice(reduce, Reduce)
        if not temperature > 0:
            raise InputError(f"The temperature of a read is {temperature}", expected="a number above 0")
        with torch.autocast(video.device.type, enabled=False):
            of_video, of_audio = (_cosines(part, held[: self.size]) for part, held in self._beside(video, audio))
            if self.size == 0:
                return of_video.new_ones(len(video), len(audio))
            if reduce == "softmax":
                return torch.softmax(of_video / temperature, 1) @ torch.softmax(of_audio / temperature, 1).T
            if reduce == "distance":
                return -_largest_product(of_video - 1, 1 - of_audio)
            if clamp:
                of_video, of_audio = of_video.clamp(min=0), of_audio.clamp(min=0)
            return _largest_product(of_video, of_audio)

    def _beside(self, video: Tensor, audio: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
        return (video, self.video_slots), (audio, self.audio_slots)

    def extra_repr(self) -> str:
        return f"capacity={self.capacity}, space={self.space}, {self.rules}"


def _count_slots(memory: FeatureMemory, _: object = None) -> None:
    memory._size = int((memory.counts > 0).sum())


def _cosines(rows: Tensor, slots: Tensor) -> Tensor:
    """[N, D], [X, D] → [N, X]; the rows, maybe a million, are not copied."""
    rows = rows.float() if rows.element_size() < 4 else rows
    products = rows @ functional.normalize(slots.to(rows.dtype), dim=1).T
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return products / norms.clamp(min=1e-12)


def _largest_product(video: Tensor, audio: Tensor) -> Tensor:
    """[N, X], [M, X] → [N, M]: max over x of video · audio, slot by slot; of equal ones the first has the gradient."""
    with_gradient = torch.is_grad_enabled() and (video.requires_grad or audio.requires_grad)
    with torch.no_grad():
        columns = audio.T.contiguous()
        largest = video[:, :1] * columns[0]
        best = torch.zeros(largest.shape, dtype=torch.int64, device=video.device) if with_gradient else None
        rows_at_once = max(1, TILE_PAIRS // max(1, len(audio)))
        for start in range(0, len(video), rows_at_once):
            rows = slice(start, start + rows_at_once)
            tile, product = largest[rows], torch.empty_like(largest[rows])
            for slot in range(1, len(columns)):
                torch.mul(video[rows, slot : slot + 1], columns[slot], out=product)
                if best is not None:
                    best[rows].masked_fill_(product > tile, slot)
                torch.maximum(tile, product, out=tile)
    return largest if best is None else video.gather(1, best) * audio.gather(1, best.T).T


def _share_of(update: Any) -> float | None:
    if update == "mean":
        return None
    if not isinstance(update, int | float) or not 0 < update <= 1:
        raise InputError(f"The update is {update!r}", expected="'mean', or a share above 0, at most 1")
    return float(update)


def _check_shapes(where: str, found: list[Any], expected: list[Any]) -> None:
    if found != expected:
        raise InputError(
            f"The shapes {', '.join(map(str, found))} do not fit",
            where=f"FeatureMemory.{where}",
            expected=", ".join(map(str, expected)),
        )


def _check_choice(value: str, kind: Any) -> None:
    if value not in get_args(kind):
        raise InputError(f"There is no {value!r} in a memory", expected=f"one of {', '.join(get_args(kind))}")
