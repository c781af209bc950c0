from __future__ import annotations

from collections.abc import Iterator
from threading import Thread

import pytest
import torch
from simulated_device import simulated_device
from torch.utils._python_dispatch import _get_current_dispatch_mode


@pytest.fixture
def device() -> Iterator[torch.device]:
    with simulated_device() as device:
        yield device


def test_tensors_of_both_devices_do_not_meet(device: torch.device) -> None:
    here, there = torch.arange(3.0), torch.arange(3.0, device=device)
    for operation in (torch.add, torch.dot, lambda a, b: torch.cat([a, b]), lambda a, b: torch.where(a > 0, b, b)):
        with pytest.raises(RuntimeError, match="same device"):
            operation(there, here)
    for several in (torch.stack, torch.hstack):  # a tensor without dimensions is none that is broadcast here
        with pytest.raises(RuntimeError, match="same device"):
            several([there[0], torch.tensor(1.0)])
    for indices in (torch.index_select, torch.gather):
        with pytest.raises(RuntimeError, match="same device"):
            indices(there, 0, torch.tensor([1]))
    with pytest.raises(RuntimeError):
        here[torch.tensor([1], device=device)]
    with pytest.raises(RuntimeError):
        there.numpy()
    with pytest.raises(RuntimeError, match="same device"):
        there[torch.tensor([0, 1])] = torch.tensor([1.0, 2.0])


def test_what_a_gpu_allows_is_allowed(device: torch.device) -> None:
    there = torch.arange(3.0, device=device)
    assert (there * torch.tensor(2.0)).tolist() == [0, 2, 4]
    assert there[torch.tensor([2, 0])].tolist() == [2, 0]
    assert there[[1, 2]].device == device
    assert there[torch.tensor([True, False, True])].tolist() == [0, 2]
    there[torch.tensor([0])] = 5.0
    assert there.cpu().numpy().tolist() == [5, 1, 2]
    assert torch.tensor([1, 2], device=device).sum().item() == 3


def test_an_lstm_has_the_outputs_and_gradients_of_the_cpu(device: torch.device) -> None:
    torch.manual_seed(0)
    lstm, frames = torch.nn.LSTM(4, 3, batch_first=True), torch.randn(2, 5, 4)
    outputs, gradients = [], []
    for place in (torch.device("cpu"), device):
        moved, given = lstm.to(place), frames.detach().to(place).requires_grad_()
        output, (_, cell) = moved(given)
        (output.square().sum() + cell.sum()).backward()
        outputs.append(output.detach().cpu())
        gradients.append([given.grad.cpu(), *(weights.grad.cpu() for weights in moved.parameters())])
        lstm.zero_grad()
    torch.testing.assert_close(outputs[1], outputs[0])
    torch.testing.assert_close(gradients[1], gradients[0])


def test_afterwards_torch_and_threads_are_as_before() -> None:
    def state() -> tuple[object, ...]:
        overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
        return Thread.run, overwrites, torch._C._only_lift_cpu_tensors(), _get_current_dispatch_mode()

    before = state()
    with pytest.raises(ZeroDivisionError), simulated_device():
        assert not set(state()) & {before[0], before[3]}
        raise ZeroDivisionError
    assert state() == before


def test_a_thread_uses_it_too(device: torch.device) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: torch.zeros(2, device=device).device).result() == device
