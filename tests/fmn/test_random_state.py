"""Torch's random state belongs to the process: threads of a caller take turns."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Thread

import pytest
import torch

from fmn import random_state
from fmn.random_state import isolated_random_state
from fmn.studies.validation_harness import reconfigured
from fmn.training.checkpoint import load_run


def test_threads_that_train_do_not_draw_from_each_others_random_state() -> None:
    start = Barrier(2)

    def drawn(seed: int) -> list[float]:
        start.wait()
        with isolated_random_state(torch.device("cpu"), deterministic=True):
            torch.manual_seed(seed)
            values = []
            for _ in range(10):
                time.sleep(0.002)  # the other thread has its turn
                values.append(float(torch.rand(1)))
            return values

    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(drawn, [1, 2]))
    start = Barrier(1)
    assert together == [drawn(1), drawn(2)]
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("mode", [0, 1, 2])  # 1: a warning instead of an error
def test_the_kernels_that_the_caller_allows_are_allowed_again(mode: int) -> None:
    torch.set_deterministic_debug_mode(mode)
    for deterministic, within in ((True, 2), (False, mode)):
        with isolated_random_state(torch.device("cpu"), deterministic=deterministic):
            assert torch.get_deterministic_debug_mode() == within
        assert torch.get_deterministic_debug_mode() == mode


def test_a_study_does_not_set_back_the_random_state_of_a_training_in_another_thread(run: Path) -> None:
    loaded = load_run(run, torch.device("cpu"))
    study = Thread(target=reconfigured, args=(loaded, loaded.config))
    with isolated_random_state(torch.device("cpu"), deterministic=False):
        study.start()
        study.join(1)  # it takes some milliseconds, once it may
        assert study.is_alive()
    study.join()


def test_cublas_is_prepared_before_an_encoder_of_features_can_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    runpy.run_path(str(random_state.__file__))
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"  # torch accepts this, and :16:8


FORK = """
import os, signal, sys, threading, torch
from fmn.random_state import isolated_random_state

held, end = threading.Event(), threading.Event()

def train():
    with isolated_random_state(torch.device("cpu"), deterministic=False):
        held.set()
        end.wait()

thread = threading.Thread(target=train)
thread.start()
held.wait()
child = os.fork()
if not child:
    signal.alarm(60)  # instead of waiting for ever
    with isolated_random_state(torch.device("cpu"), deterministic=False):
        os._exit(0)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
end.set()
thread.join()
if "torch._dynamo" in sys.modules:
    code = "the compiler of torch was imported, which takes a second"
raise SystemExit(code)
"""


def test_a_forked_process_does_not_wait_for_a_thread_that_it_lacks() -> None:
    """Neither is torch.compile imported, which nothing here uses."""
    assert subprocess.run([sys.executable, "-c", FORK], check=False).returncode == 0
