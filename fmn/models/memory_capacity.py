"""Number of slots of the memories: X of the paper and, with more classes than slots, its number of slots per class."""

from __future__ import annotations

from dataclasses import replace

from dataset_tools.core.count_of import count_of
from fmn.config import Config
from fmn.config_sections import LARGEST_SIZE

PAPER_CAPACITY, PAPER_CLASSES = 50, 20


def with_capacity(config: Config, classes: int) -> Config:
    """Returns ``config`` with ``memory.capacity`` set, for a training manifest with this number of classes."""
    memory = config.memory
    if memory.capacity is not None:
        return config
    return replace(config, memory=replace(memory, capacity=default_capacity(config, classes)))


def default_capacity(config: Config, classes: int) -> int:
    """Number of slots for this number of classes if ``config`` does not set it.

    A class without a slot is written to those of other classes, and neither modality learns to select it. So with more
    than 50 classes there are 2.5 slots per class, as in the paper: with one per class, a T2 above −1 would use them up
    before every class has one. Up to 50 classes, and without slots by class, the number is that of the paper; with
    pseudo-labels it limits the number of clusters. There are at most 65,536, the largest valid number.
    """
    is_too_small = config.memory.class_slots and config.training.labels == "class" and classes > PAPER_CAPACITY
    return min(PAPER_CAPACITY * classes // PAPER_CLASSES, LARGEST_SIZE) if is_too_small else PAPER_CAPACITY


def in_proportion(capacity: int, config: Config, classes: int) -> int:
    """Scales a number of slots for up to 50 classes to this number of classes, like `default_capacity`."""
    return min(capacity * default_capacity(config, classes) // PAPER_CAPACITY, LARGEST_SIZE)


def capacity_note(config: Config, classes: int) -> str | None:
    """Caveat of a configuration with fewer slots than classes; None if there is nothing to say."""
    capacity = config.memory.capacity
    reads = config.memory.class_slots and config.model.score not in ("s1", "cosine")
    if capacity is None or capacity >= classes or config.training.labels != "class" or not reads:
        return None
    remedy = " Leave memory.capacity out for enough slots." if capacity < default_capacity(config, classes) else ""
    return (
        f"memory.capacity is {capacity}, but there are {count_of(classes, 'class', 'classes')}: those without a slot "
        f"are written to the slots of others and are hardly found.{remedy}"
    )
