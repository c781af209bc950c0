from __future__ import annotations

import signal
from pathlib import Path

import pytest

from dataset_tools.corpora.standin.standin_corpus import write_standin

# A shell that runs the tests in the background makes them ignore SIGINT, and with them every command that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest corpus that has all classes: 20 intervals of a class in 4 short videos."""
    root = tmp_path_factory.mktemp("standin") / "corpus"
    write_standin(root, seed=3, per_class=1, jobs=2)
    return root
