from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fmn.config import Config
from fmn.models.baselines.parts.density import DensityClassifier
from fmn.models.baselines.two_classifiers import TwoClassifiers


def test_the_score_is_the_probability_that_both_are_of_one_class(small: Config) -> None:
    model = TwoClassifiers(small, 12, 8)
    clips = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    utterances = torch.tensor([[0.5, 0.5, 0.0], [0.2, 0.2, 0.6], [1 / 3] * 3])
    found = model.scores({"log_posterior": clips.log()}, {"log_posterior": utterances.log()}).exp()
    assert torch.allclose(found, clips @ utterances.T, atol=1e-6)


def test_a_density_posterior_is_bayes_rule_with_gaussian_kernels() -> None:
    random = np.random.default_rng(0)
    items, classes = random.normal(size=(12, 2)), np.repeat([0, 1, 3], 4)  # nothing is of class 2
    items[4:8] += 2
    classifier = DensityClassifier(2)
    classifier.fit(torch.from_numpy(items).float(), torch.from_numpy(classes), 4)
    query = np.array([1.0, 0.5])
    mean, scale = items.mean(0), items.std(0)
    bandwidth = 4 ** (-1 / 6)  # Scott: n items a class, d = 2

    def density(label: int) -> float:
        own = items[classes == label]
        apart = np.linalg.norm(((query - mean) - (own - mean)) / scale, axis=1) / bandwidth
        return float(np.exp(-(apart**2) / 2).mean())

    whole = sum(density(label) for label in (0, 1, 3))
    found = classifier(torch.from_numpy(query[None]).float())[0]
    assert found[2] == -math.inf
    for label in (0, 1, 3):
        assert math.exp(found[label]) == pytest.approx(density(label) / whole, rel=1e-4)
    other = DensityClassifier(2)
    other.load_state_dict(classifier.state_dict())
    assert torch.equal(other(torch.zeros(1, 2)), classifier(torch.zeros(1, 2)))
