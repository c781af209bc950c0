"""VM-Net (Hong, Im and Yang 2018, "CBVMR"; as Prétet et al. 2021 used it): two branches, ranking loss, soft structure.

Described: music branch → 2048 → 1024 → 512, video branch → 2048 → 512, hidden layers with ReLU and dropout of .1, batch
norm and length 1 at the end; loss 3 · triplet(video → audio) + 1 · triplet(audio → video) + .2 · structure(video) + .2
· structure(audio) with margin .1, the hardest positive and the 100 most similar negatives of each anchor; Adam 3e-4,
batches of 1,000. A video has one positive there, its own music. Here it has a dozen in a batch, all of its class, and
each of them counts (fold 0 of a development corpus: mAP 60 %, with the hardest alone 55 %).
Our choices: the input of the music branch is FMN's Bi-LSTM, trained end to end, and the structure to preserve on that
side is that of its output; the structure term, from its description: sign of the difference of adjacent distances,
before versus after the mapping; means instead of sums, for independence of the batch size. In the preset ``demo``,
batches have 256 pairs, and the learning rate is a third of the preset's.
Unspecified in the paper: the input of this baseline. The paper's protocol comes from this work.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from fmn.config import Config
from fmn.config_sections import NotNegative, Size, section_from
from fmn.data.batches import Batch
from fmn.models.baselines.parts.batch_norm import BatchNorm1d
from fmn.models.baselines.parts.towers import (
    TwoTowers,
    class_weight_of,
    larger_batches,
    utterance_encoder,
    with_class_cross_entropy,
)
from fmn.models.inner_products import inner_products
from fmn.models.retrieval_model import Embeddings
from fmn.models.system_interface import OF_FMN, OF_TRIPLETS, Changes, System

PUBLISHED_RATE = 3e-4
PUBLISHED_BATCH, DEMO_BATCH = 1000, 256


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of VM-Net.

    Attributes:
        margin: margin of the triplet terms.
        negatives: number of most similar negatives per anchor.
        hardest_positive: whether only the least similar positive of each anchor counts.
        to_audio: weight of the triplet term whose anchors are clips. to_video: of that whose anchors are utterances.
        structure: weight of the structure term of each side.
        dropout: dropout in the hidden layers.
        class_weight: weight of an auxiliary class cross-entropy (``vmnet_ce``).
    """

    margin: NotNegative = 0.1
    negatives: Size = 100
    hardest_positive: bool = False
    to_audio: NotNegative = 3.0
    to_video: NotNegative = 1.0
    structure: NotNegative = 0.2
    dropout: NotNegative = 0.1
    class_weight: NotNegative = 0.0


def ranking_term(
    similarity: Tensor, positive: Tensor, *, margin: float, negatives: int, hardest_positive: bool
) -> Tensor:
    """max(0, s_n − s_p + margin): the positives p against the most similar negatives n of each anchor.

    Args:
        similarity: [Q, G], anchors in rows.
        positive: [Q, G] bool.
        margin: see above.
        negatives: maximum number per anchor.
        hardest_positive: whether only the least similar positive of each anchor counts.

    Returns:
        The mean over all (anchor, positive, negative); anchors without positives or negatives are ignored.
    """
    others, _ = similarity.masked_fill(positive, -torch.inf).topk(min(negatives, similarity.shape[1]), dim=1)
    if hardest_positive:
        anchors = positive.any(dim=1).nonzero().squeeze(1)
        chosen = similarity.masked_fill(~positive, torch.inf).amin(dim=1)[anchors]
    else:
        anchors, columns = positive.nonzero(as_tuple=True)
        chosen = similarity[anchors, columns]
    against = others[anchors]  # [positives, negatives]
    used = torch.isfinite(against)
    terms = functional.relu(torch.where(used, against - chosen[:, None] + margin, 0.0))
    return terms.sum() / used.sum().clamp(min=1)


