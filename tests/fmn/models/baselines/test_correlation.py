from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cross_decomposition import CCA
from torch import Tensor

from fmn.models.baselines.kcca import KernelComponents
from fmn.models.baselines.parts.correlation import (
    CanonicalSpace,
    Covariances,
    canonical,
    class_covariances,
    total_correlation,
)

SMALL = 1e-10  # a ridge that only keeps matrices invertible


def pair_covariances(first: Tensor, second: Tensor) -> Covariances:
    """Covariances of n pairs, row i of one view with row i of the other, divided by n."""
    first, second = first.double(), second.double()
    sizes = [first.shape[1], second.shape[1]]
    rows = [*torch.cov(torch.hstack([first, second]).T, correction=0).split(sizes)]
    (of_first, between), (_, of_second) = (row.split(sizes, dim=1) for row in rows)
    return Covariances(of_first, of_second, between, first.mean(0), second.mean(0))


def correlated(count: int = 400, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two views, [n, 5] and [n, 4], that share two hidden numbers."""
    random = np.random.default_rng(seed)
    hidden = random.normal(size=(count, 2))
    first = np.hstack([hidden, random.normal(size=(count, 3))]) @ random.normal(size=(5, 5))
    second = np.hstack([hidden + random.normal(size=(count, 2)) * [0.3, 1.0], random.normal(size=(count, 2))])
    return torch.from_numpy(first), torch.from_numpy(second @ random.normal(size=(4, 4)))


def correlation(one: Tensor, other: Tensor) -> float:
    return float(np.corrcoef(one.numpy(), other.numpy())[0, 1])


def test_correlations_are_those_of_the_generalized_eigenproblem() -> None:
    # The textbook's way: ρ² are the eigenvalues of Σ11⁻¹ Σ12 Σ22⁻¹ Σ21.
    first, second = correlated()
    joint = np.cov(torch.cat([first, second], 1).numpy(), rowvar=False, bias=True)
    s11, s12, s22 = joint[:5, :5], joint[:5, 5:], joint[5:, 5:]
    squares = np.linalg.eigvals(np.linalg.inv(s11) @ s12 @ np.linalg.inv(s22) @ s12.T).real
    expected = np.sqrt(np.sort(squares)[::-1][:4])
    found = canonical(pair_covariances(first, second), ridge=SMALL, dims=10)
    assert found.correlations.numpy() == pytest.approx(expected, abs=1e-6)
    for index in range(4):
        one, other = first @ found.first[:, index], second @ found.second[:, index]
        assert correlation(one, other) == pytest.approx(expected[index], abs=1e-6)
        assert float(one.var(correction=0)) == pytest.approx(1, abs=1e-6)


def test_variates_are_those_of_scikit_learn() -> None:
    first, second = correlated(seed=3)
    theirs = CCA(n_components=2, max_iter=5000, tol=1e-12).fit(first.numpy(), second.numpy())
    expected_first, expected_second = theirs.transform(first.numpy(), second.numpy())
    found = canonical(pair_covariances(first, second), ridge=SMALL, dims=2)
    for index in range(2):
        one, other = torch.from_numpy(expected_first[:, index]), torch.from_numpy(expected_second[:, index])
        assert abs(correlation(first @ found.first[:, index], one)) == pytest.approx(1, abs=1e-5)
        assert abs(correlation(second @ found.second[:, index], other)) == pytest.approx(1, abs=1e-5)


def test_a_ridge_is_a_share_of_the_mean_variance() -> None:
    first, second = correlated()
    found = canonical(pair_covariances(first, second), ridge=0.5, dims=4)
    joint = np.cov(torch.cat([first, second], 1).numpy(), rowvar=False, bias=True)
    s11 = joint[:5, :5] + 0.5 * joint[:5, :5].trace() / 5 * np.eye(5)
    s22 = joint[5:, 5:] + 0.5 * joint[5:, 5:].trace() / 4 * np.eye(4)
    squares = np.linalg.eigvals(np.linalg.inv(s11) @ joint[:5, 5:] @ np.linalg.inv(s22) @ joint[:5, 5:].T).real
    assert found.correlations.numpy() == pytest.approx(np.sqrt(np.sort(squares)[::-1][:4]), abs=1e-9)


def test_class_covariances_are_those_of_all_pairs_of_a_class() -> None:
    random = np.random.default_rng(1)
    first_classes, second_classes = np.array([0, 0, 1, 1, 1, 3]), np.array([0, 1, 1, 2, 3, 3, 3])
    first, second = random.normal(size=(6, 3)), random.normal(size=(7, 4))
    pairs = [(i, j) for i in range(6) for j in range(7) if first_classes[i] == second_classes[j]]
    rows = np.array(pairs)
    expected = pair_covariances(torch.from_numpy(first[rows[:, 0]]), torch.from_numpy(second[rows[:, 1]]))
    found = class_covariances(*map(torch.from_numpy, (first, second, first_classes, second_classes)))
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-12)


def test_on_all_pairs_of_a_class_there_are_fewer_directions_than_classes() -> None:
    random = np.random.default_rng(2)
    classes = torch.arange(5).repeat_interleave(12)
    first, second = torch.from_numpy(random.normal(size=(60, 9))), torch.from_numpy(random.normal(size=(60, 8)))
    found = canonical(class_covariances(first, second, classes, classes), ridge=1e-4, dims=100)
    assert len(found.correlations) == 4


def test_a_space_takes_its_size_from_a_checkpoint() -> None:
    first, second = correlated()
    space = CanonicalSpace(5, 4)
    space.fit(pair_covariances(first, second), ridge=1e-4, dims=3)
    other = CanonicalSpace(5, 4)
    other.load_state_dict(space.state_dict())
    assert torch.equal(other.first(first.float()), space.first(first.float()))
    assert other.second(second.float()).shape == (400, 3)


def gaussian_components(values: Tensor) -> Tensor:
    components = KernelComponents(values.shape[1])
    components.fit(values, 1.0)
    return components(values)


def test_kernel_components_reproduce_the_centered_kernel() -> None:
    random = np.random.default_rng(4)
    fitted, new = random.normal(size=(30, 3)), random.normal(size=(5, 3))
    components = KernelComponents(3)
    components.fit(torch.from_numpy(fitted).float(), 0.7)
    distances = np.linalg.norm(fitted[:, None] - fitted[None], axis=2)
    width = 0.7 * np.median(distances[~np.eye(30, dtype=bool)])

    def kernel(rows: np.ndarray) -> np.ndarray:
        return np.exp(-(np.linalg.norm(rows[:, None] - fitted[None], axis=2) ** 2) / (2 * width**2))

    means = kernel(fitted).mean(0)
    centered = kernel(new) - kernel(new).mean(1, keepdims=True) - means + means.mean()
    found = components(torch.from_numpy(new).float()) @ components(torch.from_numpy(fitted).float()).T
    assert found.numpy() == pytest.approx(centered, abs=1e-4)


def test_items_that_are_all_equal_have_no_direction_and_tie() -> None:
    for equal_view in (0, 1):
        views = [torch.randn(12, 3, generator=torch.Generator().manual_seed(0)) for _ in range(2)]
        views[equal_view] = torch.ones(12, 3)
        kernels = [KernelComponents(3), KernelComponents(3)]
        for kernel, view in zip(kernels, views, strict=True):
            kernel.fit(view, 1.0)
        classes = torch.arange(12) % 3
        first, second = (kernel(view) for kernel, view in zip(kernels, views, strict=True))
        space = CanonicalSpace(0, 0)
        assert len(space.fit(class_covariances(first, second, classes, classes), ridge=1.0, dims=9)) == 0
        scores = space.first(first.float()) @ space.second(second.float()).T
        assert torch.equal(scores, torch.zeros(12, 12))


def test_kernels_find_what_is_not_linear() -> None:
    # The second view is the square of the first: uncorrelated with it, and fully determined by it.
    random = np.random.default_rng(5)
    angle = torch.from_numpy(random.uniform(-1, 1, (240, 1)))
    first = torch.cat([angle, torch.from_numpy(random.normal(size=(240, 1))) * 0.3], 1).float()
    second = (angle**2 + 0.02 * torch.from_numpy(random.normal(size=(240, 1)))).float()
    fitted, held = slice(0, 160), slice(160, 240)

    linear = canonical(pair_covariances(first[fitted], second[fitted]), ridge=1e-4, dims=1)
    one, other = first[held].double() @ linear.first[:, 0], second[held].double() @ linear.second[:, 0]
    assert abs(correlation(one, other)) < 0.3

    views = [KernelComponents(2), KernelComponents(1)]
    for view, values in zip(views, (first, second), strict=True):
        view.fit(values[fitted], 1.0)
    kernels = [view(values) for view, values in zip(views, (first, second), strict=True)]
    found = canonical(pair_covariances(kernels[0][fitted], kernels[1][fitted]), ridge=1.0, dims=1)
    one, other = kernels[0][held] @ found.first[:, 0], kernels[1][held] @ found.second[:, 0]
    assert abs(correlation(one, other)) > 0.9


def test_total_correlation_is_the_nuclear_norm_of_t() -> None:
    first, second = correlated(60)
    centered = [view.numpy() - view.numpy().mean(0) for view in (first, second)]
    ridge = 0.05
    covariances = [view.T @ view / 60 for view in centered]
    ridged = [matrix + ridge * matrix.trace() / len(matrix) * np.eye(len(matrix)) for matrix in covariances]
    roots = []
    for matrix in ridged:
        values, vectors = np.linalg.eigh(matrix)
        roots.append(vectors @ np.diag(values**-0.5) @ vectors.T)
    t = roots[0] @ (centered[0].T @ centered[1] / 60) @ roots[1]
    found = total_correlation(pair_covariances(first, second), ridge=ridge)
    assert float(found) == pytest.approx(np.linalg.norm(t, "nuc"), rel=1e-6)
    assert float(found) == pytest.approx(
        float(canonical(pair_covariances(first, second), ridge=ridge, dims=9).correlations.sum()), rel=1e-6
    )


def test_the_gradient_of_total_correlation_is_right_even_where_correlations_are_equal() -> None:
    first, second = correlated(40)
    first.requires_grad_(True)
    assert torch.autograd.gradcheck(
        lambda values: total_correlation(pair_covariances(values, second), ridge=0.1).double(),
        (first,),
        atol=1e-3,
        rtol=1e-3,
        eps=1e-3,
    )
    same = second.clone().requires_grad_(True)
    total_correlation(pair_covariances(same, second), ridge=0.1).backward()
    assert torch.isfinite(same.grad).all()  # type: ignore[arg-type]


def test_linear_networks_trained_by_it_give_linear_cca() -> None:
    first, second = correlated(300)
    expected = canonical(pair_covariances(first, second), ridge=1e-4, dims=2).correlations
    torch.manual_seed(0)
    one, other = torch.nn.Linear(5, 2).double(), torch.nn.Linear(4, 2).double()
    optimizer = torch.optim.Adam([*one.parameters(), *other.parameters()], lr=0.02)
    for _ in range(400):
        optimizer.zero_grad()
        (-total_correlation(pair_covariances(one(first), other(second)), ridge=1e-6)).backward()
        optimizer.step()
    with torch.no_grad():
        found = canonical(pair_covariances(one(first), other(second)), ridge=1e-6, dims=2).correlations
    assert found.numpy() == pytest.approx(expected.numpy(), abs=5e-3)
