"""The write rule of the feature memories (paper, section 3.4), pair by pair, without the vectors.

A slot is always a weighted sum of its previous value and of rows of the batch, so the decisions need only the inner
products of the rows with the slots and with each other. These are computed once, as matrix products, and updated when
a slot moves. The new slots are one matrix product at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Novelty = Literal["min", "mean", "max"]
WhenFull = Literal["nearest", "drop"]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SAME_COSINE = 1e-7
"""Tolerance within which cosines are equal: for float32 rows, smaller differences are summation error."""


@dataclass(frozen=True)
class Rules:
    """Rules by which pairs are written, in the terms of `fmn.models.memory.FeatureMemory`.

    Attributes:
        share: fraction by which a slot moves toward a pair; None: the slot is the mean of its pairs.
        novelty_threshold: T2. novelty: how the two cosines are combined.
        when_full: where a new pair goes if all slots are in use.
    """

    share: float | None
    novelty_threshold: float
    novelty: Novelty
    when_full: WhenFull


def write_pairs(
    rules: Rules,
    slots: tuple[Tensor, Tensor],
    counts: Tensor,
    slot_classes: Tensor,
    rows: tuple[Tensor, Tensor],
    classes: Tensor,
) -> Tensor:
    """Writes pairs to the slots in order, in place.

    Args:
        rules: the write rules.
        slots: [X, Dv] and [X, Da].
        counts: [X] int64: number of pairs written to each slot.
        slot_classes: [X] int64: class of each slot; −1: none.
        rows: [B, Dv] and [B, Da], the pairs to write (S1 > T1).
        classes: [B] int64: their classes; −1: unknown.

    Returns:
        [B] int64 on the CPU: the slot that each pair was written to; −1: dropped.
    """
    old, new = [part.double() for part in slots], [part.double() for part in rows]
    writing = _Writing(
        rules,
        [_Products(*pair) for pair in zip(old, new, strict=True)],
        counts.cpu().numpy().copy(),
        slot_classes.cpu().numpy().copy(),
        classes.cpu().numpy(),
    )
    went_to = [writing.write(row) for row in range(len(rows[0]))]
    kept = torch.from_numpy(writing.kept).to(counts.device)
    added = torch.from_numpy(writing.added).to(counts.device)
    for buffer, old_slots, new_rows in zip(slots, old, new, strict=True):
        buffer.copy_(kept[:, None] * old_slots + added @ new_rows)
    counts.copy_(torch.from_numpy(writing.counts))
    slot_classes.copy_(torch.from_numpy(writing.slot_classes))
    return torch.tensor(went_to, dtype=torch.int64)


class _Products:
    """Inner products in one modality. with_slots: [X, B]; with_rows: [B, B]; slot_squares: [X]; row_norms: [B]."""

    def __init__(self, slots: Tensor, rows: Tensor) -> None:
        self.with_slots: Floats = (slots @ rows.T).cpu().numpy()
        self.with_rows: Floats = (rows @ rows.T).cpu().numpy()
        self.slot_squares: Floats = (slots * slots).sum(1).cpu().numpy()
        self.row_norms: Floats = np.sqrt(self.with_rows.diagonal())

    def cosines(self, row: int, size: int) -> Floats:
        """[size]: cosines of a row with the current slots in use."""
        norms = self.row_norms[row] * np.sqrt(np.maximum(self.slot_squares[:size], 0))
        cosines: Floats = np.divide(self.with_slots[:size, row], norms, out=np.zeros(size), where=norms > 0)
        return cosines

    def move(self, slot: int, row: int, share: float) -> None:
        """Moves the slot to (1 − share) · slot + share · row."""
        rest, products = 1 - share, self.with_slots[slot]
        self.slot_squares[slot] = (
            rest**2 * self.slot_squares[slot] + 2 * share * rest * products[row] + share**2 * self.with_rows[row, row]
        )
        products *= rest
        products += share * self.with_rows[row]


class _Writing:
    """The decisions of one call of `write_pairs`.

    Attributes:
        counts, slot_classes: [X], updated.
        kept, added: [X], [X, B]: the new slots are kept · slots + added @ rows.
    """

    def __init__(
        self, rules: Rules, products: list[_Products], counts: Integers, slot_classes: Integers, classes: Integers
    ) -> None:
        self.rules = rules
        self.products = products
        self.counts = counts
        self.slot_classes = slot_classes
        self.classes = classes
        self.size = int((counts > 0).sum())
        self.kept = np.ones(len(counts))
        self.added = np.zeros(products[0].with_slots.shape)

    def write(self, row: int) -> int:
        """Appends one pair, averages it into its nearest slot, or drops it; returns the slot, or −1 if dropped."""
        slot, nearness = self._nearest(row)
        is_new = nearness < self.rules.novelty_threshold - SAME_COSINE
        has_room = self.size < len(self.counts)
        if self.size == 0 or (is_new and has_room):
            slot, share = self.size, 1.0
            self.slot_classes[slot] = self.classes[row]
            self.size += 1
        elif is_new and self.rules.when_full == "drop":
            return -1
        else:
            share = 1 / (int(self.counts[slot]) + 1) if self.rules.share is None else self.rules.share
        for products in self.products:
            products.move(slot, row, share)
        self.kept[slot] *= 1 - share
        self.added[slot] *= 1 - share
        self.added[slot, row] += share
        self.counts[slot] += 1
        return slot

    def _nearest(self, row: int) -> tuple[int, float]:
        """Returns the nearest slot in use that may take the pair (the first one in a tie), and m2.

        A pair of a known class may go only to slots of its class. If there are none, it is new, whatever T2 is; if all
        slots are in use, it goes to the nearest of them.
        """
        if self.size == 0:
            return 0, -np.inf
        video, audio = (products.cosines(row, self.size) for products in self.products)
        match self.rules.novelty:
            case "min":
                nearness = np.minimum(video, audio)
            case "max":
                nearness = np.maximum(video, audio)
            case _:
                nearness = (video + audio) / 2
        name = self.classes[row]
        own = self.slot_classes[: self.size] == name
        if name >= 0 and own.any():
            nearness = np.where(own, nearness, -np.inf)
        nearest = float(nearness.max())
        slot = int((nearness >= nearest - SAME_COSINE).argmax())
        return slot, -np.inf if name >= 0 and not own.any() else nearest
