from __future__ import annotations

import pytest
import torch

from fmn.baselines.musicnn import Musicnn
from fmn.baselines.musimnet import AutoPool, MelNetwork
from fmn.encoder import Sequences


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_musicnn_has_the_published_shapes_and_counts() -> None:
    network = Musicnn(96)
    assert network.front_channels == 561
    assert network.channels == 753
    kernels = [tuple(part.convolution.weight.shape) for part in network.front]  # type: ignore[union-attr]
    assert kernels == [(204, 1, 7, 38), (204, 1, 7, 67), (51, 1, 128, 1), (51, 1, 64, 1), (51, 1, 32, 1)]
    # With 50 tags on top the published network is said to have 787 thousand parameters.
    assert parameters(network) + 200 * 50 + 50 == 787_159
    sequences = Sequences(torch.rand(2, 187, 96), torch.tensor([187, 187]))
    network.eval()
    states, _ = network.states(sequences)
    assert states.shape == (2, 753, 187)
    assert network(sequences).shape == (2, 200)


@pytest.mark.parametrize(
    "make", [lambda: Musicnn(96, filters=0.1), lambda: MelNetwork(96)], ids=["musicnn", "musimnet"]
)
def test_what_stands_behind_the_end_is_never_looked_at(make: object) -> None:
    torch.manual_seed(0)
    network = make().eval()  # type: ignore[operator]
    for module in network.modules():  # running figures that do not leave a zero a zero
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            assert module.running_mean is not None
            module.running_mean.uniform_(-0.5, 0.5)
            module.bias.data.uniform_(-0.5, 0.5)
    short = torch.rand(1, 75, 96)
    padded = torch.cat([short, 7 * torch.rand(1, 46, 96)], 1)
    alone = network(Sequences(short, torch.tensor([75])))
    beside = network(Sequences(torch.cat([padded, torch.rand(1, 121, 96)]), torch.tensor([75, 121])))
    assert torch.allclose(alone[0], beside[0], atol=1e-5)


def test_auto_pooling_lies_between_mean_and_maximum() -> None:
    pool = AutoPool(3)
    states = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    inside = torch.tensor([[True] * 5, [True, True, True, False, False]])
    with torch.no_grad():
        pool.alpha.fill_(0.0)
        assert torch.allclose(pool(states, inside)[0], states[0].mean(0), atol=1e-6)
        assert torch.allclose(pool(states, inside)[1], states[1, :3].mean(0), atol=1e-6)
        pool.alpha.fill_(1e4)
        assert torch.allclose(pool(states, inside)[1], states[1, :3].amax(0), atol=1e-4)
        pool.alpha.copy_(torch.tensor([1.0, 2.0, -1.0]))
        weights = torch.exp(pool.alpha * states[0])
        assert torch.allclose(pool(states, inside)[0], (weights * states[0]).sum(0) / weights.sum(0), atol=1e-6)


def test_the_second_and_third_layer_of_the_mid_end_are_residual() -> None:
    network = Musicnn(96, filters=0.1).eval()
    for layer in network.middle[1:]:
        torch.nn.init.zeros_(layer.convolution.weight)  # type: ignore[union-attr,arg-type]
        torch.nn.init.zeros_(layer.convolution.bias)  # type: ignore[union-attr,arg-type]
    states, _ = network.states(Sequences(torch.rand(1, 40, 96), torch.tensor([40])))
    first, second, third = states[:, network.front_channels :].chunk(3, dim=1)
    assert first.abs().sum() > 0
    assert torch.equal(first, second)  # layers that add nothing pass on what they were given
    assert torch.equal(first, third)