def structure_term(before: Tensor, after: Tensor) -> Tensor:
    """Penalizes a mapping for reversing which of two neighbors in the batch is closer to a third item.

    With d the cosine distances, Δ = d(i, j+1) − d(i, j), the mean over all i, j (neither j nor j+1 being i) of
    (sign Δ_after − sign Δ_before) · Δ_after: zero where the order is preserved, 2·|Δ_after| where it is reversed.

    Args:
        before: [n, D1], not trained by this term.
        after: [n, D2].
    """
    count = len(before)
    if count < 3:
        return after.new_zeros(())
    old, new = _steps(before.detach()), _steps(after)
    items = torch.arange(count, device=after.device)
    outside = (items[:-1] != items[:, None]) & (items[1:] != items[:, None])
    return ((new.sign() - old.sign()) * new)[outside].mean()


class VideoMusicNetwork(TwoTowers):
    """The two branches of VM-Net, with FMN's Bi-LSTM before the music branch."""

    def __init__(self, config: Config, video_dim: int, audio_dim: int) -> None:
        options = section_from(Options, config.options, expected="see fmn/models/baselines/vmnet.py", path="options.")
        encoder = utterance_encoder(config, audio_dim)
        super().__init__(
            config,
            video_dim,
            encoder,
            _branch((video_dim, 2048, 512), options.dropout),
            _branch((encoder.output_dim, 2048, 1024, 512), options.dropout),
            dim=512,
            class_weight=options.class_weight,
        )
        self.options = options

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The two ranking terms and the two structure terms, weighted."""
        options = self.options
        video, audio = self.standardized(batch.video), self.encoder(batch.audio)
        clips: Embeddings = {"vector": self._vector(self.map_video(video))}
        utterances: Embeddings = {"vector": self._vector(self.map_audio(audio))}
        similarity = self.scores(clips, utterances)
        ranking = partial(
            ranking_term,
            margin=options.margin,
            negatives=options.negatives,
            hardest_positive=options.hardest_positive,
        )
        return {
            "to_audio": options.to_audio * ranking(similarity, batch.match),
            "to_video": options.to_video * ranking(similarity.T, batch.match.T),
            "structure_video": options.structure * structure_term(video, clips["vector"]),
            "structure_audio": options.structure * structure_term(audio, utterances["vector"]),
            **self.class_losses(clips, utterances, batch),
        }


def _branch(sizes: tuple[int, ...], dropout: float) -> nn.Module:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes[:-1]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]), BatchNorm1d(sizes[-1]))


def _steps(vectors: Tensor) -> Tensor:
    """[n, n − 1]: for each item, the cosine distance to item j + 1 minus that to item j."""
    unit = functional.normalize(vectors, dim=1)
    return (1 - inner_products(unit, unit)).diff(dim=1)


def adapt(config: Config) -> Config:
    """The published batch size and learning rate in the paper's preset, a quarter of the batch size in a small one."""
    is_small = config.training.pairs_per_epoch is not None
    training = larger_batches(config.training, DEMO_BATCH if is_small else PUBLISHED_BATCH)
    rate = config.training.learning_rate / 3 if is_small else PUBLISHED_RATE
    return replace(config, training=replace(training, learning_rate=rate))


def grid(config: Config) -> tuple[Changes, ...]:
    """Positives, margin, learning rate."""
    rate = config.training.learning_rate
    return (
        {},
        {"options.hardest_positive": True},
        {"options.margin": 0.3},
        {"training.learning_rate": rate / 3},
    )


SYSTEM = System(
    name="vmnet",
    summary="VM-Net: two branches, ranking loss, soft structure",
    build=VideoMusicNetwork,
    adapt=adapt,
    options=Options,
    grid=grid,
    class_cross_entropy=class_weight_of,
    ignored=(*OF_FMN, *OF_TRIPLETS, "model.head_hidden_size", "model.step_attention"),
)
SYSTEMS = (SYSTEM, with_class_cross_entropy(SYSTEM))
