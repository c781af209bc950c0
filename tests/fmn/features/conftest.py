from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks of a few channels are slower on many threads, above all when tests run side by side."""
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(usual)


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = os.environ.get("FMN_TEST_DATA")
    if not folder:
        pytest.skip("FMN_TEST_DATA does not name the folder of real recordings")
    return Path(folder)
