"""The two feature memories (paper, section 3.4): slot x of both is written by the same pairs.

Decisions where the paper is ambiguous, or cannot be implemented as published:

- *m2* is one number for two memories, so it is computed for the pair: the smaller of the two cosines at each slot
  (``novelty="min"``), and the largest of these over the slots.
- *Thresholds*: a pair is written when S1 > T1, is new when m2 < T2, and updates its nearest slot when m2 ≥ T2.
- *New pair, full memory*: if all slots are in use, a new pair goes to its nearest slot (``when_full="nearest"``):
  training writes thousands of pairs to a few dozen slots, and dropping pairs would leave the slots to the first ones.
- *Ties*: the slot with the lower index. Cosines within 1e-7 of each other, or of T2, are equal: smaller differences
  stem from the order of summation, which must not affect what is written.
- *Empty memories*: there is nothing to agree on: a read returns 1, so that S1/Max and S1 × Max equal S1.
- *Negative cosines* count as 0 in the product: otherwise two disagreements would count as agreement, as in the
  published form.
- *Zero vectors* have cosine 0 with everything.
- *Classes*: a pair written with its class goes only to slots of that class, or to a new one; the slots of a class are
  read as one: their softmax shares are summed, and the largest of their cosines counts. Pairs without a class may go
  to any slot, and a slot without a class is read by itself, as is every slot of the published form.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError
from fmn.models.inner_products import inner_products
from fmn.models.memory_writing import Novelty, Rules, WhenFull, write_pairs

Space = Literal["mapped", "raw"]
Update = Literal["mean"] | float
Reduce = Literal["max", "softmax", "distance"]
Modality = Literal["video", "audio"]
MODALITIES: tuple[Modality, ...] = ("video", "audio")

ROWS_AT_ONCE = 256
"""Rows written in one block, whose mutual inner products are held in memory."""

TILE_PAIRS = 1_048_576
"""Pairs read at once: bounds the memory used besides the result."""


class FeatureMemory(nn.Module):
    """Two memories of up to ``capacity`` slots, [X, video_dim] and [X, audio_dim], zero at the start.

    Buffers, in the state dict and on the module's device: ``video_slots``, ``audio_slots``, ``counts`` [X], the number
    of pairs written to each slot, and ``slot_classes`` [X], the class of each (−1: none). The slots in use come first.

    Args:
        capacity: X, maximum number of slots.
        video_dim: size of a clip's vector. audio_dim: size of an utterance's vector.
        space: kind of vectors that the caller passes, ``mapped`` or ``raw`` (a label for the caller only).
        update: ``mean``: a slot is the mean of all vectors written to it; a number: the fraction by which it moves.
        novelty_threshold: T2.
        novelty: how the two cosines with a slot are combined: ``min``, ``mean`` or ``max``.
        when_full: where a new pair goes if all slots are in use: to the ``nearest`` slot, or nowhere (``drop``).

    Raises:
        InputError: an argument is out of range.
    """

    video_slots: Tensor
    audio_slots: Tensor
    counts: Tensor
    slot_classes: Tensor
    group: Tensor

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
                f"Invalid memory size: {count_of(capacity, 'slot')} for vectors of sizes {video_dim} and {audio_dim}",
                expected="at least 1 for each",
            )
        for value, kind in ((space, Space), (novelty, Novelty), (when_full, WhenFull)):
            _check_choice(value, kind)
        self.capacity = capacity
        self.space = space
        self.rules = Rules(_share_of(update), novelty_threshold, novelty, when_full)
        self.register_buffer("video_slots", torch.zeros(capacity, video_dim))
        self.register_buffer("audio_slots", torch.zeros(capacity, audio_dim))
        self.register_buffer("counts", torch.zeros(capacity, dtype=torch.int64))
        self.register_buffer("slot_classes", torch.full((capacity,), -1))
        # derived from `counts` and `slot_classes` when these change, so that a read never waits for the device; not by
        # arange, for which torch imports sympy on the meta device (see load_run), and that takes half a second
        self.register_buffer("group", torch.zeros(capacity, dtype=torch.int64), persistent=False)
        self._size = self._groups = 0
        self.register_load_state_dict_post_hook(_update_groups)  # type: ignore[no-untyped-call]

    @property
    def size(self) -> int:
        """Number of slots in use, that is, written to."""
        return self._size

    def clear(self) -> None:
        """Clears the memories."""
        for buffer in (self.video_slots, self.audio_slots, self.counts):
            buffer.zero_()
        self.slot_classes.fill_(-1)
        _update_groups(self)

    @torch.no_grad()
    def write(
        self,
        video: Tensor,
        audio: Tensor,
        score: Tensor,
        *,
        score_threshold: float = 0.5,
        classes: Tensor | None = None,
    ) -> Tensor:
        """Writes pairs to the memories in row order, as if one at a time; decisions are made in float64.

        Args:
            video: [B, video_dim].
            audio: [B, audio_dim].
            score: [B], S1.
            score_threshold: T1.
            classes: [B] int64, class of each pair, from 0; −1, or None for all: unknown.

        Returns:
            [B], on the CPU: the slot that each pair was written to; −1: none.

        Raises:
            InputError: the shapes do not match, or a pair to be written has non-finite values.
        """
        rows = len(score) if score.ndim else 0
        shapes = [tuple(part.shape) for part in (video, audio, score)]
        expected = [(rows, self.video_slots.shape[1]), (rows, self.audio_slots.shape[1]), (rows,)]
        _check_shapes("write", shapes, expected)
        classes = torch.full((rows,), -1, device=score.device) if classes is None else classes
        _check_shapes("write, classes", [tuple(classes.shape)], [(rows,)])
        chosen = (score > score_threshold).nonzero()[:, 0]
        if not (torch.isfinite(video[chosen]).all() and torch.isfinite(audio[chosen]).all()):
            raise InputError(
                "A pair to be written to the memory has values that are not finite",
                expected="finite features",
                next_step="a model that outputs NaN has diverged: train with a smaller learning rate",
            )
        slots = torch.full((rows,), -1)
        for part in torch.split(chosen, ROWS_AT_ONCE):
            slots[part.cpu()] = write_pairs(
                self.rules,
                (self.video_slots, self.audio_slots),
                self.counts,
                self.slot_classes,
                (video[part], audio[part]),
                classes[part],
            )
        _update_groups(self)
        return slots

    def read(
        self,
        video: Tensor,
        audio: Tensor,
        *,
        reduce: Reduce = "max",
        temperature: float = 0.1,
        clamp: bool = True,
    ) -> Tensor:
        """Returns the agreement of the two memories on every pair of a clip and an utterance.

        Slots of one class count as one slot: see the module docstring. With v_x = cos(video, video slot x) and
        a_x = cos(audio, audio slot x), x over the slots in use:

        - ``max``, eq. 3: max over x of max(v_x, 0) · max(a_x, 0); as published (``clamp=False``) of v_x · a_x.
        - ``softmax``: Σ over x of softmax(v/temperature)_x · softmax(a/temperature)_x, the probability that both choose
          the same slot.
        - ``distance``, sections 3.3–3.4 taken literally: min over x of (1 − v_x) · (1 − a_x); small is a match.

        Besides the result only tiles are allocated, with gradients too: no tensor is N × M × X. Cosines are computed
        in at least float32, under autocast as well.

        Args:
            video: [N, video_dim].
            audio: [M, audio_dim].
            reduce: ``max``, ``softmax`` or ``distance``.
            temperature: softmax temperature.
            clamp: whether negative cosines count as 0 in ``max``.

        Returns:
            [N, M], differentiable in video and audio; 1 while the memories are empty.

        Raises:
            InputError: the shapes do not match, ``reduce`` is unknown, or the temperature is not positive.
        """
        both = (video, self.video_slots), (audio, self.audio_slots)
        found = [tuple(rows.shape) for rows, _ in both]
        _check_shapes("read", found, [(len(rows), slots.shape[1]) for rows, slots in both])
        _check_choice(reduce, Reduce)
        if not temperature > 0:
            raise InputError(f"The temperature of a read is {temperature}", expected="a number above 0")
        with torch.autocast(video.device.type, enabled=False):
            of_video, of_audio = (_cosines(rows, slots[: self.size]) for rows, slots in both)
            if self.size == 0:
                return of_video.new_ones(len(video), len(audio))
            if reduce == "softmax":
                return self.same_slot(*(torch.softmax(cosines / temperature, 1) for cosines in (of_video, of_audio)))
            of_video, of_audio = (self._by_class(cosines, "largest") for cosines in (of_video, of_audio))
            if reduce == "distance":
                return -_largest_product(of_video - 1, 1 - of_audio)
            if clamp:
                of_video, of_audio = of_video.clamp(min=0), of_audio.clamp(min=0)
            return _largest_product(of_video, of_audio)

    def log_class_shares(self, modality: Modality, rows: Tensor, classes: Tensor, *, temperature: float) -> Tensor:
        """Returns, for each row, the log of the share that the slots of its class have in the softmax over slots.

        Args:
            modality: which of the two memories is read.
            rows: [N, Dv] or [N, Da].
            classes: [N] int64.
            temperature: softmax temperature.

        Returns:
            [N], differentiable in ``rows``; 0 for a row whose class has no slot.
        """
        return self.of_own_class(self.log_shares(modality, rows, temperature=temperature), classes)

    def log_shares(self, modality: Modality, rows: Tensor, *, temperature: float) -> Tensor:
        """[..., Dv] or [..., Da] → [..., slots in use]: log-softmax over the slots, in at least float32."""
        slots = self.video_slots if modality == "video" else self.audio_slots
        with torch.autocast(rows.device.type, enabled=False):
            return (_cosines(rows, slots[: self.size]) / temperature).log_softmax(dim=-1)

    def of_own_class(self, log_shares: Tensor, classes: Tensor) -> Tensor:
        """`log_class_shares` computed from the log shares [N, slots in use] of the rows."""
        if self.size == 0:
            return log_shares.sum(dim=1)  # zeros that the rows' gradients go through, for a loss without other terms
        own = self.slot_classes[: self.size] == classes[:, None]
        known = own.any(dim=1, keepdim=True)
        return log_shares.masked_fill(~own & known, -torch.inf).logsumexp(dim=1) * known.squeeze(1)

    def same_slot(self, video: Tensor, audio: Tensor) -> Tensor:
        """Shares [N, slots in use], [M, slots in use] → [N, M], the probability that both choose the same slot.

        Raises:
            InputError: the shares were computed before further slots were written.
        """
        both = (video, audio)
        _check_shapes("same_slot", [tuple(part.shape) for part in both], [(len(part), self.size) for part in both])
        if self.size == 0:
            return video.new_ones(len(video), len(audio))
        with torch.autocast(video.device.type, enabled=False):
            return inner_products(*(self._by_class(share, "sum") for share in both))

    def _by_class(self, of_slots: Tensor, how: Literal["sum", "largest"]) -> Tensor:
        """[N, slots in use] → [N, G]: combines the slots of each class; slots without a class stay separate."""
        if self._groups == self.size:
            return of_slots
        group = self.group[: self.size]
        if how == "sum":
            return of_slots @ functional.one_hot(group, self._groups).to(of_slots.dtype)
        nothing = of_slots.new_full((len(of_slots), self._groups), -torch.inf)
        return nothing.scatter_reduce(1, group.expand_as(of_slots), of_slots, "amax")

    def extra_repr(self) -> str:
        return f"capacity={self.capacity}, space={self.space}, {self.rules}"


def _update_groups(memory: FeatureMemory, _: object = None) -> None:
    """Counts the slots in use and numbers the groups: one for each class, one for each slot without a class."""
    if memory.counts.is_meta:
        return  # on the meta device there are only shapes
    memory._size = int((memory.counts > 0).sum())
    classes = memory.slot_classes[: memory._size].cpu()
    names = torch.where(classes < 0, -1 - torch.arange(len(classes)), classes)
    found, group = torch.unique(names, return_inverse=True)
    memory._groups = len(found)
    memory.group[: len(classes)] = group.to(memory.group.device)


def _cosines(rows: Tensor, slots: Tensor) -> Tensor:
    """[..., D], [X, D] → [..., X]; the rows, possibly a million, are not copied."""
    rows = rows.float() if rows.element_size() < 4 else rows
    products = rows @ functional.normalize(slots.to(rows.dtype), dim=1).T
    norms: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return products / norms.clamp(min=1e-12)


def _largest_product(video: Tensor, audio: Tensor) -> Tensor:
    """[N, X], [M, X] → [N, M]: max over x of video · audio, slot by slot; in a tie the first slot gets the gradient."""
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
        raise InputError(f"The update is {update!r}", expected="'mean', or a rate above 0, at most 1")
    return float(update)


def _check_shapes(where: str, found: list[Any], expected: list[Any]) -> None:
    if found != expected:
        raise InputError(
            f"The shapes {', '.join(map(str, found))} do not match",
            where=f"FeatureMemory.{where}",
            expected=", ".join(map(str, expected)),
        )


def _check_choice(value: str, kind: Any) -> None:
    if value not in get_args(kind):
        raise InputError(f"Unknown memory option {value!r}", expected=f"one of {', '.join(get_args(kind))}")
