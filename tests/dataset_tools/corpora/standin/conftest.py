from __future__ import annotations

import pytest

from dataset_tools.classes.reader import load_classes
from dataset_tools.classes.triplets import ClassFile
from dataset_tools.corpora.standin.agenda import Agenda, plan_agendas
from dataset_tools.corpora.standin.cast import sequences
from dataset_tools.corpora.standin.difficulty import STANDARD


@pytest.fixture(scope="session")
def classes() -> ClassFile:
    return load_classes()


@pytest.fixture(scope="session")
def agendas(classes: ClassFile) -> tuple[Agenda, ...]:
    """The plan of a corpus of the usual size."""
    return plan_agendas(classes, STANDARD, sequences(0, 60), seed=0, per_class=50)
