from __future__ import annotations

from pathlib import Path

import pytest

from dataset_tools.classes.reader import load_classes
from dataset_tools.classes.triplets import ClassFile
from dataset_tools.corpora.standin.agenda import Agenda, plan_agendas
from dataset_tools.corpora.standin.cast import sequences
from dataset_tools.corpora.standin.difficulty import STANDARD
from dataset_tools.corpora.standin.standin_corpus import write_standin


@pytest.fixture(scope="session")
def classes() -> ClassFile:
    return load_classes()


@pytest.fixture(scope="session")
def agendas(classes: ClassFile) -> tuple[Agenda, ...]:
    """The plan of a corpus of the usual size."""
    return plan_agendas(classes, STANDARD, sequences(0, 60), seed=0, per_class=50)


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest corpus that has all classes: 20 intervals of a class in 4 short videos."""
    root = tmp_path_factory.mktemp("standin") / "corpus"
    write_standin(root, seed=3, per_class=1, jobs=2)
    return root
