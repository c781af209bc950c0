"""The two feature memories (paper, section 3.4): slot x of both was written by the same pairs.

Decisions where the paper leaves room, or cannot be as printed:

- *m2* is one number for two memories, so it is judged on the pair: at each slot the smaller of the two cosines
  (``novelty="min"``), and of those the largest over the slots.
- *Full and new*: with all slots in use a new pair goes to its nearest slot (``when_full="nearest"``), or nowhere.
- *Equal candidates*: the slot with the lower number.
- *Thresholds*: a pair is written when S1 > T1, is new when m2 < T2, and updates its nearest slot when m2 ≥ T2.
- *Empty*: there is nothing to agree about: a read gives 1, so that S1/Max and S1 × Max are S1.
- *Negative cosines* count as 0 in the product, or two disagreements would pass for an agreement.
- *Zero vectors* have cosine 0 with everything.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dataset_tools.manifests import InputError

Space = Literal["mapped", "raw"]
Novelty = Literal["min", "mean", "max"]
Floats = NDArray[np.float64]

ROWS_AT_ONCE = 1024
"""Rows whose mutual cosines are held at once while writing."""

TILE_PAIRS = 4_194_304
"""Pairs read at once: bounds what is held beside the result."""


class FeatureMemory(nn.Module):
    """Two memories of up to ``capacity`` slots, [X, video_dim] and [X, audio_dim], zero at the start.

    Args:
        capacity: X, the most slots.
        video_dim: size of a clip's vector. audio_dim: of an utterance's.
        space: what vectors it is handed: ``mapped`` or ``raw`` (a label; it is checked nowhere).
        update: ``mean``: a slot is the mean of all that was written to it; a number: it moves by that share.
        novelty_threshold: T2.
        novelty: how two cosines become one (see above).
        when_full: what becomes of a new pair when all slots are in use: ``nearest`` slot, or ``drop``.

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
        update: Literal["mean"] | float = "mean",
        novelty_threshold: float = 0.5,
        novelty: Novelty = "min",
        when_full: Literal["nearest", "drop"] = "nearest",
    ) -> None:
        super().__init__()
        if capacity < 1:
            raise InputError(f"The capacity of the memory is {capacity}", expected="at least one slot")
        if update != "mean" and not 0 < update <= 1:
            raise InputError(f"The share of an update is {update}", expected="'mean', or a number above 0, at most 1")
        self.capacity = capacity
        self.space = space
        self.update = update
        self.novelty_threshold = novelty_threshold
        self.novelty = novelty
        self.when_full = when_full
        self.register_buffer("video_slots", torch.zeros(capacity, video_dim))
        self.register_buffer("audio_slots", torch.zeros(capacity, audio_dim))
        self.register_buffer("counts", torch.zeros(capacity, dtype=torch.int64))

    @property
    def size(self) -> int:
        """Slots in use: those that were written to; they are the first ones."""
        return int((self.counts > 0).sum())

    def clear(self) -> None:
        """Empties the memories."""
        for buffer in (self.video_slots, self.audio_slots, self.counts):
            buffer.zero_()

    @torch.no_grad()
    def write(self, video: Tensor, audio: Tensor, score: Tensor, *, score_threshold: float) -> None:
        """Shows pairs to the memories, in the order of the rows, as if one at a time.

        A slot is always a weighted sum of what it held and of rows of the batch. So only the rows' cosines with the
        slots and with each other are needed to decide, and they are corrected, not recomputed, after each row.

        Args:
            video: [B, video_dim].
            audio: [B, audio_dim].
            score: [B], S1.
            score_threshold: T1.

        Raises:
            InputError: the shapes do not fit.
        """
        held = (self.video_slots.shape[1], self.audio_slots.shape[1])
        if (video.shape[-1], audio.shape[-1]) != held or not len(video) == len(audio) == len(score):
            raise InputError(
                f"Video {tuple(video.shape)}, audio {tuple(audio.shape)} and score {tuple(score.shape)} do not fit",
                where="FeatureMemory.write",
                expected=f"[B, {held[0]}], [B, {held[1]}] and [B]",
            )
        shown = score > score_threshold
        for rows in torch.split(shown.nonzero()[:, 0], ROWS_AT_ONCE):
            self._write(video[rows].double(), audio[rows].double())

    def _write(self, video: Tensor, audio: Tensor) -> None:
        slots = (self.video_slots.double(), self.audio_slots.double())
        writing = _Writing(
            [_Products.of(rows, held) for rows, held in zip((video, audio), slots, strict=True)],
            self.counts.cpu().numpy().astype(np.int64),
            self,
        )
        for row in range(len(video)):
            writing.show(row)
        kept = torch.from_numpy(writing.kept).to(video.device)
        added = torch.from_numpy(writing.added).to(video.device)
        self.video_slots.copy_(kept[:, None] * slots[0] + added @ video)
        self.audio_slots.copy_(kept[:, None] * slots[1] + added @ audio)
        self.counts.copy_(torch.from_numpy(writing.counts))

    def read(
        self,
        video: Tensor,
        audio: Tensor,
        *,
        reduce: Literal["max", "softmax"] = "max",
        temperature: float = 0.1,
    ) -> Tensor:
        """How far the two memories agree on every pair of a clip and an utterance.

        ``max`` is Max of eq. 3: the largest over the slots of cos(video, slot) · cos(audio, slot), each at least 0.
        ``softmax`` is the probability that both choose the same slot, when each chooses slot x with probability
        softmax(cos / temperature)_x.

        Args:
            video: [N, video_dim].
            audio: [M, audio_dim].
            reduce: ``max`` or ``softmax``.
            temperature: of the softmax.

        Returns:
            [N, M], differentiable in video and audio; 1 while the memories are empty.
        """
        size = self.size
        if size == 0:
            return video.new_ones(len(video), len(audio))
        video_cosines = _cosines(video, self.video_slots[:size])  # [N, X]
        audio_cosines = _cosines(audio, self.audio_slots[:size])  # [M, X]
        if reduce == "softmax":
            return torch.softmax(video_cosines / temperature, 1) @ torch.softmax(audio_cosines / temperature, 1).T
        video_cosines, audio_cosines = video_cosines.clamp(min=0), audio_cosines.clamp(min=0)
        rows_at_once = max(1, TILE_PAIRS // max(1, len(audio)))
        return torch.cat([_largest_product(rows, audio_cosines) for rows in torch.split(video_cosines, rows_at_once)])

    def extra_repr(self) -> str:
        return f"capacity={self.capacity}, space={self.space}, update={self.update}, T2={self.novelty_threshold}"


class _Products:
    """Inner products of one modality: rows with slots, rows with rows, slots with themselves."""

    def __init__(self, with_slots: Floats, with_rows: Floats, slot_squares: Floats) -> None:
        self.with_slots = with_slots  # [B, X]
        self.with_rows = with_rows  # [B, B]
        self.slot_squares = slot_squares  # [X]

    @classmethod
    def of(cls, rows: Tensor, slots: Tensor) -> _Products:
        with_slots, with_rows, squares = rows @ slots.T, rows @ rows.T, (slots * slots).sum(1)
        return cls(*(values.cpu().numpy().copy() for values in (with_slots, with_rows, squares)))

    def cosines(self, row: int) -> Floats:
        """[X]: of a row with every slot as it is now."""
        norms = np.sqrt(np.maximum(self.with_rows[row, row], 0) * np.maximum(self.slot_squares, 0))
        cosines: Floats = np.divide(self.with_slots[row], norms, out=np.zeros_like(norms), where=norms > 0)
        return cosines

    def move(self, slot: int, row: int, share: float) -> None:
        """The slot becomes (1 − share) · slot + share · row."""
        square, with_slot = self.with_rows[row, row], self.with_slots[row, slot]
        self.slot_squares[slot] = (
            (1 - share) ** 2 * self.slot_squares[slot] + 2 * share * (1 - share) * with_slot + share**2 * square
        )
        self.with_slots[:, slot] = (1 - share) * self.with_slots[:, slot] + share * self.with_rows[:, row]


class _Writing:
    """The decisions of one call of `write`, row after row."""

    def __init__(self, products: list[_Products], counts: NDArray[np.int64], memory: FeatureMemory) -> None:
        self.products = products
        self.counts = counts
        self.memory = memory
        self.size = int((counts > 0).sum())
        self.kept = np.ones(len(counts))
        self.added = np.zeros((len(counts), len(products[0].with_rows)))

    def show(self, row: int) -> None:
        """One pair: appended, averaged into its nearest slot, or dropped."""
        if self.size == 0:
            self._put(0, row, 1.0)
            return
        video, audio = (products.cosines(row)[: self.size] for products in self.products)
        match self.memory.novelty:
            case "min":
                nearness = np.minimum(video, audio)
            case "max":
                nearness = np.maximum(video, audio)
            case _:
                nearness = (video + audio) / 2
        nearest = int(nearness.argmax())
        is_new = nearness[nearest] < self.memory.novelty_threshold
        if is_new and self.size < self.memory.capacity:
            self._put(self.size, row, 1.0)
        elif not is_new or self.memory.when_full == "nearest":
            mean = 1 / (self.counts[nearest] + 1)
            self._put(nearest, row, float(mean if self.memory.update == "mean" else self.memory.update))

    def _put(self, slot: int, row: int, share: float) -> None:
        for products in self.products:
            products.move(slot, row, share)
        self.kept[slot] *= 1 - share
        self.added[slot] *= 1 - share
        self.added[slot, row] += share
        self.counts[slot] += 1
        self.size = max(self.size, slot + 1)


def _cosines(rows: Tensor, slots: Tensor) -> Tensor:
    return functional.normalize(rows, dim=1) @ functional.normalize(slots.to(rows.dtype), dim=1).T


def _largest_product(video_cosines: Tensor, audio_cosines: Tensor) -> Tensor:
    """[N, X] and [M, X] → [N, M]: slot after slot, so that no N × M × X tensor is made."""
    largest = video_cosines[:, :1] * audio_cosines[:, 0]
    for slot in range(1, video_cosines.shape[1]):
        largest = torch.maximum(largest, video_cosines[:, slot : slot + 1] * audio_cosines[:, slot])
    return largest
