"""Number of slots of the memories: X of the paper and, with more classes than slots, its number of slots per class."""

from __future__ import annotations

from dataclasses import replace

from dataset_tools.core.count_of import count_of
from fmn.config import Config

PAPER_CAPACITY, PAPER_CLASSES = 50, 20


def with_capacity(config: Config, classes: int) -> Config:
    """Returns ``config`` with ``memory.capacity`` set, for a training manifest with this number of classes.

    A class without a slot is written to those of other classes, and neither side learns to select it. So with more
    than 50 classes there are 2.5 slots per class, as in the paper: with one per class, a T2 above −1 would use them up
    before every class has one. Up to 50 classes, and without slots by class, the number is that of the paper; with
    pseudo-labels it limits the number of clusters.
    """
    memory = config.memory
    if memory.capacity is not None:
        return config
    is_too_small = memory.class_slots and config.training.labels == "class" and classes > PAPER_CAPACITY
    capacity = PAPER_CAPACITY * classes // PAPER_CLASSES if is_too_small else PAPER_CAPACITY
    return replace(config, memory=replace(memory, capacity=capacity))


def capacity_note(config: Config, classes: int) -> str | None:
    """Caveat of a configuration with fewer slots than classes; None if there is nothing to say."""
    capacity = config.memory.capacity
    reads = config.memory.class_slots and config.model.score not in ("s1", "cosine")
    if capacity is None or capacity >= classes or config.training.labels != "class" or not reads:
        return None
    return (
        f"memory.capacity is {capacity}, but there are {count_of(classes, 'class', 'classes')}: those without a slot "
        "are written to the slots of others and are hardly found. Leave memory.capacity out for enough slots."
    )
