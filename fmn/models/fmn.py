"""The Feature Memory Network (paper, section 3): mapping, fusion to S1, two memories, the final score.

The published and the standard forms of its equations are implemented; `ModelConfig` and `MemoryConfig` select them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fmn.config import Config
from fmn.data.batches import Batch, Indices, ItemTensors
from fmn.data.sequences import Sequences
from fmn.models.inner_products import inner_products
from fmn.models.losses import balanced_bce, configured_triplet, require_loss
from fmn.models.memory import FeatureMemory, Modality, Reduce
from fmn.models.memory_capacity import PAPER_CAPACITY
from fmn.models.new_class_memory import NewClassMemory, both_old, clip_vectors, gated_agreement, utterance_vectors
from fmn.models.retrieval_model import Embeddings, RetrievalModel, encode_all, eval_mode
from fmn.models.score_heads import HiddenHead, LinearHead
from fmn.models.step_attention import attention_of, pooled_log_shares
from fmn.models.system_interface import Changes, ClassCrossEntropy, System
from fmn.models.utterance_encoder import UtteranceEncoder

LEAST_AGREEMENT = 1e-4  # keeps the logarithm of an agreement of 0 finite


class FeatureMemoryNetwork(RetrievalModel):
    """FMN.

    Args:
        config: ``config.model`` and ``config.memory`` select sizes and forms, ``config.training`` the losses.
        video_dim: Dv, size of a clip's feature vector.
        audio_dim: F, size of an audio frame.

    Attributes:
        new_classes: memory of the classes learned after training, or None. With it, embeddings contain ``new_shares``
            [N, K]. Not in the state dict.
        reads_memories: whether the score depends on what the memories hold.
        gives_vectors: whether embeddings contain the vectors that new classes are learned from, ``vector_0`` and so on.
    """

    video_mean: Tensor
    video_scale: Tensor

    def __init__(self, config: Config, video_dim: int, audio_dim: int) -> None:
        super().__init__()
        model, memory = config.model, config.memory
        self.config = config
        self.attention = attention_of(config)
        self.new_classes: NewClassMemory | None = None
        self.reads_memories = model.score not in ("s1", "cosine")
        self.gives_vectors = False
        self._unwritten: tuple[Embeddings, Embeddings, Tensor, Tensor, Tensor] | None = None  # arguments of `_write`
        self.register_buffer("video_mean", torch.zeros(video_dim))
        self.register_buffer("video_scale", torch.ones(video_dim))
        self.encoder = UtteranceEncoder(audio_dim, model.hidden_size, stack=model.frame_stack, pooling=model.pooling)
        self.dropout = nn.Dropout(model.dropout)
        self.map_video = nn.Linear(video_dim, model.embed_dim)
        self.map_audio = nn.Linear(self.encoder.output_dim, model.embed_dim)
        self.head: HiddenHead | LinearHead = (
            HiddenHead(model.embed_dim, model.head_hidden_size, model.dropout)
            if model.head == "hidden"
            else LinearHead(model.embed_dim)
        )
        raw = memory.space == "raw"
        self.memory = FeatureMemory(
            memory.capacity or PAPER_CAPACITY,
            video_dim if raw else model.embed_dim,
            self.encoder.output_dim if raw else model.embed_dim,
            space=memory.space,
            update=memory.update,
            novelty_threshold=memory.novelty_threshold,
            novelty=memory.novelty,
            when_full=memory.when_full,
        )
        # S = sigmoid(scale · x + shift) for the scores x that are not probabilities themselves
        self.scale = nn.Parameter(torch.tensor(0.0))  # used through softplus, so that its sign cannot flip
        self.shift = nn.Parameter(torch.tensor(0.0))

    # -- encoding ----------------------------------------------------------------------------------------------------

    def encode_clips(self, video: Tensor) -> Embeddings:
        """[N, Dv] → mapped vectors [N, D], and the raw ones if the memory stores those.

        With step attention, also ``log_shares`` [N, slots in use] over the current slots: items must be encoded again
        after the memory is written.
        """
        return self.encode_windows(video, None)

    def encode_windows(self, video: Tensor, windows: Sequences | None) -> Embeddings:
        """The same for clips whose windows are steps; a clip without windows is a single step."""
        raw = self._standardized(video)
        embeddings = self._embeddings(raw, self.map_video)
        embeddings |= self._of_new_classes("video", lambda: clip_vectors(raw, embeddings["mapped"]))
        if self.attention is None:
            return embeddings
        steps = windows and windows._replace(frames=self._standardized(windows.frames))
        return embeddings | self._attended("video", steps or Sequences.of_vectors(raw), self.map_video)

    def encode_utterances(self, audio: Sequences) -> Embeddings:
        """M sequences → mapped vectors [M, D], and the Bi-LSTM's [M, 2U] if the memory stores those.

        With step attention, also ``log_shares``, as in `encode_clips`.
        """
        states = None if self.attention is None else self.encoder.states(audio)
        pooled = self.encoder(audio) if states is None else self.encoder.pooled(states)
        embeddings = self._embeddings(pooled, self.map_audio)
        embeddings |= self._of_new_classes("audio", lambda: utterance_vectors(pooled, audio))
        if states is None:
            return embeddings
        return embeddings | self._attended("audio", self.encoder.steps(states), self.map_audio)

    def _standardized(self, video: Tensor) -> Tensor:
        return (video - self.video_mean) / self.video_scale

    def _embeddings(self, raw: Tensor, mapping: nn.Module) -> Embeddings:
        mapped = self._mapped(raw, mapping)
        return {"mapped": mapped} | ({"raw": raw} if self.config.memory.space == "raw" else {})

    def _of_new_classes(self, modality: Modality, vectors: Callable[[], tuple[Tensor, ...]]) -> Embeddings:
        """Additional entries of the embeddings if classes were learned after training, or are about to be."""
        if self.gives_vectors:
            return {f"vector_{number}": vector for number, vector in enumerate(vectors())}
        return {} if self.new_classes is None else {"new_shares": self.new_classes[modality].shares(vectors())}

    def _mapped(self, raw: Tensor, mapping: nn.Module) -> Tensor:
        return functional.normalize(mapping(self.dropout(raw)).float(), dim=-1)

    def _attended(self, modality: Modality, steps: Sequences, mapping: nn.Module) -> Embeddings:
        """Steps [N, T, …] → ``log_shares`` [N, slots in use]."""
        assert self.attention is not None
        rows = steps.frames if self.config.memory.space == "raw" else self._mapped(steps.frames, mapping)
        log_shares = steps._replace(frames=self._log_shares(modality, rows))
        return {"log_shares": pooled_log_shares(log_shares, self.attention)}

    def _log_shares(self, modality: Modality, rows: Tensor) -> Tensor:
        """[..., D] → [..., slots in use]: log-softmax over the slots."""
        return self.memory.log_shares(modality, rows, temperature=self.config.memory.temperature)

    # -- scoring -----------------------------------------------------------------------------------------------------

    def s1(self, clips: Tensor, utterances: Tensor) -> Tensor:
        """Logit of S1 for mapped vectors [..., D] that broadcast against each other."""
        unit = clips.shape[-1] ** 0.5  # scales the components of a vector to about 1
        logit: Tensor = self.head(clips * unit, utterances * unit)
        return logit

    def half_of_s1(self, modality: Modality, mapped: Tensor) -> Tensor:
        """Mapped vectors [N, D] → what the head computes of them before it joins the two modalities, [N, U]."""
        half: Tensor = self.head.get_submodule(modality)(mapped * mapped.shape[-1] ** 0.5)
        return half

    def for_search(self, modality: Modality, embeddings: Embeddings) -> Embeddings:
        """Adds the head's ``half`` [N, U] and, if the memory is read by shares, ``log_shares`` [N, slots in use]."""
        with eval_mode(self):
            embeddings = {**embeddings, "half": self.half_of_s1(modality, embeddings["mapped"])}
            if self.config.memory.read == "softmax" and "log_shares" not in embeddings:
                embeddings["log_shares"] = self._log_shares(modality, embeddings[self.config.memory.space])
        return embeddings

    def agreement(self, clips: Embeddings, utterances: Embeddings, reduce: Reduce | None = None) -> Tensor:
        """[N, M]: agreement of the two memories on every pair (Max of eq. 3, or the softmax read)."""
        space, memory = self.config.memory.space, self.config.memory
        if "log_shares" in clips and reduce is None:
            return self.memory.same_slot(clips["log_shares"].exp(), utterances["log_shares"].exp())
        return self.memory.read(
            clips[space],
            utterances[space],
            reduce=reduce or memory.read,
            temperature=memory.temperature,
            clamp=memory.clamp,
        )

    def scores(self, clips: Embeddings, utterances: Embeddings) -> Tensor:
        """[N, M]: the logit of S, or log S for the forms that are products (see `final_score`)."""
        return self.final_score(clips, utterances, self.s1_matrix(clips, utterances))

    def s1_matrix(self, clips: Embeddings, utterances: Embeddings) -> Tensor:
        """[N, M]: logit of S1 of every pair."""
        if "half" not in clips:
            return self.s1(clips["mapped"][:, None], utterances["mapped"][None])
        return self.head.joined(clips["half"][:, None], utterances["half"][None])

    @property
    def score_is_product(self) -> bool:
        """Whether `final_score` returns log S (eq. 3 and its inverse) instead of the logit of S."""
        return self.config.model.score in ("s1/max", "s1*max")

    def final_score(self, clips: Embeddings, utterances: Embeddings, s1: Tensor) -> Tensor:
        """Computes the final score of every pair.

        While the memories are empty, their agreement is 1, and the score is S1 in all forms that contain S1.

        Args:
            clips: embeddings of N clips.
            utterances: embeddings of M utterances.
            s1: [N, M] logits of S1.

        Returns:
            [N, M]. ``s1``: its logit. ``cosine`` and ``memory``: logits that increase with the cosine or agreement.
            ``combined``: a fraction of the logit of S1 plus a learned multiple of the log of the agreement.
            ``distance``: a learned multiple of −log of (1 − S1) times the smallest product of distances to a slot.
            ``s1*max`` and ``s1/max``: log S; there, an agreement below 1e-4 counts as 1e-4, and S may exceed 1, as
            published. With new classes, the forms that read the memories use the agreement and S1 of
            `fmn.models.new_class_memory`.
        """
        form = self.config.model.score
        if form == "s1":
            return s1
        weight = functional.softplus(self.scale)
        if form == "cosine":
            return weight * 10 * inner_products(clips["mapped"], utterances["mapped"]) + self.shift
        if form == "distance":
            distance = self.agreement(clips, utterances, "distance").clamp(min=LEAST_AGREEMENT).log()
            return weight * (functional.softplus(s1) - distance) + self.shift  # softplus(s1) = −log(1 − S1)
        agreement = self.agreement(clips, utterances)
        log_s1 = functional.logsigmoid(s1)
        if "new_shares" in clips:
            shares = clips["new_shares"], utterances["new_shares"]
            agreement = gated_agreement(agreement, *shares)
            s1, log_s1 = both_old(*shares) * s1, both_old(*shares) * log_s1
        agreement = agreement.clamp(min=LEAST_AGREEMENT).log()
        match form:
            case "memory":
                return weight * agreement + self.shift
            case "combined":
                return self.config.model.s1_exponent * s1 + weight * agreement + self.shift
            case "s1*max":
                return log_s1 + agreement
            case _:
                return log_s1 - agreement

    # -- training ----------------------------------------------------------------------------------------------------

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Weighted triplet loss of the mapped cosines (eq. 1), BCE of S1 and the final score (eq. 4), slot losses.

        The slot loss of a modality is −log of the share that the slots of an item's own class receive when the memory
        is read (`fmn.models.memory.FeatureMemory.log_class_shares`). The memories are not written here; with
        ``write: step``, the embeddings of the batch are kept for `after_step`.
        """
        training = self.config.training
        clips, utterances = self.encode_windows(batch.video, batch.windows), self.encode_utterances(batch.audio)
        s1 = self.s1_matrix(clips, utterances).float()
        losses: dict[str, Tensor] = {}
        if training.s1_weight and self.config.model.score != "s1":
            losses["s1"] = training.s1_weight * balanced_bce(s1, batch.match)
        if training.score_weight:
            score = self.final_score(clips, utterances, s1)
            losses["score"] = training.score_weight * balanced_bce(score, batch.match, logarithms=self.score_is_product)
        if training.triplet != "off" and training.triplet_weight:
            cosines = inner_products(clips["mapped"], utterances["mapped"])
            losses["triplet"] = training.triplet_weight * configured_triplet(cosines, batch.match, training)
        if training.slot_weight and self.config.model.score not in ("s1", "cosine"):
            losses["video_slots"] = training.slot_weight * self._slot_loss("video", clips, batch.clip_classes)
            losses["audio_slots"] = training.slot_weight * self._slot_loss("audio", utterances, batch.utterance_classes)
        if self.config.memory.write == "step":
            clip_rows, utterance_rows = batch.pairs.unbind(1)
            embeddings = [{name: part.detach() for name, part in one.items()} for one in (clips, utterances)]
            s1_of_pairs = s1.detach()[clip_rows, utterance_rows]
            self._unwritten = embeddings[0], embeddings[1], batch.pairs, s1_of_pairs, batch.clip_classes[clip_rows]
        return losses

    def after_step(self) -> None:
        """Writes the pairs of the last batch with S1 > T1, by the embeddings that its losses were computed from."""
        if self._unwritten is not None:
            self._write(*self._unwritten)
            self._unwritten = None

    def _slot_loss(self, modality: Modality, embeddings: Embeddings, classes: Tensor) -> Tensor:
        if self.attention is not None:
            return -self.memory.of_own_class(embeddings["log_shares"], classes).mean()
        rows, temperature = embeddings[self.config.memory.space], self.config.memory.temperature
        return -self.memory.log_class_shares(modality, rows, classes, temperature=temperature).mean()

    def prepare(self, data: ItemTensors, clips: Indices, utterances: Indices) -> None:
        """Stores the mean and standard deviation of the clips' features, used to standardize them."""
        video = data.video[data.on_device(clips)]
        self.video_mean.copy_(video.mean(0))
        self.video_scale.copy_(video.std(0, correction=0).clamp(min=1e-6))

    def fit_after_epoch(
        self, data: ItemTensors, clips: Indices, utterances: Indices, generator: np.random.Generator
    ) -> None:
        """Rewrites the memories with the current mapping, each item at least once (``write: epoch``)."""
        if self.config.memory.write != "epoch":
            return
        self.rewrite(*encode_all(self, data, clips, utterances), *data.rows_of_pairs(clips, utterances, generator))

    def rewrite(self, clips: Embeddings, utterances: Embeddings, pairs: Tensor, classes: Tensor) -> None:
        """Clears the memories, whose slots become stale as the mapping trains, and writes the pairs with S1 > T1.

        Args:
            clips: embeddings of clips.
            utterances: embeddings of utterances.
            pairs: [P, 2], row indices into the embeddings.
            classes: [P], classes of the pairs.
        """
        clip_rows, utterance_rows = pairs.unbind(1)
        with eval_mode(self):
            s1 = self.s1(clips["mapped"][clip_rows], utterances["mapped"][utterance_rows])
        self.memory.clear()
        self._write(clips, utterances, pairs, s1, classes)

    def _write(self, clips: Embeddings, utterances: Embeddings, pairs: Tensor, s1: Tensor, classes: Tensor) -> None:
        """Writes pairs, given as row indices into the embeddings, to the memories in order; ``s1`` are logits."""
        space = self.config.memory.space
        clip_rows, utterance_rows = pairs.unbind(1)
        self.memory.write(
            clips[space].detach()[clip_rows],
            utterances[space].detach()[utterance_rows],
            torch.sigmoid(s1),
            score_threshold=self.config.memory.score_threshold,
            classes=classes if self.config.memory.class_slots else None,
        )


def grid(config: Config) -> tuple[Changes, ...]:
    """Tuning grid of `fmn compare`: no change; more than one slot per class (T2); other learning rates."""
    rate = config.training.learning_rate
    return (
        {},
        {"memory.novelty_threshold": 0.4},
        {"training.learning_rate": rate / 3},
        {"training.learning_rate": rate * 3},
    )


def slot_cross_entropy(config: Config) -> ClassCrossEntropy:
    """The slot loss is a class cross-entropy on both modalities if slots have classes and enter the score."""
    is_read = config.model.score not in ("s1", "cosine") and config.memory.class_slots
    return "both sides" if is_read and config.training.slot_weight else "no"


SYSTEM = System(
    name="fmn",
    summary="Feature Memory Network (Li et al. 2022)",
    build=FeatureMemoryNetwork,
    grid=grid,
    class_cross_entropy=slot_cross_entropy,
    check=require_loss,
)
