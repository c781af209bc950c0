from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from dataset_tools.core.errors import InputError
from fmn.comparison.comparison_plan import plan_comparison
from fmn.config import Config, with_values
from fmn.data.batches import Batch
from fmn.data.sequences import Sequences
from fmn.evaluation.evaluate import evaluate
from fmn.models.baselines.musicnn import Musicnn, MusicnnTowers, _Front
from fmn.models.baselines.musimnet import AutoPool, MelNetwork
from fmn.training.train import plan_training, train


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_musicnn_has_the_published_shapes_and_counts() -> None:
    network = Musicnn(96)
    assert network.front_channels == 561
    assert network.channels == 753
    kernels = [tuple(part.convolution.weight.shape) for part in network.front]  # type: ignore[union-attr]
    assert kernels == [(204, 1, 7, 38), (204, 1, 7, 67), (51, 1, 128, 1), (51, 1, 64, 1), (51, 1, 32, 1)]
    # With 50 tags on top the published network is said to have 787 thousand parameters; two of them, factor and shift
    # of its input, which the convolutions behind it can make up for, are not there.
    assert parameters(network) + 200 * 50 + 50 + 2 == 787_159
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
            if module.affine:
                module.bias.data.uniform_(-0.5, 0.5)
    short = torch.rand(1, 75, 96)
    padded = torch.cat([short, 7 * torch.rand(1, 46, 96)], 1)
    alone = network(Sequences(short, torch.tensor([75])))
    beside = network(Sequences(torch.cat([padded, torch.rand(1, 121, 96)]), torch.tensor([75, 121])))
    assert torch.allclose(alone[0], beside[0], atol=1e-5)


@pytest.mark.parametrize("kernel", [(7, 38), (7, 67), (32, 1)])
@pytest.mark.parametrize("training", [True, False])
def test_the_front_end_is_convolution_relu_norm_and_maximum(kernel: tuple[int, int], training: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    front = _Front(5, *kernel).train(training)
    norm = torch.nn.BatchNorm2d(5).train(training)
    with torch.no_grad():
        for values in (front.norm.weight, front.norm.bias, front.norm.running_mean):
            assert values is not None
            values.copy_(torch.randn(5, generator=generator))  # factors of both signs
    norm.load_state_dict(front.norm.state_dict())
    maps = torch.randn(3, 1, 50, 96, generator=generator)
    padded = torch.nn.functional.pad(maps, (0, 0, (kernel[0] - 1) // 2, kernel[0] // 2))
    weight, bias = (value.detach().clone().requires_grad_() for value in front.convolution.parameters())
    expected = norm(torch.relu(torch.nn.functional.conv2d(padded, weight, bias))).amax(3)
    found = front(maps)
    assert torch.allclose(found, expected, atol=1e-4)
    direction = torch.randn(found.shape, generator=generator)
    (found * direction).sum().backward()
    (expected * direction).sum().backward()
    for one, other in zip(
        (*front.convolution.parameters(), *front.norm.parameters()), (weight, bias, *norm.parameters()), strict=True
    ):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.allclose(one.grad, other.grad, rtol=1e-3, atol=1e-3 * float(other.grad.abs().max()))
    assert torch.allclose(front.norm.running_mean, norm.running_mean, atol=1e-5)
    assert torch.allclose(front.norm.running_var, norm.running_var, rtol=1e-4)


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


@pytest.mark.parametrize("negatives", ["hard", "semi-hard", "all"])
def test_the_triplet_loss_of_musicnn_is_the_configured_one(small: Config, batch: Batch, negatives: str) -> None:
    """Its form and negatives; the expected values are of one anchor, match and negative at a time."""
    cosines = torch.rand(5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    losses = {}
    for form in ("standard", "as_published", "softmax"):
        values = {"training.triplet": form, "training.negatives": negatives, "options.filters": 0.1}
        model = MusicnnTowers(with_values(small, values), 12, 8)
        losses[form] = float(model.retrieval_loss(cosines, batch))
    terms: dict[str, list[float]] = {form: [] for form in losses}
    for similarity, matches in ((cosines, batch.match), (cosines.T, batch.match.T)):
        for row, own in zip(similarity.tolist(), matches.tolist(), strict=True):
            others = [cosine for cosine, match in zip(row, own, strict=True) if not match]
            for cosine in (cosine for cosine, match in zip(row, own, strict=True) if match):
                below = [other for other in others if other < cosine]
                semi_hard = max(below) if below else min(others)
                chosen = {"hard": [max(others)], "semi-hard": [semi_hard], "all": others}[negatives]
                for form, sign in (("standard", -1), ("as_published", 1)):
                    each = [max(0.0, other + sign * cosine + small.training.margin) for other in chosen]
                    terms[form].append(sum(each) / len(each))
                exponentials = [math.exp(value / small.training.triplet_temperature) for value in (cosine, *others)]
                terms["softmax"].append(-math.log(exponentials[0] / sum(exponentials)))
    assert losses == pytest.approx({form: sum(each) / len(each) for form, each in terms.items()})


@pytest.mark.usefixtures("made_features", "one_thread")
def test_musicnn_without_its_only_loss_is_not_trained_but_can_be_evaluated(workspace: Path, small: Config) -> None:
    """Earlier versions trained it with the standard triplet loss, although config.json has ``off``."""
    manifest, test = (workspace / "manifests" / f"{name}.jsonl" for name in ("train", "test"))
    run = workspace / "runs" / "one"
    config = with_values(small, {"system": "musicnn", "options.filters": 0.05, "training.epochs": 1})
    train(manifest, config, run)
    off = with_values(config, {"training.triplet": "off"})
    with pytest.raises(InputError, match="musicnn has no other loss than the triplet loss"):
        plan_training(manifest, off)
    with pytest.raises(InputError, match="musicnn has no other loss") as refused:
        plan_comparison(
            manifest, test, workspace / "compare", models=["fmn", "musicnn"], changes={"training.triplet": "off"}
        )
    assert "--models" in (refused.value.next_step or "")
    expected = evaluate(run, test).metrics
    written = json.loads((run / "config.json").read_text())
    written["training"]["triplet"] = "off"
    (run / "config.json").write_text(json.dumps(written))
    assert evaluate(run, test).metrics == expected
