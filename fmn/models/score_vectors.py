"""Score vectors for maximum inner product search: FMN's final score of a gallery item as an inner product with a query.

The score ``combined`` of an item v and a query a is (`fmn.models.fmn.FeatureMemoryNetwork.final_score`)

    S(v, a) = e · s1(v, a) + w · log p(v, a) + shift,

with s1 the logit of S1, e its exponent, w the learned weight of the memories and p their agreement.

*Agreement.* p is itself an inner product. With v_x the item's share of slot x, and a_x the query's share,
p = Σ over x of v_x · c_x, where c_x is the sum of a over the slots of x's class. With classes learned after training,
p = (1 − Σ n_v)(1 − Σ n_a) Σ v_x c_x + n_v · n_a, n the shares of the new classes: again one inner product, of
[(1 − Σ n_v) v, n_v] with [(1 − Σ n_a) c, n_a]; and s1 is (1 − Σ n_v)(1 − Σ n_a) times the logit. The logarithm of p
lies below its tangent at any p0 > 0:

    log p ≤ p / p0 + log p0 − 1,

with equality at p0. p0 is the highest agreement within a sample of the gallery, but at least `LEAST_AGREEMENT`, the
smallest that counts in the score: near the best items, which are to be found, the tangent is exact to second order, and
everywhere it is a bound.

*S1.* Because of the relu, s1 is not an inner product, but it is smooth in v, and its values for one query can be
predicted from its values for others. z(v) are the r leading principal components of s1(v, b) over J anchor queries b,
mixtures of the slots of the query's memory; for a query a, weighted least squares over the sample yields
s1(v, a) ≈ β(a) · z(v) + β0. An item's weight is its agreement, since the approximation has to hold where that is high.

Together S(v, a) ≈ [β(a), c / p0] · [e · z(v), w · v] + a constant per query, which does not affect the ranking.
Measured accuracy (docs/benchmarks.md): the best 25 of a million were all among the 1500 with the largest inner
products, which are then reranked by the final score itself.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from fmn.models.fmn import LEAST_AGREEMENT, FeatureMemoryNetwork
from fmn.models.memory import Modality
from fmn.models.retrieval_model import Embeddings, RetrievalModel, eval_mode

ANCHORS = 128
COMPONENTS = 48
MIXING = 0.1  # concentration of the Dirichlet distribution of the anchors' mixing weights: mostly one slot, often two
EVERYWHERE = 1e-4  # weight of an item that does not agree with the query
PAIRS_AT_ONCE = 4096  # few enough for the hidden layer of S1 to stay in the CPU cache


class ScoreVectors:
    """The vectors of the items of one modality, and of queries from the other, for one trained FMN.

    Args:
        model: a trained model for which `score_vectors` returns vectors.
        modality: modality of the items.
        axes: [J, r] from an earlier `fit`, if there was one.
    """

    def __init__(self, model: FeatureMemoryNetwork, modality: Modality, axes: Tensor | None = None) -> None:
        self._model, self._modality = model, modality
        other: Modality = "audio" if modality == "video" else "video"
        memory = model.memory
        slots = (memory.audio_slots if other == "audio" else memory.video_slots)[: memory.size]
        with eval_mode(model):
            if memory.space == "raw":
                slots = (model.map_audio if other == "audio" else model.map_video)(slots)
            slots = functional.normalize(slots, dim=1)
            generator = torch.Generator().manual_seed(0)
            # Uniform numbers to the power 1 / MIXING, normalized: close enough to Dirichlet, and seeded.
            shares = torch.rand(ANCHORS, memory.size, generator=generator).pow(1 / MIXING)
            mixed = functional.normalize((shares / shares.sum(1, keepdim=True)).to(slots) @ slots, dim=1)
            self._anchors = {"half": model.half_of_s1(other, mixed)}
        self.axes = None if axes is None else axes.to(slots.device)

    def on_device(self, embeddings: Embeddings) -> Embeddings:
        """Returns embeddings, such as those of an index, on the model's device."""
        return {name: part.to(self._anchors["half"].device) for name, part in embeddings.items()}

    @torch.no_grad()
    def fit(self, embeddings: Embeddings) -> None:
        """Computes the principal components of s1 over the anchors, from embeddings of a sample of the items."""
        values = self._s1(self.on_device(embeddings), self._anchors)
        self.axes = torch.linalg.eigh(values.T @ values)[1][:, -COMPONENTS:] / ANCHORS**0.5

    @torch.no_grad()
    def items(self, embeddings: Embeddings) -> Tensor:
        """Embeddings of N items → [N, r + slots in use + new classes], on the CPU."""
        assert self.axes is not None
        embeddings = self.on_device(embeddings)
        e, w = self._weights()
        return torch.cat([e * self._s1(embeddings, self._anchors) @ self.axes, w * self._shares(embeddings)], 1).cpu()

    @torch.no_grad()
    def query(self, embeddings: Embeddings, sample: Embeddings, sample_vectors: Tensor) -> Tensor:
        """The vector [r + slots in use + new classes] of one query, on the CPU.

        Args:
            embeddings: embeddings of the query.
            sample: embeddings of a sample of the gallery, on the model's device.
            sample_vectors: their vectors, from `items`.
        """
        e, w = self._weights()
        coefficients = self._coefficients(embeddings)
        components, shares = sample_vectors[:, : -len(coefficients)], sample_vectors[:, -len(coefficients) :]
        agreement = shares @ coefficients / w
        highest = agreement.max().clamp(min=LEAST_AGREEMENT)  # less counts as this much
        weights = (agreement / highest + EVERYWHERE)[:, None]
        known = functional.pad(components, (0, 1), value=1.0)
        left = known.T @ (weights * known)
        right = known.T @ (weights * e * self._s1(sample, embeddings).cpu())
        left.diagonal().add_(1e-6 * left.diagonal().mean())
        return torch.cat([torch.linalg.solve(left, right)[:-1, 0], coefficients / highest])

    def _weights(self) -> tuple[float, float]:
        """The weights e of s1 and w of the logarithm of the agreement."""
        model = self._model.config.model
        return model.s1_exponent if model.score == "combined" else 0.0, float(functional.softplus(self._model.scale))

    def _shares(self, embeddings: Embeddings) -> Tensor:
        shares = embeddings["log_shares"].exp()
        new = embeddings.get("new_shares")
        return shares if new is None else torch.cat([(1 - new.sum(1, keepdim=True)) * shares, new], 1)

    def _coefficients(self, embeddings: Embeddings) -> Tensor:
        """[slots in use + new classes], on the CPU: the factor of each share of an item in its agreement."""
        shares = embeddings["log_shares"].exp()
        found = self._model.memory.same_slot(torch.eye(shares.shape[1]).to(shares), shares)[:, 0]
        if "new_shares" in embeddings:
            new = embeddings["new_shares"][0]
            found = torch.cat([(1 - new.sum()) * found, new])
        return found.cpu()

    def _s1(self, items: Embeddings, queries: Embeddings) -> Tensor:
        """[N, Q]: logits of S1, each weighted by the shares of the old classes of its item and its query."""
        with eval_mode(self._model):
            parts = []
            for rows in torch.split(items["half"], max(1, PAIRS_AT_ONCE // len(queries["half"]))):
                both = {"half": rows, "mapped": rows}, {"half": queries["half"], "mapped": queries["half"]}
                s1 = self._model.s1_matrix(*(both if self._modality == "video" else both[::-1]))
                parts.append(s1 if self._modality == "video" else s1.T)
        return _of_old(items)[:, None] * torch.cat(parts) * _of_old(queries)


def _of_old(embeddings: Embeddings) -> Tensor:
    """[N]: the share of the old classes; 1 without new classes."""
    new = embeddings.get("new_shares")
    return embeddings["half"].new_ones(len(embeddings["half"])) if new is None else 1 - new.sum(1)


def score_vectors(model: RetrievalModel, modality: Modality, axes: Tensor | None = None) -> ScoreVectors | None:
    """Returns the vectors of a run whose score has the form above, else None: galleries are scored exhaustively."""
    if not isinstance(model, FeatureMemoryNetwork) or not model.memory.size:
        return None
    if model.config.model.score not in ("combined", "memory") or model.config.memory.read != "softmax":
        return None
    return ScoreVectors(model, modality, axes)
