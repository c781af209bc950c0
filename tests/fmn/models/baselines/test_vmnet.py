from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fmn.config import Config
from fmn.models.baselines.vmnet import VideoMusicNetwork, ranking_term, structure_term


@pytest.mark.parametrize("hardest", [False, True])
def test_the_ranking_term_is_the_loop_over_triplets(hardest: bool) -> None:
    random = np.random.default_rng(0)
    similarity = random.uniform(-1, 1, (7, 9))
    classes, others = np.array([0, 0, 1, 2, 2, 4, 1]), np.array([0, 0, 1, 1, 2, 2, 2, 3, 0])
    match = classes[:, None] == others[None]
    for negatives in (2, 100):
        terms = []
        for anchor in range(7):
            positives = [similarity[anchor, j] for j in range(9) if match[anchor, j]]
            if not positives:
                continue
            against = sorted((similarity[anchor, j] for j in range(9) if not match[anchor, j]), reverse=True)
            for positive in [min(positives)] if hardest else positives:
                terms += [max(0.0, value - positive + 0.3) for value in against[:negatives]]
        found = ranking_term(
            torch.from_numpy(similarity),
            torch.from_numpy(match),
            margin=0.3,
            negatives=negatives,
            hardest_positive=hardest,
        )
        assert float(found) == pytest.approx(sum(terms) / len(terms), rel=1e-9)


def test_the_structure_term_is_the_loop_over_neighbors() -> None:
    random = np.random.default_rng(1)
    before, after = random.normal(size=(6, 5)), random.normal(size=(6, 3))

    def distance(vectors: np.ndarray, i: int, j: int) -> float:
        one, other = vectors[i], vectors[j]
        return float(1 - one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    terms = []
    for i in range(6):
        for j in range(5):
            if i in (j, j + 1):
                continue
            old = distance(before, i, j + 1) - distance(before, i, j)
            new = distance(after, i, j + 1) - distance(after, i, j)
            terms.append(2 * abs(new) if (old > 0) != (new > 0) else 0.0)
    assert sum(terms) > 0
    found = structure_term(torch.from_numpy(before), torch.from_numpy(after))
    assert float(found) == pytest.approx(sum(terms) / len(terms), rel=1e-9)
    assert float(structure_term(torch.from_numpy(before), torch.from_numpy(3 * before))) == 0
    vectors = torch.from_numpy(before).float(), torch.from_numpy(after).float()
    exact = structure_term(*vectors)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(structure_term(*vectors), exact)


def test_few_items_have_no_structure() -> None:
    assert float(structure_term(torch.randn(2, 4), torch.randn(2, 3))) == 0
    match = torch.ones(2, 2, dtype=torch.bool)
    for hardest in (False, True):
        for positive in (match, ~match):
            loss = ranking_term(torch.zeros(2, 2), positive, margin=0.1, negatives=5, hardest_positive=hardest)
            assert float(loss) == 0


def test_the_branches_have_the_published_sizes() -> None:
    model = VideoMusicNetwork(Config(system="vmnet"), 2048, 60)

    def sizes(branch: nn.Module) -> list[tuple[int, int]]:
        return [(layer.in_features, layer.out_features) for layer in branch.modules() if isinstance(layer, nn.Linear)]

    assert sizes(model.map_video) == [(2048, 2048), (2048, 512)]
    assert sizes(model.map_audio) == [(2048, 2048), (2048, 1024), (1024, 512)]
    vectors = model.eval().encode_clips(torch.randn(3, 2048))["vector"]
    assert torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-5)
