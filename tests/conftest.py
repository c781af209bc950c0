from __future__ import annotations

from pathlib import Path

import pytest

from dataset_tools.corpora.standin.standin_corpus import write_standin


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest corpus that has all classes: 20 intervals of a class in 4 short videos."""
    root = tmp_path_factory.mktemp("standin") / "corpus"
    write_standin(root, seed=3, per_class=1, jobs=2)
    return root
