"""Number of slots of the memories: X of the paper, and at least one for each class if slots have classes."""

from __future__ import annotations

from dataclasses import replace

from dataset_tools.core.count_of import count_of
from fmn.config import Config

PAPER_CAPACITY = 50


def with_capacity(config: Config, classes: int) -> Config:
    """Returns ``config`` with ``memory.capacity`` set, for a training manifest with this number of classes.

    A class without a slot is written to those of other classes, and neither side learns to select it; so there are at
    least as many slots as classes, if slots have classes. With pseudo-labels the slots limit the number of clusters.
    """
    memory = config.memory
    if memory.capacity is not None:
        return config
    least = classes if memory.class_slots and config.training.labels == "class" else 0
    return replace(config, memory=replace(memory, capacity=max(PAPER_CAPACITY, least)))


def capacity_note(config: Config, classes: int) -> str | None:
    """Caveat of a configuration with fewer slots than classes; None if there is nothing to say."""
    capacity = config.memory.capacity
    reads = config.memory.class_slots and config.model.score not in ("s1", "cosine")
    if capacity is None or capacity >= classes or config.training.labels != "class" or not reads:
        return None
    return (
        f"memory.capacity is {capacity}, but there are {count_of(classes, 'class', 'classes')}: those without a slot "
        "are written to the slots of others and are hardly found. Leave memory.capacity out for a slot of each class."
    )
