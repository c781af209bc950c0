"""Adaptive mean margin (Spoken Moments): two towers, as published and with class positives.

Described: the softmax loss of `mms` whose margin adapts: a share α of how much more similar the positive is than the
negatives are on average (Monfort et al. 2021). Our choices: α = .5; FMN's features, its Bi-LSTM trained end to end,
FMN's sizes, batch and augmentation. Unspecified in the paper: whether the gradient flows through the margin; here it
does not.
As published every other pair of the batch is a negative, those of the same class included; only pairs with the very
same clip or utterance are masked. In ``amm_classes`` every item of one class is a positive of the others and none a
negative, which is what the task asks for and what FMN is told, too. ``amm_classes_ce`` is that with an auxiliary
cross-entropy of the class on either side, as FMN has one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from fmn.config import Config
from fmn.config_sections import NotNegative, section_from
from fmn.models.baselines.parts.margin_softmax import MarginTowers
from fmn.models.baselines.parts.towers import class_weight_of, with_class_cross_entropy
from fmn.models.system_interface import Changes, System


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of two towers with the adaptive mean margin of Spoken Moments.

    Attributes:
        share: α, of the mean distance between a positive and the negatives.
        class_weight: of an auxiliary cross-entropy of the class.
    """

    share: NotNegative = 0.5
    class_weight: NotNegative = 0.0


def build(config: Config, video_dim: int, audio_dim: int, *, class_positives: bool = False) -> MarginTowers:
    """The untrained towers."""
    options = section_from(Options, config.options, expected="share, class_weight", path="options.")
    return MarginTowers(
        config,
        video_dim,
        audio_dim,
        kind="adaptive",
        amount=options.share,
        class_positives=class_positives,
        class_weight=options.class_weight,
    )


def grid(config: Config) -> tuple[Changes, ...]:
    """Learning rates and shares."""
    rate = config.training.learning_rate
    return ({}, {"training.learning_rate": rate / 3}, {"options.share": 0.2}, {"training.learning_rate": rate / 10})


PUBLISHED = System(
    name="amm",
    summary="two towers, adaptive mean margin (Spoken Moments), as published",
    build=build,
    options=Options,
    grid=grid,
    class_cross_entropy=class_weight_of,
)
CLASS_POSITIVES = replace(
    PUBLISHED,
    name="amm_classes",
    summary="two towers, adaptive mean margin (Spoken Moments), with class positives",
    build=partial(build, class_positives=True),
)
SYSTEMS = (PUBLISHED, CLASS_POSITIVES, with_class_cross_entropy(CLASS_POSITIVES))
