"""Two processes of the CPU train the weights and memories that one process trains with the doubled batch."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from dataset_tools.core.errors import InputError
from fmn.config import Config, with_values
from fmn.data.sequences import Sequences
from fmn.models.utterance_encoder import UtteranceEncoder
from fmn.training.distributed import Processes, joined_processes
from fmn.training.process_launcher import _reserved_port
from fmn.training.run_state import read_run_state
from fmn.training.train import train
from fmn.training.trainer import TrainingLoop

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")


def in_processes(count: int, work: Callable[[int], object]) -> list[tuple[int, Any]]:
    """Runs ``work(rank)`` in as many processes as torchrun would start; gives exit codes and what was given back."""
    with _reserved_port() as reserved:
        port = reserved.getsockname()[1]
        context = get_context("fork")  # with the features that were made up here
        pipes, children = [], []
        for rank in range(count):
            reader, writer = context.Pipe(duplex=False)

            def run(rank: int = rank, writer: Any = writer) -> None:
                os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
                os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
                try:
                    writer.send(work(rank))
                except BaseException as error:
                    writer.send(f"{type(error).__name__}: {error}")

            children.append(context.Process(target=run))
            pipes.append(reader)
            children[-1].start()
            writer.close()
        found = []
        for child, reader in zip(children, pipes, strict=True):
            child.join(180)
            assert child.exitcode is not None, "a process hangs"
            found.append((child.exitcode, None if child.exitcode else reader.recv()))
    return found


def test_training_processes_end_with_their_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr("fmn.training.distributed.end_with_launcher", lambda: asked.append(True))

    def work(rank: int) -> int:
        with joined_processes():
            torch.distributed.barrier()  # a process that left at once could break the connection of another
            return len(asked)

    assert in_processes(2, work) == [(0, 1), (0, 1)]


def test_processes_that_do_not_join_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fmn.training.distributed.LONGEST_WAIT_TO_JOIN", timedelta(seconds=2))

    def work(rank: int) -> object:
        os.environ["WORLD_SIZE"] = "3"
        with joined_processes():
            return rank

    for code, told in in_processes(2, work):
        assert code == 0
        assert told.startswith("StoppedError: The other processes of this training did not join: ")
        assert "expected: 3 processes (WORLD_SIZE)" in told


def train_together(workspace: Path, config: Config, run: Path, count: int = 2, **options: Any) -> list[tuple[int, Any]]:
    def work(rank: int) -> object:
        torch.set_num_threads(1)
        with joined_processes() as processes:
            summary = train(
                workspace / "manifests" / "train.jsonl", config, run, device="cpu", processes=processes, **options
            )
        return summary.as_dict()

    return in_processes(count, work)


def assert_close(left: Path, right: Path) -> None:
    for name in ("checkpoint.safetensors", "state.safetensors"):
        mine, other = load_file(left / name), load_file(right / name)
        assert mine.keys() == other.keys()
        for key in mine:
            torch.testing.assert_close(
                mine[key], other[key], rtol=0, atol=1e-6, msg=lambda text, key=key: f"{key}: {text}"
            )


@pytest.mark.parametrize(
    "changes",
    [
        {},  # softmax over all negatives, dropout, augmentation, memories written after the epoch
        {"training.triplet": "standard", "memory.write": "step"},  # the hardest negative of the batch
    ],
    ids=["softmax", "hardest negatives"],
)
def test_two_processes_train_as_one_with_the_doubled_batch(
    workspace: Path, small: Config, changes: dict[str, Any]
) -> None:
    config = with_values(small, {"training.epochs": 2, "training.batch_size": 6} | changes)
    alone, together = workspace / "runs" / "alone", workspace / "runs" / "together"
    train(workspace / "manifests" / "train.jsonl", with_values(config, {"training.batch_size": 12}), alone)
    found = train_together(workspace, config, together)
    assert [code for code, _ in found] == [0, 0]
    assert_close(alone, together)
    assert sorted(path.name.split(".")[0] for path in together.iterdir() if not path.name.startswith(".")) == [
        "checkpoint",
        "config",
        "events",  # once: the first process alone writes
        "state",
        "state",
    ]


def test_a_run_of_two_processes_resumes_with_two_and_with_no_other_number(workspace: Path, small: Config) -> None:
    whole, stopped = workspace / "runs" / "whole", workspace / "runs" / "stopped"
    of_epochs = [with_values(small, {"training.epochs": epochs, "training.batch_size": 6}) for epochs in (1, 2)]
    train_together(workspace, of_epochs[1], whole)
    train_together(workspace, of_epochs[0], stopped)
    manifest = workspace / "manifests" / "train.jsonl"
    with pytest.raises(InputError, match="started with 2 processes"):
        train(manifest, of_epochs[1], stopped)
    resumed = train_together(workspace, of_epochs[1], stopped, resume=True)
    assert [(code, summary["epochs"]) for code, summary in resumed] == [(0, 2), (0, 2)]
    assert_close(whole, stopped)


def test_a_process_that_dies_ends_the_others_with_a_message(
    workspace: Path, small: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_epoch = TrainingLoop.run_epoch

    def dies(self: TrainingLoop, number: int, report: Callable[[int], None]) -> dict[str, float]:
        if number == 2 and self.processes.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return run_epoch(self, number, report)

    monkeypatch.setattr(TrainingLoop, "run_epoch", dies)
    run = workspace / "runs" / "one"
    (_, first), (code, _) = train_together(workspace, small, run)
    assert code == -signal.SIGKILL
    assert str(first).startswith("OtherProcessEndedError: Another process of this training has ended")
    state = read_run_state(run)
    assert state is not None
    assert (state.epoch, state.finished) == (1, False)


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int | str] = []
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", chosen.append)
    monkeypatch.setattr("fmn.training.distributed.find_device", lambda name: chosen.append(name))
    monkeypatch.setenv("LOCAL_RANK", "1")
    Processes(3, 4).device("cuda")
    assert chosen == [1, "cuda:1"]
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(InputError, match="no GPU for process 3 of this machine, which has 2 GPUs"):
        Processes(2, 4).device("cuda")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)  # fewer processes would not help
    Processes(2, 4).device("cuda")
    assert chosen == [1, "cuda:1", "cuda"]


def test_each_process_reads_its_share_and_has_all_gradients() -> None:
    torch.manual_seed(0)
    encoder, head = UtteranceEncoder(3, 4), nn.Linear(8, 1)
    sequences = Sequences(torch.randn(7, 5, 3), torch.tensor([5, 4, 4, 3, 2, 2, 1]))
    (head(encoder(sequences)).squeeze(1) ** 3).sum().backward()
    model = nn.ModuleList([encoder, head])
    expected = [parameter.grad for parameter in model.parameters()]
    model.zero_grad(set_to_none=True)

    def work(rank: int) -> object:
        read: list[int] = []
        with joined_processes() as processes:
            processes.divide(model)
            encoder.forwards.register_forward_hook(lambda lstm, given, out: read.append(len(given[0])))
            (head(encoder(sequences)).squeeze(1) ** 3).sum().backward()
            processes.average_gradients(model)
            encoder(Sequences(sequences.frames[:1], sequences.lengths[:1]))  # fewer than there are processes
            agreed = processes.of_first(rank + 10)
        return read, agreed, [parameter.grad.numpy() for parameter in model.parameters() if parameter.grad is not None]

    for (code, found), share in zip(in_processes(2, work), (4, 3), strict=True):
        assert code == 0
        read, agreed, gradients = found
        assert (read, agreed) == ([share, 1], 10)
        for mine, own in zip(gradients, expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(mine), own)
