"""Masked margin softmax (AVLnet): two towers, as published and with class positives.

Described: gated projections of video and audio features, dot products, softmax over the batch in both directions with a
margin of .001 subtracted from the positive, items of the same video masked (Rouditchenko et al. 2021, after Ilharco et
al. 2019). Our choices: FMN's features, its Bi-LSTM trained end to end in place of AVLnet's audio network, FMN's sizes,
batch and augmentation, so that only the loss and the memory differ. A margin this small has almost no effect.
As published, every other pair of the batch is a negative, including those of the same class; only pairs with the same
clip or utterance are masked. In ``mms_classes`` the items of a class are positives of each other and never negatives,
which is what the task requires and the supervision that FMN has, too. ``mms_classes_ce`` adds an auxiliary class
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
    """Options of two towers with the masked margin softmax of AVLnet.

    Attributes:
        margin: subtracted from the similarity of positives.
        class_weight: weight of an auxiliary class cross-entropy.
    """

    margin: NotNegative = 0.001
    class_weight: NotNegative = 0.0


def build(config: Config, video_dim: int, audio_dim: int, *, class_positives: bool = False) -> MarginTowers:
    """Builds the untrained towers."""
    options = section_from(Options, config.options, expected="margin, class_weight", path="options.")
    return MarginTowers(
        config,
        video_dim,
        audio_dim,
        kind="fixed",
        amount=options.margin,
        class_positives=class_positives,
        class_weight=options.class_weight,
    )


def grid(config: Config) -> tuple[Changes, ...]:
    """Learning rates and margins."""
    rate = config.training.learning_rate
    return ({}, {"training.learning_rate": rate / 3}, {"options.margin": 0.1}, {"training.learning_rate": rate / 10})


PUBLISHED = System(
    name="mms",
    summary="two towers, masked margin softmax (AVLnet), as published",
    build=build,
    options=Options,
    grid=grid,
    class_cross_entropy=class_weight_of,
    ignored=(*OF_FMN, *OF_TRIPLETS, "model.head_hidden_size", "model.step_attention"),
)
CLASS_POSITIVES = replace(
    PUBLISHED,
    name="mms_classes",
    summary="two towers, masked margin softmax (AVLnet), with class positives",
    build=partial(build, class_positives=True),
)
SYSTEMS = (PUBLISHED, CLASS_POSITIVES, with_class_cross_entropy(CLASS_POSITIVES))
