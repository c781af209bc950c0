"""The interface of a retrieval system: how it is built, what it changes in a preset, what is tuned.

A system encodes clips and utterances, each once, and gives a matrix of scores; one trainer, one evaluator and one
search serve all. `fmn.systems` is the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from fmn.config import Config
from fmn.config_sections import section_from

if TYPE_CHECKING:
    from fmn.models.retrieval_model import RetrievalModel

ClassCrossEntropy = Literal["both sides", "speech", "no"]
"""Which sides are trained with a cross-entropy of the class."""
Changes = Mapping[str, Any]
"""Values of a configuration by dotted name, as `fmn.config.with_values` takes them."""


def unchanged(config: Config) -> Config:
    """``config`` as it is."""
    return config


def learning_rates(config: Config) -> Sequence[Changes]:
    """As it is, and with a third, the triple and a tenth of the learning rate."""
    rate = config.training.learning_rate
    return ({}, *({"training.learning_rate": rate * factor} for factor in (1 / 3, 3, 1 / 10)))


def as_it_is(config: Config) -> Sequence[Changes]:
    """The configuration as it is, and nothing else: there is nothing to tune."""
    return ({},)


def no_cross_entropy(config: Config) -> ClassCrossEntropy:
    """No side is trained to tell its class."""
    return "no"


def of_both_sides(config: Config) -> ClassCrossEntropy:
    """Either side is trained to tell its class, whatever the configuration."""
    return "both sides"


def no_footnote(config: Config) -> str:
    """Nothing has to be said."""
    return ""


@dataclass(frozen=True)
class NoOptions:
    """Options of a system that has none of its own."""


@dataclass(frozen=True)
class System:
    """A retrieval system.

    Attributes:
        name: what ``--model`` calls it.
        summary: one line on what it is.
        build: makes the untrained model from a configuration and the sizes of a clip's vector and an audio frame.
        adapt: changes what the system needs otherwise in a preset (its audio features, its epochs, …).
        options: a frozen dataclass of what the system has of its own; ``--set options.NAME=VALUE`` sets a field.
        grid: what `fmn compare` tries on fold 0, changes of the adapted configuration: first none, then the ones that
            are most likely to help. As many as the budget says are tried.
        class_cross_entropy: whether a configuration trains with a cross-entropy of the class.
        footnote: what must be said of a configuration wherever its results are shown; empty when nothing must.
    """

    name: str
    summary: str
    build: Callable[[Config, int, int], RetrievalModel]
    adapt: Callable[[Config], Config] = unchanged
    options: type[Any] = NoOptions
    grid: Callable[[Config], Sequence[Changes]] = learning_rates
    class_cross_entropy: Callable[[Config], ClassCrossEntropy] = no_cross_entropy
    footnote: Callable[[Config], str] = no_footnote

    def complete(self, config: Config) -> Config:
        """``config`` with every option of the system, those left out at their defaults.

        Raises:
            InputError: an option is unknown or has a value that it cannot have.
        """
        names = ", ".join(field.name for field in fields(self.options)) or "none: the system has no options of its own"
        expected = f"options of the system {self.name!r} ({names})"
        found = section_from(self.options, config.options, expected=expected, path="options.")
        return replace(config, options=asdict(found))
