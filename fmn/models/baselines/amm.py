"""Adaptive mean margin (Spoken Moments): two towers, as published and with class positives.

Described: the softmax loss of `mms` with an adaptive margin: a fraction α of the difference between the similarity of
the positive and the mean similarity of the negatives (Monfort et al. 2021). Our choices: α = .5; FMN's features, its
Bi-LSTM trained end to end, FMN's sizes, batch and augmentation. Unspecified in the paper: whether the gradient flows
through the margin; here it does not.
As published, every other pair of the batch is a negative, including those of the same class; only pairs with the same
clip or utterance are masked. In ``amm_classes`` the items of a class are positives of each other and never negatives,
which is what the task requires and the supervision that FMN has, too. ``amm_classes_ce`` adds an auxiliary class
cross-entropy on both sides, as FMN has one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from fmn.config import Config
from fmn.config_sections import NotNegative, section_from
from fmn.models.baselines.parts.margin_softmax import MarginTowers
from fmn.models.baselines.parts.towers import class_weight_of, with_class_cross_entropy
from fmn.models.system_interface import OF_FMN, OF_TRIPLETS, Changes, System


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of two towers with the adaptive mean margin of Spoken Moments.

    Attributes:
        share: α, fraction of the mean difference between a positive and the negatives.
        class_weight: weight of an auxiliary class cross-entropy.
    """

    share: NotNegative = 0.5
    class_weight: NotNegative = 0.0


def build(config: Config, video_dim: int, audio_dim: int, *, class_positives: bool = False) -> MarginTowers:
    """Builds the untrained towers."""
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
    ignored=(*OF_FMN, *OF_TRIPLETS, "model.head_hidden_size", "model.step_attention"),
)
CLASS_POSITIVES = replace(
    PUBLISHED,
    name="amm_classes",
    summary="two towers, adaptive mean margin (Spoken Moments), with class positives",
    build=partial(build, class_positives=True),
)
SYSTEMS = (PUBLISHED, CLASS_POSITIVES, with_class_cross_entropy(CLASS_POSITIVES))
