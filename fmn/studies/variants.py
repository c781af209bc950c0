"""Ablation variants, in groups: choices that the paper leaves open or that cannot work as published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dataset_tools.core.errors import InputError
from fmn.config import Config, as_dict, as_published, flattened, with_values
from fmn.models.memory_capacity import PAPER_CLASSES, in_proportion

OF_READING = ("memory.read", "memory.temperature", "memory.clamp")
"""Values of the memories that affect how they are read, not how they are written."""


def can_be_rewritten(config: Config) -> bool:
    """Whether the memories of a trained network can be written again in another form, without training it.

    If they were written while it was trained (``write: step``), only training writes them.
    """
    return config.memory.write == "epoch"


@dataclass(frozen=True, eq=False)
class Variant:
    """One variant.

    Attributes:
        group: its group, a design choice. name: its name in the table.
        changes: changes of the configuration, by dotted name.
        retrained: whether a network is trained with it; otherwise it is applied to an already trained one.
    """

    group: str
    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    retrained: bool = False

    @property
    def changes_writing(self) -> bool:
        """Whether it changes what the memories hold."""
        return any(name.startswith("memory.") and name not in OF_READING for name in self.changes)

    def applied(self, config: Config) -> Config:
        """``config`` with this variant."""
        return with_values(config, self.changes)


GROUPS: Mapping[str, str] = {
    "pooling": "pooling of the Bi-LSTM's states to one vector",
    "steps": "attention to the slots by the whole item, or by each of its steps, pooled",
    "head": "head of S1: with a hidden layer, or linear, as published",
    "score": "the final score at inference, with a network trained with the default score",
    "score-trained": "the final score, in training and at inference",
    "space": "content of slots: mapped features, or raw ones, as published",
    "classes": "one class per slot, or slots of any class, as published",
    "update": "update of a slot: running mean, or a fixed rate",
    "read": "softmax over slots, or maximum, with or without clipping at 0",
    "rewriting": "memories rewritten after every epoch, or never, as published",
    "novelty": "combination of the two cosines to m2",
    "full": "handling of a new pair if all slots are in use",
    "capacity": "X, maximum number of slots",
    "T1": "a pair is written when S1 > T1",
    "T2": "a pair is new when m2 < T2",
    "temperature": "temperature of the softmax over slots",
    "S1 power": "exponent of S1 relative to the agreement",
    "slot loss": "loss of each side for selecting the slots of its class",
    "triplet": "eq. 1 in the standard form, as published, off",
    "negatives": "negatives of the triplet loss with a margin",
    "form": "all equations as published, at once",
}


def variants_of(config: Config, only: Sequence[str] = (), *, classes: int = PAPER_CLASSES) -> tuple[Variant, ...]:
    """Returns the variants to compare, in the order of their groups.

    Args:
        config: the default configuration.
        only: names of groups; empty: all.
        classes: number of classes of the training manifest, to which numbers of slots are in proportion.

    Raises:
        InputError: a group is unknown.
    """
    check_groups(only)
    return tuple(variant for variant in _all(config, classes) if not only or variant.group in only)


def check_groups(only: Sequence[str]) -> None:
    """Checks the names of groups.

    Raises:
        InputError: a group is unknown.
    """
    unknown = [name for name in only if name not in GROUPS]
    if unknown:
        raise InputError(
            f"There is no group {', '.join(map(repr, unknown))}",
            where="--only",
            expected=f"some of: {', '.join(GROUPS)}",
            next_step="list some of these, separated by commas",
        )


def _all(config: Config, classes: int) -> list[Variant]:
    def slots(capacity: int) -> int:
        return in_proportion(capacity, config, classes)

    variants = [Variant("pooling", kind, {"model.pooling": kind}, True) for kind in ("max", "mean", "last")]
    variants += [
        Variant("steps", name, {"model.step_attention": kind}, True)
        for name, kind in (("off", "off"), ("mean of the shares", "mean"), ("largest shares", "max"))
    ]
    variants += [
        Variant("head", "hidden layer", {"model.head": "hidden"}, True),
        Variant("head", "linear, as published", {"model.head": "linear"}, True),
    ]
    scores: dict[str, dict[str, Any]] = {
        "S1 and agreement combined": {"model.score": "combined"},
        "S1 (memory off)": {"model.score": "s1"},
        "S1 / Max (eq. 3)": {"model.score": "s1/max", "memory.read": "max"},
        "S1 × Max": {"model.score": "s1*max", "memory.read": "max"},
        "distances": {"model.score": "distance"},
        "agreement alone": {"model.score": "memory"},
        "cosine of the towers": {"model.score": "cosine"},
    }
    variants += [Variant("score", name, changes) for name, changes in scores.items()]
    variants += [Variant("score-trained", name, changes, True) for name, changes in scores.items()]
    variants += [
        Variant("space", "mapped", {"memory.space": "mapped"}),
        Variant("space", "raw", {"memory.space": "raw"}),
        Variant("space", "raw, share 0.5, max", {"memory.space": "raw", "memory.update": 0.5, "memory.read": "max"}),
        Variant("classes", "a class each", {"memory.class_slots": True}, True),
        *(
            Variant("classes", f"whatever came near, T2 {novelty}, X {capacity}", _near(novelty, capacity), True)
            for novelty, capacity in ((0.6, slots(50)), (0.9, slots(200)))
        ),
        Variant("update", "mean", {"memory.update": "mean"}),
        *(Variant("update", f"share {share}", {"memory.update": share}) for share in (0.1, 0.5)),
        Variant("read", "softmax", {"memory.read": "softmax"}),
        Variant("read", "maximum", {"memory.read": "max", "memory.clamp": True}),
        Variant("read", "maximum, signs as published", {"memory.read": "max", "memory.clamp": False}),
        Variant("rewriting", "anew after every epoch", {"memory.write": "epoch"}, True),
        Variant("rewriting", "never, as published", {"memory.write": "step"}, True),
        *(Variant("novelty", f"{rule} of the cosines", {"memory.novelty": rule}) for rule in ("min", "mean", "max")),
        *(
            Variant("full", f"{where}, {slots(10)} slots", {"memory.when_full": where, "memory.capacity": slots(10)})
            for where in ("nearest", "drop")
        ),
    ]
    for group, key, values in (
        ("capacity", "memory.capacity", tuple(dict.fromkeys(map(slots, (10, 20, 50, 100, 200, 400))))),
        ("T1", "memory.score_threshold", (0.0, 0.3, 0.5, 0.7, 0.9)),
        ("T2", "memory.novelty_threshold", (-1.0, 0.4, 0.6, 0.8, 0.95)),
        ("temperature", "memory.temperature", (0.02, 0.05, 0.1, 0.2, 0.5)),
        ("S1 power", "model.s1_exponent", (0.0, 0.02, 0.05, 0.15, 0.5)),
    ):
        variants += [Variant(group, str(value), {key: value}) for value in values]
    variants += [
        Variant("slot loss", name, {"training.slot_weight": weight}, True)
        for name, weight in (("on", 1.0), ("off", 0.0))
    ]
    for form in ("standard", "as_published", "softmax", "off"):
        variants.append(Variant("triplet", form, {"training.triplet": form}, True))
    with_margin = (
        {"training.triplet": "standard"} if config.training.triplet == "softmax" else {}
    )  # softmax always uses all negatives
    variants += [
        Variant("negatives", kind, {"training.negatives": kind, **with_margin}, True)
        for kind in ("hard", "semi-hard", "all")
    ]
    variants.append(Variant("form", "standard", {}, True))
    variants.append(Variant("form", "as_published", _as_published(config), True))
    if not can_be_rewritten(config):
        variants = [replace(variant, retrained=variant.retrained or variant.changes_writing) for variant in variants]
    return [_without_steps(variant) if config.model.step_attention != "off" else variant for variant in variants]


def _without_steps(variant: Variant) -> Variant:
    """Turns step attention off for reads without slot shares."""
    if variant.changes.get("memory.read") == "max" or variant.changes.get("model.score") == "distance":
        return replace(variant, changes={**variant.changes, "model.step_attention": "off"})
    return variant


def _near(novelty_threshold: float, capacity: int) -> dict[str, Any]:
    """Slots without classes."""
    return {
        "memory.class_slots": False,
        "memory.novelty_threshold": novelty_threshold,
        "memory.capacity": capacity,
    }


def _as_published(config: Config) -> dict[str, Any]:
    """Changes that turn ``config`` into its published form."""
    before, after = flattened(as_dict(config)), flattened(as_dict(as_published(config)))
    return {name: value for name, value in after.items() if before[name] != value}
